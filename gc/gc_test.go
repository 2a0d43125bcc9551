package gc

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/internal/pgtest"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/store/storetest"
	"github.com/ridgeline-mlops/ridgeline/track"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// A fixture is a collector over real stores, with contents that are old.
type fixture struct {
	*Collector
	t    *testing.T
	dir  string
	meta *store.Store
	// registered are the folders of registered versions.
	registered []string
	interrupt  func()
}

func newFixture(t *testing.T, postgres bool) *fixture {
	f := &fixture{t: t, dir: t.TempDir()}
	metadata, tracking := storetest.Address(t), "sqlite:"+filepath.Join(f.dir, "tracking.db")
	if postgres {
		metadata = pgtest.URL(t)
		tracking = metadata
	}
	var err error
	f.meta, err = store.Open(t.Context(), metadata, nil)
	ok(t, err)
	tracks, err := track.Open(t.Context(), track.Options{URL: tracking})
	ok(t, err)
	blobs, err := blob.Open(t.Context(), filepath.Join(f.dir, "blob"))
	ok(t, err)
	t.Cleanup(func() { ok(t, tracks.Close()); ok(t, f.meta.Close()); ok(t, blobs.Close()) })
	f.Collector = &Collector{Metadata: f, Track: tracks, Blob: blobs, Log: slog.New(slog.DiscardHandler)}
	return f
}

func (f *fixture) Texts(ctx context.Context, fn func(string)) error {
	if f.interrupt != nil {
		f.interrupt()
	}
	return f.meta.Texts(ctx, fn)
}

