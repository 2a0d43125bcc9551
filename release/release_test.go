package release_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/flow"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/release"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/store/storetest"
)

// scorers is a host whose copies are HTTP servers on Unix sockets. What an
// image does is in its name.
type scorers struct {
	mu      sync.Mutex
	dir     string
	running map[ridgeline.DeploymentID]*scorer
	events  []string // what was asked of host and gateway, in order
	away    bool     // the host cannot be reached

	copies map[ridgeline.DeploymentID]int // asked for last
	busy   int                            // requests that each copy says it has
}

type scorer struct {
	image, socket string
	server        *http.Server
}

func (s *scorers) note(format string, args ...any) {
	s.events = append(s.events, fmt.Sprintf(format, args...))
}

func (s *scorers) Apply(_ context.Context, w host.Workload) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return errAway
	}
	s.copies[w.ID] = w.Replicas
	if s.running[w.ID] != nil {
		return nil
	}
	c := &scorer{image: w.Image, socket: filepath.Join(s.dir, string(w.ID))}
	s.note("apply %s", w.Image)
	if !slices.Contains(w.Env, "OTEL_SDK_DISABLED=true") {
		s.note("without what every scorer is told")
	}
	l, err := net.Listen("unix", c.socket)
	if err != nil {
		return err
	}
	first := true
	c.server = &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		s.mu.Lock()
		wake := first && w.Image == "wakes" || w.Image == "slow"
		first = false
		s.mu.Unlock()
		if wake {
			select {
			case <-time.After(400 * time.Millisecond):
			case <-r.Context().Done():
			}
		}
		if r.URL.Path == "/metrics" {
			s.mu.Lock()
			defer s.mu.Unlock()
			fmt.Fprintf(rw, "# TYPE ridgeline_scorer_requests_in_flight gauge\nridgeline_scorer_requests_in_flight %d\n", s.busy)
			return
		}
		if w.Image == "wrong" {
			fmt.Fprint(rw, `{"result": [9]}`)
			return
		}
		fmt.Fprint(rw, `{"result": [1]}`)
	})}
	go func() { _ = c.server.Serve(l) }()
	s.running[w.ID] = c
	return nil
}

func (s *scorers) Observe(_ context.Context, id ridgeline.DeploymentID) (host.Observed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.running[id]
	switch {
	case c == nil:
		return host.Observed{}, nil
	case c.image == "broken":
		return host.Observed{Copies: []host.Copy{{Restarts: 3}}}, nil
	case c.image == "starting":
		return host.Observed{Copies: []host.Copy{{}}}, nil
	}
	return host.Observed{Copies: []host.Copy{{Address: "unix://" + c.socket, Ready: true}}}, nil
}

func (s *scorers) Remove(_ context.Context, id ridgeline.DeploymentID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return errAway
	}
	if c := s.running[id]; c != nil {
		s.note("remove %s", c.image)
		_ = c.server.Close()
		delete(s.running, id)
	}
	return nil
}

func (s *scorers) Log(context.Context, ridgeline.DeploymentID, int64) ([]byte, error) {
	return []byte("loading the model\nModuleNotFoundError: No module named 'iris'\n"), nil
}

func (s *scorers) Workloads(context.Context) ([]ridgeline.DeploymentID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []ridgeline.DeploymentID
	for id := range s.running {
		ids = append(ids, id)
	}
	return ids, nil
}

func (s *scorers) said() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.events
	s.events = nil
	return out
}

const settings = `project: iris
python: requirements.txt
data:
  flowers: {path: flowers.csv, target: kind}
pipeline:
  steps:
    train: {run: python train.py}
  gate: {metric: mse, better: lower}
release:
  score: score.py
  environments:
    qa: {host: process, checks: [smoke.json], replicas: {idle: 5m, hours: "mon-fri 07:00-19:00"}}
    production: {host: process, checks: [smoke.json], approval: %s, replicas: {max: 3, in_flight: 2}}
`

type fixture struct {
	*release.Releaser
	*scorers
	project ridgeline.ProjectName
}

