package ui

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/build"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/intake"
	"github.com/ridgeline-mlops/ridgeline/pipeline"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/track"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

var begun = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

const config = `project: iris
python: requirements.txt
data: {iris: {path: iris.csv, target: kind}}
pipeline:
  steps:
    prepare: {run: python prepare.py}
    train: {run: python train.py, needs: [prepare]}
  gate: {metric: accuracy, better: higher}
`

// furnish gives the pages a project: a build that published a pipeline, a
// dataset, and the parts that pages ask.
func furnish(t *testing.T) *site {
	t.Helper()
	s, ctx := open(t).signIn("managing"), t.Context()
	tracking, err := track.Open(ctx, track.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "tracking.db")})
	ok(t, err)
	t.Cleanup(func() { tracking.Close() })
	st := s.ui.Store
	s.ui.Track = tracking
	s.ui.Builds = &build.Builder{Store: st, Blob: s.ui.Blob}
	s.ui.Runs = &pipeline.Runner{Store: st, Blob: s.ui.Blob}
	s.ui.Intake = &intake.Intake{Store: st, Blob: s.ui.Blob, Config: s.ui.Runs.Config}
	_, err = st.EnsureProject(ctx, "iris", begun)
	ok(t, err)
	commit := ridgeline.Commit{Project: "iris", Hash: strings.Repeat("ab", 20), Tree: strings.Repeat("cd", 32), Branch: "main", Message: "the first <b>commit</b>", Created: begun}
	ok(t, st.CreateBuild(ctx, ridgeline.Build{ID: "b-1kw4nn5es46105", Project: "iris", Commit: commit, Cause: "push", Status: ridgeline.Queued, Created: begun}))
	ok(t, st.StartBuild(ctx, "b-1kw4nn5es46105", begun))
	ok(t, st.SaveCheck(ctx, "b-1kw4nn5es46105", ridgeline.Check{Name: "tests", Kind: ridgeline.CheckTests, Status: ridgeline.Failed, Message: "1 of 2 tests failed", Task: "task-tests", Seconds: 3}))
	_, err = st.PublishPipeline(ctx, ridgeline.Pipeline{Project: "iris", Build: "b-1kw4nn5es46105", Commit: commit, Environment: "lock", Lock: "numpy==2.0 \\\n", Python: "3.11", Config: config, Created: begun})
	ok(t, err)
	return s
}

// aRun keeps a run with its steps; it returns its id.
func aRun(t *testing.T, s *site, n int, params map[string]string, loss float64) ridgeline.RunID {
	t.Helper()
	ctx, st := t.Context(), s.ui.Store
	id := ridgeline.RunID(fmt.Sprintf("r-%014d", n))
	at := begun.Add(time.Duration(n) * time.Minute)
	ok(t, st.CreateRun(ctx, ridgeline.Run{ID: id, Project: "iris", Pipeline: 1, Cause: "push b-1kw4nn5es46105", Caller: "ann", Params: params, Status: ridgeline.Queued, Created: at}))
	ok(t, st.StartRun(ctx, id, at))
	ok(t, st.PlanSteps(ctx, id, []ridgeline.Step{{Name: "prepare"}, {Name: "train"}, {Name: "pack"}}))
	ok(t, st.SaveStep(ctx, ridgeline.Step{Run: id, Name: "prepare", Status: ridgeline.Succeeded, Cached: true, Note: "nothing changed", Started: at, Ended: at}))
	task := ridgeline.TaskName(id, "train", 1)
	ok(t, st.SaveAttempt(ctx, id, "train", ridgeline.Attempt{Number: 1, Task: task, Status: ridgeline.Succeeded, Started: at, Ended: at.Add(30 * time.Second), Usage: ridgeline.Usage{CPUSeconds: 1.5, PeakMemory: 3e8}}))
	ok(t, st.SaveStep(ctx, ridgeline.Step{Run: id, Name: "train", Status: ridgeline.Succeeded, Started: at, Ended: at.Add(30 * time.Second), Result: ridgeline.Result{Metrics: ridgeline.Metrics{"loss": loss}}}))
	ok(t, s.ui.Blob.Logs().Append(ctx, task, 0, []byte("epoch 1\nneedle <script>alert(1)</script>\nthe end\n")))
	return id
}

