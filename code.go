package ridgeline

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Branch is where a branch of a project's repository on this server stood
// when it was last looked at.
type Branch struct {
	Project ProjectName
	Name    string // without refs/heads/
	Hash    string
	Build   BuildID // of that state; empty when none was made
	Note    string  // why there is none, or what its author should know
	Updated time.Time
}

// Forge is the kind of a server that keeps repositories.
type Forge string

// The forges whose webhooks are understood.
const (
	GitHub      Forge = "github"
	GitLab      Forge = "gitlab"
	AzureDevOps Forge = "azure-devops"
	Gitea       Forge = "gitea" // Forgejo, too
	Bitbucket   Forge = "bitbucket"
)

// Forges lists them.
func Forges() []Forge { return []Forge{GitHub, GitLab, AzureDevOps, Gitea, Bitbucket} }

// A Remote is a repository on a forge whose webhooks have its code built
// here.
type Remote struct {
	Project    ProjectName
	Name       string
	Forge      Forge
	URL        string // what git fetches from: https://…, http://…, ssh://… or user@host:path
	API        string // base address of the forge's API; empty: what follows from Forge and URL
	User       string // beside the token; empty: the forge's usual
	Secret     string // of the webhook, sealed
	Token      string // to fetch over http and to report statuses, sealed; may be empty
	Key        string // private SSH key to fetch with, sealed; may be empty
	KnownHosts string // the SSH host keys to expect; empty: the first one seen is kept
	Forks      bool   // build pull requests that come from other repositories, too
	Caller     string // the principal who added it
	Created    time.Time
}

// scpRE is git's short form of an SSH address.
var scpRE = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^/].*$`)

// Check wants a name, a known forge, and addresses without secrets that are
// reached over the network: git can also read the server's own files and run
// commands.
func (r Remote) Check() error {
	if err := CheckName("remote", r.Name); err != nil {
		return err
	}
	if !slices.Contains(Forges(), r.Forge) {
		return Errorf(Invalid, "forge %q: expected one of github, gitlab, azure-devops, gitea, bitbucket", r.Forge)
	}
	if r.API != "" {
		u, err := url.Parse(r.API)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
			return Errorf(Invalid, "API address: expected one such as https://git.example.com/api/v1, without a user name or password")
		}
	}
	if scpRE.MatchString(r.URL) {
		return r.checkKey(true)
	}
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") == "" || strings.HasPrefix(u.Host, "-") {
		return r.notAddress()
	}
	switch u.Scheme {
	case "https", "http":
		if u.User != nil {
			return Errorf(Invalid, "the repository's address has a user name or password in it: leave them out, and give a token beside it (--token-file)")
		}
		return r.checkKey(false)
	case "ssh":
		if _, password := u.User.Password(); password {
			return Errorf(Invalid, "the repository's address has a password in it: leave it out, and give a deploy key (--deploy-key-file)")
		}
		return r.checkKey(true)
	}
	return r.notAddress()
}

func (r Remote) notAddress() error {
	return Errorf(Invalid, "repository address: expected https://host/path, ssh://user@host/path or user@host:path, as the forge shows it for cloning")
}

func (r Remote) checkKey(ssh bool) error {
	switch {
	case ssh && r.Key == "":
		return Errorf(Invalid, "%s is fetched over SSH: give its deploy key (--deploy-key-file)", r.URL)
	case !ssh && r.Key != "":
		return Errorf(Invalid, "%s is not fetched over SSH, so a deploy key cannot open it: give the repository's SSH address, or a token", r.URL)
	}
	return nil
}

// Repository is the path of the repository on its forge, without .git, such
// as acme/iris, and the host in front of it.
func (r Remote) Repository() (host, name string) {
	address := r.URL
	if scpRE.MatchString(address) {
		address = "ssh://" + strings.Replace(address, ":", "/", 1)
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", ""
	}
	return u.Hostname(), strings.TrimSuffix(strings.Trim(path.Clean(u.Path), "/"), ".git")
}

// NoticeID is n-….
type NoticeID string

// A HookDelivery is one call of a webhook that was taken.
type HookDelivery struct {
	Project ProjectName
	Remote  string
	Digest  string // of what the forge vouches for: one of the same is the same delivery again
	ID      string // the forge's own; nothing vouches for it
	At      time.Time
}

// A Notice is a forge's word that code has changed, and what came of it.
type Notice struct {
	ID          NoticeID
	Project     ProjectName
	Remote      string
	Digest      string // of its HookDelivery
	Event       string // "push" or "pull request"
	Branch      string
	PullRequest string // its number; empty for a push
	Ref         string // where the commit is found, such as refs/heads/main
	Hash        string // of the commit; Bitbucket shortens it to 12 digits in pull requests
	Repository  string // the forge's id of the repository, for statuses, where its address does not tell
	Status      Status // queued until there is a build, or a reason why not
	Reason      string
	Attempts    int
	Next        time.Time // of the next attempt
	Build       BuildID
	Created     time.Time
	Ended       time.Time
}

// Finish ends the notice. Finishing twice with the same status is harmless.
func (n *Notice) Finish(status Status, reason string, build BuildID, at time.Time) error {
	switch {
	case !status.Terminal():
		return Errorf(Invalid, "a notice cannot finish as %s", status)
	case n.Status == status && n.Build == build:
		return nil
	case n.Status.Terminal():
		return Errorf(Conflict, "notice %s already ended as %s", n.ID, n.Status)
	}
	n.Status, n.Reason, n.Build, n.Ended = status, reason, build, at
	return nil
}

// Postpone notes an attempt that failed and may yet succeed.
func (n *Notice) Postpone(reason string, next time.Time) error {
	if n.Status.Terminal() {
		return Errorf(Conflict, "notice %s already ended as %s", n.ID, n.Status)
	}
	n.Reason, n.Next = reason, next
	n.Attempts++
	return nil
}
