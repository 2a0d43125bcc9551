package auth_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
)

// tokens is a store of tokens by hash.
type tokens map[string]ridgeline.Token

func (t tokens) TokenByHash(_ context.Context, hash string) (ridgeline.Token, error) {
	if t == nil {
		return ridgeline.Token{}, errors.New("database is closed")
	}
	if found, ok := t[hash]; ok {
		return found, nil
	}
	return ridgeline.Token{}, ridgeline.Errorf(ridgeline.NotFound, "no such token")
}

func open(t *testing.T, dir, given string, kept tokens) *auth.Authenticator {
	t.Helper()
	a, err := auth.New(dir, dir, given, kept)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("%s has mode %v, want 0600", filepath.Base(path), info.Mode().Perm())
	}
	return strings.TrimSpace(string(text))
}

func TestNew(t *testing.T) {
	dir := t.TempDir()
	admin := func(a *auth.Authenticator, secret string) bool {
		p, err := a.Principal(t.Context(), secret, time.Now())
		return err == nil && p.Role == ridgeline.Admin
	}
	a := open(t, dir, "", tokens{})
	first, secret := read(t, filepath.Join(dir, "token")), read(t, filepath.Join(dir, "secret"))
	if !strings.HasPrefix(first, auth.Secret) || first == secret {
		t.Errorf("token %q, secret %q", first, secret)
	}
	if !admin(a, first) || admin(a, secret) || admin(a, "") || admin(a, auth.Hash(first)) {
		t.Error("the token, and only the token, is the admin's")
	}
	e := ridgeline.Endpoint{Project: "iris", Environment: "qa"}
	key := a.EndpointKey(e, auth.Primary)

	a = open(t, dir, "", tokens{})
	if again := read(t, filepath.Join(dir, "token")); again != first || !admin(a, first) {
		t.Errorf("a second start has another token: %q, %q", first, again)
	}
	if got := a.EndpointKey(e, auth.Primary); got != key {
		t.Error("a second start gives the endpoint another key")
	}

	a = open(t, dir, "chosen", tokens{})
	if got := read(t, filepath.Join(dir, "token")); got != "chosen" || !admin(a, "chosen") || admin(a, first) {
		t.Errorf("a given token does not replace %q: %q", first, got)
	}
	if got := a.EndpointKey(e, auth.Primary); got != key {
		t.Error("a new admin token changes the endpoint's key")
	}
	a = open(t, dir, "", tokens{})
	if !admin(a, "chosen") {
		t.Error("the given token is forgotten")
	}

	if _, err := auth.New(filepath.Join(dir, "nowhere"), dir, "", tokens{}); err == nil {
		t.Error("no folder, and no error")
	}
}

func TestAuthenticator_EndpointKey(t *testing.T) {
	a, other := open(t, t.TempDir(), "", nil), open(t, t.TempDir(), "", nil)
	e := ridgeline.Endpoint{Project: "iris", Environment: "qa", PrimaryGeneration: 1, SecondaryGeneration: 1}
	change := func(f func(*ridgeline.Endpoint)) ridgeline.Endpoint {
		c := e
		f(&c)
		return c
	}
	keys := map[string]string{
		"primary":              a.EndpointKey(e, auth.Primary),
		"secondary":            a.EndpointKey(e, auth.Secondary),
		"another project":      a.EndpointKey(change(func(e *ridgeline.Endpoint) { e.Project = "wine" }), auth.Primary),
		"another environment":  a.EndpointKey(change(func(e *ridgeline.Endpoint) { e.Environment = "production" }), auth.Primary),
		"rotated":              a.EndpointKey(change(func(e *ridgeline.Endpoint) { e.PrimaryGeneration = 2 }), auth.Primary),
		"secondary rotated":    a.EndpointKey(change(func(e *ridgeline.Endpoint) { e.SecondaryGeneration = 2 }), auth.Secondary),
		"another server":       other.EndpointKey(e, auth.Primary),
		"names run together":   a.EndpointKey(change(func(e *ridgeline.Endpoint) { e.Project, e.Environment = "irisq", "a" }), auth.Primary),
		"generation 11, not 1": a.EndpointKey(change(func(e *ridgeline.Endpoint) { e.PrimaryGeneration = 11 }), auth.Primary),
	}
	seen := map[string]string{}
	for name, key := range keys {
		if len(key) != 32 {
			t.Errorf("%s: %q has %d characters, want 32", name, key, len(key))
		}
		if before, ok := seen[key]; ok {
			t.Errorf("%s and %s have the same key", name, before)
		}
		seen[key] = name
	}
	for name, key := range keys {
		want := name == "primary" || name == "secondary"
		if got := a.EndpointKeys(e).Open(key); got != want {
			t.Errorf("%s: opens %v, want %v", name, got, want)
		}
	}
	if a.EndpointKeys(e).Open("") {
		t.Error("no key opens")
	}
	// Rotating one leaves the other alone.
	rotated := change(func(e *ridgeline.Endpoint) { e.PrimaryGeneration = 2 })
	if now := a.EndpointKeys(rotated); now.Open(keys["primary"]) || !now.Open(keys["secondary"]) || !now.Open(keys["rotated"]) {
		t.Error("after a rotation of the primary key, the new one and the secondary open, the old one does not")
	}
}

