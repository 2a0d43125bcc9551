// Package server is the listener: it mounts the handlers of the other
// packages under one address, lets callers in, logs requests, and stops
// without cutting one off.
//
// What a route does is its own package's business.
package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/gateway"
	"github.com/ridgeline-mlops/ridgeline/scope"
)

// Options are what a server is made of. All but Ready, Mounts, Pages and Stopping are needed.
type Options struct {
	Auth     *auth.Authenticator
	Scope    *scope.Keeper
	Door     *auth.Door
	API      http.Handler                // below /api/
	Registry http.Handler                // below /v2/
	Git      http.Handler                // below /git/; who may push is its own to say
	Hooks    http.Handler                // webhooks of forges, which prove themselves by their signature
	Gateway  *gateway.Gateway            // below /endpoints/
	Pages    http.Handler                // everything else, for people; it lets callers in by itself. Nil: none
	Stopping func()                      // called when Shutdown begins, to end what would not end by itself. Nil: nothing
	Ready    func(context.Context) error // why this server should get no requests now. Nil: it always may
	Mounts   []Mount                     // dialects with paths and errors of their own
	Log      *slog.Logger
}

// A Mount is a dialect that others have made, at the paths where its clients
// look for it.
type Mount struct {
	Surface string   // in metrics
	Paths   []string // patterns without a method
	Handler http.Handler
	Open    bool // needs no token
	// Runs says that the token of a run's steps opens it, and that it holds such
	// callers, and those of one project, to that project by itself.
	Runs bool
	// Refuse spells what is told to a caller who is not let in.
	Refuse func(w http.ResponseWriter, status int, err error)
}

// A Server answers on one listener.
type Server struct {
	options Options
	http    *http.Server
	seconds *prometheus.HistogramVec
	leaving atomic.Bool
}

// health says that the server answers; of ready, also that it should be asked.
// Nobody signs in for it, so it tells a stranger no more than that.
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if check := s.options.Ready; r.URL.Path == "/healthz/ready" && check != nil {
		if err := check(r.Context()); err != nil {
			s.options.Log.Info("not ready", "reason", err)
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, `{"status":"not ready"}`)
			return
		}
	}
	fmt.Fprintln(w, `{"status":"ok"}`)
}

// New makes a server; Serve starts it.
func New(o Options) *Server {
	s := &Server{options: o}
	metrics := prometheus.NewRegistry()
	s.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "ridgeline_http_request_duration_seconds", Help: "Time to answer, by surface and status class.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 12),
	}, []string{"surface", "status"})
	metrics.MustRegister(s.seconds, o.Gateway, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	mux := http.NewServeMux()
	for _, path := range []string{"/healthz", "/healthz/live", "/healthz/ready"} {
		mux.HandleFunc("GET "+path, s.health)
	}
	mux.Handle("POST /api/v1/projects/{project}/hooks/{name}", o.Hooks)
	mux.Handle("/api/", s.signedIn(ridgeline.Viewer, o.API))
	mux.Handle("/v2/", s.pulled(o.Registry, s.signedIn(ridgeline.Writer, s.images(o.Registry))))
	mux.Handle("/git/", s.signedIn(ridgeline.Viewer, o.Git))
	mux.Handle("GET /metrics", s.signedIn(ridgeline.Viewer, promhttp.HandlerFor(metrics, promhttp.HandlerOpts{})))
	mux.Handle("/endpoints/", o.Gateway)
	mux.HandleFunc(gateway.GRPCService, o.Gateway.ServeGRPC)
	for _, m := range o.Mounts {
		handler := m.Handler
		if !m.Open {
			handler = s.letIn(ridgeline.Viewer, m.Runs, m.Refuse, m.Handler)
		}
		for _, path := range m.Paths {
			mux.Handle(path, handler)
		}
	}
	mux.Handle("/", s.pages())
	s.http = &http.Server{
		Handler:           s.observed(mux),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		Protocols:         new(http.Protocols),
	}
	if o.Stopping != nil {
		s.http.RegisterOnShutdown(o.Stopping)
	}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetUnencryptedHTTP2(true) // gRPC
	return s
}

