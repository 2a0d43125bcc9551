package git_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/git"
)

// sshForge answers git over SSH for one repository and one key.
type sshForge struct {
	url   string
	known string // its host key, as a line of known_hosts
}

func serveSSH(t *testing.T, repository string, allowed ssh.PublicKey) sshForge {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	ok(t, err)
	host, err := ssh.NewSignerFromKey(private)
	ok(t, err)
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(allowed.Marshal()) {
			return nil, errors.New("another key")
		}
		return nil, nil
	}}
	config.AddHostKey(host)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answerSSH(conn, config, repository)
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return sshForge{
		url:   "ssh://git@127.0.0.1:" + port + "/acme/iris.git",
		known: fmt.Sprintf("[127.0.0.1]:%s %s", port, ssh.MarshalAuthorizedKey(host.PublicKey())),
	}
}

func answerSSH(conn net.Conn, config *ssh.ServerConfig, repository string) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go func() {
			defer channel.Close()
			for r := range requests {
				if r.Type != "exec" {
					_ = r.Reply(r.Type == "env", nil)
					continue
				}
				_ = r.Reply(true, nil)
				cmd := exec.Command("git", "upload-pack", repository)
				cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
				in, _ := cmd.StdinPipe()
				go func() { _, _ = io.Copy(in, channel); _ = in.Close() }()
				_ = cmd.Run()
				_, _ = channel.SendRequest("exit-status", false, []byte{0, 0, 0, 0})
				return
			}
		}()
	}
}

// deployKey is a new key, private in OpenSSH's form, and public.
func deployKey(t *testing.T) ([]byte, ssh.PublicKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	ok(t, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	ok(t, err)
	key, err := ssh.NewPublicKey(public)
	ok(t, err)
	return pem.EncodeToMemory(block), key
}

func TestFetch_ssh(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("ssh is not installed")
		}
		t.Skip("ssh is not installed")
	}
	dir := project(t, "iris")
	hash := must(t, dir, "rev-parse", "HEAD")
	key, public := deployKey(t)
	forge, other := serveSSH(t, dir, public), serveSSH(t, dir, public)
	stranger, _ := deployKey(t)
	known := filepath.Join(t.TempDir(), "with space", "known")
	ok(t, os.Mkdir(filepath.Dir(known), 0o700))
	fetch := func(change func(f *git.Fetch)) (string, error) {
		t.Helper()
		f := git.Fetch{
			Repository: filepath.Join(t.TempDir(), "iris.git"), URL: forge.url, Slot: "main", Ref: "refs/heads/main", Hash: hash,
			Access: git.Access{Key: key, KnownFile: known}, Temp: t.TempDir(),
		}
		change(&f)
		got, err := f.Run(t.Context())
		if left, _ := os.ReadDir(f.Temp); len(left) > 0 {
			t.Errorf("the key is left behind: %v", left)
		}
		return got, err
	}
	refused := func(err error, code ridgeline.Code, says string) {
		t.Helper()
		if ridgeline.CodeOf(err) != code || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v (%s), expected %s with %q", err, ridgeline.CodeOf(err), code, says)
		}
	}
	_, err := fetch(func(f *git.Fetch) { f.Access.KnownHosts = other.known })
	refused(err, ridgeline.Denied, "host")
	_, err = fetch(func(f *git.Fetch) { f.Access.Key = stranger })
	refused(err, ridgeline.Denied, "deploy key does not open")
	_, err = fetch(func(f *git.Fetch) { f.Access.Key = []byte("no key") })
	refused(err, ridgeline.Denied, "deploy key")
	for name, change := range map[string]func(f *git.Fetch){
		"the first host key seen":   func(*git.Fetch) {},
		"the same one again":        func(*git.Fetch) {},
		"the one expected":          func(f *git.Fetch) { f.Access.KnownHosts = forge.known },
		"lines ended as on Windows": func(f *git.Fetch) { f.Access.Key = []byte(strings.ReplaceAll(string(key), "\n", "\r\n")) },
		"a short hash":              func(f *git.Fetch) { f.Hash = hash[:12] },
	} {
		if got, err := fetch(change); err != nil || got != hash {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
	}
	lines, err := os.ReadFile(known)
	ok(t, err)
	ok(t, os.WriteFile(known, []byte(strings.Fields(string(lines))[0]+" "+strings.SplitN(other.known, " ", 2)[1]), 0o600))
	_, err = fetch(func(*git.Fetch) {}) // somebody else answers now
	refused(err, ridgeline.Denied, "not the one expected")
}

// TestFetch_byBranch is a forge that gives commits by the names of branches
// only: this one's SSH passes no GIT_PROTOCOL on, so git speaks version 0 of
// its protocol, which is so unless told otherwise.
func TestFetch_byBranch(t *testing.T) {
	dir := project(t, "iris")
	older := must(t, dir, "rev-parse", "HEAD")
	commit(t, dir, "newer")
	key, public := deployKey(t)
	forge := serveSSH(t, dir, public)
	f := git.Fetch{
		Repository: filepath.Join(t.TempDir(), "iris.git"), URL: forge.url, Slot: "main", Ref: "refs/heads/main", Hash: older,
		Access: git.Access{Key: key, KnownFile: filepath.Join(t.TempDir(), "known")}, Temp: t.TempDir(),
	}
	if got, err := f.Run(t.Context()); err != nil || got != older {
		t.Errorf("got %s, %v", got, err)
	}
	f.Hash = strings.Repeat("ab", 20)
	if _, err := f.Run(t.Context()); ridgeline.CodeOf(err) != ridgeline.Invalid {
		t.Errorf("got %v", err)
	}
	f.Ref = "refs/heads/gone"
	if _, err := f.Run(t.Context()); ridgeline.CodeOf(err) != ridgeline.Invalid {
		t.Errorf("got %v", err)
	}
}