// open makes a project with a published pipeline on a real store, and an
// engine that runs its releases.
func open(t *testing.T, approval string) *fixture {
	t.Helper()
	ctx, log := t.Context(), slog.New(slog.DiscardHandler)
	s, err := store.Open(ctx, storetest.Address(t), log)
	check(t, err)
	blobs, err := blob.Open(ctx, t.TempDir())
	check(t, err)
	engine, err := flow.New(ctx, flow.Options{SQLite: s.SQLite(), Log: log})
	check(t, err)
	sockets, err := os.MkdirTemp("", "rel") // a socket's path may have 107 bytes
	check(t, err)
	f := &fixture{project: "iris", scorers: &scorers{dir: sockets, running: map[ridgeline.DeploymentID]*scorer{}, copies: map[ridgeline.DeploymentID]int{}}}
	f.Releaser = &release.Releaser{Store: s, Blob: blobs, Start: engine.Start, Services: f.scorers, Traffic: f.scorers, Env: []string{"OTEL_SDK_DISABLED=true"}, Trees: t.TempDir(), Log: log}
	engine.Handle(release.Kind, f.Run)
	check(t, engine.Launch(ctx))
	t.Cleanup(func() {
		if err := engine.Shutdown(10 * time.Second); err != nil {
			t.Error(err)
		}
		_ = s.Close()
		for id := range f.running {
			_ = f.Remove(context.Background(), id)
		}
		os.RemoveAll(sockets)
	})

	source := t.TempDir()
	for name, text := range map[string]string{
		"ridgeline.yaml": fmt.Sprintf(settings, approval), "requirements.txt": "", "train.py": "", "score.py": "", "flowers.csv": "width,kind\n1,2\n",
		"smoke.json": `{"request": {"data": [[1]]}, "expect": {"path": "result", "values": [1]}, "max_latency_ms": 200}`,
	} {
		check(t, os.WriteFile(filepath.Join(source, name), []byte(text), 0o600))
	}
	tree, _, err := blobs.PutTree(ctx, source)
	check(t, err)
	now := time.Now().UTC()
	_, err = s.EnsureProject(ctx, f.project, now)
	check(t, err)
	commit := ridgeline.Commit{Project: f.project, Hash: strings.Repeat("0", 40), Tree: tree, Created: now}
	check(t, s.CreateBuild(ctx, ridgeline.Build{ID: "b-1", Project: f.project, Commit: commit, Status: ridgeline.Queued, Created: now}))
	_, err = s.PublishPipeline(ctx, ridgeline.Pipeline{Project: f.project, Build: "b-1", Commit: commit, Environment: "e", Created: now})
	check(t, err)
	return f
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// register adds a promoted version with an image.
func (f *fixture) register(t *testing.T, image string) int {
	t.Helper()
	ctx, now := t.Context(), time.Now().UTC()
	id, err := ridgeline.NewID("r", now, rand.Read)
	check(t, err)
	run := ridgeline.RunID(id)
	check(t, f.Store.CreateRun(ctx, ridgeline.Run{ID: run, Project: f.project, Pipeline: 1, Status: ridgeline.Queued, Created: now}))
	n, err := f.Store.ReserveVersion(ctx, "iris", run)
	check(t, err)
	check(t, f.Store.RegisterVersion(ctx, ridgeline.ModelVersion{
		Model: "iris", Version: n, Project: f.project, Run: run, Pipeline: 1, Image: image, Verdict: ridgeline.Promoted, Report: []byte("{}"), Created: now,
	}))
	return n
}

// until reads a release until it is as wanted.
func (f *fixture) until(t *testing.T, id ridgeline.ReleaseID, what string, ok func(ridgeline.Release) bool) ridgeline.Release {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		row, err := f.Store.Release(t.Context(), id)
		check(t, err)
		if ok(row) {
			return row
		}
		if time.Now().After(deadline) {
			t.Fatalf("release %s never was %s: %+v", id, what, row)
		}
	}
}

func (f *fixture) end(t *testing.T, id ridgeline.ReleaseID) ridgeline.Release {
	t.Helper()
	return f.until(t, id, "at its end", func(r ridgeline.Release) bool { return r.Status.Terminal() })
}

// release submits a release of the champion and follows it to its end.
func (f *fixture) release(t *testing.T) ridgeline.Release {
	t.Helper()
	row, err := f.Submit(t.Context(), release.Request{Model: "iris", Cause: "test", Caller: "ann"})
	check(t, err)
	return f.end(t, row.ID)
}

// live is the version that an environment's endpoint sends requests to.
func (f *fixture) live(t *testing.T, environment string) int {
	t.Helper()
	e, err := f.Store.Endpoint(t.Context(), f.project, environment)
	if ridgeline.CodeOf(err) == ridgeline.NotFound || e.Live == "" {
		return 0
	}
	check(t, err)
	d, err := f.Store.Deployment(t.Context(), e.Live)
	check(t, err)
	return d.Version
}

