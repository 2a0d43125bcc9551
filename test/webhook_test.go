package test

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestKillWebhooks: while the server is killed again and again, and the
// receiver fails now and then, every event of the feed arrives, and those
// about one thing in their order.
func TestKillWebhooks(t *testing.T) {
	type event struct{ ID, Type, Subject string }
	var mu sync.Mutex
	var got []event
	seen := map[string]bool{}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var e event
		if err == nil {
			err = json.Unmarshal(body, &e)
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil || rand.IntN(4) == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if !seen[e.ID] {
			got = append(got, e)
		}
		seen[e.ID] = true
	}))
	defer receiver.Close()

	r := newRidgeline(t, "--webhook-networks", "127.0.0.1")
	hook := decode[struct{ ID string }](t, r.must(t.TempDir(), "webhook", "add", receiver.URL, "--json"))
	dir := filepath.Join(t.TempDir(), "hooked")
	for name, text := range map[string]string{
		"ridgeline.yaml":   "project: hooked\npython: requirements.txt\npipeline:\n  on: {push: false}\n  steps:\n    first: \"true\"\n    second: test $RIDGELINE_PARAM_GOOD = yes\n",
		"requirements.txt": "",
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := commit(dir, "hooked"); err != nil {
		t.Fatal(err)
	}
	r.must(dir, "push")
	rounds := 4
	if testing.Short() {
		rounds = 2
	}
	for i := range rounds {
		r.must(dir, "train", "--detach", "--param", "good="+[]string{"yes", "no"}[i%2])
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond) // any moment will do
		r.kill()
		r.start()
	}
	type run struct{ ID, Status string }
	eventually(t, 60*time.Second, "all runs have ended", func() bool {
		runs := decode[[]run](t, r.must(dir, "runs", "--project", "hooked", "--json"))
		return len(runs) == rounds && !slices.ContainsFunc(runs, func(r run) bool { return r.Status != "succeeded" && r.Status != "failed" })
	})
	var feed []event
	eventually(t, 60*time.Second, "all events have arrived", func() bool {
		// What waits for its next attempt is asked for now.
		type delivery struct{ ID, Subject, State string }
		asked := map[string]bool{}
		for _, d := range slices.Backward(decode[struct{ Deliveries []delivery }](t, r.must(dir, "webhook", "show", hook.ID, "--limit", "1000", "--json")).Deliveries) {
			if d.State != "delivered" && !asked[d.Subject] {
				asked[d.Subject] = true // the ones behind it follow
				r.do(dir, "webhook", "redeliver", d.ID)
			}
		}
		feed = decode[[]event](t, r.must(dir, "events", "--limit", "1000", "--json"))
		mu.Lock()
		defer mu.Unlock()
		return len(feed) == len(got) && len(feed) > 3*rounds
	})
	order := func(all []event) map[string][]string {
		out := map[string][]string{}
		for _, e := range all {
			out[e.Subject] = append(out[e.Subject], e.ID+" "+e.Type)
		}
		return out
	}
	arrived := order(got)
	for subject, want := range order(feed) {
		if !slices.Equal(arrived[subject], want) {
			t.Errorf("%s: arrived %v, want %v", subject, arrived[subject], want)
		}
		if strings.HasPrefix(subject, "runs/") && len(want) != 3 {
			t.Errorf("%s has %d events, want queued, started and its end: %v", subject, len(want), want)
		}
	}
}
