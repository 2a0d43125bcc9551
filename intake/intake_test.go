package intake

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/flow"
	"github.com/ridgeline-mlops/ridgeline/internal/cloudtest"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/store/storetest"
)

// A world is an intake with a real database, blob store and flows, and one
// project, shop, whose dataset is sales.
type world struct {
	*Intake
	t     *testing.T
	build int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(t.Context(), storetest.Address(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.Open(t.Context(), filepath.Join(dir, "blob"))
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	engine, err := flow.New(t.Context(), flow.Options{SQLite: s.SQLite(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, Intake: &Intake{
		Store: s, Blob: blobs, Library: &data.Library{Dir: filepath.Join(dir, "data")}, Start: engine.Start,
		Trees: filepath.Join(dir, "trees"), Files: filepath.Join(dir, "files"), Dir: filepath.Join(dir, "arriving"), Log: quiet,
		Config: func(_ context.Context, p ridgeline.Pipeline) (project.Config, error) {
			return project.Parse(project.FileName, []byte(p.Config))
		},
		Train: func(ctx context.Context, tx *store.Store, a ridgeline.Arrival) (ridgeline.Run, error) {
			r := ridgeline.Run{
				ID: ridgeline.RunID("r-" + string(a.ID)), Project: a.Project, Pipeline: 1, Cause: fmt.Sprintf("data %s:%d", a.Dataset, a.Version), Status: ridgeline.Queued, Created: time.Now(),
			}
			return r, tx.CreateRun(ctx, r)
		},
		Started: func(context.Context, ridgeline.RunID) error { return nil },
	}}
	engine.Handle(Kind, w.Run)
	if err := engine.Launch(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Shutdown(10 * time.Second); err != nil {
			t.Error(err)
		}
		_ = s.Close()
	})
	return w
}

// publish makes a pipeline whose dataset comes from path.
func (w *world) publish(path, checks string) {
	w.t.Helper()
	ctx := w.t.Context()
	src := w.t.TempDir()
	config := fmt.Sprintf("project: shop\npython: requirements.txt\ndata:\n  sales: {path: %q, checks: checks.yaml}\npipeline:\n  on: {push: false, data: sales}\n  steps:\n    load: {run: \"true\"}\n", path)
	for name, text := range map[string]string{"ridgeline.yaml": config, "checks.yaml": checks, "requirements.txt": ""} {
		if err := os.WriteFile(filepath.Join(src, name), []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	tree, _, err := w.Blob.PutTree(ctx, src)
	if err != nil {
		w.t.Fatal(err)
	}
	w.build++
	commit := ridgeline.Commit{Project: "shop", Hash: strings.Repeat(fmt.Sprint(w.build%10), 40), Tree: tree, Branch: "main", Created: time.Now()}
	b := ridgeline.Build{ID: ridgeline.BuildID(fmt.Sprintf("b-%d", w.build)), Project: "shop", Commit: commit, Status: ridgeline.Queued, Created: time.Now()}
	if _, err := w.Store.EnsureProject(ctx, "shop", time.Now()); err != nil {
		w.t.Fatal(err)
	}
	if err := w.Store.CreateBuild(ctx, b); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.Store.PublishPipeline(ctx, ridgeline.Pipeline{Project: "shop", Build: b.ID, Commit: commit, Environment: "e", Config: config, Created: time.Now()}); err != nil {
		w.t.Fatal(err)
	}
}

// look looks and waits for what comes of it.
func (w *world) look() (ridgeline.Arrival, bool) {
	w.t.Helper()
	a, found, err := w.Look(w.t.Context(), "shop", "sales", "test", "ann")
	if err != nil {
		w.t.Fatal(err)
	}
	if !found {
		return a, false
	}
	if a, err = w.Wait(w.t.Context(), a.ID); err != nil {
		w.t.Fatal(err)
	}
	return a, true
}

func (w *world) current() int {
	w.t.Helper()
	d, err := w.Store.Dataset(w.t.Context(), "shop", "sales")
	if err != nil {
		w.t.Fatal(err)
	}
	return d.Current
}

func (w *world) runs() (causes []string) {
	w.t.Helper()
	all, err := w.Store.Runs(w.t.Context(), store.RunFilter{Project: "shop"})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range all {
		causes = append(causes, r.Cause)
	}
	return causes
}

const goodChecks = "columns:\n  id: {type: integer, nullable: false}\n  amount: {type: integer, min: 0, max: 1000}\n"

func rows(from, n int) string {
	var s strings.Builder
	s.WriteString("id,amount\n")
	for i := range n {
		fmt.Fprintf(&s, "%d,%d\n", from+i, (from+i)%1000)
	}
	return s.String()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".tmp", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
}

// TestArrival_bad_input: whatever is delivered, it ends clearly, the version in
// use stays, nothing is started, and the good delivery afterwards is taken.
func TestArrival_bad_input(t *testing.T) {
	w := newWorld(t)
	lake := filepath.Join(t.TempDir(), "lake")
	write(t, filepath.Join(lake, "1.csv"), rows(0, 200))
	w.publish(lake, goodChecks)
	if a, _ := w.look(); a.Status != ridgeline.Accepted || a.Version != 1 {
		t.Fatalf("the first delivery: %+v", a)
	}
	wide := make([]string, 10_000)
	for i := range wide {
		wide[i] = fmt.Sprintf("c%d", i)
	}
	parquet := halfParquet(t)
	second := filepath.Join(lake, "2.csv")
	bad := map[string]struct{ name, text, want string }{
		"ragged rows":           {"2.csv", "id,amount\n1,2\n3\n", "1 field where the header has 2"},
		"two encodings":         {"2.csv", "id,amount\n1,2\n2,caf\xe9\n", "not UTF-8"},
		"an empty file":         {"2.csv", "", "is empty"},
		"a rule broken":         {"2.csv", "id,amount\n1,5000\n", "column amount: max: expected at most 1000, found"},
		"text for a number":     {"2.csv", "id,amount\n1,many\n", "column amount: type"},
		"another kind":          {"2.parquet", parquet, "mixes"},
		"other columns":         {"2.csv", strings.Join(wide, ",") + "\n" + strings.Repeat("1,", 9_999) + "1\n", "column"},
		"not a data file":       {"notes.txt", "hello", "read by extension"},
		"a zero byte in a name": {"2.csv", "id,am\x00ount\n1,2\n", ""},
	}
	version := 1
	for name, test := range bad {
		path := filepath.Join(lake, test.name)
		write(t, path, test.text)
		a, found := w.look()
		version++
		if !found || a.Status != ridgeline.Quarantined || a.Version != version || !strings.Contains(a.Reason, test.want) {
			t.Errorf("%s: %s version %d (%s), want quarantined version %d with %q", name, a.Status, a.Version, a.Reason, version, test.want)
		}
		if strings.Contains(a.Reason, w.Files) {
			t.Errorf("%s: the reason names a folder of this machine: %s", name, a.Reason)
		}
		if _, again := w.look(); again {
			t.Errorf("%s: the same bad delivery arrived twice", name)
		}
		if w.current() != 1 {
			t.Errorf("%s: version %d is in use", name, w.current())
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.runs(); len(got) != 1 {
		t.Errorf("runs %q: only the first delivery may have started one", got)
	}
	write(t, second, "\xef\xbb\xbf"+rows(200, 100)) // a BOM is no fault
	if a, _ := w.look(); a.Status != ridgeline.Accepted || a.Rows != 300 || w.current() != a.Version {
		t.Errorf("the good delivery: %+v", a)
	}
	if got := w.runs(); len(got) != 2 || got[0] != fmt.Sprintf("data sales:%d", version+1) {
		t.Errorf("runs %q", got)
	}
}

// halfParquet is a Parquet file cut in half.
func halfParquet(t *testing.T) string {
	t.Helper()
	return "PAR1" + strings.Repeat("\x15\x04\x19", 500)
}

func TestArrival_half_a_parquet_file(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "x.parquet")
	write(t, path, halfParquet(t))
	w.publish(path, goodChecks)
	a, _ := w.look()
	if a.Status != ridgeline.Quarantined || !strings.Contains(a.Reason, "not a whole Parquet file") {
		t.Errorf("%s: %s", a.Status, a.Reason)
	}
	_, _, err := w.Current(t.Context(), ridgeline.Run{ID: "r-1", Project: "shop"}, ridgeline.Pipeline{Project: "shop"}, project.Dataset{Name: "sales", Path: path})
	if ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), "no version was accepted before") {
		t.Errorf("a run without any version: %v", err)
	}
}

// TestArrival_same_content: what only looks different is no new version, and
// starts nothing.
func TestArrival_same_content(t *testing.T) {
	w := newWorld(t)
	lake := filepath.Join(t.TempDir(), "lake")
	write(t, filepath.Join(lake, "a.csv"), rows(0, 100))
	write(t, filepath.Join(lake, "b.csv"), rows(100, 100))
	w.publish(lake+"/*.csv", goodChecks)
	first, _ := w.look()
	write(t, filepath.Join(lake, "a.csv"), rows(0, 100))
	if a, found := w.look(); !found || a.Status != ridgeline.Unchanged {
		t.Errorf("a file written again: %+v", a)
	}
	if _, found := w.look(); found {
		t.Error("what was found unchanged is fetched again")
	}
	write(t, filepath.Join(lake, "b.csv"), rows(100, 50))
	second, _ := w.look()
	write(t, filepath.Join(lake, "b.csv"), rows(100, 100))
	third, _ := w.look()
	if second.Version != 2 || third.Version != 1 || third.Status != ridgeline.Accepted || w.current() != 1 || third.Digest != first.Digest {
		t.Errorf("there and back: %d %d, in use %d", second.Version, third.Version, w.current())
	}
	if got := w.runs(); len(got) != 3 {
		t.Errorf("runs %q: each change of what is in use starts one", got)
	}
	// A folder, and the same files sent by hand, are the same content.
	local, _, err := data.Digest(lake)
	if err != nil || local != first.Digest {
		t.Errorf("the folder's digest %s, the arrival's %s (%v)", local, first.Digest, err)
	}
	m, err := data.Manifest(lake)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range m.Files {
		if _, _, err := w.Blob.PutFile(t.Context(), filepath.Join(lake, f.Name)); err != nil {
			t.Fatal(err)
		}
	}
	a, err := w.Add(t.Context(), Upload{Project: "shop", Dataset: "sales", Files: m.Files, Caller: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	if a, err = w.Wait(t.Context(), a.ID); err != nil || a.Version != 1 || a.Status != ridgeline.Accepted {
		t.Errorf("the same by hand: %+v (%v)", a, err)
	}
	for name, files := range map[string][]ridgeline.DatasetFile{
		"no file":             nil,
		"a name with dots":    {{Name: "../x.csv", Size: m.Files[0].Size, Digest: m.Files[0].Digest}},
		"another size":        {{Name: "x.csv", Size: 1, Digest: m.Files[0].Digest}},
		"one name for two":    {m.Files[0], m.Files[0]},
		"a file as a folder":  {{Name: "x", Size: m.Files[0].Size, Digest: m.Files[0].Digest}, {Name: "x/y.csv", Size: m.Files[0].Size, Digest: m.Files[0].Digest}},
		"bytes that are away": {{Name: "x.csv", Size: 3, Digest: strings.Repeat("0", 64)}},
	} {
		_, err := w.Add(t.Context(), Upload{Project: "shop", Dataset: "sales", Files: files})
		if code := ridgeline.CodeOf(err); code != ridgeline.Invalid && code != ridgeline.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What may start no run now is in use all the same, and says why it did not.
func TestArrival_refused_run(t *testing.T) {
	w := newWorld(t)
	w.Train = func(context.Context, *store.Store, ridgeline.Arrival) (ridgeline.Run, error) {
		return ridgeline.Run{}, ridgeline.Errorf(ridgeline.Conflict, "run r-1 of shop has not ended")
	}
	file := filepath.Join(t.TempDir(), "a.csv")
	write(t, file, rows(0, 100))
	w.publish(file, goodChecks)
	a, found := w.look()
	if !found || a.Status != ridgeline.Accepted || w.current() != 1 || a.Run != "" || a.Reason != "in use, but started no run: run r-1 of shop has not ended" {
		t.Errorf("%s %q, in use %d", a.Status, a.Reason, w.current())
	}
}

// TestArrival_rules_change: what other rules kept out is checked again.
func TestArrival_rules_change(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "x.csv")
	write(t, path, rows(0, 100))
	w.publish(path, "columns:\n  amount: {max: 10}\n")
	if a, _ := w.look(); a.Status != ridgeline.Quarantined {
		t.Fatalf("%+v", a)
	}
	if _, found := w.look(); found {
		t.Error("the same rules give the same verdict: nothing to look at")
	}
	w.publish(path, goodChecks)
	if a, found := w.look(); !found || a.Status != ridgeline.Accepted || a.Version != 1 || w.current() != 1 {
		t.Errorf("with better rules: %+v", a)
	}
}

// TestArrival_changing: a file that changes while it is fetched is fetched as
// it is in the end, never as a mix.
func TestArrival_changing(t *testing.T) {
	w := newWorld(t)
	var version atomic.Int64
	texts := []string{rows(0, 5000), rows(10_000, 5000)}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		v := version.Load()
		rw.Header().Set("ETag", fmt.Sprintf(`"%d"`, v))
		if r.Method == http.MethodGet && v == 0 {
			half := len(texts[0]) / 2
			rw.Header().Set("Content-Length", fmt.Sprint(len(texts[0])))
			_, _ = io.WriteString(rw, texts[0][:half])
			rw.(http.Flusher).Flush()
			version.Store(1) // while it is read
			_, _ = io.WriteString(rw, texts[0][half:])
			return
		}
		http.ServeContent(rw, r, "x.csv", time.Time{}, strings.NewReader(texts[v]))
	}))
	defer server.Close()
	w.publish(server.URL+"/x.csv", goodChecks)
	a, _ := w.look()
	if a.Status != ridgeline.Accepted {
		t.Fatalf("%s: %s", a.Status, a.Reason)
	}
	content, err := w.Ready(t.Context(), "shop", project.Dataset{Name: "sales", Holdout: project.Holdout{Fraction: 0.2}}, a.Version)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(content.Path); err != nil || string(got) != texts[1] {
		t.Errorf("not what is there in the end (%v)", err)
	}
	// A source that is gone: the run works on what is in use, and says so.
	server.Close()
	v, note, err := w.Current(t.Context(), ridgeline.Run{ID: "r-2", Project: "shop"}, ridgeline.Pipeline{Project: "shop"}, project.Dataset{Name: "sales", Path: server.URL + "/x.csv"})
	if err != nil || v != a.Version || !strings.Contains(note, "version 1 is in use instead") {
		t.Errorf("version %d, note %q, %v", v, note, err)
	}
	d, err := w.Store.Dataset(t.Context(), "shop", "sales")
	if err != nil || d.Problem == "" {
		t.Errorf("the problem is not noted: %+v %v", d, err)
	}
}

// TestArrival_clouds: a bad delivery followed by a good one is exactly one more
// run, from each kind of store.
func TestArrival_clouds(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *cloudtest.Store{"s3": cloudtest.S3, "azblob": cloudtest.Azure} {
		t.Run(name, func(t *testing.T) {
			cloudtest.Use(t)
			s, w := start(t), newWorld(t)
			put := func(key, text string) {
				if err := s.Put(key, []byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			put("sales/1.csv", rows(0, 100))
			w.publish(s.Address("sales"), goodChecks)
			one, _ := w.look()
			put("sales/2.csv", "id,amount\n1,-5\n")
			bad, _ := w.look()
			put("sales/2.csv", rows(100, 100))
			good, _ := w.look()
			if one.Status != ridgeline.Accepted || bad.Status != ridgeline.Quarantined || good.Status != ridgeline.Accepted || good.Rows != 200 || w.current() != good.Version {
				t.Errorf("%s %s %s", one.Status, bad.Status, good.Status)
			}
			if got := w.runs(); len(got) != 2 || got[0] != "data sales:3" {
				t.Errorf("runs %q", got)
			}
			if strings.Contains(good.Origin, "?") || good.Address != "" {
				t.Errorf("the arrival still knows its address: %q %q", good.Origin, good.Address)
			}
		})
	}
}
