package auth

import (
	"context"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// How long a browser stays signed in, and how long a link to sign in is good.
const (
	SessionLife = 14 * 24 * time.Hour
	LinkLife    = time.Hour
)

// SessionStore is where sessions and links are kept.
type SessionStore interface {
	CreateSession(ctx context.Context, s ridgeline.Session) error
	Session(ctx context.Context, hash string) (ridgeline.Session, error)
	EndSession(ctx context.Context, hash string, at time.Time) error
	UseLink(ctx context.Context, hash string, s ridgeline.Session) error
}

// Sessions let browsers in. A session stands for a token: it is over when the
// token is revoked or has expired.
type Sessions struct {
	Auth  *Authenticator
	Store SessionStore
}

// AdminLink makes the code of a link that signs in as the admin.
func (s *Sessions) AdminLink(ctx context.Context, now time.Time) (code string, err error) {
	return s.link(ctx, s.Auth.admin, now)
}

// Link makes the code of a link that signs in as the caller.
func (s *Sessions) Link(ctx context.Context, p Principal, now time.Time) (code string, err error) {
	if p.credential == "" {
		return "", ridgeline.Errorf(ridgeline.Denied, "%s cannot sign in: use a token of your own", p.Name)
	}
	return s.link(ctx, p.credential, now)
}

func (s *Sessions) link(ctx context.Context, credential string, now time.Time) (string, error) {
	code := NewSecret()
	return code, s.Store.CreateSession(ctx, ridgeline.Session{
		Hash: Hash(code), Credential: credential, Once: true, Created: now, Expires: now.Add(LinkLife),
	})
}

// Whose finds whom a link's code lets in, and leaves the link as it is.
func (s *Sessions) Whose(ctx context.Context, code string, now time.Time) (Principal, error) {
	link, err := s.Store.Session(ctx, Hash(code))
	switch {
	case ridgeline.CodeOf(err) == ridgeline.NotFound || err == nil && !link.Once:
		return Principal{}, ridgeline.Errorf(ridgeline.Denied, "this link is not known here: ridgeline sign-in prints another one")
	case err != nil:
		return Principal{}, err
	}
	p, err := s.Auth.byHash(ctx, link.Credential, now)
	if used := link.Check(now); used != nil {
		return Principal{Name: p.Name}, used
	}
	return p, err
}

// Use turns a link's code into a session, once.
func (s *Sessions) Use(ctx context.Context, code string, now time.Time) (secret string, err error) {
	secret = NewSecret()
	return secret, s.Store.UseLink(ctx, Hash(code), ridgeline.Session{Hash: Hash(secret), Created: now, Expires: now.Add(SessionLife)})
}

// SignIn starts a session for whoever has the token.
func (s *Sessions) SignIn(ctx context.Context, token string, now time.Time) (secret string, err error) {
	p, err := s.Auth.Principal(ctx, token, now)
	if err != nil {
		return "", err
	}
	if p.credential == "" {
		return "", ridgeline.Errorf(ridgeline.Denied, "a step's token tracks what the step does, and nothing else: sign in with a token of your own")
	}
	secret = NewSecret()
	return secret, s.Store.CreateSession(ctx, ridgeline.Session{
		Hash: Hash(secret), Credential: p.credential, Created: now, Expires: now.Add(SessionLife),
	})
}

// Principal finds whom a session belongs to.
func (s *Sessions) Principal(ctx context.Context, secret string, now time.Time) (Principal, error) {
	session, err := s.Store.Session(ctx, Hash(secret))
	switch {
	case ridgeline.CodeOf(err) == ridgeline.NotFound || err == nil && session.Once:
		return Principal{}, ridgeline.Errorf(ridgeline.Denied, "this session is over: sign in again")
	case err != nil:
		return Principal{}, err
	}
	if err := session.Check(now); err != nil {
		return Principal{}, err
	}
	return s.Auth.byHash(ctx, session.Credential, now)
}

// SignOut ends the session.
func (s *Sessions) SignOut(ctx context.Context, secret string, now time.Time) error {
	return s.Store.EndSession(ctx, Hash(secret), now)
}
