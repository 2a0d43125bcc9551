// Package ui is the pages: what is in production, and why, for people with a
// browser.
//
// A page is a typed struct and a template. What it shows is read from the same
// store and services that package api answers from; what it changes, it changes
// through them. Each page works as a document; scripts (ui/assets) keep it up to
// date. What pages are put together from is ui/components.
package ui

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/bill"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/build"
	"github.com/ridgeline-mlops/ridgeline/forge"
	"github.com/ridgeline-mlops/ridgeline/intake"
	"github.com/ridgeline-mlops/ridgeline/pipeline"
	"github.com/ridgeline-mlops/ridgeline/release"
	"github.com/ridgeline-mlops/ridgeline/scope"
	"github.com/ridgeline-mlops/ridgeline/storage"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/track"
	"github.com/ridgeline-mlops/ridgeline/trigger"
	"github.com/ridgeline-mlops/ridgeline/ui/assets"
)

// A UI answers with pages. All fields but Dev are needed.
type UI struct {
	Store     *store.Store
	Track     *track.Store
	Blob      *blob.Store
	Builds    *build.Builder
	Intake    *intake.Intake
	Runs      *pipeline.Runner
	Releases  *release.Releaser
	Webhooks  *trigger.Webhooks
	Schedules *trigger.Schedules
	Remotes   *forge.Hub
	Storage   *storage.Meter
	Auth      *auth.Authenticator
	Sessions  *auth.Sessions
	Door      *auth.Door
	Scope     *scope.Keeper
	Bills     bill.Ledger
	Ready     func(ctx context.Context, id ridgeline.DeploymentID) (int, error)              // copies of a deployment that answer
	Score     http.Handler                                                                   // answers below /endpoints/
	Figures   func(p ridgeline.ProjectName, environment string) map[string]ridgeline.Figures // of an endpoint's deployments, by their names
	// ServiceLog is the end of what a deployment's copies wrote, up to tail bytes.
	ServiceLog func(ctx context.Context, id ridgeline.DeploymentID, tail int64) ([]byte, error)
	BaseURL    string // such as http://127.0.0.1:8470
	Registry   string // host of the images, such as 127.0.0.1:8470
	Version    string
	Dev        bool // also /_gallery: the components, and every page with made-up content
	Log        *slog.Logger

	stop    sync.Once
	stopped chan struct{} // closed when streams have to end
	pages   templates
	diffs   diffCache
}

// Open readies the templates.
func (u *UI) Open() (err error) {
	u.stopped = make(chan struct{})
	u.pages, err = parse()
	return err
}

// Stop ends the streams of pages, which would never end by themselves.
func (u *UI) Stop() { u.stop.Do(func() { close(u.stopped) }) }

// Handler returns the routes. It lets callers in by itself.
func (u *UI) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+assets.Prefix, assets.Load())
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, assets.Load().Icon, http.StatusFound)
	})
	mux.HandleFunc("GET /sign-in", u.signIn)
	mux.HandleFunc("POST /sign-in", u.signedIn)
	mux.HandleFunc("POST /sign-out", u.signOut)
	mux.HandleFunc("POST /ui/theme", u.theme)
	u.logs(mux)
	u.home(mux)
	u.models(mux)
	u.gate(mux)
	u.releases(mux)
	u.endpoints(mux)
	u.traffic(mux)
	u.run(mux)
	u.runs(mux)
	u.views(mux)
	u.loggedRuns(mux)
	u.compare(mux)
	u.builds(mux)
	u.projects(mux)
	u.train(mux)
	u.data(mux)
	u.costs(mux)
	u.settings(mux)
	u.webhooks(mux)
	u.remotes(mux)
	u.schedules(mux)
	u.audit(mux)
	if u.Dev {
		u.gallery(mux)
	}
	mux.Handle("GET /", u.page(func(context.Context, *http.Request) (Page, error) {
		return Page{}, ridgeline.Errorf(ridgeline.NotFound, "there is no page here")
	}))
	// A browser says where a request comes from; what changes something has to
	// come from our own pages. The token in a form would add nothing to that, and
	// to SameSite cookies.
	return http.NewCrossOriginProtection().Handler(mux)
}

// page adds the caller to a view, and answers with what it makes: the whole
// page, or a stream of its changes.
func (u *UI) page(view View) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, ok := u.enter(w, r)
		if !ok {
			return
		}
		if r.URL.Query().Has(liveParam) {
			u.stream(w, r, view)
			return
		}
		p, err := view(r.Context(), r)
		if err != nil {
			u.fail(w, r, err)
			return
		}
		u.write(w, r, http.StatusOK, p)
	})
}

// act adds what a form does, under the name that the API has for it. It answers
// with the page to go to next.
func (u *UI) act(action string, need ridgeline.Role, do func(ctx context.Context, r *http.Request) (next string, err error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, ok := u.enter(w, r)
		if !ok {
			return
		}
		var next string
		err := u.acts(w, r, action, need, func(ctx context.Context) (err error) {
			if next, err = do(ctx, r.WithContext(ctx)); err == nil {
				store.ActOf(ctx).Made(madeAt(next, subjectAt(r.URL.Path)))
			}
			return err
		})
		if err != nil {
			u.fail(w, r, err)
			return
		}
		http.Redirect(w, r, local(next), http.StatusSeeOther)
	})
}

// acts reads the form and does what it asks for, if the caller may. The audit
// trail has it in any case.
func (u *UI) acts(w http.ResponseWriter, r *http.Request, action string, need ridgeline.Role, do func(ctx context.Context) error) error {
	who := auth.From(r.Context())
	e := ridgeline.AuditEvent{Who: who.Name, Via: who.Via, Address: who.Address, Action: action, Subject: subjectAt(r.URL.Path)}
	return u.Store.Audited(r.Context(), e, func(ctx context.Context) error {
		if !who.Role.Allows(need) {
			return ridgeline.Errorf(ridgeline.Denied, "%s is a %s; this needs a %s", who.Name, who.Role, need)
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			return formError(err)
		}
		return do(ctx)
	})
}

// maxForm is the most that a form may send, in bytes.
const maxForm = 8 << 20

func formError(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return ridgeline.Errorf(ridgeline.Invalid, "the form is over %d MiB: send large requests with ridgeline score, or curl", maxForm>>20)
	}
	return ridgeline.Errorf(ridgeline.Invalid, "the form cannot be read: %v", err)
}