func TestRun(t *testing.T) {
	s := furnish(t)
	id := aRun(t, s, 1, map[string]string{"alpha": "0.5", "kept": "same"}, 0.25)
	page := "/runs/" + string(id)
	s.shows(page, http.StatusOK, "running", `href="/builds/b-1kw4nn5es46105"`, "asked for by ann", "alpha = 0.5", "cached", "nothing changed",
		"needle &lt;script&gt;", `class="box ok"`, "Cancel", "ridgeline cancel "+string(id))
	s.shows(page+"?q=needle", http.StatusOK, "1 line", `<span class="at">2 </span>needle &lt;script&gt;`, "--grep needle")
	s.shows(page+"?q=Needle", http.StatusOK, "No line has")
	s.shows(page+"?step=pack", http.StatusOK, "No task of its own")
	s.shows(page+"?tab=environment", http.StatusOK, "The first run of its project", "numpy==2.0")
	s.shows(page+"?tab=metrics", http.StatusOK, "loss", "0.25")
	s.shows(page+"?tab=artifacts", http.StatusOK, "No artifacts")
	s.shows("/runs/r-none", http.StatusNotFound, "no run r-none")
	if status, text := s.post(page + "/cancel"); status != http.StatusOK || !strings.Contains(text, "Being cancelled") {
		t.Errorf("cancel: %d %s", status, text)
	}
	if r, err := s.ui.Store.Run(t.Context(), id); err != nil || !r.CancelRequested {
		t.Errorf("not cancelled: %v %v", r, err)
	}
	res, err := s.Get(s.url + "/ui/logs/" + ridgeline.TaskName(id, "train", 1) + "/all")
	ok(t, err)
	if kind := res.Header.Get("Content-Disposition"); !strings.HasPrefix(kind, "attachment") {
		t.Errorf("a log is sent as %q", kind)
	}
	if _, text := s.answer(res, nil); !strings.HasPrefix(text, "epoch 1\n") {
		t.Errorf("the whole log: %q", text)
	}
}

// What a script logged more than once is drawn; what it left can be fetched,
// but never run.
func TestRun_logged(t *testing.T) {
	s := furnish(t)
	ctx, id := t.Context(), aRun(t, s, 1, nil, 0.25)
	e, err := s.ui.Track.CreateExperiment(ctx, track.NewExperiment{Name: "iris"})
	ok(t, err)
	l, err := s.ui.Track.CreateRun(ctx, track.NewRun{Experiment: e, Name: "train", Tags: []track.Pair{{Key: "ridgeline.run", Value: string(id)}}})
	ok(t, err)
	var points []track.Metric
	for i := range 50 {
		points = append(points, track.Metric{Key: "val_loss", Value: 1 / float64(i+1), Step: int64(i), Time: int64(i)})
	}
	ok(t, s.ui.Track.Log(ctx, l.ID, track.Batch{Metrics: points}))
	digest, size, err := s.ui.Blob.Put(ctx, strings.NewReader("<script>alert(1)</script>"))
	ok(t, err)
	ok(t, s.ui.Track.PutArtifact(ctx, track.Artifact{Path: artifactFolder(l) + "/report page.html", Digest: digest, Size: size}))
	page := "/runs/" + string(id)
	s.shows(page+"?tab=metrics&smooth=0.6&log=1", http.StatusOK, "val_loss; train from 1 to 0.02", `"type":"log"`)
	address := page + "/logged/" + l.ID + "/report%20page.html"
	s.shows(page+"?tab=artifacts", http.StatusOK, "logged artifact", address)
	res, err := s.Get(s.url + address)
	ok(t, err)
	if h := res.Header; !strings.HasPrefix(h.Get("Content-Disposition"), "attachment") || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") || h.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("sent so that a browser may run it: %v", h)
	}
	if _, text := s.answer(res, nil); text != "<script>alert(1)</script>" {
		t.Errorf("the file: %q", text)
	}
	other := aRun(t, s, 2, nil, 1)
	s.shows("/runs/"+string(other)+"/logged/"+l.ID+"/report%20page.html", http.StatusNotFound, "logged nothing")
	s.shows("/compare?run="+string(id)+"&run="+string(other), http.StatusOK, "Compare 2 runs")
}