// Serve answers until Shutdown.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Leave has the server go on answering, and end each connection with its next
// answer: who asks again asks another server, where there is one. A connection
// that Shutdown ends may just then have a request on its way.
func (s *Server) Leave() { s.leaving.Store(true) }

// Shutdown stops listening and waits for the requests under way.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// pages answers people. Who comes with a token, or without a wish for HTML, is a
// program, and is told where things are.
func (s *Server) pages() http.Handler {
	program := s.signedIn(ridgeline.Viewer, http.HandlerFunc(index))
	if s.options.Pages == nil {
		return program
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.URL.Path == "/" && !strings.Contains(r.Header.Get("Accept"), "text/") {
			program.ServeHTTP(w, r)
			return
		}
		s.options.Pages.ServeHTTP(w, r)
	})
}

// index tells a program where things are.
func index(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		Problem(w, ridgeline.Errorf(ridgeline.NotFound, "there is nothing at %s: the API is at /api/v1/, its description at /api/v1/openapi.json", r.URL.Path))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{
		"service": "ridgeline", "api": "/api/v1/", "openapi": "/api/v1/openapi.json", "registry": "/v2/", "git": "/git/{project}.git",
		"endpoints": "/endpoints/{project}/{environment}/score", "metrics": "/metrics", "health": "/healthz",
	})
}

// pulled lets the nodes of a cluster read the registry by their own token.
func (s *Server) pulled(registry, others http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, ok := r.BasicAuth(); ok && (r.Method == http.MethodGet || r.Method == http.MethodHead) && s.options.Auth.Pulls(password) {
			registry.ServeHTTP(w, r)
			return
		}
		others.ServeHTTP(w, r)
	})
}

// signedIn lets a request through when its bearer token, or the password of
// its basic authentication (what registry clients send), has the role.
func (s *Server) signedIn(need ridgeline.Role, next http.Handler) http.Handler {
	return s.letIn(need, false, refuse, next)
}

// letIn is signedIn with the refusals of a dialect. A token of a run's steps
// opens only what says so.
func (s *Server) letIn(need ridgeline.Role, runs bool, refuse func(w http.ResponseWriter, status int, err error), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, status, err := s.caller(w, r)
		if err == nil {
			status, err = http.StatusForbidden, s.may(p, need, runs)
			if err != nil {
				s.options.Door.Refused(r.Context(), p, "enter", subject(r), err)
			}
		}
		if err == nil {
			r = r.WithContext(auth.With(r.Context(), p))
			if !runs {
				r, err = s.options.Scope.Hold(r)
			}
			if err == nil {
				next.ServeHTTP(w, r)
				return
			}
			if scope.Foreign(err) {
				s.options.Door.Strayed(r.Context(), p, r.Method, subject(r))
			}
		}
		if ridgeline.CodeOf(err) == ridgeline.Denied {
			w.Header().Set("WWW-Authenticate", `Basic realm="ridgeline"`)
		}
		refuse(w, status, err)
	})
}

// may says why a caller may not come in here.
func (s *Server) may(p auth.Principal, need ridgeline.Role, runs bool) error {
	switch {
	case p.Run != "" && !runs:
		return ridgeline.Errorf(ridgeline.Denied, "this token is for the tracking of run %s alone", p.Run)
	case !p.Role.Allows(need):
		return ridgeline.Errorf(ridgeline.Denied, "%s is a %s; this needs a %s", p.Name, p.Role, need)
	}
	return nil
}

// subject is what a request is about, for the audit trail.
func subject(r *http.Request) string {
	return strings.Trim(strings.TrimPrefix(r.URL.Path, "/api/v1"), "/")
}

// via is the way in, for the audit trail: our own command line, or the surface.
func (s *Server) via(r *http.Request) string {
	switch surface := s.surface(r.URL.Path); {
	case surface == "api" && strings.HasPrefix(r.UserAgent(), api.UserAgent):
		return "cli"
	case surface == "v2":
		return "registry"
	default:
		return surface
	}
}

