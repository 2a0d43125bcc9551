package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// AuditEvent is one thing that somebody did, was refused, or has failed to do.
type AuditEvent struct {
	ID      string    `json:"id"`
	Time    time.Time `json:"time"`
	Who     string    `json:"who"`
	Via     string    `json:"via" doc:"cli, api, page, git, registry, mlflow or webhook; empty: nobody asked from outside"`
	Address string    `json:"address" doc:"of the client, or of the proxy in front of it"`
	Action  string    `json:"action" doc:"as its operation is called here: promote, cancel-run"`
	Subject string    `json:"subject" doc:"what it was done to, as a path below /api/v1/"`
	Made    string    `json:"made,omitempty" doc:"what came of it, likewise"`
	Reason  string    `json:"reason,omitempty" doc:"that the person gave; else what it was in particular: the commits of a push, why a sign-in was refused"`
	Outcome string    `json:"outcome" enum:"done,refused,failed"`
	Code    string    `json:"code,omitempty" doc:"why it was not done: invalid, not_found, conflict, denied, unavailable, internal"`
	Times   int       `json:"times,omitempty" doc:"how often it was so within a minute, when more than once"`
}

// AuditCheck is what a look over the whole audit trail has found.
type AuditCheck struct {
	Fits   bool        `json:"fits" doc:"whether all is as it was written"`
	Events int         `json:"events" doc:"in the trail; 0 of one that does not fit"`
	Links  int         `json:"links" doc:"of its chain: one for each event, and one for each time that more was learned of one"`
	Joined int         `json:"joined" doc:"events that are older than the chain, or from servers of an older program beside newer ones"`
	Last   *time.Time  `json:"last,omitempty" doc:"of the newest event that fits"`
	Hash   string      `json:"hash" doc:"of the last link: note it elsewhere, and give it as known later"`
	Fault  *AuditFault `json:"fault,omitempty"`
}

// AuditFault is the first thing in an audit trail that is not as it was written.
type AuditFault struct {
	Link    int64  `json:"link" doc:"which link of the chain, from 1"`
	Event   string `json:"event,omitempty"`
	Problem string `json:"problem"`
}

func viewAudit(e ridgeline.AuditEvent) AuditEvent {
	return AuditEvent{
		ID: e.ID, Time: e.At, Who: e.Who, Via: e.Via, Address: e.Address, Action: e.Action, Subject: e.Subject, Made: e.Made, Reason: e.Reason,
		Outcome: string(e.Outcome), Code: string(e.Code), Times: often(e.Times),
	}
}

// often is a count that is worth telling.
func often(times int) int {
	if times > 1 {
		return times
	}
	return 0
}

func viewAuditCheck(c ridgeline.AuditCheck) AuditCheck {
	out := AuditCheck{Fits: c.Fault == nil, Events: c.Events, Links: c.Links, Joined: c.Joined, Hash: c.Hash}
	if !c.Last.IsZero() {
		out.Last = &c.Last
	}
	if f := c.Fault; f != nil {
		out.Fault = &AuditFault{Link: f.Position, Event: f.Event, Problem: f.Problem}
	}
	return out
}

