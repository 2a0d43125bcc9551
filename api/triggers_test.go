package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
	"github.com/ridgeline-mlops/ridgeline/pipeline"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// published gives the project iris a pipeline.
func published(t *testing.T, s *surface, more string) {
	t.Helper()
	ctx, now := t.Context(), time.Now().UTC()
	if _, err := s.store.EnsureProject(ctx, "iris", now); err != nil {
		t.Fatal(err)
	}
	b := ridgeline.Build{ID: "b-1", Project: "iris", Commit: ridgeline.Commit{Hash: hash, Tree: "t", Branch: "main"}, Status: ridgeline.Queued, Caller: "ann", Cause: "push", Created: now,
		Checks: []ridgeline.Check{{Name: "quality", Kind: ridgeline.CheckQuality, Status: ridgeline.Succeeded, Message: "clean"}}}
	for _, err := range []error{
		s.store.CreateBuild(ctx, b),
		s.store.StartBuild(ctx, b.ID, now),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.store.PublishPipeline(ctx, ridgeline.Pipeline{
		Project: "iris", Build: b.ID, Commit: b.Commit, Created: now,
		Config: "project: iris\npython: requirements.txt\npipeline:\n  params: {alpha: 1}\n  steps: {work: {run: python work.py}}\n" + more,
	})
	if err == nil {
		err = s.store.FinishBuild(ctx, b.ID, ridgeline.Succeeded, "", now)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// send makes a request of the writer's and returns its status, headers and body.
func send(t *testing.T, s *surface, method, path, body string, header ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer writer")
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(text)
}

func TestAPI_idempotency(t *testing.T) {
	s := open(t)
	published(t, s, "")
	ask := func(key, body string) (int, string, string) {
		t.Helper()
		code, header, text := send(t, s, "POST", "/projects/iris/runs", body, "Idempotency-Key", key)
		return code, header.Get("Location"), text
	}
	code, where, text := ask("k1", `{"params":{"alpha":"2"}}`)
	if code != http.StatusAccepted || !strings.HasPrefix(where, "/api/v1/runs/r-") {
		t.Fatalf("%d %s %s", code, where, text)
	}
	if code, again, text := ask("k1", `{"params": {"alpha": "2"} }`); code != http.StatusAccepted || again != where {
		t.Errorf("asked again: %d %s %s, want %s", code, again, text, where)
	}
	if code, _, text := ask("k1", `{"params":{"alpha":"3"}}`); code != http.StatusUnprocessableEntity || !strings.Contains(text, `idempotency key \"k1\"`) {
		t.Errorf("something else under the same key: %d %s", code, text)
	}
	if code, other, _ := ask("k2", `{"params":{"alpha":"2"}}`); code != http.StatusAccepted || other == where {
		t.Errorf("another key: %d %s", code, other)
	}
	if code, _, text := ask("k3", `{"reason":"the gate is on"}`); code != http.StatusUnprocessableEntity {
		t.Errorf("what cannot be: %d %s", code, text)
	}
	if code, _, text := ask("k3", `{"params":{"alpha":"2"}}`); code != http.StatusAccepted {
		t.Errorf("a refused request used its key up: %d %s", code, text)
	}
	if code, _, _ := ask(strings.Repeat("k", 256), `{}`); code != http.StatusUnprocessableEntity {
		t.Errorf("an endless key: %d", code)
	}
	rows, err := s.store.Runs(t.Context(), store.RunFilter{})
	if err != nil || len(rows) != 3 {
		t.Errorf("%d runs, %v; want 3", len(rows), err)
	}
	// The run that ended is found as well, and is not started again.
	id := ridgeline.RunID(strings.TrimPrefix(where, "/api/v1/runs/"))
	if err := s.store.FinishRun(t.Context(), id, ridgeline.Failed, "why not", time.Now()); err != nil {
		t.Fatal(err)
	}
	before := len(s.started)
	if code, again, text := ask("k1", `{"params":{"alpha":"2"}}`); code != http.StatusAccepted || again != where || !strings.Contains(text, `"failed"`) || len(s.started) != before {
		t.Errorf("asked again at the end: %d %s %s; started %v", code, again, text, s.started)
	}
}

func TestAPI_receives_events(t *testing.T) {
	s := open(t)
	published(t, s, "  on: {events: {type: com.example.order}}\n")
	const event = `{"specversion":"1.0","id":"1","source":"/shop","type":"com.example.order","data":{}}`
	for _, again := range []bool{false, true} {
		code, _, text := send(t, s, "POST", "/events", event, "Content-Type", "application/cloudevents+json")
		var got api.Received
		if err := json.Unmarshal([]byte(text), &got); err != nil || code != http.StatusAccepted || got.Events != 1 || len(got.Outcomes) != 1 || got.Outcomes[0].Run == "" || got.Outcomes[0].Again != again {
			t.Fatalf("%d %s %v", code, text, err)
		}
	}
	if len(s.started) != 1 || !strings.HasPrefix(s.started[0], pipeline.Kind) {
		t.Errorf("started %v", s.started)
	}
	code, _, text := send(t, s, "POST", "/events?project=iris", "", "Content-Type", "", "ce-specversion", "1.0", "ce-id", "2", "ce-source", "/shop", "ce-type", "com.example.refund")
	if code != http.StatusAccepted || !strings.Contains(text, `"outcomes":[]`) {
		t.Errorf("an event that nobody asked for: %d %s", code, text)
	}
	code, _, text = send(t, s, "POST", "/events", `[{"id":"1","topic":"/t","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"512d38b6"}}]`)
	if code != http.StatusOK || !strings.Contains(text, `"validationResponse":"512d38b6"`) {
		t.Errorf("Event Grid's question: %d %s", code, text)
	}
	code, header, _ := send(t, s, "OPTIONS", "/events", "", "WebHook-Request-Origin", "eventgrid.azure.net")
	if code != http.StatusOK || header.Get("WebHook-Allowed-Origin") != "eventgrid.azure.net" || header.Get("WebHook-Allowed-Rate") != "*" || !strings.Contains(header.Get("Allow"), "POST") {
		t.Errorf("CloudEvents' question: %d %v", code, header)
	}
	for name, c := range map[string]struct {
		path, kind, body string
		code             int
	}{
		"no event":       {"/events", "application/cloudevents+json", "{}", 422},
		"no JSON":        {"/events", "application/cloudevents+json", "{", 422},
		"too large":      {"/events", "application/cloudevents+json", strings.Repeat(" ", 2<<20), 422},
		"nobody's":       {"/events?project=nobody", "application/cloudevents+json", event, 404},
		"no such format": {"/events", "text/csv", "a,b", 422},
	} {
		if code, _, text := send(t, s, "POST", c.path, c.body, "Content-Type", c.kind); code != c.code {
			t.Errorf("%s: %d %s, want %d", name, code, text, c.code)
		}
	}
}

func TestAPI_webhooks(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	target := httptest.NewServer(http.NotFoundHandler())
	defer target.Close()
	w, err := api.Post[api.Webhook](ctx, s.admin, "/api/v1/webhooks", map[string]any{"url": target.URL, "types": []string{"dev.ridgeline.run.*"}})
	if err != nil || !strings.HasPrefix(w.Secret, "whsec_") || w.Caller != "ann" {
		t.Fatalf("%+v, %v", w, err)
	}
	d, err := api.Post[api.Delivery](ctx, s.admin, "/api/v1/webhooks/"+w.ID+"/test", nil)
	if err != nil || d.State != "pending" {
		t.Fatalf("%+v, %v", d, err)
	}
	shown, err := api.Get[api.Webhook](ctx, s.admin, "/api/v1/webhooks/"+w.ID)
	if err != nil || len(shown.Deliveries) != 1 || shown.Deliveries[0].ID != d.ID || shown.Secret != "" {
		t.Errorf("%+v, %v", shown, err)
	}
	if again, err := api.Post[api.Delivery](ctx, s.admin, "/api/v1/deliveries/"+d.ID+"/redeliver", nil); err != nil || again.Event != d.Event {
		t.Errorf("%+v, %v", again, err)
	}
	for body, says := range map[string]string{
		`{"url":"http://169.254.169.254/latest/meta-data"}`: "no public address", `{"url":"gopher://x"}`: "expected one such as",
		`{"url":"` + target.URL + `","types":["dev.ridgeline.rum.*"]}`: "no type of event matches", `{"url":"` + target.URL + `","project":"nobody"}`: "no project nobody",
		`{"url":"` + target.URL + `","secret":"short"}`: "24 to 64 bytes",
	} {
		err := s.admin.Do(ctx, "POST", "/api/v1/webhooks", json.RawMessage(body), nil)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", body, err, says)
		}
	}
	for range 2 {
		err = s.admin.Do(ctx, "POST", "/api/v1/webhooks/"+w.ID+"/remove", nil, nil)
	}
	refused(t, err, ridgeline.NotFound, "no webhook "+w.ID)
	if list, err := api.Get[[]api.Webhook](ctx, s.admin, "/api/v1/webhooks"); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

// What an event says of its subject is what the API answers for it: every
// field of the one is in the other, with the same value.
func TestAPI_event_data(t *testing.T) {
	s := open(t)
	ctx, now := t.Context(), time.Now().UTC()
	published(t, s, "")
	run := ridgeline.Run{ID: "r-1", Project: "iris", Pipeline: 1, Cause: "cli", Caller: "ann", Params: map[string]string{"alpha": "2"}, Data: map[string]int{"points": 3}, Resumes: "r-0", Status: ridgeline.Queued, Created: now}
	release := ridgeline.Release{ID: "l-1", Project: "iris", Model: "iris", Version: 1, Status: ridgeline.Queued, Cause: "cli", Created: now,
		Environments: []ridgeline.ReleaseEnvironment{{Name: "qa", Status: ridgeline.Queued}}}
	do := func(errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	do(s.store.CreateRun(ctx, run), s.store.StartRun(ctx, run.ID, now))
	_, err := s.store.ReserveVersion(ctx, "iris", run.ID)
	do(err,
		s.store.RecordVerdict(ctx, run.ID, ridgeline.Promoted, "iris", 1),
		s.store.RegisterVersion(ctx, ridgeline.ModelVersion{Model: "iris", Version: 1, Project: "iris", Run: run.ID, Pipeline: 1, Commit: hash, Environment: "e", Data: map[string]string{"points": "d"}, Params: run.Params, Artifact: "a", Size: 7, Verdict: ridgeline.Promoted, Champion: true, Created: now}),
		s.store.FinishRun(ctx, run.ID, ridgeline.Succeeded, "better", now),
		s.store.CreateRelease(ctx, release), s.store.StartRelease(ctx, release.ID, now),
		s.store.SaveReleaseEnvironment(ctx, release.ID, ridgeline.ReleaseEnvironment{Name: "qa", Status: ridgeline.Waiting, Message: "approve"}),
		s.store.FinishRelease(ctx, release.ID, ridgeline.Failed, "no", now))
	for {
		n, err := s.store.RelayEvents(ctx, 100, func(context.Context, *store.Store, ridgeline.Event) ([]ridgeline.Delivery, error) { return nil, nil })
		do(err)
		if n == 0 {
			break
		}
	}
	events, err := api.Get[[]api.Event](ctx, s.viewer, "/api/v1/events?project=iris")
	do(err)
	last := map[string]api.Event{} // of each subject, when nothing changes any more
	for _, e := range events {
		last[e.Subject] = e
	}
	for _, subject := range []string{"builds/b-1", "runs/r-1", "models/iris/versions/1", "releases/l-1"} {
		var says, shown map[string]any
		do(json.Unmarshal(last[subject].Data, &says))
		text, err := api.Get[json.RawMessage](ctx, s.viewer, "/api/v1/"+subject)
		do(err)
		decoder := json.NewDecoder(bytes.NewReader(text))
		do(decoder.Decode(&shown))
		if len(says) < 8 {
			t.Errorf("%s: the event says %v", subject, says)
		}
		contained(t, subject, says, shown)
	}
	if after, err := api.Get[[]api.Event](ctx, s.viewer, "/api/v1/events?after=3&limit=2"); err != nil || len(after) != 2 || after[0].Seq != 4 {
		t.Errorf("%+v, %v", after, err)
	}
}

// contained checks that all of a is in b.
func contained(t *testing.T, at string, a, b any) {
	t.Helper()
	switch a := a.(type) {
	case map[string]any:
		other, _ := b.(map[string]any)
		for k, v := range a {
			contained(t, at+"."+k, v, other[k])
		}
	case []any:
		other, _ := b.([]any)
		for i, v := range a {
			if i < len(other) {
				contained(t, at, v, other[i])
			}
		}
		if len(a) != len(other) {
			t.Errorf("%s: the event has %v, the API %v", at, a, b)
		}
	default:
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: the event says %v, the API %v", at, a, b)
		}
	}
}
