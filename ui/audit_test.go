package ui

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// What is done and refused on pages is in the audit trail, without the secret
// that was made.
func TestAudit(t *testing.T) {
	s := open(t).signIn("managing")
	_, made := s.post("/settings/tokens", "name", "reader", "role", "viewer")
	secret := made[strings.Index(made, "<code>"+auth.Secret)+len("<code>"):]
	secret = secret[:strings.Index(secret, "<")]
	if !strings.HasPrefix(secret, auth.Secret) {
		t.Fatalf("no secret in %s", made)
	}
	text := s.shows("/audit", http.StatusOK, "create-token", "admin", "tokens/t-", "page", "127.0.0.1", "ridgeline audit")
	if strings.Contains(text, secret) {
		t.Error("the trail has the secret")
	}
	s.shows("/audit?who=nobody", http.StatusOK, "No such event")
	s.shows("/audit?since=yesterday", http.StatusUnprocessableEntity, "expected a date")
	if status, _ := s.post("/settings/tokens", "name", "", "role", "viewer"); status != http.StatusUnprocessableEntity {
		t.Errorf("a token without a name: %d", status)
	}

	guest := open(t)
	guest.url, guest.ui = s.url, s.ui
	guest.signIn(secret)
	if status, _ := guest.post("/runs/r-1/cancel"); status != http.StatusForbidden {
		t.Errorf("a viewer cancels: %d", status)
	}
	guest.shows("/audit", http.StatusForbidden, "for an admin")
	events, err := s.ui.Store.AuditEvents(t.Context(), store.AuditFilter{})
	ok(t, err)
	var got []string
	for _, e := range events {
		got = append(got, strings.Join([]string{e.Who, e.Via, e.Action, strings.SplitN(e.Subject, "-", 2)[0], string(e.Outcome), string(e.Code)}, " "))
	}
	want := "reader page cancel-run runs/r refused denied; reader page sign-in tokens done ; admin page create-token tokens failed invalid; admin page create-token tokens done ; admin page sign-in tokens done "
	if strings.Join(got, "; ") != want {
		t.Errorf("got %q", got)
	}
	s.shows("/audit?outcome=refused", http.StatusOK, "cancel-run", `href="/runs/r-1"`)
}

// Of more events than a page has, each is on one page.
func TestAudit_pages(t *testing.T) {
	s := open(t).signIn("managing")
	for range mostAudit + 1 {
		ok(t, s.ui.Store.Audited(t.Context(), ridgeline.AuditEvent{Who: "ann", Action: "train", Subject: "projects/iris"}, nothing))
	}
	text := s.shows("/audit?who=ann", http.StatusOK, "Older")
	next := text[strings.Index(text, `href="/audit?before=`)+len(`href="`):]
	next = strings.ReplaceAll(next[:strings.Index(next, `"`)], "&amp;", "&")
	if last := s.shows(next, http.StatusOK); strings.Contains(last, "Older") || strings.Count(last, `href="/projects/iris"`) != 1 {
		t.Errorf("%s: %s", next, last)
	}
}

func TestSubjectAt(t *testing.T) {
	for address, want := range map[string]string{
		"/live/iris/qa/rollback": "endpoints/iris/qa", "/models/iris/3/promote": "models/iris/versions/3", "/data/iris/sales/look": "projects/iris/datasets/sales",
		"/data/iris/sales/2/accept": "projects/iris/datasets/sales/versions/2", "/settings/tokens": "tokens", "/settings/tokens/t-1/revoke": "tokens/t-1",
		"/runs/r-1/cancel": "runs/r-1", "/projects/iris/train": "projects/iris", "/projects/iris/remotes/origin/remove": "projects/iris/remotes/origin",
	} {
		if got := subjectAt(address); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	for subject, want := range map[string]string{
		"endpoints/iris/qa/keys/primary": "/live/iris/qa", "models/iris/versions/3": "/models/iris/3", "projects/iris/datasets/sales/versions/2": "/data/iris/sales/2",
		"projects/iris/datasets/sales": "/data/iris/sales", "projects/iris": "/projects/iris", "releases/l-1": "/releases/l-1", "tokens": "", "model iris:2": "",
	} {
		if got := pageOf(subject); got != want {
			t.Errorf("%s: %q, want %q", subject, got, want)
		}
	}
}

func nothing(context.Context) error { return nil }