// What a notebook logs has pages, too, without any run of a pipeline.
// What the machines did stands by itself, whoever measured it.
func TestRun_system(t *testing.T) {
	s := furnish(t)
	ctx, id := t.Context(), aRun(t, s, 1, nil, 0.25)
	page := "/runs/" + string(id)
	if text := s.shows(page+"?tab=metrics", http.StatusOK, "loss"); strings.Contains(text, `id="system"`) {
		t.Error("nothing is known of the machines, and there is a section for it")
	}
	course := func(samples int, cores float64, memory int64) ridgeline.Course {
		c := ridgeline.NewCourse(begun.Add(time.Minute))
		for i := range samples {
			c.Add(float64(i+1), cores, memory)
		}
		return c
	}
	held := ridgeline.Attempt{Number: 2, Task: "t", Status: ridgeline.Running, Started: begun, Held: ridgeline.Held{CPU: 4, Memory: 2e9, GPU: 2}}
	ok(t, s.ui.Store.SaveAttempt(ctx, id, "train", held))
	ok(t, s.ui.Store.SaveCourse(ctx, id, "train", 1, course(5, 1.5, 3e8)))
	ok(t, s.ui.Store.SaveCourse(ctx, id, "train", 2, course(20, 0.5, 4e8)))
	s.shows(page+"?tab=metrics", http.StatusOK, `id="system"`, "train, attempt 1 up to 1.5; train, attempt 2 up to 0.5 of 4", "Memory, GB", "attempt 2", "2 × 20 s",
		"asked for 2 GB of memory, used at most 400 MB; asked for 4 cores, used 0.5 on average", "ridgeline run "+string(id)+" --json")
	if text := s.shows(page+"?tab=metrics&step=prepare", http.StatusOK, "loss"); strings.Contains(text, "attempt 2") {
		t.Error("the step alone was asked for, and others are shown")
	}

	for i := range mostCourses + 3 {
		a := ridgeline.AttemptName{Step: "pack", Number: i + 1}
		ok(t, s.ui.Store.SaveAttempt(ctx, id, a.Step, ridgeline.Attempt{Number: a.Number, Task: "t", Status: ridgeline.Running, Started: begun}))
		ok(t, s.ui.Store.SaveCourse(ctx, id, a.Step, a.Number, course(10+i, 1, 1e8)))
	}
	text := s.shows(page+"?tab=metrics", http.StatusOK, "the longest attempts", "train, attempt 2")
	if n := strings.Count(text, `class="key"`); n != mostCourses || strings.Contains(text, "train, attempt 1 ") {
		t.Errorf("%d attempts are shown, want the %d longest", n, mostCourses)
	}

	e, err := s.ui.Track.CreateExperiment(ctx, track.NewExperiment{Name: "iris"})
	ok(t, err)
	l, err := s.ui.Track.CreateRun(ctx, track.NewRun{Experiment: e, Name: "train", Tags: []track.Pair{{Key: "ridgeline.run", Value: string(id)}}})
	ok(t, err)
	var points []track.Metric
	for i := range 40 {
		for _, key := range []string{"accuracy", "system/cpu_utilization_percentage"} {
			points = append(points, track.Metric{Key: key, Value: float64(i), Step: int64(i), Time: begun.UnixMilli() + int64(i)*1000})
		}
	}
	ok(t, s.ui.Track.Log(ctx, l.ID, track.Batch{Metrics: points}))
	for _, address := range []string{page + "?tab=metrics", "/logged/" + l.ID} {
		text := s.shows(address, http.StatusOK, "<h3>accuracy</h3>", "<h3>cpu utilization percentage</h3>", "cpu utilization percentage over time, as it was logged; train up to 39")
		before, system, _ := strings.Cut(text, `id="system"`)
		if strings.Contains(before, "cpu utilization") || strings.Contains(system, "<h3>accuracy") {
			t.Errorf("%s: what the machine did is among the model's metrics, or the other way round", address)
		}
	}
}

