package ui

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// auditPage is who did what, those events that the address asks for.
type auditPage struct {
	Filter store.AuditFilter
	Since  string // as it was asked for: a date
	Events []actRow
	Older  string // address of the next page; empty: there is none
	Line   components.CLI
	Chain  *ridgeline.AuditCheck // what a look over the whole trail has found; nil: nobody has asked
}

// Verify is the line that goes over the whole trail.
func (auditPage) Verify() components.CLI { return components.NewCLI("audit", "--verify") }

// Outcomes are what can be asked for.
func (auditPage) Outcomes() []ridgeline.AuditOutcome {
	return []ridgeline.AuditOutcome{ridgeline.AuditDone, ridgeline.AuditRefused, ridgeline.AuditFailed}
}

// Chosen reports whether these are not simply all.
func (p auditPage) Chosen() bool {
	f := p.Filter
	return f.Who+f.Action+f.Subject+string(f.Outcome)+p.Since+f.Before != ""
}

// mostAudit is how many events a page of the audit trail has, mostActs how many
// stand on another page.
const (
	mostAudit = 100
	mostActs  = 20
)

func (u *UI) audit(mux *http.ServeMux) {
	mux.Handle("GET /audit", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		if who := auth.From(ctx); !who.Role.Allows(ridgeline.Admin) {
			return Page{}, ridgeline.Errorf(ridgeline.Denied, "%s is a %s; the whole audit trail is for an admin. What was done to a release, a version or an endpoint is on its page", who.Name, who.Role)
		}
		body, err := u.loadAudit(ctx, r.URL.Query())
		return Page{Title: "Audit trail", Still: body.Chain != nil, Nav: "settings", Template: "audit", Body: body, Crumbs: []components.Crumb{{Text: "Settings", URL: "/settings"}, {Text: "Audit trail"}}}, err
	}))
}

func (u *UI) loadAudit(ctx context.Context, q url.Values) (out auditPage, err error) {
	out.Since = q.Get("since")
	out.Filter = store.AuditFilter{
		Who: q.Get("who"), Action: q.Get("action"), Outcome: ridgeline.AuditOutcome(q.Get("outcome")), Subject: strings.Trim(q.Get("subject"), "/ "), Before: q.Get("before"),
	}
	if out.Since != "" {
		if out.Filter.Since, err = time.Parse(time.DateOnly, out.Since); err != nil {
			return out, ridgeline.Errorf(ridgeline.Invalid, "since %q: expected a date such as 2026-11-23", out.Since)
		}
	}
	out.Filter.Limit = mostAudit + 1
	rows, err := u.Store.AuditEvents(ctx, out.Filter)
	out.Events = actRows(rows)
	out.page(q)
	if err == nil && q.Has("verify") {
		var check ridgeline.AuditCheck
		check, err = u.Store.VerifyAudit(ctx, "")
		out.Chain = &check
	}
	return out, err
}

// page cuts the events to a page, and says what leads to the next one.
func (p *auditPage) page(q url.Values) {
	if len(p.Events) > mostAudit {
		p.Events = p.Events[:mostAudit]
		next := url.Values{}
		for _, name := range []string{"who", "action", "outcome", "subject", "since"} {
			if v := q.Get(name); v != "" {
				next.Set(name, v)
			}
		}
		next.Set("before", p.Events[mostAudit-1].ID)
		p.Older = "/audit?" + next.Encode()
	}
	words := []any{"audit"}
	for _, f := range [][2]string{{"since", p.Since}, {"who", p.Filter.Who}, {"action", p.Filter.Action}, {"subject", p.Filter.Subject}, {"outcome", string(p.Filter.Outcome)}} {
		if f[1] != "" {
			words = append(words, "--"+f[0], f[1])
		}
	}
	p.Line = components.NewCLI(words...)
}

// An actList is what was done to one thing, the last first.
type actList struct {
	Subject string // as the audit trail calls it
	Events  []actRow
}

// actsOn are the last events of what a page shows.
func (u *UI) actsOn(ctx context.Context, subject string) (actList, error) {
	rows, err := u.Store.AuditEvents(ctx, store.AuditFilter{Subject: subject, Limit: mostActs})
	return actList{Subject: subject, Events: actRows(rows)}, err
}

