package ui

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/storage"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// settingsPage is what works on its own here, and who may come in. Secrets are
// told by their names alone.
type settingsPage struct {
	Schedules []ridgeline.Schedule
	Remotes   []ridgeline.Remote
	Endpoints []ridgeline.Endpoint // whose keys there are
	Tokens    []ridgeline.Token    // for admins, as what follows
	Webhooks  []ridgeline.Subscription
	Audit     []actRow        // the last ones
	Room      *storage.Report // nil: not measured yet
	BaseURL   string
	Registry  string
	Now       time.Time
	Made      madeToken // just now
	Projects  []ridgeline.ProjectName
	form
}

// A madeToken is shown once.
type madeToken struct{ Name, Secret string }

func (u *UI) settings(mux *http.ServeMux) {
	mux.Handle("GET /settings", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		body, err := u.loadSettings(ctx, ridgeline.ProjectName(r.URL.Query().Get("project")))
		return Page{Title: "Settings", Nav: "settings", Template: "settings", Body: body}, err
	}))
	mux.Handle("POST /settings/tokens", u.answers("create-token", http.StatusCreated, ridgeline.Admin, u.makeToken))
	mux.Handle("POST /settings/tokens/{id}/revoke", u.act("revoke-token", ridgeline.Admin, func(ctx context.Context, r *http.Request) (string, error) {
		return "/settings", u.Store.RevokeToken(ctx, ridgeline.TokenID(r.PathValue("id")), time.Now())
	}))
}

// makeToken answers with the page on which the secret is to be seen, instead of
// leading on to it: an address would keep it.
func (u *UI) makeToken(ctx context.Context, r *http.Request) (Page, error) {
	made, err := u.newToken(ctx, r)
	if err != nil {
		return Page{}, err
	}
	body, err := u.loadSettings(ctx, "")
	body.Made = made
	return Page{Title: "Settings", Nav: "settings", Still: true, Template: "settings", Body: body}, err
}

func (u *UI) newToken(ctx context.Context, r *http.Request) (made madeToken, err error) {
	name, role := strings.TrimSpace(r.PostFormValue("name")), ridgeline.Role(r.PostFormValue("role"))
	if n := utf8.RuneCountInString(name); n < 1 || n > 60 {
		return made, ridgeline.Errorf(ridgeline.Invalid, "a token's name has 1 to 60 letters, this one %d: say what or who it is for", n)
	}
	if !slices.Contains(tokenRoles, role) {
		return made, ridgeline.Errorf(ridgeline.Invalid, "role %q: expected viewer, writer or admin", role)
	}
	days, err := strconv.ParseFloat(cmp.Or(r.PostFormValue("days"), "0"), 64)
	if err != nil || !(days >= 0 && days <= 36500) {
		return made, ridgeline.Errorf(ridgeline.Invalid, "%q: expected a number of days, or nothing for a token that does not end", r.PostFormValue("days"))
	}
	of := ridgeline.ProjectName(r.PostFormValue("project"))
	if of != "" {
		if _, err := u.Store.Project(ctx, of); err != nil {
			return made, err
		}
	}
	t, secret, err := auth.NewToken(name, role, of, days, time.Now().UTC())
	if err == nil {
		err = u.Store.CreateToken(ctx, t)
		store.ActOf(ctx).Made("tokens/" + string(t.ID))
	}
	return madeToken{name, secret}, err
}

// tokenRoles are what a token can be made for.
var tokenRoles = []ridgeline.Role{ridgeline.Viewer, ridgeline.Writer, ridgeline.Admin}

func (u *UI) loadSettings(ctx context.Context, name ridgeline.ProjectName) (out settingsPage, err error) {
	out.BaseURL, out.Registry, out.Now = u.BaseURL, u.Registry, time.Now()
	if out.Schedules, err = u.Store.Schedules(ctx, store.ScheduleFilter{Project: name}); err != nil {
		return out, err
	}
	if out.Remotes, err = u.Store.Remotes(ctx, name); err != nil {
		return out, err
	}
	if out.Endpoints, err = u.Store.Endpoints(ctx, name); err != nil {
		return out, err
	}
	if !auth.From(ctx).Role.Allows(ridgeline.Admin) {
		return out, nil
	}
	if out.Tokens, err = u.Store.Tokens(ctx); err != nil {
		return out, err
	}
	projects, err := u.Store.Projects(ctx)
	if err != nil {
		return out, err
	}
	for _, p := range projects {
		out.Projects = append(out.Projects, p.Name)
	}
	if out.Webhooks, err = u.Store.Subscriptions(ctx); err != nil {
		return out, err
	}
	if r, ok := u.Storage.Last(); ok {
		out.Room = &r
	}
	last, err := u.Store.AuditEvents(ctx, store.AuditFilter{Limit: mostActs})
	out.Audit = actRows(last)
	return out, err
}

// Share is what part of all the room a kind takes.
func (p settingsPage) Share(k storage.Kind) float64 {
	return float64(k.Bytes) / float64(max(p.Room.Bytes, 1))
}
