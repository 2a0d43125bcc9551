package trigger

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/pipeline"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// schedulerState makes the test program a server that deals with schedules
// until it is killed.
const schedulerState = "RIDGELINE_TEST_SCHEDULER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(schedulerState); dir != "" {
		scheduleForEver(dir)
	}
	os.Exit(m.Run())
}

// midnight is when the tests' clocks begin.
var midnight = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// publish makes text the ridgeline.yaml of the project's newest pipeline.
func publish(t testing.TB, s *store.Store, blobs *blob.Store, text string, at time.Time) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{project.FileName: text, "requirements.txt": ""} {
		ok(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	must(project.Load(dir))(t)
	tree, _, err := blobs.PutTree(t.Context(), dir)
	ok(t, err)
	b := ridgeline.Build{ID: ridgeline.BuildID("b-" + tree[:10] + strconv.Itoa(rand.Int())), Project: "iris", Commit: ridgeline.Commit{Hash: tree, Tree: tree}, Status: ridgeline.Queued, Created: at}
	ok(t, s.CreateBuild(t.Context(), b))
	must(s.PublishPipeline(t.Context(), ridgeline.Pipeline{Project: "iris", Build: b.ID, Commit: b.Commit, Created: at}))(t)
	ok(t, s.FinishBuild(t.Context(), b.ID, ridgeline.Succeeded, "", at))
}

const head = "project: iris\npython: requirements.txt\npipeline:\n  steps: {work: {run: python work.py}}\n"

func on(lines ...string) string { return head + "  on:\n    " + strings.Join(lines, "\n    ") + "\n" }

// A scene is what schedules and the inbox work on: a real store, real blobs,
// the real creation of runs, and a clock that a test sets.
type scene struct {
	store     *store.Store
	blobs     *blob.Store
	runner    *pipeline.Runner
	schedules *Schedules
	mu        sync.Mutex
	now       time.Time
	started   []string
}

func newScene(t testing.TB) *scene {
	t.Helper()
	s := &scene{store: openStore(t), blobs: must(blob.Open(t.Context(), t.TempDir()))(t), now: midnight}
	s.wire(t.TempDir())
	return s
}

func (s *scene) wire(trees string) {
	s.runner = &pipeline.Runner{Store: s.store, Blob: s.blobs, Trees: trees}
	s.schedules = &Schedules{
		Store: s.store, Config: s.runner.Config, Create: s.runner.Create, Log: slog.New(slog.DiscardHandler),
		Nightly: func(ctx context.Context, tx *store.Store, p ridgeline.ProjectName) (ridgeline.Build, error) {
			row, err := tx.Pipeline(ctx, p, 0)
			if err != nil {
				return ridgeline.Build{}, err
			}
			b := ridgeline.Build{ID: ridgeline.BuildID("b-nightly-" + strconv.Itoa(rand.Int())), Project: p, Commit: row.Commit, Status: ridgeline.Queued, Created: time.Now()}
			return b, tx.CreateBuild(ctx, b)
		},
		Started: func(_ context.Context, kind, id string) error {
			s.started = append(s.started, kind+" "+id)
			return nil
		},
		Now: func() time.Time {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.now
		},
	}
}

// at sets the clock, lets the schedules work, and returns the causes of all
// runs up to now, oldest first.
func (s *scene) at(t testing.TB, clock string) []string {
	t.Helper()
	s.now = must(time.Parse("2006-01-02 15:04:05", clock))(t)
	ok(t, s.schedules.Tick(t.Context()))
	return s.causes(t)
}

func (s *scene) causes(t testing.TB) []string {
	t.Helper()
	runs := must(s.store.Runs(t.Context(), store.RunFilter{}))(t)
	slices.SortFunc(runs, func(a, b ridgeline.Run) int { return a.Created.Compare(b.Created) })
	out := []string{}
	for _, r := range runs {
		out = append(out, r.Cause)
	}
	return out
}

func same(t testing.TB, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

func TestSchedules(t *testing.T) {
	s := newScene(t)
	publish(t, s.store, s.blobs, on(`schedule: {cron: "0 3 * * *", zone: Europe/Berlin}`), midnight)
	same(t, s.at(t, "2026-03-01 01:59:59"), []string{})
	want := []string{"schedule 0 3 * * * Europe/Berlin at 2026-03-01T02:00Z"}
	same(t, s.at(t, "2026-03-01 02:00:00"), want)
	same(t, s.at(t, "2026-03-01 02:00:01"), want)
	if len(s.started) != 1 || !strings.HasPrefix(s.started[0], "run r-") {
		t.Error(s.started)
	}

	// A pipeline with the same schedule and another one: the first keeps its
	// place, the second begins.
	publish(t, s.store, s.blobs, on(`schedule:`, `  - {cron: "0 3 * * *", zone: Europe/Berlin}`, `  - "30 * * * *"`), midnight.Add(26*time.Hour+15*time.Minute))
	want = append(want, "schedule 30 * * * * at 2026-03-02T02:30Z", "schedule 0 3 * * * Europe/Berlin at 2026-03-02T02:00Z")
	got := s.at(t, "2026-03-02 02:30:00")
	slices.Sort(got)
	slices.Sort(want)
	same(t, got, want)

	// Without it, nothing is due any more.
	publish(t, s.store, s.blobs, head, midnight.Add(27*time.Hour))
	if got := s.at(t, "2026-03-09 00:00:00"); len(got) != 3 {
		t.Error(got)
	}
	if all := must(s.store.Schedules(t.Context(), store.ScheduleFilter{}))(t); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

func TestSchedules_Missed(t *testing.T) {
	for missed, c := range map[string]struct {
		back    string // the moment when the server is there again
		want    []string
		skipped int
	}{
		"skip": {"2026-03-01 05:30:00", []string{}, 5},
		"once": {"2026-03-01 05:30:00", []string{"05:00"}, 4},
		"all":  {"2026-03-01 05:30:00", []string{"01:00", "02:00", "03:00", "04:00", "05:00"}, 0},
	} {
		t.Run(missed, func(t *testing.T) {
			s := newScene(t)
			publish(t, s.store, s.blobs, on(`schedule: {cron: "0 * * * *", missed: `+missed+`}`), midnight)
			same(t, s.at(t, "2026-03-01 00:30:00"), []string{})
			want := []string{}
			for _, w := range c.want {
				want = append(want, "schedule 0 * * * * at 2026-03-01T"+w+"Z")
			}
			same(t, s.at(t, c.back), want)
			row := must(s.store.Schedules(t.Context(), store.ScheduleFilter{}))(t)[0]
			if row.Skipped != c.skipped || !row.Due.Equal(midnight.Add(6*time.Hour)) {
				t.Errorf("%+v", row)
			}
			want = append(want, "schedule 0 * * * * at 2026-03-01T06:00Z") // on time under each
			same(t, s.at(t, "2026-03-01 06:00:30"), want)
			var told int
			for _, e := range feed(t, s.store) {
				if e.Type == ridgeline.EventScheduleSkipped {
					var data struct {
						Skipped int
						Reason  string
					}
					ok(t, json.Unmarshal(e.Data, &data))
					told += data.Skipped
				}
			}
			if told != c.skipped {
				t.Errorf("events tell of %d skipped due times, want %d", told, c.skipped)
			}
		})
	}
}

func feed(t testing.TB, s *store.Store) []ridgeline.Event {
	t.Helper()
	must(s.RelayEvents(t.Context(), 10000, func(context.Context, *store.Store, ridgeline.Event) ([]ridgeline.Delivery, error) { return nil, nil }))(t)
	return must(s.Events(t.Context(), store.EventFilter{}))(t)
}

// A pipeline that refuses a second run beside one that has not ended: the due
// time is recorded as skipped, with the reason, and told.
func TestSchedules_Overlap(t *testing.T) {
	s := newScene(t)
	publish(t, s.store, s.blobs, strings.Replace(on(`schedule: "0 * * * *"`), "pipeline:\n", "pipeline:\n  overlap: reject\n", 1), midnight)
	same(t, s.at(t, "2026-03-01 01:00:00"), []string{"schedule 0 * * * * at 2026-03-01T01:00Z"})
	same(t, s.at(t, "2026-03-01 02:00:00"), []string{"schedule 0 * * * * at 2026-03-01T01:00Z"})
	row := must(s.store.Schedules(t.Context(), store.ScheduleFilter{Project: "iris"}))(t)[0]
	if row.Started != "" || !strings.Contains(row.Reason, "overlap is reject") || row.Skipped != 1 || !row.Last.Equal(midnight.Add(2*time.Hour)) {
		t.Errorf("%+v", row)
	}
	all := feed(t, s.store)
	if last := all[len(all)-1]; last.Type != ridgeline.EventScheduleSkipped || !strings.Contains(string(last.Data), "overlap is reject") {
		t.Errorf("%+v", last)
	}
	run := must(s.store.Runs(t.Context(), store.RunFilter{}))(t)[0]
	ok(t, s.store.FinishRun(t.Context(), run.ID, ridgeline.Failed, "", time.Now()))
	if got := s.at(t, "2026-03-01 03:00:00"); len(got) != 2 {
		t.Error(got)
	}
	row = must(s.store.Schedules(t.Context(), store.ScheduleFilter{Project: "iris"}))(t)[0]
	if row.Started == "" || row.Reason != "" {
		t.Errorf("%+v", row)
	}
}

func TestSchedules_Pause(t *testing.T) {
	s := newScene(t)
	ctx := t.Context()
	publish(t, s.store, s.blobs, on(`schedule: {cron: "0 * * * *", missed: all}`), midnight)
	s.at(t, "2026-03-01 00:30:00")
	for range 2 {
		ok(t, s.schedules.Pause(ctx, "iris"))
	}
	same(t, s.at(t, "2026-03-01 03:30:00"), []string{})
	if row := must(s.store.Schedules(ctx, store.ScheduleFilter{}))(t)[0]; !row.Paused.Equal(midnight.Add(30 * time.Minute)) {
		t.Errorf("%+v", row)
	}
	for range 2 {
		ok(t, s.schedules.Resume(ctx, "iris"))
	}
	same(t, s.at(t, "2026-03-01 03:31:00"), []string{})
	same(t, s.at(t, "2026-03-01 04:00:00"), []string{"schedule 0 * * * * at 2026-03-01T04:00Z"})
	refused(t, s.schedules.Pause(ctx, "nobody"), ridgeline.NotFound, "no project nobody")
}

func TestSchedules_Nightly(t *testing.T) {
	s := newScene(t)
	publish(t, s.store, s.blobs, head+"build:\n  nightly: pytest -m slow\n", midnight)
	same(t, s.at(t, "2026-03-01 02:00:00"), []string{})
	if len(s.started) != 1 || !strings.HasPrefix(s.started[0], "nightly b-nightly-") {
		t.Error(s.started)
	}
}

// scheduleForEver deals with the schedules of the state in dir. Its clock runs
// 1500 times as fast as the wall's, from what the parent says was midnight, so
// a schedule of every minute comes due every 40 ms, whether somebody is there
// or not.
func scheduleForEver(dir string) {
	check := func(err error) {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	text, err := os.ReadFile(filepath.Join(dir, "midnight"))
	check(err)
	began, err := strconv.ParseInt(string(text), 10, 64)
	check(err)
	s := &scene{}
	s.store, err = store.Open(ctx, "sqlite:"+filepath.Join(dir, "app.db"), nil)
	check(err)
	s.blobs, err = blob.Open(ctx, filepath.Join(dir, "blob"))
	check(err)
	s.wire(filepath.Join(dir, "trees"))
	s.schedules.Now = func() time.Time { return fast(began) }
	fmt.Println("up")
	for {
		check(s.schedules.Tick(ctx))
		time.Sleep(time.Millisecond)
	}
}

func fast(began int64) time.Time { return midnight.Add(time.Since(time.Unix(0, began)) * 1500) }

// Of 100 due times, over which the server is killed again and again, each
// starts exactly one run.
func TestSchedules_Kill(t *testing.T) {
	const ticks = 100
	dir := t.TempDir()
	s := &scene{blobs: must(blob.Open(t.Context(), filepath.Join(dir, "blob")))(t)}
	s.store = must(store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "app.db"), nil))(t)
	must(s.store.EnsureProject(t.Context(), "iris", midnight))(t)
	publish(t, s.store, s.blobs, on(`schedule:`, `  - {cron: "* * * * *", missed: all}`, `  - {cron: "*/2 * * * *", missed: once}`), midnight)
	ok(t, s.store.Close())
	began := time.Now().UnixNano()
	ok(t, os.WriteFile(filepath.Join(dir, "midnight"), []byte(strconv.FormatInt(began, 10)), 0o600))
	end := midnight.Add(ticks * time.Minute)
	kills := 0
	for ; fast(began).Before(end); kills++ {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), schedulerState+"="+dir)
		child.Stderr = os.Stderr
		out := must(child.StdoutPipe())(t)
		ok(t, child.Start())
		line := make([]byte, 200)
		if n, _ := out.Read(line); string(line[:n]) != "up\n" {
			t.Fatalf("the server says %q", line[:n])
		}
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond) // any moment will do
		ok(t, child.Process.Kill())
		_ = child.Wait() // killed: that is the point
	}

	s.store = must(store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "app.db"), nil))(t)
	t.Cleanup(func() { ok(t, s.store.Close()) })
	s.wire(filepath.Join(dir, "trees"))
	s.now = end
	ok(t, s.schedules.Tick(t.Context()))
	seen := map[string]int{}
	for _, c := range s.causes(t) {
		if seen[c]++; seen[c] > 1 {
			t.Errorf("%s: %d runs", c, seen[c])
		}
	}
	for i := 1; i <= ticks; i++ {
		cause := "schedule * * * * * at " + midnight.Add(time.Duration(i)*time.Minute).Format("2006-01-02T15:04Z")
		if seen[cause] != 1 {
			t.Errorf("%s: %d runs, want 1", cause, seen[cause])
		}
	}
	t.Logf("%d kills; %d runs", kills, len(s.causes(t)))
	if kills < 5 {
		t.Errorf("only %d kills", kills)
	}
}