func TestLogged(t *testing.T) {
	s := furnish(t)
	ctx := t.Context()
	e, err := s.ui.Track.CreateExperiment(ctx, track.NewExperiment{Name: "notebooks"})
	ok(t, err)
	add := func(name, parent string, loss float64) track.Run {
		tags := []track.Pair{{Key: "team", Value: "<b>blue</b>"}}
		if parent != "" {
			tags = append(tags, track.Pair{Key: "mlflow.parentRunId", Value: parent})
		}
		r, err := s.ui.Track.CreateRun(ctx, track.NewRun{Experiment: e, Name: name, User: "ann", Started: begun.UnixMilli(), Tags: tags})
		ok(t, err)
		points := []track.Metric{{Key: "loss", Value: loss + 1, Step: 0}, {Key: "loss", Value: loss, Step: 1}}
		ok(t, s.ui.Track.Log(ctx, r.ID, track.Batch{Metrics: points, Params: []track.Pair{{Key: "alpha", Value: "0.5"}}}))
		return r
	}
	first := add("a <run>", "", 0.25)
	second := add("its part", first.ID, 7)
	digest, size, err := s.ui.Blob.Put(ctx, strings.NewReader("a text"))
	ok(t, err)
	ok(t, s.ui.Track.PutArtifact(ctx, track.Artifact{Path: artifactFolder(first) + "/notes.txt", Digest: digest, Size: size}))
	at := fmt.Sprintf("/logged?experiment=%d", e)
	s.shows(at, http.StatusOK, "notebooks", "a &lt;run&gt;", "its part", "0.25", "alpha")
	if text := s.shows(at+"&filter=metrics.loss+%3C+1&sort=m.loss", http.StatusOK, `aria-sort="ascending"`); strings.Contains(text, "its part") {
		t.Error("the filter leaves in what it should not")
	}
	s.shows(at+"&of=max&sort=m.loss", http.StatusOK, `title="1.25"`, `title="8"`, "the greatest value", "of=max&amp;sort=m.loss")
	s.shows(at+"&of=min", http.StatusOK, `title="0.25"`, `title="7"`, "the least value")
	s.shows(at+"&of=nothing", http.StatusOK, `title="0.25"`)
	s.shows(at+"&filter=nonsense", http.StatusOK, "Invalid")
	testLoggedParts(t, s, at[len("/logged?"):])
	s.shows("/logged/"+first.ID, http.StatusOK, "loss; a &lt;run&gt; from 1.25 to 0.25", "team", "&lt;b&gt;blue&lt;/b&gt;", "1 part", "/logged/"+second.ID, "notes.txt")
	s.shows("/logged/"+second.ID, http.StatusOK, "Part of", "/logged/"+first.ID)
	if _, text := s.get("/logged/" + first.ID + "/files/notes.txt"); text != "a text" {
		t.Errorf("the file: %q", text)
	}
	ours := string(aRun(t, s, 1, map[string]string{"alpha": "0.7"}, 0.1))
	s.shows("/compare?run="+first.ID+"&run="+ours+"&run=", http.StatusOK, "Compare 2 runs", "a &lt;run&gt;", `href="/logged/`+first.ID, `href="/runs/`+ours, "Parallel coordinates", "loss; a &lt;run&gt; from 1.25 to 0.25", `<td class="mono wide">0.5</td><td class="mono wide">0.7</td>`)
	s.shows("/compare?run="+second.ID+"&run="+first.ID, http.StatusOK, "Nothing that is known of both", "its part from 8 to 7")
	s.shows("/compare?run="+first.ID, http.StatusOK, "Add a run")
	s.shows("/compare?run="+first.ID+"&run=none", http.StatusNotFound, "none")
	s.shows("/logged/none", http.StatusNotFound, "none")
}

