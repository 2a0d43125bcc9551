// Package forge is how code arrives from GitHub, GitLab, Azure DevOps, Gitea
// and Bitbucket: their webhooks are checked, the commit is fetched and built,
// and what became of it is reported back as a status of the commit.
//
// It leaves fetching itself to package git, the build to package build, and
// the keeping and repeating of reports to trigger's outbox.
package forge

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/build"
	"github.com/ridgeline-mlops/ridgeline/git"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/vault"
)

var hashRE = regexp.MustCompile(`^[0-9a-f]{12,40}$`)

// A Hub knows the remotes of all projects. All fields are needed; make it with
// New.
type Hub struct {
	hosts sync.Mutex // of those who bring the file of known hosts up to date

	Options
	woken  chan struct{}
	client *http.Client
	reads  chan struct{} // a place for each delivery being read
}

// Options are what a Hub is made of.
type Options struct {
	Store  *store.Store
	Blob   *blob.Store
	Builds *build.Builder
	Vault  *vault.Vault
	Dir    string // fetched repositories, a cache
	Known  string // file of the SSH host keys that were seen; servers of one database share it
	// KnownStored: they do not, and have its lines in common by Store.
	KnownStored bool

	Temp string // private keys while they are used, files of commits
	URL  string // where others reach this server, such as https://ridgeline.example.com
	Log  *slog.Logger
}

// New makes a hub.
func New(o Options) *Hub {
	return &Hub{
		Options: o, woken: make(chan struct{}, 1), reads: make(chan struct{}, 8),
		client: &http.Client{
			Timeout:       30 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a token goes to one host
		},
	}
}

// Secrets are a remote's, in the clear.
type Secrets struct {
	Webhook string // what proves a delivery; empty: a new one is made
	Token   string // fetches over http and reports statuses; may be empty
	Key     string // private SSH key; may be empty
}

// about says whose a sealed secret is.
func about(r ridgeline.Remote, what string) string {
	return fmt.Sprintf("remote/%s/%s/%s", r.Project, r.Name, what)
}

// Add keeps a remote, in place of one of its name, and returns it with the
// webhook's secret in the clear, which is not shown again.
func (h *Hub) Add(ctx context.Context, r ridgeline.Remote, s Secrets) (ridgeline.Remote, string, error) {
	if err := ridgeline.CheckName("project", string(r.Project)); err != nil {
		return r, "", err
	}
	if s.Webhook == "" {
		s.Webhook = newSecret()
	} else if len(s.Webhook) < 8 {
		return r, "", ridgeline.Errorf(ridgeline.Invalid, "the webhook's secret has %d characters: use at least 8, or leave it out to have one made", len(s.Webhook))
	}
	if r.KnownHosts != "" && s.Key == "" {
		return r, "", ridgeline.Errorf(ridgeline.Invalid, "known hosts are for SSH: give a deploy key with them, or leave them out")
	}
	for _, one := range []struct {
		what, plain string
		sealed      *string
	}{{"secret", s.Webhook, &r.Secret}, {"token", s.Token, &r.Token}, {"key", s.Key, &r.Key}} {
		if *one.sealed = ""; one.plain == "" {
			continue
		}
		sealed, err := h.Vault.Seal([]byte(one.plain), about(r, one.what))
		if err != nil {
			return r, "", err
		}
		*one.sealed = sealed
	}
	r.Created = time.Now().UTC()
	return r, s.Webhook, h.Store.PutRemote(ctx, r)
}

func newSecret() string { return rand.Text() + rand.Text() }

// open reads a sealed secret; empty when there is none.
func (h *Hub) open(r ridgeline.Remote, what, sealed string) (string, error) {
	if sealed == "" {
		return "", nil
	}
	plain, err := h.Vault.Open(sealed, about(r, what))
	return string(plain), err
}

// Secrets are those of all remotes, in the clear, for what must not show them.
// One that cannot be opened is left out.
func (h *Hub) Secrets(ctx context.Context) ([]string, error) {
	remotes, err := h.Store.Remotes(ctx, "")
	if err != nil {
		return nil, err
	}
	var all []string
	for _, r := range remotes {
		for what, sealed := range map[string]string{"secret": r.Secret, "token": r.Token, "key": r.Key} {
			if plain, err := h.open(r, what, sealed); err == nil && plain != "" {
				all = append(all, plain)
			}
		}
	}
	return all, nil
}

// HookPath is where a remote's webhook calls.
func HookPath(project ridgeline.ProjectName, name string) string {
	return fmt.Sprintf("/api/v1/projects/%s/hooks/%s", project, name)
}

// users are whom a token belongs to, for git over http, where nobody said
// otherwise. GitHub, GitLab, Gitea and Azure DevOps do not look at it.
var users = map[ridgeline.Forge]string{
	ridgeline.GitHub: "x-access-token", ridgeline.GitLab: "oauth2", ridgeline.AzureDevOps: "ridgeline", ridgeline.Gitea: "ridgeline", ridgeline.Bitbucket: "x-token-auth",
}

// fetch is how a remote's commit is fetched.
func (h *Hub) fetch(r ridgeline.Remote) (git.Fetch, error) {
	f := git.Fetch{
		Repository: filepath.Join(h.Dir, string(r.Project)+".git"), URL: r.URL, Temp: h.Temp,
		Access: git.Access{User: r.User, KnownHosts: r.KnownHosts, KnownFile: h.Known},
	}
	if f.Access.User == "" {
		f.Access.User = users[r.Forge]
	}
	var err error
	if f.Access.Token, err = h.open(r, "token", r.Token); err != nil {
		return f, err
	}
	key, err := h.open(r, "key", r.Key)
	f.Access.Key = []byte(key)
	return f, err
}