func refuse(w http.ResponseWriter, status int, err error) {
	if status == http.StatusUnauthorized || status == http.StatusTooManyRequests {
		problem(w, status, err.Error())
		return
	}
	Problem(w, err)
}

// caller finds who asks, or says why nobody is let in, and with which status. An
// address whose tokens are wrong too often waits before the next one is looked at.
func (s *Server) caller(w http.ResponseWriter, r *http.Request) (auth.Principal, int, error) {
	via, address, now := s.via(r), auth.Address(r.RemoteAddr), time.Now()
	secret, ok := secretOf(r)
	if !ok {
		return auth.Principal{}, http.StatusUnauthorized, ridgeline.Errorf(ridgeline.Denied,
			"no token: send Authorization: Bearer TOKEN (the token is in the server's state folder, file token)")
	}
	if wait := s.options.Door.Wait(address, secret, now); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(auth.RetryAfter(wait)))
		return auth.Principal{}, http.StatusTooManyRequests, auth.TooMany(wait)
	}
	p, err := s.options.Auth.Principal(r.Context(), secret, now)
	p.Via, p.Address = via, address
	switch {
	case ridgeline.CodeOf(err) == ridgeline.Denied:
		s.options.Door.Failed(r.Context(), p, "tokens", now, err)
		return p, http.StatusUnauthorized, err
	case err != nil:
		s.options.Log.Error("sign-in", "error", err)
		return p, api.Status(ridgeline.CodeOf(err)), err
	}
	s.options.Door.Opened(address, secret)
	return p, http.StatusOK, nil
}

// secretOf is the token that a request comes with.
func secretOf(r *http.Request) (string, bool) {
	if secret, ok := auth.Bearer(r.Header.Get("Authorization")); ok {
		return secret, true
	}
	if _, password, ok := r.BasicAuth(); ok {
		return password, true
	}
	// CloudEvents' webhook specification lets a sender that has no headers of its
	// own put the token into the address; nothing else may.
	token := r.URL.Query().Get("access_token")
	return token, token != "" && r.URL.Path == "/api/v1/events"
}

// observed logs and times every request, and answers for a handler that
// panics.
func (s *Server) observed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler { //nolint:errorlint // the sentinel is documented to be compared so
					panic(v)
				}
				s.options.Log.Error("panic while answering", "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
				if !rec.wrote {
					problem(rec, http.StatusInternalServerError, internalError)
				}
			}
			took := time.Since(started)
			s.seconds.WithLabelValues(s.surface(r.URL.Path), fmt.Sprintf("%dxx", rec.status/100)).Observe(took.Seconds())
			s.options.Log.Debug("request", "method", r.Method, "path", r.URL.Path, "status", rec.status, "ms", float64(took.Microseconds())/1000)
		}()
		if s.leaving.Load() {
			rec.Header().Set("Connection", "close")
		}
		next.ServeHTTP(rec, r)
	})
}

func (s *Server) surface(path string) string {
	for _, m := range s.options.Mounts {
		for _, p := range m.Paths {
			if path == p || strings.HasSuffix(p, "/") && strings.HasPrefix(path, p) {
				return m.Surface
			}
		}
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "inference.GRPCInferenceService":
		return "endpoints"
	case "api", "v2", "git", "endpoints", "metrics", "healthz":
		return first
	}
	return "pages"
}

type recorder struct {
	http.ResponseWriter
	status int
	wrote  bool
}

func (r *recorder) WriteHeader(status int) {
	r.status, r.wrote = status, true
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	r.wrote = true
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach flushing and deadlines.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

const internalError = "an unexpected error occurred; the server's log has it"

// Problem answers with an error in RFC 9457's form. The cause of an internal
// one is not told.
func Problem(w http.ResponseWriter, err error) {
	code := ridgeline.CodeOf(err)
	message := err.Error()
	if code == ridgeline.Internal {
		message = internalError
	}
	problem(w, api.Status(code), message)
}

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}

// Loopback reports whether the address can only be reached from this machine.
func Loopback(address string) bool {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if name == "localhost" {
		return true
	}
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}