func (a *API) audit(api huma.API) {
	route(a, api, huma.Operation{OperationID: "list-audit", Method: http.MethodGet, Path: "/audit", Summary: "Who did what, newest first", Tags: []string{"server"}},
		ridgeline.Admin, func(ctx context.Context, in *struct {
			Since   time.Time `query:"since"`
			Until   time.Time `query:"until" doc:"only before it"`
			Who     string    `query:"who"`
			Action  string    `query:"action"`
			Outcome string    `query:"outcome" enum:"done,refused,failed"`
			Subject string    `query:"subject" doc:"what it was done to or what came of it, or a path above either of these"`
			Before  string    `query:"before" doc:"an event's id: only those further down the list"`
			Limit   int       `query:"limit" default:"100" minimum:"1" maximum:"1000"`
		}) ([]AuditEvent, error) {
			rows, err := a.Store.AuditEvents(ctx, store.AuditFilter{
				Since: in.Since, Until: in.Until, Who: in.Who, Action: in.Action, Outcome: ridgeline.AuditOutcome(in.Outcome), Subject: in.Subject, Before: in.Before, Limit: in.Limit,
			})
			return list(rows, viewAudit), err
		})
	route(a, api, huma.Operation{
		OperationID: "verify-audit", Method: http.MethodGet, Path: "/audit/verification", Tags: []string{"server"},
		Summary: "Go over the chain of the whole audit trail: is it what was written?",
	}, ridgeline.Admin, func(ctx context.Context, in *struct {
		Known string `query:"known" maxLength:"64" doc:"a hash that an earlier look has told, which has to be in the chain"`
	}) (AuditCheck, error) {
		check, err := a.Store.VerifyAudit(ctx, in.Known)
		return viewAuditCheck(check), err
	})
}

// asks marks an operation that changes nothing although its method could: what
// it is told is too long for an address.
const asks = "changes nothing"

// changes reports whether what an operation does is to be kept in the audit
// trail.
func changes(op huma.Operation) bool {
	switch op.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	return op.Metadata[asks] == nil
}

type pathKey struct{}

// placed keeps the request's path in the context.
func placed(hc huma.Context, next func(huma.Context)) {
	at := hc.URL()
	next(huma.WithValue(hc, pathKey{}, at.Path))
}

// subjectOf is what an operation is about: its address below /api/v1/, up to
// the last part of it that names something.
func subjectOf(pattern, address string) string {
	parts := strings.Split(strings.TrimPrefix(address, "/api/v1/"), "/")
	last := len(parts)
	for i, p := range strings.Split(strings.TrimPrefix(pattern, "/api/v1/"), "/") {
		if strings.HasPrefix(p, "{") {
			last = i + 1
		}
	}
	return strings.Join(parts[:min(last, len(parts))], "/")
}

// A made answer is of something that the operation has made or changed.
type made interface{ subject() string }

func (b Build) subject() string    { return "builds/" + b.Build }
func (r Run) subject() string      { return "runs/" + r.ID }
func (r Release) subject() string  { return "releases/" + r.ID }
func (t Token) subject() string    { return "tokens/" + t.ID }
func (w Webhook) subject() string  { return "webhooks/" + w.ID }
func (d Delivery) subject() string { return "deliveries/" + d.ID }
func (r Remote) subject() string   { return "projects/" + r.Project + "/remotes/" + r.Name }
func (a Arrival) subject() string  { return "arrivals/" + a.ID }
func (a accepted) subject() string { return a.Body.subject() }

func (p Promotion) subject() string {
	if p.Release == nil {
		return ""
	}
	return p.Release.subject()
}

// audited keeps in the audit trail what an operation does, whoever asks for it.
func audited[I, O any](a *API, op huma.Operation, handle func(ctx context.Context, in *I) (*O, error)) func(ctx context.Context, in *I) (*O, error) {
	if !changes(op) {
		return handle
	}
	return func(ctx context.Context, in *I) (out *O, err error) {
		who, path := auth.From(ctx), ctx.Value(pathKey{}).(string)
		e := ridgeline.AuditEvent{Who: who.Name, Via: who.Via, Address: who.Address, Action: op.OperationID, Subject: subjectOf(op.Path, path)}
		err = a.Store.Audited(ctx, e, func(ctx context.Context) error {
			if out, err = handle(ctx, in); err == nil {
				store.ActOf(ctx).Made(madeBy(out, e.Subject))
			}
			return err
		})
		return out, err
	}
}

// madeBy is what an answer is about, if that is another thing than the subject.
func madeBy(out any, subject string) string {
	m, ok := out.(made)
	if b, is := out.(interface{ content() any }); is {
		m, ok = b.content().(made)
	}
	if !ok || m.subject() == subject {
		return ""
	}
	return m.subject()
}

func (b *body[T]) content() any { return b.Body }