func (f *fixture) expect(t *testing.T, events ...string) {
	t.Helper()
	if got := f.said(); !slices.Equal(got, events) {
		t.Errorf("did %q, want %q", got, events)
	}
}

func TestReleaser_one_environment_after_the_other(t *testing.T) {
	t.Parallel()
	f := open(t, "none")
	one := f.register(t, "one")
	row := f.release(t)
	if row.Status != ridgeline.Succeeded || row.Reason != "" || len(row.Environments) != 2 {
		t.Fatalf("got %+v", row)
	}
	for _, e := range row.Environments {
		if e.Status != ridgeline.Succeeded || f.live(t, e.Name) != one || e.Image != "one" || e.Deployment == "" {
			t.Errorf("%+v; version %d is live", e, f.live(t, e.Name))
		}
	}
	f.expect(t, "apply one", "switch qa", "apply one", "switch production")
	// The next one is placed beside it, and takes over before it goes.
	two := f.register(t, "two")
	if row := f.release(t); row.Status != ridgeline.Succeeded || f.live(t, "production") != two {
		t.Fatalf("got %+v", row)
	}
	f.expect(t, "apply two", "switch qa", "drain one", "remove one", "apply two", "switch production", "drain one", "remove one")
}

func TestReleaser_what_fails_changes_nothing(t *testing.T) {
	t.Parallel()
	for image, says := range map[string]string{
		"broken": "qa: version 2 never became ready",
		"wrong":  "qa: smoke test smoke.json, case 1",
		"slow":   "qa: smoke test smoke.json, case 1",
	} {
		t.Run(image, func(t *testing.T) {
			t.Parallel()
			f := open(t, "none")
			f.register(t, "good")
			f.release(t)
			f.said()
			f.register(t, image)
			row := f.release(t)
			if row.Status != ridgeline.Failed || !strings.Contains(row.Reason, says) || !strings.Contains(row.Reason, "ModuleNotFoundError") {
				t.Errorf("ended as %s: %s; want %q and the scorer's last lines", row.Status, row.Reason, says)
			}
			if f.live(t, "qa") != 1 || f.live(t, "production") != 1 {
				t.Errorf("live are %d and %d, want 1 as before", f.live(t, "qa"), f.live(t, "production"))
			}
			if row.Environments[0].Status != ridgeline.Failed || row.Environments[1].Status != ridgeline.Cancelled || row.Environments[1].Message != "not reached" {
				t.Errorf("environments %+v", row.Environments)
			}
			if d, err := f.Store.Deployment(t.Context(), row.Environments[0].Deployment); err != nil || d.State != ridgeline.DeploymentRetired {
				t.Errorf("its deployment is %s, %v", d.State, err)
			}
			f.expect(t, "apply "+image, "remove "+image)
		})
	}
}

// The first request to a fresh process may pay for what it imports.
func TestReleaser_a_slow_first_answer_is_forgiven(t *testing.T) {
	t.Parallel()
	f := open(t, "none")
	f.register(t, "wakes")
	if row := f.release(t); row.Status != ridgeline.Succeeded {
		t.Errorf("ended as %s: %s", row.Status, row.Reason)
	}
}

func waits(r ridgeline.Release) bool { return r.Environments[1].Status == ridgeline.Waiting }

