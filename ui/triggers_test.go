package ui

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/forge"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/trigger"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
	"github.com/ridgeline-mlops/ridgeline/vault"
)

// wired is a furnished site whose triggers are real.
func wired(t *testing.T) *site {
	t.Helper()
	s := furnish(t)
	secrets, err := vault.Open(t.TempDir())
	ok(t, err)
	s.ui.Webhooks = trigger.NewWebhooks(s.ui.Store, secrets, trigger.Networks{netip.MustParsePrefix("127.0.0.0/8")}, "http://test")
	s.ui.Remotes = forge.New(forge.Options{Store: s.ui.Store, Blob: s.ui.Blob, Builds: s.ui.Builds, Vault: secrets, Dir: t.TempDir(), Temp: t.TempDir(), URL: "http://test", Log: slog.New(slog.DiscardHandler)})
	s.ui.Schedules = &trigger.Schedules{Store: s.ui.Store, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	return s
}

// between is what stands between two texts of a page.
func between(t *testing.T, page, from, to string) string {
	t.Helper()
	_, rest, found := strings.Cut(page, from)
	inside, _, ends := strings.Cut(rest, to)
	if !found || !ends {
		t.Fatalf("no %q before %q in %s", from, to, page)
	}
	return inside
}

// wrong wants a form that was not taken: what is wrong beside its field, what
// was typed still there, and no secret.
func (s *site) wrong(path, field, problem, typed string, pairs ...string) {
	s.t.Helper()
	status, text := s.post(path, pairs...)
	at := strings.Index(text, `name="`+field+`"`)
	if status != http.StatusUnprocessableEntity && status != http.StatusForbidden || at < 0 {
		s.t.Fatalf("%d, no field %s: %s", status, field, text)
	}
	inside, _, _ := strings.Cut(text[at:], "</label>")
	if !strings.Contains(inside, "aria-invalid") || !strings.Contains(inside, problem) {
		s.t.Errorf("beside %s: %s", field, inside)
	}
	if !strings.Contains(text, typed) || strings.Contains(text, "hidden-thing") {
		s.t.Errorf("%q is gone, or a secret is there: %s", typed, text)
	}
}

func TestWebhooks(t *testing.T) {
	s := wired(t)
	s.shows("/settings", http.StatusOK, "Add a webhook", "ridgeline webhook add URL", ">iris</option>")
	s.wrong("/settings/webhooks", "url", "expected one such as", `value="nowhere"`, "url", "nowhere", "secret", "hidden-thing")
	s.wrong("/settings/webhooks", "url", "10.0.0.1", "10.0.0.1", "url", "http://10.0.0.1/hook")
	s.wrong("/settings/webhooks", "types", "no type of event", "dev.other.*", "url", "http://127.0.0.1:9/x", "types", "dev.other.*", "secret", "hidden-thing")
	s.wrong("/settings/webhooks", "secret", "24 to 64 bytes", "127.0.0.1:9", "url", "http://127.0.0.1:9/x", "secret", "hidden-thing")

	_, page := s.post("/settings/webhooks", "url", "http://127.0.0.1:9/hook", "project", "iris", "types", "dev.ridgeline.run.*, dev.ridgeline.build.*")
	secret := between(t, page, "<code>"+trigger.SecretPrefix, "</code>")
	subs, err := s.ui.Store.Subscriptions(t.Context())
	ok(t, err)
	if len(subs) != 1 || len(subs[0].Types) != 2 || subs[0].Caller != "admin" || subs[0].Project != "iris" || len(secret) < 32 {
		t.Fatalf("%+v, secret %q", subs, secret)
	}
	at := components.Path("settings", "webhooks", subs[0].ID)
	if text := s.shows(at, http.StatusOK, "No message yet", "dev.ridgeline.run.*", "ridgeline webhook test "+subs[0].ID); strings.Contains(text, secret) {
		t.Error("its secret is shown twice")
	}
	if status, text := s.post(at + "/test"); status != http.StatusOK || !strings.Contains(text, ridgeline.EventWebhookTest) || !strings.Contains(text, "Send again") {
		t.Errorf("test: %d %s", status, text)
	}
	sent, err := s.ui.Store.Deliveries(t.Context(), store.Target{Kind: ridgeline.DeliveryWebhook, Name: subs[0].ID}, 5)
	ok(t, err)
	if status, text := s.post(components.Path("settings", "deliveries", sent[0].ID, "redeliver")); status != http.StatusOK || !strings.Contains(text, "Webhook</h1>") {
		t.Errorf("send again: %d %s", status, text)
	}
	if _, text := s.post(at + "/remove"); strings.Contains(text, subs[0].ID+`"`) && strings.Contains(text, `href="`+at) {
		t.Errorf("it is still there: %s", text)
	}
	if status, _ := s.post(at + "/remove"); status != http.StatusNotFound {
		t.Errorf("removed twice: %d", status)
	}
	s.shows("/audit?subject=webhooks", http.StatusOK, "add-webhook", "test-webhook", "remove-webhook")
	if text := s.shows("/audit", http.StatusOK); strings.Contains(text, secret) || strings.Contains(text, "hidden-thing") {
		t.Error("the audit trail has a secret")
	}
}

func TestRemotes(t *testing.T) {
	s := wired(t)
	s.shows("/projects/iris", http.StatusOK, "Add a remote", "ridgeline remote add NAME")
	const add, good = "/projects/iris/remotes", "https://example.com/acme/iris.git"
	s.wrong(add, "name", "remote name", `value="NO"`, "name", "NO", "forge", "gitlab", "url", good, "token", "hidden-thing")
	s.wrong(add, "url", "repository address", `value="nowhere"`, "name", "origin", "forge", "gitlab", "url", "nowhere", "deploy_key", "hidden-thing")
	s.wrong(add, "deploy_key", "give its deploy key", "git@example.com", "name", "origin", "forge", "gitlab", "url", "git@example.com:acme/iris.git")
	s.wrong(add, "api", "API address", "nothing", "name", "origin", "forge", "gitea", "url", good, "api", "nothing")
	s.wrong(add, "known_hosts", "known hosts", "example.com ssh", "name", "origin", "forge", "gitea", "url", good, "known_hosts", "example.com ssh-rsa")
	s.wrong(add, "secret", "at least 8", good, "name", "origin", "forge", "gitea", "url", good, "secret", "short")

	status, page := s.post(add, "name", "origin", "forge", "gitlab", "url", good, "token", "hidden-thing", "forks", "yes")
	secret := between(t, page, "is shown this once", "</code>")
	secret = secret[strings.LastIndex(secret, ">")+1:]
	r, err := s.ui.Store.Remote(t.Context(), "iris", "origin")
	ok(t, err)
	if status != http.StatusCreated || len(secret) < 32 || r.Forge != ridgeline.GitLab || !r.Forks || r.Token == "" || strings.Contains(page, "hidden-thing") {
		t.Errorf("%d %+v %q %s", status, r, secret, page)
	}
	if text := s.shows(add+"/origin", http.StatusOK, "http://test/api/v1/projects/iris/hooks/origin", "a token", "Nothing announced yet"); strings.Contains(text, secret) {
		t.Error("the secret is shown twice")
	}
	s.shows("/settings", http.StatusOK, `href="/projects/iris/remotes/origin"`)
	s.shows("/audit?subject=projects/iris/remotes/origin", http.StatusOK, "add-remote", "projects/iris")
	if status, text := s.post(add + "/origin/remove"); status != http.StatusOK || strings.Contains(text, "remotes/origin\"") {
		t.Errorf("removed: %d %s", status, text)
	}
	s.shows(add+"/origin", http.StatusNotFound)
}

// A remote that cannot be fetched from says why, on its page.
func TestRemotes_test(t *testing.T) {
	s := wired(t)
	nothing := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(nothing.Close)
	_, page := s.post("/projects/iris/remotes", "name", "origin", "forge", "gitea", "url", nothing.URL+"/acme/iris.git")
	if !strings.Contains(page, "Remote origin") {
		t.Fatal(page)
	}
	if status, text := s.post("/projects/iris/remotes/origin/test"); status != http.StatusOK || !strings.Contains(text, "not yet") || !strings.Contains(text, "it has not called yet") {
		t.Errorf("%d %s", status, text)
	}
}

func TestSchedules(t *testing.T) {
	s := wired(t)
	due := time.Now().Add(time.Hour).UTC()
	ok(t, s.ui.Store.SetSchedules(t.Context(), store.Published{Project: "iris", Version: 1}, []ridgeline.Schedule{{Project: "iris", Kind: ridgeline.ScheduleRun, Cron: "0 3 * * 1", Zone: "UTC", Missed: "skip", Due: due}}))
	s.shows("/settings", http.StatusOK, "ridgeline schedules pause iris")
	if status, text := s.post("/projects/iris/schedules/pause"); status != http.StatusOK || !strings.Contains(text, "paused") || !strings.Contains(text, "ridgeline schedules resume iris") {
		t.Errorf("pause: %d %s", status, text)
	}
	if status, text := s.post("/projects/iris/schedules/resume"); status != http.StatusOK || !strings.Contains(text, "ridgeline schedules pause iris") {
		t.Errorf("resume: %d %s", status, text)
	}
	s.shows("/audit?subject=projects/iris", http.StatusOK, "pause-schedules", "resume-schedules")
}
