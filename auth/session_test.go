package auth_test

import (
	"context"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
)

// kept is a store of sessions by hash.
type kept map[string]ridgeline.Session

func (k kept) CreateSession(_ context.Context, s ridgeline.Session) error {
	k[s.Hash] = s
	return nil
}

func (k kept) Session(_ context.Context, hash string) (ridgeline.Session, error) {
	if s, ok := k[hash]; ok {
		return s, nil
	}
	return ridgeline.Session{}, ridgeline.Errorf(ridgeline.NotFound, "no such session")
}

func (k kept) EndSession(_ context.Context, hash string, at time.Time) error {
	s := k[hash]
	s.Ended = at
	k[hash] = s
	return nil
}

func (k kept) UseLink(ctx context.Context, hash string, s ridgeline.Session) error {
	link := k[hash]
	if err := link.Check(s.Created); err != nil {
		return err
	}
	s.Credential = link.Credential
	_ = k.EndSession(ctx, hash, s.Created)
	return k.CreateSession(ctx, s)
}

func TestSessions(t *testing.T) {
	ctx, now := t.Context(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	known := tokens{auth.Hash("rl_writing"): {Name: "ci", Role: ridgeline.Writer, Hash: auth.Hash("rl_writing")}}
	access := open(t, t.TempDir(), "rl_admin", known)
	s := &auth.Sessions{Auth: access, Store: kept{}}

	code, err := s.AdminLink(ctx, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Principal(ctx, code, now); ridgeline.CodeOf(err) != ridgeline.Denied {
		t.Errorf("a link is no session: %v", err)
	}
	secret, err := s.Use(ctx, code, now)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := s.Principal(ctx, secret, now); err != nil || p.Role != ridgeline.Admin || p.Name != "admin" {
		t.Errorf("%+v %v", p, err)
	}
	if _, err := s.Use(ctx, code, now); ridgeline.CodeOf(err) != ridgeline.Denied {
		t.Errorf("used twice: %v", err)
	}
	if _, err := access.Principal(ctx, secret, now); ridgeline.CodeOf(err) != ridgeline.Denied {
		t.Errorf("a session is no token: %v", err)
	}

	// A session for a token ends with it.
	if secret, err = s.SignIn(ctx, "rl_writing", now); err != nil {
		t.Fatal(err)
	}
	p, err := s.Principal(ctx, secret, now)
	if err != nil || p.Name != "ci" || p.Role != ridgeline.Writer {
		t.Errorf("%+v %v", p, err)
	}
	if code, err = s.Link(ctx, p, now); err != nil || code == "" {
		t.Errorf("who is signed in gets links: %v", err)
	}
	if _, err := s.Principal(ctx, secret, now.Add(auth.SessionLife)); ridgeline.CodeOf(err) != ridgeline.Denied {
		t.Errorf("it lasts for ever: %v", err)
	}
	revoked := known[auth.Hash("rl_writing")]
	revoked.Revoked = now
	known[auth.Hash("rl_writing")] = revoked
	if _, err := s.Principal(ctx, secret, now); ridgeline.CodeOf(err) != ridgeline.Denied {
		t.Errorf("it outlives its token: %v", err)
	}

	for _, wrong := range []string{"rl_nobody", "", access.RunToken("r-1", "wine", now.Add(time.Hour))} {
		if _, err := s.SignIn(ctx, wrong, now); ridgeline.CodeOf(err) != ridgeline.Denied {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	secret, _ = s.SignIn(ctx, "rl_admin", now)
	if err := s.SignOut(ctx, secret, now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Principal(ctx, secret, now); ridgeline.CodeOf(err) != ridgeline.Denied {
		t.Errorf("signed out: %v", err)
	}
}
