package prediction_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/prediction"
	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/journal"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/store/storetest"
)

type fixture struct {
	*prediction.Log
	store *store.Store
	known map[ridgeline.DeploymentID]ridgeline.Deployment
	keep  time.Duration
	t     *testing.T
}

// known is the database, with deployments that need no release.
type known struct {
	*store.Store
	f *fixture
}

func (k known) Deployment(ctx context.Context, id ridgeline.DeploymentID) (ridgeline.Deployment, error) {
	if d, ok := k.f.known[id]; ok {
		return d, nil
	}
	return k.Store.Deployment(ctx, id)
}

func newFixture(t *testing.T, blobs string) *fixture {
	t.Helper()
	dir := t.TempDir()
	if blobs == "" {
		blobs = filepath.Join(dir, "blob")
	}
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(t.Context(), storetest.Address(t), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b, err := blob.Open(t.Context(), blobs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	for _, p := range []ridgeline.ProjectName{"wine", "iris"} {
		if _, err := s.EnsureProject(t.Context(), p, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	f := &fixture{t: t, store: s, known: map[ridgeline.DeploymentID]ridgeline.Deployment{}}
	f.Log = &prediction.Log{
		Store: known{s, f}, Files: b.Objects("predictions"), Waiting: filepath.Join(dir, "waiting"), Temp: dir, Log: log,
	}
	f.Log.Keep = f.kept
	return f
}

// scorer opens the journal of a copy, as its scorer does.
func (f *fixture) scorer(project, version, deployment string) *journal.Journal {
	f.t.Helper()
	store := journal.Store(journal.Folder(f.t.TempDir()))
	if f.Files.Dir() != "" {
		store = journal.Folder(f.Files.Dir())
	}
	j, err := journal.Open(journal.Config{
		Origin: journal.Origin{Project: project, Environment: "qa", Model: "quality", Version: version, Deployment: deployment, Copy: "0"},
		Dir:    filepath.Join(f.Waiting, deployment, "0"), Store: store, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return j
}

var post, _ = http.NewRequest(http.MethodPost, "/", nil)

// score notes a client's request with some rows.
func score(j *journal.Journal, id string, status int, values ...float64) {
	scoreFor(j, "", id, status, values...)
}

func scoreFor(j *journal.Journal, purpose, id string, status int, values ...float64) {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	n := len(values)
	j.Observe(&exchange.Exchange{Began: time.Now(), RequestID: id, Purpose: purpose, Dialect: "pyfunc", Status: status,
		Input:  tensor.Batch{Form: tensor.Table, Rows: n, Tensors: []tensor.Tensor{{Name: "pH", Type: tensor.Float64, Shape: []int{n}, Data: b}}},
		Output: tensor.Batch{Form: tensor.Array, Rows: n, Tensors: []tensor.Tensor{{Type: tensor.Float64, Shape: []int{n}, Data: b}}}}, post)
}

func (f *fixture) ask(q prediction.Query) data.Answer {
	f.t.Helper()
	q.Project = "wine"
	if q.Limit == 0 {
		q.Limit = 100
	}
	a, err := f.Ask(f.t.Context(), q)
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

func show(a data.Answer) string {
	text, _ := json.Marshal(a.Rows)
	return string(text)
}

func (f *fixture) expect(q prediction.Query, want string) {
	f.t.Helper()
	if got := show(f.ask(q)); got != want {
		f.t.Errorf("%+v\ngot  %s\nwant %s", q, got, want)
	}
}

func TestLog_Ask(t *testing.T) {
	f := newFixture(t, "")
	f.expect(prediction.Query{SQL: "SELECT count(*), count(label), count(request) FROM predictions"}, "[[0,0,0]]") // no file yet

	j, other := f.scorer("wine", "1", "d-1"), f.scorer("iris", "1", "d-2")
	score(j, "a", 200, 3, 3.5)
	score(j, "b", 500, 9)
	scoreFor(j, ridgeline.PurposeSmoke, "s", 200, 7) // no prediction: nobody asked
	scoreFor(j, ridgeline.PurposeMirror, "a", 200, 4, 4.5)
	score(other, "c", 200, 1)
	for step, change := range map[string]func(){
		"1 while it waits":    func() {},
		"2 when it is stored": func() { _ = j.Close(t.Context()) },
	} {
		_ = step
		change()
		f.expect(prediction.Query{SQL: `SELECT request_id, "row", "rows", input_pH, output, status, version FROM predictions ORDER BY request_id, "row"`},
			`[["a",0,2,3,3,200,"1"],["a",1,2,3.5,3.5,200,"1"],["b",0,1,9,9,500,"1"]]`)
	}
	f.expect(prediction.Query{SQL: `SELECT b.purpose, request_id, "row", b.output - coalesce(a.output, 0) FROM probes b LEFT JOIN predictions a USING (request_id, "row") ORDER BY 1, 2, 3`},
		`[["mirror","a",0,1],["mirror","a",1,1],["smoke","s",0,7]]`)
	j = f.scorer("wine", "2", "d-3") // another version, some stored and some waiting
	j.Observe(&exchange.Exchange{Began: time.Now(), RequestID: "d", Status: 200, Body: []byte(`{"data":[7]}`), Answer: []byte(`"x"`)}, post)
	f.expect(prediction.Query{SQL: `SELECT request_id, input_pH, request::JSON->'data'->>0, response FROM predictions WHERE "row" = 0 ORDER BY 1`},
		`[["a",3,null,null],["b",9,null,null],["d",null,"7","\"x\""]]`)
	ids := `SELECT DISTINCT request_id FROM predictions ORDER BY 1`
	f.expect(prediction.Query{SQL: ids, Version: "2"}, `[["d"]]`)
	f.expect(prediction.Query{SQL: ids, Status: 5}, `[["b"]]`)
	f.expect(prediction.Query{SQL: ids, Status: 200}, `[["a"],["d"]]`)
	f.expect(prediction.Query{SQL: ids, Request: "a"}, `[["a"]]`)
	f.expect(prediction.Query{SQL: ids, Environment: "production"}, `[]`)
	f.expect(prediction.Query{SQL: ids, Since: time.Now().Add(-time.Minute)}, `[["a"],["b"],["d"]]`)
	f.expect(prediction.Query{SQL: ids, Since: time.Now().Add(time.Minute)}, `[]`)
	f.expect(prediction.Query{SQL: ids, Until: time.Now().Add(-time.Minute)}, `[]`)
	if a := f.ask(prediction.Query{Limit: 3}); len(a.Rows) != 3 || !a.More || a.Rows[0][1] != "d" {
		t.Errorf("the newest: %s, more %v", show(a), a.More)
	}
	file := filepath.Join(t.TempDir(), "out.parquet")
	if n, err := f.Export(t.Context(), prediction.Query{Project: "wine"}, file); err != nil || n != 4 {
		t.Errorf("export: %d rows, %v", n, err)
	}
	if text, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(text), "PAR1") {
		t.Errorf("export: %.10s, %v", text, err)
	}

	secret := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(secret, []byte("a\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"SELECT * FROM nowhere", "DROP VIEW predictions", "SELECT 1; SELECT 2", "SELECT * FROM read_csv('" + secret + "')",
		"COPY (SELECT 1) TO '" + secret + "'", "SET enable_external_access=true", "SELECT * FROM '" + secret + "'", "'"} {
		if a, err := f.Ask(t.Context(), prediction.Query{Project: "wine", SQL: wrong, Limit: 5}); ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("%s: %v, %v; want Invalid", wrong, a, err)
		}
	}
	if _, err := f.Ask(t.Context(), prediction.Query{Project: "nobody", Limit: 5}); ridgeline.CodeOf(err) != ridgeline.NotFound {
		t.Errorf("an unknown project: %v, want NotFound", err)
	}
	if left, _ := filepath.Glob(filepath.Join(f.Temp, "predictions-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestLog_feedback(t *testing.T) {
	f := newFixture(t, "mem://")
	j := f.scorer("wine", "1", "d-1")
	score(j, "a", 200, 3, 3.5)
	label := func(id string, row int, value string) ridgeline.Feedback {
		return ridgeline.Feedback{Project: "wine", Environment: "qa", Request: id, Row: row, Label: json.RawMessage(value), At: time.Now(), Received: time.Now()}
	}
	list := []ridgeline.Feedback{label("a", 0, "3.25"), label("a", 1, `"good"`), label("unknown", 0, "1")}
	for range 2 {
		if err := f.store.SaveFeedback(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	f.expect(prediction.Query{SQL: `SELECT "row", output, label FROM predictions ORDER BY "row"`}, `[[0,3,"3.25"],[1,3.5,"good"]]`)
	f.expect(prediction.Query{SQL: `SELECT request_id FROM feedback ANTI JOIN predictions USING (environment, request_id, "row")`}, `[["unknown"]]`)
	f.expect(prediction.Query{SQL: `SELECT label::DOUBLE - output FROM predictions WHERE "row" = 0`}, `[[0.25]]`)
}

func TestLog_Adopt(t *testing.T) {
	f := newFixture(t, "")
	j := f.scorer("wine", "1", "d-1") // a deployment that the store does not know is gone
	score(j, "a", 200, 1)
	if err := f.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if files, err := f.Files.List(t.Context(), ""); err != nil || len(files) != 0 {
		t.Fatalf("a running scorer's log was taken away: %v, %v", files, err)
	}
	if p, err := f.Waits("d-1"); err != nil || p.Bytes == 0 || p.Since.IsZero() {
		t.Errorf("waits: %+v, %v", p, err)
	}
	dead := t.TempDir() // as a killed scorer leaves it: without its lock
	if err := os.CopyFS(dead, os.DirFS(f.Waiting)); err != nil {
		t.Fatal(err)
	}
	f.Waiting = dead
	if err := f.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(f.Waiting); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	f.expect(prediction.Query{SQL: "SELECT request_id FROM predictions"}, `[["a"]]`)
	if p, err := f.Waits("d-1"); err != nil || p.Bytes != 0 {
		t.Errorf("waits: %+v, %v", p, err)
	}
}

func TestLog_Forget(t *testing.T) {
	f := newFixture(t, "")
	put := func(name string) {
		t.Helper()
		if err := f.Files.Put(t.Context(), name, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	put("wine/q/1/2026/03/01/10/d-1.parquet")
	put("wine/q/1/2026/03/08/12/d-1.parquet")
	put("iris/q/1/2020/01/01/00/d-1.parquet")
	put("wine/odd")
	now := time.Date(2026, 3, 8, 12, 30, 0, 0, time.UTC)
	old := ridgeline.Feedback{Project: "wine", Environment: "qa", Request: "a", Label: json.RawMessage("1"), At: now, Received: now.Add(-8 * 24 * time.Hour)}
	if err := f.store.SaveFeedback(t.Context(), []ridgeline.Feedback{old}); err != nil {
		t.Fatal(err)
	}
	f.keep = 7 * 24 * time.Hour
	for range 2 {
		if err := f.Forget(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	files, err := f.Files.List(t.Context(), "")
	var names []string
	for _, o := range files {
		names = append(names, o.Name)
	}
	if want := []string{"iris/q/1/2020/01/01/00/d-1.parquet", "wine/odd", "wine/q/1/2026/03/08/12/d-1.parquet"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("got %v, %v, want %v", names, err, want)
	}
	n := 0
	if err := f.Store.Feedback(t.Context(), "wine", "", time.Time{}, func(ridgeline.Feedback) error { n++; return nil }); err != nil || n != 0 {
		t.Errorf("%d labels left, %v", n, err)
	}
}

// kept keeps iris for ever.
func (f *fixture) kept(_ context.Context, p ridgeline.ProjectName) (time.Duration, error) {
	if p == "iris" {
		return 0, nil
	}
	return f.keep, nil
}