// testLoggedParts is about the windows of the table, two runs in all, of one time,
// and what scripts fetch into it.
func testLoggedParts(t *testing.T, s *site, of string) {
	t.Helper()
	first := s.shows("/logged?window=1&"+of, http.StatusOK, "skip=1&amp;upto=", `aria-rowindex="2"`)
	second := s.shows("/logged?window=1&skip=1&"+of, http.StatusOK, ">First<", `aria-rowindex="3"`)
	for name, is := range map[string]bool{">a &lt;run&gt;<": strings.Contains(first, ">a &lt;run&gt;<"), ">its part<": strings.Contains(first, ">its part<")} {
		if strings.Contains(second, name) == is {
			t.Errorf("%s is on both windows, or on none", name)
		}
	}
	if text := s.shows("/logged?column=m.loss&"+of, http.StatusOK, `value="p.alpha"> alpha`, `value="m.loss" checked`, `column=m.loss&amp;experiment=`); strings.Contains(text, `title="0.5"`) {
		t.Error("a column is shown that was not chosen")
	}
	if text := s.shows("/logged?different=1&"+of, http.StatusOK, `title="loss"`); strings.Contains(text, `title="alpha"`) {
		t.Error("what is the same for all is among the differences")
	}
	s.shows("/logged?column=m.none&"+of, http.StatusOK, `title="none"`)
	s.shows("/logged?skip=9&"+of, http.StatusOK, "No run is like that", "All runs of the experiment")
	rows := s.shows("/ui/logged/rows?row=7&skip=1&window=1&sort=m.loss&column=m.loss&of=max&"+of, http.StatusOK, `aria-rowindex="9"`, ">its part<", `title="8"`)
	if strings.Contains(rows, "<main") || strings.Contains(rows, `title="0.5"`) || strings.Contains(rows, "a &lt;run&gt;") {
		t.Errorf("more than the rows, or another column: %s", rows)
	}
	s.shows("/ui/logged/marks?"+of, http.StatusOK, `{"total":2,"every":1000,"marks":null}`)
	s.shows("/ui/logged/marks?upto=0&"+of, http.StatusOK, `{"total":0,`)
	s.shows("/ui/logged/marks?filter=metrics.loss+%3C+1&"+of, http.StatusOK, `{"total":1,`)
	for _, part := range []string{"rows", "marks"} {
		s.shows("/ui/logged/"+part+"?filter=nonsense&"+of, http.StatusUnprocessableEntity, "Invalid")
	}
}

