package ui

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

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

// Every form of the pages that changes something leaves a trace, even of who may
// not: the forms are those that the sources register.
func TestAudit_of_every_form(t *testing.T) {
	elsewhere := map[string]string{
		"/sign-in":                       "TestAudit_sign_in",
		"/sign-out":                      "TestAudit_sign_in",
		"/ui/theme":                      "the look of one browser",
		"/live/{project}/{environment}":  "a request to an endpoint: the inference log has it",
		"/projects/{project}/schedules/": "the verb follows",
	}
	s := open(t).signIn("managing")
	_, made := s.post("/settings/tokens", "name", "reader", "role", "viewer")
	secret := made[strings.Index(made, "<code>"+auth.Secret)+len("<code>"):]
	s.post("/sign-out")
	s.signIn(secret[:strings.Index(secret, "<")])
	sources, err := filepath.Glob("*.go")
	ok(t, err)
	forms := []string{"/projects/{project}/schedules/pause", "/projects/{project}/schedules/resume"}
	for _, source := range sources {
		text, err := os.ReadFile(source)
		ok(t, err)
		for _, found := range regexp.MustCompile(`\("(?:POST|PUT|PATCH|DELETE) (/[^"]*)"`).FindAllStringSubmatch(string(text), -1) {
			forms = append(forms, found[1])
		}
	}
	if len(forms) < 25 {
		t.Fatalf("found only %q", forms)
	}
	count := func() int {
		events, err := s.ui.Store.AuditEvents(t.Context(), store.AuditFilter{Who: "reader", Outcome: ridgeline.AuditRefused})
		ok(t, err)
		return len(events)
	}
	for _, form := range forms {
		if elsewhere[form] != "" {
			continue
		}
		before := count()
		address := regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(form, "1")
		if status, _ := s.post(address); status != http.StatusForbidden || count() != before+1 {
			t.Errorf("POST %s: %d, and the trail has %d events more", form, status, count()-before)
		}
	}
}

// Who signs in and out is in the trail; who cannot, as a stranger, once a minute.
func TestAudit_sign_in(t *testing.T) {
	s := open(t)
	code, err := s.ui.Sessions.AdminLink(t.Context(), time.Now())
	ok(t, err)
	for range 3 {
		s.post("/sign-in", "token", "rl_guess")
	}
	s.get("/sign-in?code=unknown")
	s.get("/sign-in?code=" + code)
	s.get("/sign-in?code=" + code) // who is in already: no harm
	s.post("/sign-out")
	s.get("/sign-in?code=" + code)
	s.signIn("managing")
	s.ui.Door.Close()
	events, err := s.ui.Store.AuditEvents(t.Context(), store.AuditFilter{})
	ok(t, err)
	var got []string
	for _, e := range events {
		if e.Via != "page" || e.Address != "127.0.0.1" || strings.Contains(e.Reason, code) || strings.Contains(e.Reason, "guess") {
			t.Errorf("the trail has %+v", e)
		}
		got = append(got, fmt.Sprint(e.Who, " ", e.Action, " ", e.Subject, " ", e.Outcome, " ", e.Reason, " ", e.Times))
	}
	want := []string{
		"admin sign-in tokens done by token 1", "admin sign-in sign-in-links refused this link was used already 1", "admin sign-out sessions done  1",
		"admin sign-in sign-in-links done by link 1", "stranger sign-in sign-in-links refused this link is not known here 1", "stranger sign-in tokens refused this token is not known here 3",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	// An address that fails too often is told to wait; the page says for how long.
	for range 100 {
		status, text := s.post("/sign-in", "token", "rl_guess")
		if status == http.StatusTooManyRequests {
			if !strings.Contains(text, "try again in") {
				t.Error(text)
			}
			return
		}
	}
	t.Error("a hundred guesses, and none refused")
}

// Verify goes over the whole trail.
func TestAudit_verify(t *testing.T) {
	s := open(t).signIn("managing")
	s.shows("/audit", http.StatusOK, "Verify", "ridgeline audit --verify")
	s.shows("/audit?verify=1", http.StatusOK, "Verified up to", "1 entry")
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
