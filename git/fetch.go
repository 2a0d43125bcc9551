package git

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// Access is what opens a repository elsewhere. All may be empty.
type Access struct {
	User, Token string // over http
	Key         []byte // private key, over ssh
	KnownHosts  string // lines of a known_hosts file; empty: the first key that a host shows is kept in KnownFile
	KnownFile   string
}

// A Fetch brings one commit from a repository elsewhere into a local one.
type Fetch struct {
	Repository string // local and bare, made if need be; it is a cache and holds no history
	URL        string // https, http or ssh, without secrets
	Slot       string // fetches of the same slot replace each other's commit
	Ref        string // where the commit is, in case that the other side does not give it by its hash
	Hash       string // of the commit, 12 to 40 digits
	Access     Access
	Temp       string
}

// Run fetches the commit and returns its full hash. What the other side will
// refuse tomorrow as well is Invalid, Denied or NotFound.
func (f Fetch) Run(ctx context.Context) (string, error) {
	if err := Ensure(ctx, f.Repository); err != nil {
		return "", err
	}
	if hash, err := f.resolve(ctx); err == nil {
		return hash, nil
	}
	sum := sha256.Sum256([]byte(f.Slot))
	slot := ":refs/fetched/" + hex.EncodeToString(sum[:8])
	var refused error
	if len(f.Hash) == 40 {
		if refused = f.fetch(ctx, "--depth=1", "+"+f.Hash+slot); refused == nil {
			return f.resolve(ctx)
		}
		if code := ridgeline.CodeOf(refused); code == ridgeline.Denied || code == ridgeline.NotFound {
			return "", refused
		}
	}
	// Some forges give commits by the name of a branch only. It may have moved
	// on by a few commits since.
	if err := f.fetch(ctx, "--depth=50", "+"+f.Ref+slot); err != nil {
		if refused != nil && ridgeline.CodeOf(err) == ridgeline.Invalid {
			return "", refused
		}
		return "", err
	}
	hash, err := f.resolve(ctx)
	if err != nil {
		return "", ridgeline.Errorf(ridgeline.Invalid, "commit %s is no longer at %s: that was pushed over; what is there now has a webhook of its own", f.Hash, f.Ref)
	}
	return hash, nil
}

// resolve finds the commit among what is here.
func (f Fetch) resolve(ctx context.Context) (string, error) {
	out, err := run(command(ctx, f.Repository, nil, "rev-parse", "--verify", "--quiet", f.Hash+"^{commit}"))
	return strings.TrimSpace(string(out)), err
}

func (f Fetch) fetch(ctx context.Context, depth, refspec string) error {
	return f.remote(ctx, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", depth, "--", f.URL, refspec)
}

// Reach asks the other side for its branches, to see whether access suffices.
// Repository needs not exist.
func (f Fetch) Reach(ctx context.Context) error {
	dir, err := os.MkdirTemp(f.Temp, "reach-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	f.Repository = dir
	return f.remote(ctx, "ls-remote", "--quiet", "--heads", "--", f.URL)
}

// remote runs a command that speaks to the other side.
func (f Fetch) remote(ctx context.Context, args ...string) error {
	cmd, done, err := f.opened(ctx, args...)
	if err != nil {
		return err
	}
	defer done()
	_, err = run(cmd)
	return classified(err)
}

// opened prepares a command that may use the access. The token is in its
// environment and given to the one host that the address names; the key is in
// a file of its own until done is called.
func (f Fetch) opened(ctx context.Context, args ...string) (_ *exec.Cmd, done func(), err error) {
	settings := [][2]string{{"credential.helper", ""}}
	if u, err := url.Parse(f.URL); err == nil && f.Access.Token != "" && (u.Scheme == "https" || u.Scheme == "http") {
		settings = append(settings, [2]string{
			"credential." + u.Scheme + "://" + u.Host + ".helper",
			`!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$RIDGELINE_GIT_USER" "$RIDGELINE_GIT_TOKEN"; }; f`,
		})
	}
	cmd := command(ctx, f.Repository, settings, args...)
	cmd.Env = append(cmd.Env, "RIDGELINE_GIT_USER="+f.Access.User, "RIDGELINE_GIT_TOKEN="+f.Access.Token)
	if len(f.Access.Key) == 0 {
		cmd.Env = append(cmd.Env, "GIT_SSH_COMMAND=false")
		return cmd, func() {}, nil
	}
	if _, err := exec.LookPath("ssh"); err != nil {
		return nil, nil, ridgeline.Errorf(ridgeline.Unavailable, "ssh is not installed on the server, which needs it for a deploy key: install it there, or use the repository's https address and a token")
	}
	dir, err := os.MkdirTemp(f.Temp, "ssh-") // mode 0700
	if err != nil {
		return nil, nil, err
	}
	key, known := filepath.Join(dir, "key"), f.Access.KnownFile
	text := strings.TrimRight(strings.ReplaceAll(string(f.Access.Key), "\r\n", "\n"), "\n") + "\n" // ssh reads no other form
	err = os.WriteFile(key, []byte(text), 0o600)
	strict := "accept-new"
	if err == nil && f.Access.KnownHosts != "" {
		strict, known = "yes", filepath.Join(dir, "known_hosts")
		err = os.WriteFile(known, []byte(f.Access.KnownHosts+"\n"), 0o600)
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, nil, err
	}
	ssh := []string{
		"ssh", "-F", os.DevNull, "-i", quoted(key), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20",
		"-o", "StrictHostKeyChecking=" + strict, "-o", quoted(`UserKnownHostsFile="` + strings.ReplaceAll(known, "%", "%%") + `"`), "-o", "GlobalKnownHostsFile=/dev/null",
	}
	cmd.Env = append(cmd.Env, "GIT_SSH_COMMAND="+strings.Join(ssh, " "), "GIT_SSH_VARIANT=ssh")
	return cmd, func() { _ = os.RemoveAll(dir) }, nil
}

// quoted is a word for the shell through which git starts ssh.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// classified tells from git's words whether another try can help.
func classified(err error) error {
	f, ok := err.(*failure) //nolint:errorlint // made here, a line ago
	if !ok {
		return err
	}
	for _, known := range []struct {
		words string
		code  ridgeline.Code
		help  string
	}{
		{"Host key verification failed", ridgeline.Denied, "the server's SSH key is not the one expected: compare it, then give the right one (--known-hosts-file)"},
		{"Permission denied", ridgeline.Denied, "the deploy key does not open the repository: add its public half there"},
		{"Load key", ridgeline.Denied, "the deploy key cannot be used: it has to be a private key without a passphrase"},
		{"Authentication failed", ridgeline.Denied, "the token does not open the repository: give one that may read it"},
		{"could not read Username", ridgeline.Denied, "the repository asks for a token: give one that may read it (--token-file)"},
		{"error: 403", ridgeline.Denied, "the token does not open the repository: give one that may read it"},
		{"not found", ridgeline.NotFound, "there is no such repository, or the token may not see it"},
		{"does not appear to be a git repository", ridgeline.NotFound, "there is no such repository"},
		{"Could not resolve host", ridgeline.Unavailable, "the host is not known here"},
		{"couldn't find remote ref", ridgeline.Invalid, "that branch is gone"},
		{"not our ref", ridgeline.Invalid, "the commit is gone"},
		{"unadvertised object", ridgeline.Invalid, "the commit is not given by its hash"},
	} {
		if strings.Contains(f.words, known.words) {
			return ridgeline.Errorf(known.code, "%s (%s)", known.help, f.words)
		}
	}
	return ridgeline.Errorf(ridgeline.Unavailable, "%s", f.words)
}