func TestRuns(t *testing.T) {
	s := furnish(t)
	var last ridgeline.RunID
	for i := range 5 {
		last = aRun(t, s, i, map[string]string{"alpha": fmt.Sprint(9 - i), "kept": "same"}, float64(i))
		ok(t, s.ui.Store.FinishRun(t.Context(), last, ridgeline.Succeeded, "", begun.Add(time.Hour)))
	}
	text := s.shows("/runs", http.StatusOK, "alpha", "kept", "loss", string(last))
	first := func(text string) string { return text[strings.Index(text, "r-0"):][:len(last)] }
	if first(text) != string(last) {
		t.Errorf("%s is first, want the newest", first(text))
	}
	_, err := s.ui.Store.ValueRuns(t.Context())
	ok(t, err)
	text = s.shows("/runs?sort=m.loss", http.StatusOK, `aria-sort="ascending"`)
	if first(text) != "r-00000000000000" {
		t.Errorf("%s is first by loss", first(text))
	}
	if text = s.shows("/runs?different=1", http.StatusOK, ">alpha</a>"); strings.Contains(text, ">kept</a>") {
		t.Error("only differences shows what is the same")
	}
	text = s.shows("/runs?window=2", http.StatusOK, "Older")
	if strings.Contains(text, "r-00000000000002\"") || !strings.Contains(text, "skip=2&amp;upto=r-00000000000004") {
		t.Errorf("a window of two: %s", text)
	}
	aRun(t, s, 5, map[string]string{"alpha": "1"}, 1) // it is newer, and moves nothing
	s.shows("/runs?window=2&skip=2&upto=r-00000000000004", http.StatusOK, "r-00000000000002", `aria-rowindex="4"`, "First", `data-latest="r-00000000000005"`)
	s.shows("/runs?window=2&before=r-00000000000003", http.StatusOK, "r-00000000000002", "First")
	text = s.shows("/runs?sort=m.loss&down=1&window=2&where=alpha+%3E+5", http.StatusOK, `aria-sort="descending"`, "skip=2", "Further")
	if first(text) != "r-00000000000003" {
		t.Errorf("%s has the greatest loss of those with an alpha over 5", first(text))
	}
	s.shows("/runs?sort=m.loss&down=1&window=2&where=alpha+%3E+5&skip=2", http.StatusOK, "r-00000000000001", "First")
	s.shows("/runs?where=alpha+%3C", http.StatusOK, "a value behind it", "No run is like that")
	s.shows("/runs?status=failed", http.StatusOK, "No run is like that")
	testRunParts(t, s)
	compare := s.shows("/compare?run=r-00000000000001&run=r-00000000000002&different=1", http.StatusOK, "Compare 2 runs", "Parallel coordinates", "Scatter", "parameter")
	if strings.Contains(compare, `title="kept"`) {
		t.Error("compare shows what is the same in both")
	}
	s.shows("/compare?run=r-00000000000001", http.StatusOK, "Nothing to compare")
	s.shows("/compare?run=r-00000000000001&run=r-none", http.StatusNotFound, "no run r-none")
	many := strings.Repeat("run=r-00000000000001&", mostCompared+1)
	s.shows("/compare?"+many, http.StatusUnprocessableEntity, "too many")
}

// testRunParts is about what scripts fetch into the table: six runs, of which one
// has not ended.
func testRunParts(t *testing.T, s *site) {
	t.Helper()
	rows := s.shows("/ui/runs/rows?row=3&skip=3&window=2&column=m.loss&upto=r-00000000000004", http.StatusOK, `aria-rowindex="5"`, `aria-rowindex="6"`, "r-00000000000001", "r-00000000000000")
	if strings.Contains(rows, "<main") || strings.Contains(rows, ">same<") {
		t.Errorf("more than the rows, or another column: %s", rows)
	}
	s.shows("/ui/runs/rows?row=1&before=r-00000000000004&skip=1&window=1&sort=m.loss&down=1", http.StatusOK, "r-00000000000002")
	s.shows("/ui/runs/marks?where=loss+%3E+0", http.StatusOK, `{"total":4,"every":1000,`)
	s.shows("/ui/runs/marks", http.StatusOK, `{"total":6,`)
	s.shows("/ui/runs/rows?where=alpha+%3C", http.StatusUnprocessableEntity, "a value behind it")

	s.shows("/runs?group=p.kept", http.StatusOK, `hx-get="/ui/runs/groups?group=p.kept`, "<noscript>")
	groups := s.shows("/ui/runs/groups?group=p.kept&of=m.loss", http.StatusOK, "5 succeeded", "1 running", `aria-sort="descending"`, "Least loss", ">none<", `<td class="num">0</td><td class="num">2</td><td class="num muted">± 1.581</td><td class="num">4</td><td class="num">4</td>`)
	if strings.Index(groups, ">same<") > strings.Index(groups, ">none<") {
		t.Errorf("the greater group is not the first: %s", groups)
	}
	s.shows("/runs?group=p.kept&inline=1&open=same&by=mean", http.StatusOK, `aria-expanded="true"`, "r-00000000000003", "All as a table")
	s.shows("/ui/runs/group?group=p.kept&in=same&of=m.loss", http.StatusOK, "r-00000000000003", `href="/runs?group=p.kept&amp;in=same"`)
	s.shows("/ui/runs/groups?group=p.kept&by=colour", http.StatusUnprocessableEntity, "not of")
	if text := s.shows("/runs?group=p.alpha&in=9", http.StatusOK, "r-00000000000000", "All groups"); strings.Contains(text, "r-00000000000001") {
		t.Error("a group has a run of another in it")
	}
	s.shows("/runs?group=p.kept&in=", http.StatusOK, "r-00000000000005")
	s.shows("/runs?group=verdict&in=", http.StatusOK, "r-00000000000005")
	for _, other := range []string{"/runs", "/ui/runs/rows", "/ui/runs/marks", "/ui/runs/group"} { // a token of one project is held to it by this parameter
		if _, text := s.get(other + "?project=wine&group=project&in=iris"); strings.Contains(text, "r-0000") || strings.Contains(text, `"total"`) {
			t.Errorf("%s shows runs of another project: %s", other, text)
		}
	}
	s.shows("/runs?group=project&in=iris", http.StatusOK, "r-00000000000005")
	s.shows("/runs?group=status&in=failed", http.StatusOK, "No run is like that")
}