func TestAuthenticator_Principal(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	kept := tokens{}
	secret := func(t ridgeline.Token) string {
		s := auth.NewSecret()
		kept[auth.Hash(s)] = t
		return s
	}
	a := open(t, t.TempDir(), "", kept)
	for name, test := range map[string]struct {
		secret string
		want   ridgeline.Role
		says   string
	}{
		"valid":        {secret(ridgeline.Token{Name: "ci", Role: ridgeline.Writer}), ridgeline.Writer, ""},
		"valid still":  {secret(ridgeline.Token{Name: "ci", Role: ridgeline.Viewer, Expires: now.Add(time.Second)}), ridgeline.Viewer, ""},
		"expired":      {secret(ridgeline.Token{Name: "old", Role: ridgeline.Admin, Expires: now.Add(-time.Second)}), "", `"old" expired on 2026-03-01`},
		"revoked":      {secret(ridgeline.Token{Name: "leaked", Role: ridgeline.Admin, Revoked: now.Add(-time.Hour)}), "", `"leaked" was revoked`},
		"unknown":      {auth.NewSecret(), "", "not known here"},
		"empty":        {"", "", "not known here"},
		"a hash known": {auth.Hash(secret(ridgeline.Token{Name: "ci", Role: ridgeline.Admin})), "", "not known here"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := a.Principal(t.Context(), test.secret, now)
			if test.says == "" {
				if err != nil || p.Role != test.want || p.Name != "ci" {
					t.Errorf("got %+v, %v", p, err)
				}
				return
			}
			if ridgeline.CodeOf(err) != ridgeline.Denied || !strings.Contains(err.Error(), test.says) || p != (auth.Principal{Name: p.Name}) {
				t.Errorf("got %+v, %v; want Denied and %q", p, err, test.says)
			}
		})
	}
	t.Run("a broken store is not a refusal", func(t *testing.T) {
		if _, err := open(t, t.TempDir(), "", nil).Principal(t.Context(), "x", now); ridgeline.CodeOf(err) != ridgeline.Internal {
			t.Errorf("got %v, want an error without a code", err)
		}
	})
}

func TestNewSecret(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		s := auth.NewSecret()
		if len(s) != len(auth.Secret)+32 || !strings.HasPrefix(s, auth.Secret) || seen[s] {
			t.Fatalf("%q is short, lacks its start or came twice", s)
		}
		seen[s] = true
	}
}

func TestFrom(t *testing.T) {
	if p := auth.From(context.Background()); p.Role.Allows(ridgeline.Viewer) {
		t.Errorf("nobody may do something: %+v", p)
	}
	want := auth.Principal{Name: "ci", Role: ridgeline.Writer}
	if got := auth.From(auth.With(context.Background(), want)); got != want {
		t.Errorf("got %+v", got)
	}
}

// Servers that start at the same moment on a shared folder agree on its secret,
// whoever made it: in containers they even have the same process id.
func TestNew_at_once(t *testing.T) {
	for range 20 {
		shared := t.TempDir()
		var ids [8]string
		var all sync.WaitGroup
		for i := range ids {
			dir := t.TempDir()
			all.Go(func() {
				a, err := auth.New(dir, shared, "", tokens{})
				if err != nil {
					t.Error(err)
					return
				}
				ids[i] = a.ServerID()
			})
		}
		all.Wait()
		for _, id := range ids {
			if id != ids[0] {
				t.Fatalf("the servers of one folder are %q", ids)
			}
		}
	}
}