func TestReleaser_approval(t *testing.T) {
	t.Parallel()
	submit := func(t *testing.T, f *fixture) ridgeline.ReleaseID {
		t.Helper()
		f.register(t, "good")
		row, err := f.Submit(t.Context(), release.Request{Model: "iris"})
		check(t, err)
		got := f.until(t, row.ID, "waiting", waits)
		if !strings.Contains(got.Environments[1].Message, "ridgeline approve "+string(row.ID)) {
			t.Errorf("says %q", got.Environments[1].Message)
		}
		if f.live(t, "qa") != 1 || f.live(t, "production") != 0 {
			t.Errorf("while it waits, live are %d and %d", f.live(t, "qa"), f.live(t, "production"))
		}
		return row.ID
	}
	t.Run("given", func(t *testing.T) {
		t.Parallel()
		f := open(t, "required")
		id := submit(t, f)
		check(t, f.Approve(t.Context(), id, "bob"))
		if row := f.end(t, id); row.Status != ridgeline.Succeeded || f.live(t, "production") != 1 {
			t.Errorf("got %+v", row)
		}
		// What it looked at is kept, with what it found.
		all, err := f.Store.ReleaseChecks(t.Context(), id)
		check(t, err)
		var got []string
		for _, c := range all {
			got = append(got, c.Environment+" "+c.Name+" "+string(c.Status))
			if c.Message == "" || c.Started.IsZero() || c.Ended.Before(c.Started) {
				t.Errorf("without evidence: %+v", c)
			}
			if c.Name == "approval" && c.Message != "approved by bob" {
				t.Errorf("approval says %q", c.Message)
			}
		}
		want := []string{
			"qa ready succeeded", "qa smoke.json, case 1 succeeded", "qa switch succeeded",
			"production approval succeeded", "production ready succeeded", "production smoke.json, case 1 succeeded", "production switch succeeded",
		}
		if !slices.Equal(got, want) {
			t.Errorf("looked at %q, want %q", got, want)
		}
		if err := f.Approve(t.Context(), id, "bob"); ridgeline.CodeOf(err) != ridgeline.Conflict {
			t.Errorf("approved once more: %v, want Conflict", err)
		}
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		f := open(t, "required")
		id := submit(t, f)
		check(t, f.Reject(t.Context(), id))
		row := f.end(t, id)
		if row.Status != ridgeline.Cancelled || f.live(t, "qa") != 1 || f.live(t, "production") != 0 || !strings.Contains(row.Reason, "rejected") {
			t.Errorf("got %+v", row)
		}
		if err := f.Reject(t.Context(), id); ridgeline.CodeOf(err) != ridgeline.Conflict {
			t.Errorf("rejected once more: %v, want Conflict", err)
		}
	})
	t.Run("unknown", func(t *testing.T) {
		f := open(t, "required")
		if err := f.Approve(t.Context(), "l-none", "bob"); ridgeline.CodeOf(err) != ridgeline.NotFound {
			t.Errorf("got %v, want NotFound", err)
		}
	})
}

func TestReleaser_Rollback(t *testing.T) {
	t.Parallel()
	f := open(t, "none")
	ctx := t.Context()
	f.register(t, "one")
	f.release(t)
	if _, err := f.Rollback(ctx, f.project, "production", "ann"); ridgeline.CodeOf(err) != ridgeline.Conflict || !strings.Contains(err.Error(), "no earlier version") {
		t.Errorf("with nothing to go back to: %v", err)
	}
	f.register(t, "two")
	f.release(t)
	f.said()
	row, err := f.Rollback(ctx, f.project, "production", "ann")
	check(t, err)
	row = f.end(t, row.ID)
	if row.Status != ridgeline.Succeeded || row.Cause != "rollback" || row.Version != 1 || len(row.Environments) != 1 {
		t.Errorf("got %+v", row)
	}
	if f.live(t, "production") != 1 || f.live(t, "qa") != 2 {
		t.Errorf("live are %d and %d, want qa as it was", f.live(t, "qa"), f.live(t, "production"))
	}
	f.expect(t, "apply one", "switch production", "drain two", "remove two")
}