func TestBuildsAndProjects(t *testing.T) {
	s := furnish(t)
	ctx := t.Context()
	ok(t, s.ui.Blob.Logs().Append(ctx, "task-tests", 0, []byte("E   assert 1 == 2\n")))
	results, err := json.Marshal(build.Results{Tests: []build.TestResult{{Name: "test_it", Suite: "tests.test_one", Status: "failed", Message: "assert <1> == 2"}}, Files: []build.CoveredFile{{File: "iris/train.py", Coverage: ridgeline.Coverage{Lines: 10, Covered: 7}}}})
	ok(t, err)
	digest, _, err := s.ui.Blob.Put(ctx, strings.NewReader(string(results)))
	ok(t, err)
	ok(t, s.ui.Store.SaveReport(ctx, "b-1kw4nn5es46105", ridgeline.Report{Tests: 2, Failed: 1, Results: digest, Coverage: &ridgeline.Coverage{Lines: 10, Covered: 7}}))
	aRun(t, s, 1, nil, 0)
	s.shows("/builds", http.StatusOK, "1 of 2 failed", "70 %", "the first &lt;b&gt;commit")
	s.shows("/builds/b-1kw4nn5es46105", http.StatusOK, "1 of 2 tests failed", "assert 1 == 2", "tests.test_one.test_it", "assert &lt;1&gt; == 2", "7 of 10", "iris/train.py")
	s.shows("/builds/b-1kw4nn5es46105?q=assert", http.StatusOK, "1 line")
	s.shows("/projects", http.StatusOK, `href="/projects/iris"`)
	s.shows("/projects/iris", http.StatusOK, "prepare", "train", "What starts it", "r-00000000000001")
	s.shows("/projects/nobody", http.StatusNotFound, "no project nobody")
	s.shows("/settings", http.StatusOK, "Schedules", "Tokens", "admin", "Make a token", "Storage", "Being measured")
	status, made := s.post("/settings/tokens", "name", "a <reader>", "role", "viewer", "days", "1")
	if status != http.StatusCreated || !strings.Contains(made, "is shown this once") || !strings.Contains(made, "a &lt;reader&gt;") {
		t.Errorf("make a token: %d %s", status, made)
	}
	if again := s.shows("/settings", http.StatusOK, "a &lt;reader&gt;"); strings.Contains(again, "is shown this once") {
		t.Error("its secret is shown again")
	}
	for _, bad := range [][2]string{{"", "viewer"}, {"x", "king"}} {
		if status, text := s.post("/settings/tokens", "name", bad[0], "role", bad[1]); status != http.StatusUnprocessableEntity {
			t.Errorf("a token %q of role %q: %d %s", bad[0], bad[1], status, text)
		}
	}
}

