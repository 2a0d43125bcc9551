package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/ridgeline-mlops/ridgeline"
)

// Auth is how to sign in at a registry.
type Auth struct {
	Username string
	Password string
}

// A Connection says how a registry is reached. The zero value is https and no
// sign-in.
type Connection struct {
	Auth      *Auth
	Insecure  bool              // plain http
	Transport http.RoundTripper // nil for the usual one
	Docker    bool              // without Auth, sign in by docker's configuration and its credential helpers
}

// acrUser is the user name that goes with a token of Azure's registries, see
// https://learn.microsoft.com/azure/container-registry/container-registry-authentication
const acrUser = "00000000-0000-0000-0000-000000000000"

// SignIn asks Docker's configuration, and the credential helper that it names
// for the host, how to sign in there. An empty Auth is as nobody.
func SignIn(ctx context.Context, host string) (Auth, error) {
	r, err := name.NewRegistry(host)
	if err != nil {
		return Auth{}, ridgeline.Errorf(ridgeline.Invalid, "registry %q: host[:port] was expected: %w", host, err)
	}
	signer, err := authn.Resolve(ctx, authn.DefaultKeychain, r)
	if err != nil {
		return Auth{}, ridgeline.Errorf(ridgeline.Unavailable, "sign in at registry %s: %w", host, err)
	}
	c, err := authn.Authorization(ctx, signer)
	if err != nil {
		return Auth{}, ridgeline.Errorf(ridgeline.Unavailable, "sign in at registry %s: %w", host, err)
	}
	if c.IdentityToken != "" {
		return Auth{acrUser, c.IdentityToken}, nil
	}
	return Auth{c.Username, c.Password}, nil
}

func architecture() string { return runtime.GOARCH }

func (c Connection) parse(ref string) (name.Reference, error) {
	var options []name.Option
	if c.Insecure {
		options = append(options, name.Insecure)
	}
	r, err := name.ParseReference(ref, options...)
	if err != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "image reference %q: host:port/repository:tag or …@sha256:… was expected: %w", ref, err)
	}
	return r, nil
}

// options also returns where the traffic of requests with them is counted.
func (c Connection) options(ctx context.Context) ([]remote.Option, *traffic) {
	t := &traffic{inner: c.Transport, insecure: c.Insecure}
	if t.inner == nil {
		t.inner = remote.DefaultTransport
	}
	sign := remote.WithAuth(authn.Anonymous)
	switch {
	case c.Auth != nil:
		sign = remote.WithAuth(&authn.Basic{Username: c.Auth.Username, Password: c.Auth.Password})
	case c.Docker:
		sign = remote.WithAuthFromKeychain(authn.DefaultKeychain)
	}
	return []remote.Option{
		remote.WithContext(ctx), remote.WithTransport(t), sign, remote.WithJobs(4),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: architecture()}), remote.WithUserAgent("ridgeline"),
	}, t
}

// traffic counts what is sent. For an insecure registry it also answers the
// library's first try by https with http, which saves a lost connection.
type traffic struct {
	inner    http.RoundTripper
	insecure bool
	bytes    atomic.Int64
	blobs    atomic.Int64 // uploads that were completed
}

func (t *traffic) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if t.insecure {
		r.URL.Scheme = "http"
	}
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &countedBody{r.Body, &t.bytes}
	}
	answer, err := t.inner.RoundTrip(r)
	if err == nil && r.Method == http.MethodPut && r.URL.Query().Has("digest") && answer.StatusCode == http.StatusCreated {
		t.blobs.Add(1)
	}
	return answer, err
}

type countedBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}

// classify gives a registry's refusal its code.
func classify(err error, doing string) error {
	if err == nil {
		return nil
	}
	var refusal *transport.Error
	var network net.Error
	code := ridgeline.CodeOf(err)
	switch {
	case errors.As(err, &refusal):
		switch {
		case refusal.StatusCode == http.StatusUnauthorized || refusal.StatusCode == http.StatusForbidden:
			return ridgeline.Errorf(ridgeline.Denied, "%s: the registry refused the sign-in: %w", doing, err)
		case refusal.StatusCode == http.StatusNotFound:
			return ridgeline.Errorf(ridgeline.NotFound, "%s: the registry does not have it: %w", doing, err)
		case refusal.StatusCode == http.StatusTooManyRequests || refusal.StatusCode >= 500:
			code = ridgeline.Unavailable
		}
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", doing, err)
	case errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF):
		code = ridgeline.Unavailable
	}
	return ridgeline.Errorf(code, "%s: %w", doing, err)
}