// URL leads to all of them.
func (l actList) URL() string { return "/audit?" + url.Values{"subject": {l.Subject}}.Encode() }

// Line lists them.
func (l actList) Line() components.CLI { return components.NewCLI("audit", "--subject", l.Subject) }

// An actRow is an event of the audit trail with where it leads.
type actRow struct {
	ridgeline.AuditEvent
	URL, MadeURL string // of the pages of Subject and Made; empty: there is none
	Result       components.Status
}

func actRows(events []ridgeline.AuditEvent) []actRow {
	rows := make([]actRow, len(events))
	for i, e := range events {
		rows[i] = actRow{e, pageOf(e.Subject), pageOf(e.Made), outcome(e)}
	}
	return rows
}

// subjectAt is what the form of a page is about, as the API spells its address.
func subjectAt(address string) string {
	parts := strings.Split(strings.Trim(address, "/"), "/")
	part := func(i int) string {
		if i < len(parts) {
			return parts[i]
		}
		return ""
	}
	switch parts[0] {
	case "live":
		return "endpoints/" + part(1) + "/" + part(2)
	case "models":
		return "models/" + part(1) + "/versions/" + part(2)
	case "data":
		if len(parts) > 4 {
			return "projects/" + part(1) + "/datasets/" + part(2) + "/versions/" + part(3)
		}
		return "projects/" + part(1) + "/datasets/" + part(2)
	case "projects":
		if part(2) == "remotes" && len(parts) > 4 {
			return strings.Join(parts[:4], "/")
		}
	case "settings":
		parts = parts[1:]
	}
	return strings.Join(parts[:min(len(parts), 2)], "/")
}

// madeAt is what a form has made, by the page that it leads to; empty when that
// is no other thing than the form was about.
func madeAt(next, subject string) string {
	next, _, _ = strings.Cut(strings.Trim(next, "/"), "?")
	first, _, one := strings.Cut(next, "/")
	if made := map[string]bool{"runs": true, "releases": true, "builds": true}[first]; !made || !one || next == subject {
		return ""
	}
	return next
}

// pageOf is the address of the page that shows what the audit trail calls so;
// empty when there is none.
func pageOf(subject string) string {
	parts := strings.Split(subject, "/")
	switch {
	case len(parts) < 2:
		return ""
	case parts[0] == "runs" || parts[0] == "releases" || parts[0] == "builds":
		return components.Path(parts[0], parts[1])
	case parts[0] == "models" && len(parts) > 3:
		return components.Path("models", parts[1], parts[3])
	case parts[0] == "models":
		return components.Path("models", parts[1])
	case parts[0] == "endpoints" && len(parts) > 2:
		return components.Path("live", parts[1], parts[2])
	case parts[0] == "projects" && len(parts) > 5 && parts[2] == "datasets":
		return components.Path("data", parts[1], parts[3], parts[5])
	case parts[0] == "projects" && len(parts) > 3 && parts[2] == "datasets":
		return components.Path("data", parts[1], parts[3])
	case parts[0] == "projects" && len(parts) > 3 && parts[2] == "views":
		return "/runs?" + url.Values{"project": {parts[1]}}.Encode()
	case parts[0] == "views":
		return "/runs"
	case parts[0] == "projects":
		return components.Path("projects", parts[1])
	case parts[0] == "tokens" || parts[0] == "webhooks":
		return "/settings#" + parts[0]
	}
	return ""
}

// outcome is how an event of the audit trail ended, as a status. What stands
// behind it says why it was not done.
func outcome(e ridgeline.AuditEvent) components.Status {
	tone := map[ridgeline.AuditOutcome]string{ridgeline.AuditDone: "ok", ridgeline.AuditRefused: "bad"}[e.Outcome]
	word := string(e.Outcome)
	if e.Outcome == ridgeline.AuditFailed && e.Code != "" {
		word += ": " + strings.ReplaceAll(string(e.Code), "_", " ")
	}
	if e.Times > 1 {
		word += ", " + strconv.Itoa(e.Times) + " times"
	}
	return components.Status{Word: word, Tone: cmp.Or(tone, "warn")}
}