func TestData(t *testing.T) {
	s := furnish(t)
	ctx := t.Context()
	mean := 2.5
	for _, rows := range []int64{10, 20} {
		profile, err := json.Marshal(data.Profile{Rows: rows, Columns: []data.ColumnProfile{
			{Name: "width", Type: "DOUBLE", Distinct: 4, Min: "1", Max: "4", Mean: &mean, Quantiles: []float64{1, 2, 3, 4}},
			{Name: "kind", Type: "VARCHAR", Distinct: 2, Top: []data.ValueCount{{Value: "<b>setosa</b>", Rows: 6}, {Value: "other", Rows: 4}}},
		}})
		ok(t, err)
		digest, _, err := s.ui.Blob.Put(ctx, strings.NewReader(string(profile)))
		ok(t, err)
		_, err = s.ui.Store.SaveDatasetVersion(ctx, ridgeline.DatasetVersion{Project: "iris", Name: "iris", DatasetContent: ridgeline.DatasetContent{Digest: fmt.Sprintf("%064d", rows), Size: 100, Rows: rows, Files: 1, Profile: digest}, Created: begun})
		ok(t, err)
	}
	s.shows("/data", http.StatusOK, `href="/data/iris/iris"`)
	s.shows("/data/iris/iris", http.StatusOK, "/data/iris/iris/2")
	s.shows("/data/iris/iris/2", http.StatusOK, "width", "&lt;b&gt;setosa", `class="histogram"`, "rows then", "ridgeline data diff iris:1 2")
	s.shows("/data/iris/iris/9", http.StatusNotFound)
	s.shows("/data/iris/nothing", http.StatusNotFound, "no dataset nothing")
}

// A project's page asks for the parameters that its pipeline declares, and for
// any where it declares none.
func TestTrain(t *testing.T) {
	s := furnish(t)
	s.shows("/projects/iris", http.StatusOK, `name="params"`, "ridgeline train --project iris --param NAME=VALUE")
	if status, text := s.post("/projects/iris/train", "params", "alpha"); status != http.StatusUnprocessableEntity || !strings.Contains(text, "expected NAME=VALUE") {
		t.Errorf("a parameter without a value: %d %s", status, text)
	}
	text := "0.5"
	a := trainAction("iris", project.Pipeline{Params: []project.Param{
		{Name: "alpha", Type: project.ParamFloat, Default: &text, Description: "of the ridge"}, {Name: "kind", Choices: []string{"a", "b"}}, {Name: "fast", Type: project.ParamBool},
	}})
	want := []components.Input{
		{Name: "param.alpha", Label: "alpha", Note: "of the ridge", Hint: "a number", Value: "0.5"},
		{Name: "param.kind", Label: "kind", Hint: "one of a or b", Choices: [][2]string{{"a", "a"}, {"b", "b"}}, Required: true},
		{Name: "param.fast", Label: "fast", Hint: "true or false", Choices: [][2]string{{"true", "true"}, {"false", "false"}}, Required: true},
	}
	if got := a.Inputs[:3]; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	given, err := givenParams(url.Values{"param.alpha": {"1"}, "param.kind": {""}, "params": {" beta = 2 \n\nname=a=b\n"}, "other": {"x"}})
	ok(t, err)
	if want := map[string]string{"alpha": "1", "beta": "2", "name": "a=b"}; !maps.Equal(given, want) {
		t.Errorf("%v, want %v", given, want)
	}
}

// Of a build, the log is shown that people look for first.
func TestChooseCheck(t *testing.T) {
	check := func(name string, status ridgeline.Status) ridgeline.Check {
		return ridgeline.Check{Name: name, Status: status, Task: "task-" + name}
	}
	a, b, c := check("a", ridgeline.Succeeded), check("b", ridgeline.Succeeded), check("c", ridgeline.Queued)
	c.Task = ""
	for _, one := range []struct {
		checks []ridgeline.Check
		name   string
		want   int
	}{
		{nil, "", -1}, {[]ridgeline.Check{a, b, c}, "", 1}, {[]ridgeline.Check{a, b, c}, "a", 0}, {[]ridgeline.Check{check("a", ridgeline.Running), b}, "", 0},
		{[]ridgeline.Check{a, check("b", ridgeline.Failed), check("c", ridgeline.Failed), check("d", ridgeline.Running)}, "", 1},
	} {
		if got := chooseCheck(one.checks, one.name); got != one.want {
			t.Errorf("%v %q: %d, want %d", one.checks, one.name, got, one.want)
		}
	}
}