func (f *fixture) ArtifactFolders(ctx context.Context) ([]string, error) {
	own, err := f.meta.ArtifactFolders(ctx)
	return append(own, f.registered...), err
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put keeps a content that looks as if it had been put two days ago.
func (f *fixture) put(content string) string {
	f.t.Helper()
	digest, _, err := f.Blob.Put(f.t.Context(), strings.NewReader(content))
	ok(f.t, err)
	past := time.Now().Add(-48 * time.Hour)
	ok(f.t, os.Chtimes(filepath.Join(f.dir, "blob", "sha256", digest[:2], digest), past, past))
	return digest
}

// mention writes a text into some row of the metadata.
func (f *fixture) mention(text string) {
	f.t.Helper()
	const insert = `INSERT INTO audit_events (at, who, action, subject, reason) VALUES (1, 'w', 'a', 's', $1)`
	if p := f.meta.Postgres(); p != nil {
		_, err := p.Exec(f.t.Context(), insert, text)
		ok(f.t, err)
		return
	}
	_, err := f.meta.SQLite().ExecContext(f.t.Context(), insert, text)
	ok(f.t, err)
}

// artifact logs a content as a file of a run.
func (f *fixture) artifact(run track.Run, name, digest string) string {
	f.t.Helper()
	path := strings.TrimPrefix(run.ArtifactURI, "mlflow-artifacts:/") + "/" + name
	ok(f.t, f.Track.PutArtifact(f.t.Context(), track.Artifact{Path: path, Digest: digest, Size: 1}))
	return path
}

func (f *fixture) run(experiment int64, deleted bool) track.Run {
	f.t.Helper()
	run, err := f.Track.CreateRun(f.t.Context(), track.NewRun{Experiment: experiment})
	ok(f.t, err)
	if deleted {
		ok(f.t, f.Track.DeleteRun(f.t.Context(), run.ID))
	}
	return run
}

func (f *fixture) experiment(retention string) int64 {
	f.t.Helper()
	id, err := f.Track.CreateExperiment(f.t.Context(), track.NewExperiment{Name: "keeps " + retention, Tags: []track.Pair{{Key: track.RetentionTag, Value: retention}}})
	ok(f.t, err)
	return id
}

func (f *fixture) there() (contents []string) {
	f.t.Helper()
	ok(f.t, f.Blob.EachContent(f.t.Context(), func(c blob.Content) error {
		contents = append(contents, c.Digest)
		return nil
	}))
	return contents
}

func (f *fixture) collect(remove bool) Report {
	f.t.Helper()
	report, err := f.Collect(f.t.Context(), Options{Delete: remove, Grace: 24 * time.Hour})
	ok(f.t, err)
	return report
}

// tallies spells a report's kinds, as COUNT KIND BYTES.
func tallies(r Report) string {
	var all []string
	for _, k := range r.Kinds {
		if k.Count > 0 {
			all = append(all, fmt.Sprintf("%d %s %d", k.Count, k.Kind, k.Bytes))
		}
	}
	return strings.Join(all, ", ")
}

func TestCollect(t *testing.T) {
	for name, postgres := range map[string]bool{"SQLite": false, "Postgres": true} {
		t.Run(name, func(t *testing.T) { testCollect(t, newFixture(t, postgres)) })
	}
}

func testCollect(t *testing.T, f *fixture) {
	soon, never := f.experiment("0"), f.experiment("forever")
	needed, useless := map[string]string{}, map[string]string{}
	need := func(why string) string { needed[why] = f.put(why); return needed[why] }
	waste := func(why string) string { useless[why] = f.put(why); return useless[why] }

	f.mention("tree:" + need("in some row") + need("right behind another"))
	f.mention(base64.StdEncoding.EncodeToString([]byte(`{"output": "` + base64.StdEncoding.EncodeToString([]byte(need("in a checkpoint"))) + `"}`)))
	file := need("a file of a dataset")
	manifest := `{"files": [` + strings.Repeat(" ", 1<<16-60) + `{"sha256": "` + file + `"}]}` // over the edge of what is read at once
	needed["a manifest"] = f.put(manifest)
	f.mention(needed["a manifest"])
	here := need("kept here")
	f.Kept = func(context.Context) ([]string, error) { return []string{here}, nil }

	shared := need("an artifact of a run that is there and of one that is not")
	f.artifact(f.run(soon, false), "a/b", shared)
	f.artifact(f.run(soon, true), "a/b", shared)
	f.artifact(f.run(never, true), "x", need("of a deleted run that is kept for ever"))
	f.artifact(f.run(0, true), "x", need("of a deleted run that is kept for a month"))
	registered := f.run(soon, true)
	f.registered = []string{strings.TrimSuffix(f.artifact(registered, "model/MLmodel", need("of a registered version")), "/MLmodel")}
	lost := f.artifact(f.run(soon, false), "lost", strings.Repeat("ab", 32))

	gone := f.run(soon, true)
	f.artifact(gone, "model/weights", waste("an artifact"))
	model, err := f.Track.CreateModel(t.Context(), track.Model{Experiment: soon})
	ok(t, err)
	f.artifact(track.Run{ArtifactURI: model.ArtifactURI}, "MLmodel", waste("an artifact of a logged model"))
	ok(t, f.Track.DeleteModel(t.Context(), model.ID))
	waste("an orphan")
	young, _, err := f.Blob.Put(t.Context(), strings.NewReader("young"))
	ok(t, err)
	needed["young"] = young

	upload, err := f.Blob.Uploads().Begin(t.Context(), "about")
	ok(t, err)
	ok(t, f.Blob.Uploads().PutPart(t.Context(), upload, 1, strings.NewReader("part")))
	abandoned, err := f.Blob.Uploads().Begin(t.Context(), "about")
	ok(t, err)
	past := time.Now().Add(-8 * 24 * time.Hour)
	ok(t, os.Chtimes(filepath.Join(f.dir, "blob", "uploads", abandoned, "about"), past, past))

	bytes := len("an artifact" + "an artifact of a logged model")
	want := fmt.Sprintf("2 run 0, 1 logged model 0, 2 artifact content %d, 1 other content %d, 1 unfinished upload 5", bytes, len("an orphan"))
	before := f.there()
	dry := f.collect(false)
	if got := tallies(dry); got != want || !slices.Equal(f.there(), before) || !slices.Equal(dry.Missing, []string{lost}) {
		t.Fatalf("%s, want %s; missing: %v", got, want, dry.Missing)
	}
	if _, err := f.Track.Run(t.Context(), gone.ID); err != nil {
		t.Fatal("a dry run took a run:", err)
	}
	// Broken off in the middle, it has lost nothing.
	ctx, cancel := context.WithCancel(t.Context())
	f.interrupt = cancel
	if _, err := f.Collect(ctx, Options{Delete: true, Grace: time.Hour}); err == nil || !slices.Equal(f.there(), before) {
		t.Fatal("not broken off", err)
	}
	f.interrupt = nil
	report := f.collect(true)
	if want = fmt.Sprintf("3 other content %d, 1 unfinished upload 5", bytes+len("an orphan")); tallies(report) != want || report.Bytes != int64(bytes+len("an orphan")+5) {
		t.Errorf("%s, want %s", tallies(report), want)
	}
	if parts, err := f.Blob.Uploads().Parts(t.Context(), upload); err != nil || parts[1] != 4 {
		t.Error("an upload under way is lost:", parts, err)
	}
	left := f.there()
	for why, digest := range needed {
		if !slices.Contains(left, digest) {
			t.Errorf("lost: %s", why)
		}
	}
	for why, digest := range useless {
		if slices.Contains(left, digest) {
			t.Errorf("not reclaimed: %s", why)
		}
	}
	if _, err := f.Track.Run(t.Context(), gone.ID); ridgeline.CodeOf(err) != ridgeline.NotFound {
		t.Error("the run is there:", err)
	}
	if _, err := f.Track.Run(t.Context(), registered.ID); err != nil {
		t.Error("the run of a registered version is not there:", err)
	}
	if again := f.collect(true); again.Bytes != 0 || again.Kept.Count != int64(len(needed)) {
		t.Errorf("%+v", again)
	}
}

// TestCollect_experiments: an experiment goes when nothing is left in it, and its
// name is free.
func TestCollect_experiments(t *testing.T) {
	f := newFixture(t, false)
	id := f.experiment("0")
	run := f.run(id, false)
	ok(t, f.Track.DeleteExperiment(t.Context(), id))
	f.registered = []string{strings.TrimPrefix(run.ArtifactURI, "mlflow-artifacts:/")}
	if got := tallies(f.collect(true)); got != "" {
		t.Fatal(got)
	}
	f.registered = nil
	if got := tallies(f.collect(true)); got != "1 run 0, 1 experiment 0" {
		t.Fatal(got)
	}
	f.experiment("0")
}

// TestCollect_folders: what lies deeper or less deep than usual is told apart.
func TestCollect_folders(t *testing.T) {
	f := newFixture(t, false)
	for _, location := range []string{"mlflow-artifacts:/", "mlflow-artifacts:/team/a/b/c", "mlflow-artifacts:/ünï"} {
		id, err := f.Track.CreateExperiment(t.Context(), track.NewExperiment{Name: location, Location: location, Tags: []track.Pair{{Key: track.RetentionTag, Value: "0"}}})
		ok(t, err)
		f.artifact(f.run(id, false), "model/code/x.py", f.put("stays in "+location))
		f.artifact(f.run(id, true), "model/code/x.py", f.put("goes from "+location))
	}
	if got := tallies(f.collect(true)); !strings.HasPrefix(got, "3 run 0, 3 artifact content") {
		t.Error(got)
	}
	if left := f.there(); len(left) != 3 {
		t.Errorf("%d contents are left", len(left))
	}
}

// TestCollect_versions: the files of a registered version go when the last version
// that has them is deleted, and not while one is being registered.
func TestCollect_versions(t *testing.T) {
	for name, postgres := range map[string]bool{"SQLite": false, "Postgres": true} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, postgres)
			all := Options{Delete: true, Grace: -time.Minute} // whatever is there by now
			collect := func() string {
				t.Helper()
				report, err := f.Collect(t.Context(), all)
				ok(t, err)
				return tallies(report)
			}
			run := f.run(f.experiment("0"), false)
			f.artifact(run, "model/weights", f.put("weights"))
			register := func() string {
				t.Helper()
				folder, _, err := f.Track.RegisterFiles(t.Context(), strings.TrimPrefix(run.ArtifactURI, "mlflow-artifacts:/")+"/model")
				ok(t, err)
				return folder
			}
			f.registered = []string{register()}
			ok(t, f.Track.DeleteRun(t.Context(), run.ID))
			if got := collect(); got != "1 run 0" || len(f.there()) != 1 {
				t.Fatal(got, f.there())
			}
			folder := f.registered[0]
			f.registered = nil // its version is deleted
			all.Grace = time.Hour
			if again, _, err := f.Track.RegisterFiles(t.Context(), folder); err != nil || again != folder { // for another one, whose row is not there yet
				t.Fatal(again, err)
			}
			if got := collect(); got != "" {
				t.Fatal("what was registered a moment ago is gone:", got)
			}
			all = Options{Grace: -time.Minute}
			if got := collect(); got != "1 files of deleted versions 0, 1 artifact content 7" || len(f.there()) != 1 {
				t.Fatal(got)
			}
			all.Delete = true
			if got := collect(); got != "1 files of deleted versions 0, 1 artifact content 7" || len(f.there()) != 0 {
				t.Fatal(got)
			}
			if got := collect(); got != "" {
				t.Fatal(got)
			}
		})
	}
}

func TestCollect_one_at_a_time(t *testing.T) {
	f := newFixture(t, false)
	f.interrupt = func() {
		f.interrupt = nil
		if _, err := f.Collect(t.Context(), Options{}); ridgeline.CodeOf(err) != ridgeline.Conflict {
			t.Error("a second one at a time:", err)
		}
	}
	f.collect(true)
}