// Two versions side by side, until the traffic says which one stays.
func TestReleaser_Beside(t *testing.T) {
	t.Parallel()
	f := open(t, "none")
	ctx := t.Context()
	beside := func(version int) ridgeline.Release {
		t.Helper()
		row, err := f.Submit(ctx, release.Request{Model: "iris", Version: version, Environment: "production", Beside: true})
		check(t, err)
		return f.end(t, row.ID)
	}
	traffic := func() string {
		t.Helper()
		_, live, err := f.Store.Serving(ctx, f.project, "production")
		check(t, err)
		return ridgeline.TrafficText(live)
	}
	one, two := f.register(t, "one"), f.register(t, "two")
	if row := beside(one); row.Status != ridgeline.Succeeded || traffic() != "v1=100" {
		t.Fatalf("beside nothing: %+v, %s", row, traffic())
	}
	f.said()
	if row := beside(two); row.Status != ridgeline.Succeeded || traffic() != "v2=0 v1=100" || !strings.Contains(row.Environments[0].Message, "stands beside") {
		t.Fatalf("got %+v, %s", row, traffic())
	}
	f.expect(t, "apply two", "switch production")
	if _, err := f.Submit(ctx, release.Request{Model: "iris", Version: two, Environment: "production", Beside: true}); ridgeline.CodeOf(err) != ridgeline.Conflict {
		t.Errorf("a second v2: %v, want Conflict", err)
	}
	// What fails beside changes nothing.
	if row := beside(f.register(t, "broken")); row.Status != ridgeline.Failed || traffic() != "v2=0 v1=100" {
		t.Errorf("got %+v, %s", row, traffic())
	}
	f.expect(t, "apply broken", "remove broken")

	if err := f.Retire(ctx, f.project, "production", one); ridgeline.CodeOf(err) != ridgeline.Conflict {
		t.Errorf("retired with all requests: %v, want Conflict", err)
	}
	check(t, f.SetTraffic(ctx, f.project, "production", ridgeline.Traffic{Weights: map[int]int{one: 90, two: 10}}))
	// A rollback undoes the tenth, and leaves one version.
	row, err := f.Rollback(ctx, f.project, "production", "ann")
	check(t, err)
	f.end(t, row.ID)
	if traffic() != "v1=100" {
		t.Errorf("after the rollback: %s", traffic())
	}
	said := f.said()
	slices.Sort(said[len(said)-4:]) // in whichever order they go
	if want := []string{"switch production", "apply one", "switch production", "drain one", "drain two", "remove one", "remove two"}; !slices.Equal(said, want) {
		t.Errorf("did %q, want %q", said, want)
	}

	beside(two)
	check(t, f.SetTraffic(ctx, f.project, "production", ridgeline.Traffic{Weights: map[int]int{two: 100}}))
	f.said()
	check(t, f.Retire(ctx, f.project, "production", one))
	f.expect(t, "switch production", "drain one", "remove one")
	if err := f.Retire(ctx, f.project, "production", one); ridgeline.CodeOf(err) != ridgeline.NotFound {
		t.Errorf("retired twice: %v, want NotFound", err)
	}
}

func TestReleaser_Submit_refuses(t *testing.T) {
	t.Parallel()
	f := open(t, "none")
	refuses := func(request release.Request, says string) {
		t.Helper()
		_, err := f.Submit(t.Context(), request)
		if ridgeline.CodeOf(err) != ridgeline.NotFound || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: got %v, want NotFound and %q", request, err, says)
		}
	}
	refuses(release.Request{Model: "iris"}, "no champion yet")
	f.register(t, "one")
	refuses(release.Request{Model: "iris", Version: 7}, "iris")
	refuses(release.Request{Model: "iris", Environment: "moon"}, "it has [qa production]")
	if rows, err := f.Store.Releases(t.Context(), store.ReleaseFilter{}); err != nil || len(rows) != 0 {
		t.Errorf("what was refused left %v, %v", rows, err)
	}
}

func TestReleaser_Reconcile(t *testing.T) {
	t.Parallel()
	f := open(t, "none")
	ctx := t.Context()
	f.register(t, "one")
	row := f.release(t)
	lost := row.Environments[0].Deployment
	check(t, f.Remove(ctx, lost)) // as after a reboot
	check(t, f.Apply(ctx, host.Workload{ID: "d-unknown", Image: "stray", Replicas: 1}))
	f.said()
	for range 2 { // again changes nothing
		check(t, f.Reconcile(ctx))
	}
	f.expect(t, "apply one", "remove stray")
	ids, err := f.Workloads(ctx)
	check(t, err)
	slices.Sort(ids)
	want := []ridgeline.DeploymentID{lost, row.Environments[1].Deployment}
	slices.Sort(want)
	if !slices.Equal(ids, want) {
		t.Errorf("there are %v, want what is live: %v", ids, want)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := f.Reconcile(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

// A meanwhile is a host on which something begins while it is asked what is there.
type meanwhile struct {
	host.Services
	begin func()
}

func (m meanwhile) Workloads(ctx context.Context) ([]ridgeline.DeploymentID, error) {
	m.begin()
	return m.Services.Workloads(ctx)
}

func TestReleaser_Reconcile_while_a_release_begins(t *testing.T) {
	t.Parallel()
	f := open(t, "none")
	f.register(t, "starting") // and never ready
	var id ridgeline.ReleaseID
	f.Services = meanwhile{f.scorers, func() {
		row, err := f.Submit(t.Context(), release.Request{Project: "iris", Model: "iris", Version: 1, Cause: "test"})
		check(t, err)
		id = row.ID
		f.until(t, id, "runs its first copy", func(ridgeline.Release) bool {
			ids, err := f.scorers.Workloads(t.Context())
			check(t, err)
			return len(ids) == 1
		})
	}}
	check(t, f.Reconcile(t.Context()))
	f.expect(t, "apply starting") // and it was not taken away
}
