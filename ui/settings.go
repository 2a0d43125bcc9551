package ui

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
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
	Audit     []ridgeline.AuditEvent
	BaseURL   string
	Registry  string
	Now       time.Time
}

// mostAudit is how many events of the audit trail the page lists, auditSince
// how old they may be.
const (
	mostAudit  = 50
	auditSince = 90 * 24 * time.Hour
)

func (u *UI) settings(mux *http.ServeMux) {
	mux.Handle("GET /settings", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		body, err := u.loadSettings(ctx, ridgeline.ProjectName(r.URL.Query().Get("project")))
		return Page{Title: "Settings", Nav: "settings", Template: "settings", Body: body}, err
	}))
	mux.Handle("POST /settings/tokens/{id}/revoke", u.act(ridgeline.Admin, func(ctx context.Context, r *http.Request) (string, error) {
		return "/settings", u.Store.RevokeToken(ctx, ridgeline.TokenID(r.PathValue("id")), time.Now())
	}))
}

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
	if out.Webhooks, err = u.Store.Subscriptions(ctx); err != nil {
		return out, err
	}
	out.Audit, err = u.Store.AuditEvents(ctx, time.Now().Add(-auditSince))
	slices.Reverse(out.Audit)
	out.Audit = out.Audit[:min(len(out.Audit), mostAudit)]
	return out, err
}
