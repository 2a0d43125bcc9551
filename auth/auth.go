// Package auth says who a caller is: it turns a bearer secret into a
// principal, and a project's environment into its endpoint keys.
//
// What a role may do is the role's own rule; where a request comes from is
// the server's business.
package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// Tokens is where tokens are kept.
type Tokens interface {
	TokenByHash(ctx context.Context, hash string) (ridgeline.Token, error)
}

// A Principal is who a request comes from.
type Principal struct {
	Name string
	Role ridgeline.Role
	// Project is the only one that the caller's token opens, and Run the run for
	// whose steps it was made: such a caller may track what they do, and nothing
	// else. Empty for everybody else.
	Run     ridgeline.RunID
	Project ridgeline.ProjectName
	// Via and Address are the way in and where from, as the audit trail has them:
	// whoever lets the caller in says so.
	Via, Address string

	credential string // hash of the token that it came with; empty for a step
}

// Scoped reports whether the caller sees and changes the things of one project,
// by a token that was made so. A run's steps do not count: what they may do is
// another, smaller thing.
func (p Principal) Scoped() bool { return p.Project != "" && p.Run == "" }

// An Authenticator knows the server's own secrets.
type Authenticator struct {
	admin  string // hash of the admin token
	secret []byte // from which endpoint keys are derived
	tokens Tokens
}

// Secret is the start of every token, so that scanners recognise one that
// leaked.
const Secret = "rl_"

// New loads the admin token from dir and the secret of the endpoint keys from
// shared, which servers of one database have in common; it makes both at the
// first start (mode 0600). An admin token given as given replaces the one on
// file.
func New(dir, shared, given string, tokens Tokens) (*Authenticator, error) {
	token, err := keep(filepath.Join(dir, "token"), given)
	if err != nil {
		return nil, err
	}
	secret, err := keep(filepath.Join(shared, "secret"), "")
	if err != nil {
		return nil, err
	}
	return &Authenticator{admin: Hash(token), secret: []byte(secret), tokens: tokens}, nil
}

// keep reads a secret file, or writes it when it is absent or given differs.
func keep(path, given string) (string, error) {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	text := strings.TrimSpace(string(old))
	if text != "" && (given == "" || given == text) {
		return text, nil
	}
	put := os.Rename
	if given == "" {
		given = NewSecret()
		if err != nil { // absent
			put = os.Link
		}
	}
	// A name that nobody else has: servers in containers share the folder and
	// have the same process id.
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new") // mode 0600
	if err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(given + "\n")
	if err := errors.Join(err, tmp.Close()); err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	err = put(tmp.Name(), path)
	if errors.Is(err, fs.ErrExist) { // another server made one at the same moment: that one it is
		return keep(path, "")
	}
	return given, err
}

// NewSecret makes a token's secret: 160 random bits.
func NewSecret() string {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand
	return Secret + encode(b[:])
}

// Hash is what is stored of a secret.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func encode(b []byte) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}

// Principal finds whom a bearer secret belongs to. Of one that opens nothing any
// more it tells the name with the error, and nothing else.
func (a *Authenticator) Principal(ctx context.Context, secret string, now time.Time) (Principal, error) {
	if strings.HasPrefix(secret, runSecret) {
		return a.runPrincipal(secret, now)
	}
	return a.byHash(ctx, Hash(secret), now)
}

// byHash finds whom the token with that hash belongs to.
func (a *Authenticator) byHash(ctx context.Context, hash string, now time.Time) (Principal, error) {
	if subtle.ConstantTimeCompare([]byte(hash), []byte(a.admin)) == 1 {
		return Principal{Name: "admin", Role: ridgeline.Admin, credential: hash}, nil
	}
	t, err := a.tokens.TokenByHash(ctx, hash)
	switch {
	case ridgeline.CodeOf(err) == ridgeline.NotFound:
		return Principal{}, ridgeline.Errorf(ridgeline.Denied, "this token is not known here: use the one in the server's state folder, or one made by ridgeline token create")
	case err != nil:
		return Principal{}, err
	case !t.Revoked.IsZero():
		return Principal{Name: t.Name}, ridgeline.Errorf(ridgeline.Denied, "token %q was revoked", t.Name)
	case !t.Expires.IsZero() && now.After(t.Expires):
		return Principal{Name: t.Name}, ridgeline.Errorf(ridgeline.Denied, "token %q expired on %s", t.Name, t.Expires.Format(time.DateOnly))
	}
	return Principal{Name: t.Name, Role: t.Role, Project: t.Project, credential: hash}, nil
}

// Which of an endpoint's two keys is meant.
const (
	Primary   = "primary"
	Secondary = "secondary"
)

// EndpointKey derives a key of an endpoint: HMAC-SHA256 under the server's
// secret over its name, which key, and how often it was rotated.
func (a *Authenticator) EndpointKey(e ridgeline.Endpoint, which string) string {
	generation := e.PrimaryGeneration
	if which == Secondary {
		generation = e.SecondaryGeneration
	}
	mac := hmac.New(sha256.New, a.secret)
	fmt.Fprintf(mac, "endpoint key\x00%s\x00%s\x00%s\x00%d", e.Project, e.Environment, which, generation)
	return encode(mac.Sum(nil)[:20])
}

// Keys are what opens an endpoint: the SHA-256 of each of its two keys. Keys
// are 160 random bits, so that their hashes tell nothing and may lie anywhere.
type Keys [2][sha256.Size]byte

// EndpointKeys derives both keys of an endpoint.
func (a *Authenticator) EndpointKeys(e ridgeline.Endpoint) Keys {
	return Keys{sha256.Sum256([]byte(a.EndpointKey(e, Primary))), sha256.Sum256([]byte(a.EndpointKey(e, Secondary)))}
}

// Open reports whether the key is one of the two, in constant time.
func (k Keys) Open(key string) bool {
	sum := sha256.Sum256([]byte(key))
	return subtle.ConstantTimeCompare(sum[:], k[0][:])|subtle.ConstantTimeCompare(sum[:], k[1][:]) == 1
}

// Bearer is the secret of an Authorization header.
func Bearer(header string) (string, bool) {
	scheme, secret, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return "", false
	}
	return strings.TrimSpace(secret), true
}

// Address is the host of a connection's HOST:PORT.
func Address(connection string) string {
	host, _, err := net.SplitHostPort(connection)
	if err != nil {
		return connection
	}
	return host
}

type principalKey struct{}

// With returns a context that carries the caller.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From returns the caller; the zero Principal, which may do nothing, when
// there is none.
func From(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}
