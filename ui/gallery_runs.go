package ui

import (
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/track"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// A made-up run, but for its state.
const sampleID = ridgeline.RunID("r-1kw4nzzgq3kb4p")

// runSamples is a run in each of its states and parts, with 5,000 steps, with
// 10,000 lines of a log, and with names as people give them; the table of runs,
// and a comparison.
func runSamples() []sample {
	all := []sample{
		{"runs", Page{Title: "Runs", Nav: "runs", Project: "diabetes", Template: "runs", Body: sampleRuns(12, nil)}},
		{"runs-views", Page{Title: "Runs", Nav: "runs", Project: "diabetes", Template: "runs", Body: sampleViews(false)}},
		{"runs-views-asked", Page{Title: "Runs", Nav: "runs", Project: "diabetes", Template: "runs", Body: sampleViews(true)}},
		{"runs-groups", Page{Title: "Runs", Nav: "runs", Project: "diabetes", Template: "runs", Body: sampleGroups()}},
		{"runs-names", Page{Title: "Runs", Nav: "runs", Template: "runs", Body: sampleRuns(4, map[string]string{awkward: strings.Repeat(long300, 8), "q": awkward})}},
		{"logged", Page{Title: "Logged runs", Nav: "runs", Template: "logged", Body: sampleLogged()}},
		{"logged-run", Page{Title: "a run", Nav: "runs", Template: "logged-run", Body: sampleLoggedRun()}},
		{"runs-empty", Page{Title: "Runs", Nav: "runs", Template: "runs", Body: runsPage{}}},
		{"compare", Page{Title: "Compare", Nav: "runs", Template: "compare", Body: sampleComparison(6)}},
		{"compare-500", Page{Title: "Compare", Nav: "runs", Template: "compare", Body: sampleComparison(mostCompared)}},
		{"compare-grouped", Page{Title: "Compare", Nav: "runs", Template: "compare", Body: sampleCohorts("p.solver", drawing{})}},
		{"compare-grouped-log", Page{Title: "Compare", Nav: "runs", Template: "compare", Body: sampleCohorts("p.alpha", drawing{Log: true, Smooth: 0.6})}},
		{"compare-pair", Page{Title: "Compare", Nav: "runs", Template: "compare", Body: samplePair()}},
		{"compare-empty", Page{Title: "Compare", Nav: "runs", Template: "compare", Body: comparePage{}}},
	}
	for _, s := range []ridgeline.Status{ridgeline.Queued, ridgeline.Running, ridgeline.Failed, ridgeline.Cancelled} {
		all = append(all, sample{"run-" + string(s), runSample(sampleRun(s, ""))})
	}
	for _, v := range []ridgeline.Verdict{ridgeline.Promoted, ridgeline.Rejected, ridgeline.Inconclusive} {
		all = append(all, sample{"run-" + string(v), runSample(sampleRun(ridgeline.Succeeded, v))})
	}
	for name, tab := range map[string]func(*runPage){"metrics": sampleMetrics, "artifacts": sampleArtifacts, "environment": sampleEnvironment} {
		body := sampleRun(ridgeline.Succeeded, ridgeline.Promoted)
		body.Tab = name
		tab(&body)
		all = append(all, sample{"run-" + name, runSample(body)})
	}
	all = append(all, stepSamples()...)
	return append(all, sample{"run-5000-instances", runSample(sampleMany())}, sample{"run-10000-lines", runSample(sampleLong())}, sample{"run-names", runSample(sampleNames())})
}

func runSample(body runPage) Page {
	for _, t := range runTabs {
		body.Tabs = append(body.Tabs, components.Tab{Text: t[1], URL: runURL(body.ID, "tab", t[0]), Now: t[0] == body.Tab})
	}
	return Page{Title: "Run", Nav: "runs", Project: body.Project, Template: "run", Body: body, Crumbs: []components.Crumb{{Text: "Runs", URL: "/runs"}, {Text: string(body.ID)}}}
}

// sampleStory says how each step of a run in that state stands: prepare,
// train, pack, evaluate, gate and register.
func sampleStory(s ridgeline.Status, v ridgeline.Verdict) (steps [6]ridgeline.Status, reason string) {
	for i := range steps {
		steps[i] = ridgeline.Queued
	}
	steps[0] = ridgeline.Succeeded
	switch s {
	case ridgeline.Running:
		steps[1] = ridgeline.Running
	case ridgeline.Failed:
		steps[1], reason = ridgeline.Failed, "step train failed: exit code 1: ValueError: Input X contains NaN."
	case ridgeline.Cancelled:
		steps[1], reason = ridgeline.Cancelled, "cancelled"
	case ridgeline.Succeeded:
		for i := range steps {
			steps[i] = ridgeline.Succeeded
		}
	}
	switch v {
	case ridgeline.Promoted:
		reason = "The new model is better: mse went from 2,995 to 2,744, 8.4 % better (95 % interval +4.1 % to +12.7 %, 412 rows)."
	case ridgeline.Rejected:
		reason = "It got significantly worse where sex is 2 (mse 2,995 → 3,320, −10.8 % on 180 rows), so it is rejected whatever the whole says."
	case ridgeline.Inconclusive:
		reason = "The new model looks better by 1.2 %, but so small a difference may be chance. About 820 holdout rows would tell; there are 412."
	}
	return steps, reason
}

func sampleRun(status ridgeline.Status, verdict ridgeline.Verdict) runPage {
	story, reason := sampleStory(status, verdict)
	run := ridgeline.Run{
		ID: sampleID, Project: "diabetes", Pipeline: 7, Cause: "push b-1kw4nn5es46105", Caller: "ann", Status: status, Verdict: verdict, Model: "diabetes",
		Params: map[string]string{"alpha": "0.5"}, Data: map[string]int{"diabetes": 3}, Reason: reason, Created: sampleTime, Started: sampleTime,
	}
	if status.Terminal() {
		run.Ended = sampleTime.Add(50 * time.Second)
	}
	body := runPage{Run: run, Rivals: sampleRivals, Cost: cost{ridgeline.Spent{CPU: 51, Memory: 6e10}, ridgeline.Used{Seconds: 9, CPU: 7, Peak: 180e6}, 0.0021, "EUR"}, Commit: ridgeline.Commit{Hash: strings.Repeat("4f2c9e1a", 5), Message: "train on the new columns"}}
	if status == ridgeline.Queued {
		return body
	}
	var steps []ridgeline.Step
	at := sampleTime
	for i, name := range []string{"prepare", "train", "pack", "evaluate", "gate", "register"} {
		s := sampleStep(run.ID, name, story[i])
		s.Started, s.Ended = time.Time{}, time.Time{}
		if s.Status != ridgeline.Queued {
			s.Started = at
			at = at.Add(time.Duration([]int{4, 31, 2, 14, 1, 1}[i]) * time.Second)
		}
		if s.Status.Terminal() {
			s.Ended = at
		}
		if name == "prepare" {
			s.Cached, s.Attempts, s.Ended, at = true, nil, s.Started, s.Started
			s.Note, s.Source = "the same code, data and environment as in", "r-1kw4nx5es46105"
		}
		for j := range s.Attempts {
			s.Attempts[j].Started, s.Attempts[j].Ended = s.Started, s.Ended
			if name == "train" {
				s.Attempts[j].Held = ridgeline.Held{CPU: 4, Memory: 4e9}
				s.Attempts[j].Usage.WallSeconds = 31
			}
		}
		if s.Status == ridgeline.Failed {
			s.Message = "exit code 1: ValueError: Input X contains NaN."
		}
		steps = append(steps, s)
	}
	lines := strings.Split("loading 353 rows of diabetes v3\nridge, alpha 0.5\nfold 1 of 5: mse 3,012.4\nfold 2 of 5: mse 2,871.0\nfold 3 of 5: mse 2,951.7", "\n")
	if status == ridgeline.Failed {
		lines = append(lines, "Traceback (most recent call last):", `  File "diabetes/train.py", line 41, in main`, "    model.fit(x, y)", "ValueError: Input X contains NaN.")
	}
	body.fill(steps, 1, lines)
	return body
}

// fill puts steps on the page, one of them with its log.
func (p *runPage) fill(steps []ridgeline.Step, chosen int, lines []string) {
	needs, last := map[string][]string{}, ""
	for _, s := range steps { // one after another
		if s.Parent == "" {
			needs[s.Name], last = []string{last}, s.Name
		}
	}
	p.fillGraph(steps, needs, chosen, lines, url.Values{})
}

// fillGraph puts steps on the page that need each other in some way.
func (p *runPage) fillGraph(steps []ridgeline.Step, needs map[string][]string, chosen int, lines []string, q url.Values) {
	rows := stepRows(p.Run, steps, chosen, sampleTime.Add(45*time.Second))
	p.draw(rows, needs, chosen, q)
	p.still()
	c := chosenStep{stepRow: rows[chosen]}
	if len(c.Attempts) > 0 || len(rows[chosen].Step.Attempts) > 0 {
		c.Attempt = rows[chosen].Step.Attempts[0]
		c.Log = logView{Task: "sample", Size: "1.2 kB", Box: components.NewLog("Log of "+c.Name, "", lines), Line: components.NewCLI("logs", p.ID, c.Name)}
	}
	p.Chosen = &c
	if p.Status == ridgeline.Failed {
		p.Failure = &rows[chosen]
	}
}

func sampleStep(run ridgeline.RunID, name string, status ridgeline.Status) ridgeline.Step {
	s := ridgeline.Step{Run: run, Name: name, Status: status, Started: sampleTime, Note: "runs: the code of train.py is not as it was"}
	if status == ridgeline.Queued {
		return ridgeline.Step{Run: run, Name: name, Status: status}
	}
	if status.Terminal() {
		s.Ended = sampleTime.Add(40 * time.Second)
	}
	s.Attempts = []ridgeline.Attempt{{Number: 1, Task: "sample", Status: status, Started: s.Started, Ended: s.Ended, Usage: ridgeline.Usage{CPUSeconds: 37.2, PeakMemory: 2.1e8}}}
	return s
}

// sampleMany is a sweep of 5,000 tries, of which two have failed.
func sampleMany() runPage {
	body := sampleRun(ridgeline.Running, "")
	steps := []ridgeline.Step{sampleStep(body.ID, "prepare", ridgeline.Succeeded), sampleStep(body.ID, "tries", ridgeline.Running)}
	for i := range 5000 {
		s := sampleStep(body.ID, fmt.Sprintf("tries[alpha=%.4f]", float64(i)/5000), ridgeline.Succeeded)
		s.Parent, s.Note = "tries", "mse 2,9"+fmt.Sprintf("%02d", i%100)
		if i > 3200 {
			s = ridgeline.Step{Run: s.Run, Name: s.Name, Parent: s.Parent, Status: ridgeline.Queued}
		}
		if i == 1100 || i == 1700 {
			s.Status, s.Attempts[0].Status, s.Message = ridgeline.Failed, ridgeline.Failed, "exit code 137: out of memory"
		}
		steps = append(steps, s)
	}
	body.fill(append(steps, sampleStep(body.ID, "pack", ridgeline.Queued)), 0, nil)
	return body
}

// sampleLong is a log of 10,000 lines.
func sampleLong() runPage {
	body := sampleRun(ridgeline.Running, "")
	lines := make([]string, 10_000)
	for i := range lines {
		lines[i] = fmt.Sprintf("epoch %d loss %.4f", i, 1/float64(i+1))
	}
	body.Chosen.Log.Box.Lines, body.Chosen.Log.Size, body.Chosen.Log.Cut = lines, "1.2 MB", true
	return body
}

// sampleNames has names as people give them, where names can be.
func sampleNames() runPage {
	body := sampleRun(ridgeline.Failed, "")
	long := strings.Repeat(long300, 8)
	body.Project, body.Caller, body.Cause = ridgeline.ProjectName(strings.Repeat("p", 60)), awkward, "schedule "+awkward
	body.Params, body.Data = map[string]string{awkward: long, long: awkward}, map[string]int{long: 3}
	body.Commit.Message, body.Reason, body.Note, body.GateOff = awkward+long, long, awkward, long
	failed := sampleStep(body.ID, long, ridgeline.Failed)
	failed.Message, failed.Note = awkward+long, long
	body.fill([]ridgeline.Step{failed, sampleStep(body.ID, awkward, ridgeline.Queued)}, 0, []string{awkward, long, strings.Repeat(long, 10)})
	return body
}

// sampleLine is run i of a search for the best alpha.
func sampleLine(i int) runLine {
	alpha := math.Pow(10, float64(i%7)/2-2)
	verdicts := []ridgeline.Verdict{ridgeline.Rejected, ridgeline.Inconclusive, ridgeline.Promoted, ridgeline.Rejected}
	r := ridgeline.Run{
		ID: ridgeline.RunID(fmt.Sprintf("r-1kw4nzzgq3k%03d", i)), Project: "diabetes", Status: ridgeline.Succeeded, Verdict: verdicts[i%4], Model: "diabetes", Version: 40 - i, Cause: "push b-1kw4nn5es46105",
		Params: map[string]string{"alpha": components.Number(alpha), "solver": []string{"svd", "cholesky"}[i%2]}, Created: sampleTime.Add(-time.Duration(i) * 17 * time.Minute),
	}
	switch i {
	case 0:
		r.Status, r.Verdict, r.Version, r.Cause = ridgeline.Queued, "", 0, "page"
	case 3:
		r.Status, r.Verdict, r.Version = ridgeline.Failed, "", 0
	case 5:
		r.Status, r.Verdict, r.Version, r.Cause = ridgeline.Cancelled, "", 0, "schedule 0 3 * * 1 at 2026-11-23T03:00Z"
	}
	line := runLine{Run: r}
	if r.Status == ridgeline.Succeeded {
		wave := math.Sin(float64(i) * 1.7)
		line.Metrics = ridgeline.Metrics{"mse": 2990 + 80*wave + 30*math.Log10(alpha), "r2": 0.48 - 0.02*wave, "fit_seconds": 1.2 + 0.4*math.Cos(float64(i))}
	}
	if r.Status.Terminal() {
		line.Started, line.Ended = r.Created, r.Created.Add(time.Duration(40+i%9)*time.Second)
	}
	return line
}

func sampleRuns(n int, params map[string]string) (out runsPage) {
	for i := range n {
		line := sampleLine(i)
		for name, value := range params {
			line.Params[name] = value
		}
		out.Rows = append(out.Rows, line)
	}
	out.Chosen.Project, out.Older = "diabetes", "/runs?skip=12"
	out.arrange(url.Values{}, nil)
	out.Parts = "" // the store has no such runs
	return out
}

// sampleViews is the table of runs with its menu of views open: as it is one of
// them, or as somebody is asked whether it is to replace one.
func sampleViews(asked bool) runsPage {
	out := sampleRuns(12, nil)
	out.Views.Here = ridgeline.View{Project: "diabetes", Query: "column=m.mse&column=p.alpha&sort=m.mse&where=p.solver+%3D+svd"}
	saved := []ridgeline.View{{Name: "failed lately", Query: "status=failed"}, {Project: "diabetes", Name: "best ridge", Query: "sort=m.r2"}, {Project: "diabetes", Name: "best of svd", Query: out.Views.Here.Query}}
	for _, name := range []string{awkward, strings.Repeat(long300, 3)[:100]} {
		saved = append(saved, ridgeline.View{Project: "diabetes", Name: name, Query: "group=p.solver"})
	}
	out.Views.At, out.Views.Sent = "/", url.Values{}
	if asked {
		out.Views.form = form{"/projects/diabetes/views", url.Values{"name": {"best ridge"}}, "name", "There is another view of this name: give another one, or replace it."}
		out.Views.Asked, out.Views.Here.Query = "best ridge", "sort=m.mse"
	}
	out.Views.list(saved)
	return out
}

// sampleGroups are runs by their solver, of which one group is open.
func sampleGroups() runsPage {
	out := sampleRuns(3, nil)
	g := &runGroups{Of: "m.mse", Lines: []groupLine{
		{Name: "svd", Open: true, Runs: out.Rows, RunGroup: store.RunGroup{Count: 41_200, Measured: 41_000, Least: 2744, Mean: 2990.4, Deviation: 81.2, Greatest: 3301, Last: 2811}},
		{Name: awkward, RunGroup: store.RunGroup{Count: 3, Measured: 3, Least: 2744, Mean: 2990.4, Deviation: 81.2, Greatest: 3301, Last: 2811}},
		{Name: "none", RunGroup: store.RunGroup{Count: 12}},
	}}
	for i := range g.Lines {
		g.Lines[i].Statuses = []components.Status{{Word: "3 succeeded", Tone: "ok"}, {Word: "1 failed", Tone: "bad"}}
		g.Lines[i].Toggle, g.Lines[i].Table = "#", "#"
	}
	for i := range g.Lines[0].Runs {
		g.Lines[0].Runs[i].Cells = []cell{{Text: "2,811"}}
	}
	g.head(url.Values{}, "p.solver")
	out.Rows, out.Groups, out.Chosen.Group = nil, g, "p.solver"
	return out
}

func sampleComparison(n int) (out comparePage) { return sampleGrouped(n, "", drawing{}) }

// sampleCohorts are seeds of a few settings, of which one has been tried once.
func sampleCohorts(by string, d drawing) comparePage { return sampleGrouped(15, by, d) }

func sampleGrouped(n int, by string, d drawing) (out comparePage) {
	for i := range n {
		line := sampleLine(i*4 + 2)
		line.Status, line.Verdict = ridgeline.Succeeded, sampleLine(i+6).Verdict
		if by != "" {
			line.Params["solver"] = []string{"svd", "cholesky", awkward}[i%3]
			line.Metrics["mse"] += 40 * math.Sin(float64(i)*5)
		}
		out.Rows = append(out.Rows, line)
	}
	out.Of, out.Drawing = "last", d
	out.group(by)
	out.Columns = columnsOf(out.Rows, false)
	fillCells(out.Rows, out.Columns)
	out.Numeric = numericColumns(out.Rows)
	out.addScatter("", "m.mse")
	out.Parallel = parallelChart(out.Rows, out.Numeric, out.Y, out.Cohorts)
	tracked, histories := make([][]track.Run, n), map[string][]track.Metric{}
	for i := range out.Rows {
		id := fmt.Sprint(i)
		of := float64(i)
		if by != "" {
			of = 9*float64(i%3) + float64(i)/4 // seeds lie closer together than settings
		}
		tracked[i], histories[id] = []track.Run{{ID: id, Name: "train"}}, sampleCurve(of)
	}
	out.Curve, out.Metric, out.Metrics = out.curves("loss", tracked, histories), "loss", []string{"loss"}
	return out
}

func samplePair() comparePage {
	out := sampleComparison(2)
	out.Pair, out.Code, out.Changes = true, sampleDiff(), []difference{{"package", "scikit-learn", "1.8.0", "1.9.1"}}
	return out
}

func sampleCurve(of float64) (points []track.Metric) {
	for x := range 40 {
		v := 0.4 + math.Exp(-float64(x)/(8+of)) + 0.03*math.Sin(float64(x)*1.3+of)
		points = append(points, track.Metric{Key: "loss", Step: int64(x), Value: v})
	}
	return points
}

func sampleMetrics(p *runPage) {
	p.Metrics = []stepMetric{{"evaluate", "mse", 2744.1}, {"evaluate", "p95_ms", 0.754}, {"train", "fit_seconds", 38.2}, {"train", "loss", 0.4127}, {"train", "val_loss", 0.4402}}
	p.Charts = []components.Chart{
		curveChart("loss", []curve{{"train", sampleCurve(0)}}, p.Drawing), curveChart("val_loss", []curve{{"train", sampleCurve(3)}}, p.Drawing),
	}
	p.System = sampleSystem(p.Run)
}

// sampleSystem is of a train step that was tried twice, with a GPU and more
// asked for than it needs, of one with an awkward name, and what MLflow's client
// logged.
func sampleSystem(run ridgeline.Run) (s systemPart) {
	course := func(after, seconds int, cores, memory float64) ridgeline.Course {
		c := ridgeline.NewCourse(sampleTime.Add(time.Duration(after) * time.Second))
		for i := range seconds {
			x := float64(i)
			c.Add(x+1, cores*(1-0.3*math.Abs(math.Sin(x*0.7))), int64(memory*(1-math.Exp(-x/6))+6e7))
		}
		return c
	}
	held := ridgeline.Held{CPU: 4, Memory: 4e9, GPU: 1}
	first, second := ridgeline.AttemptName{Step: "train", Number: 1}, ridgeline.AttemptName{Step: "train", Number: 2}
	s.Curves = []components.Chart{loggedSystem("system/gpu_0_utilization_percentage", []curve{{"train", sampleLoad(0)}}), loggedSystem("system/disk_usage_megabytes", []curve{{"train", sampleLoad(2)}})}
	s.fill(run, []ridgeline.AttemptCourse{
		{AttemptName: ridgeline.AttemptName{Step: "prepare " + awkward, Number: 1}, Course: course(2, 7, 0.9, 2e8)},
		{AttemptName: first, Course: course(9, 12, 1.1, 6e8)}, {AttemptName: second, Course: course(23, 24, 1.2, 7e8)},
	}, map[ridgeline.AttemptName]ridgeline.Attempt{first: {Held: held}, second: {Held: held}})
	s.Logged = []stepMetric{{"train", "system/disk_usage_megabytes", 51_204.2}, {"train", "system/gpu_0_utilization_percentage", 87}}
	s.Line, s.Rest = components.NewCLI("run", run.ID, "--json"), true
	return s
}

func sampleLoad(of float64) (points []track.Metric) {
	for i := range 36 {
		points = append(points, track.Metric{Step: int64(i), Time: sampleTime.Add(time.Duration(10+i) * time.Second).UnixMilli(), Value: 60 + 30*math.Sin(float64(i)/3+of)})
	}
	return points
}

func sampleArtifacts(p *runPage) {
	p.Artifacts = []artifact{
		{Step: "train", Path: "model/model.joblib", Size: 61_204, URL: "#"}, {Step: "train", Path: "metrics.json", Size: 214, URL: "#"},
		{Step: "train", Path: "plots/" + awkward + ".csv", Size: 18_211, URL: "#", Logged: true}, {Step: "evaluate", Path: "rows.parquet", Size: 9_882, URL: "#"},
	}
}

func sampleEnvironment(p *runPage) {
	p.Environment = runEnvironment{
		Pipeline: ridgeline.Pipeline{
			Version: 7, Build: "b-1kw4nn5es46105", Python: "3.11", Environment: "acebbb1bf42c", Lock: "numpy==2.4.6\nscikit-learn==1.9.1\n", Config: "project: diabetes\n",
			Commit: ridgeline.Commit{Hash: p.Commit.Hash, Branch: "main", Author: "ann"},
		},
		Before: ridgeline.Run{ID: "r-1kw4nx5es46105"},
		Changes: []difference{
			{"package", "scikit-learn", "1.8.0", "1.9.1"}, {"parameter", "alpha", "1.0", "0.5"}, {"dataset", "diabetes", "v2", "v3"}, {"parameter", awkward, "", strings.Repeat(long300, 8)},
		},
		Code: sampleDiff(),
	}
}

// sampleDiff has a file of each kind.
func sampleDiff() *codeDiff {
	const train = "import json\n\n\ndef main(alpha):\n    x, y = load()\n    model = Ridge(alpha=alpha)\n    model.fit(x, y)\n    save(model)\n\n\nif __name__ == \"__main__\":\n    main(1.0)\n"
	long := strings.Repeat(long300, 8)
	now := strings.NewReplacer("    model = Ridge(alpha=alpha)\n", "    x = scale(x)  # "+awkward+"\n    model = Ridge(alpha=alpha, solver=\"svd\")\n", "main(1.0)", "main(0.5)", "import json\n", "").Replace(train)
	var table strings.Builder
	for i := range 2 * openLines {
		fmt.Fprintf(&table, "%d,%d\n", i, i*i)
	}
	before := map[string][]byte{"diabetes/train.py": []byte(train), "old.py": []byte("import os\n"), "logo.png": {0, 1, 2}, long: []byte(long)}
	after := map[string][]byte{"diabetes/train.py": []byte(now), "data/" + awkward + ".csv": []byte(table.String()), "logo.png": {0, 1, 2, 3}, long: []byte(strings.ToUpper(long))}
	d := &codeDiff{Before: ridgeline.Commit{Hash: strings.Repeat("9b1d0c7f", 5)}, Now: ridgeline.Commit{Hash: strings.Repeat("4f2c9e1a", 5)}, Hidden: 3}
	for _, name := range []string{"data/" + awkward + ".csv", "diabetes/train.py", "logo.png", long, "old.py"} {
		f := compareFile(name, before, after, mostLines)
		d.Added, d.Removed, d.Files = d.Added+f.Added, d.Removed+f.Removed, append(d.Files, f)
	}
	return d
}
