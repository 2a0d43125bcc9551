package ui

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// runPage is one run: where it stands, why it began, and what it left.
type runPage struct {
	ridgeline.Run
	Tabs    []components.Tab
	Tab     string // which part is shown
	Commit  ridgeline.Commit
	Failure *stepRow // the step that ended the run, when one did
	Cost    cost
	Rivals  []rival

	graphView // of nothing, where the pipeline's configuration is not known
	Steps     []stepRow
	Parts     partList
	Chosen    *chosenStep

	Charts      []components.Chart
	System      systemPart
	Metrics     []stepMetric
	Drawing     drawing
	Artifacts   []artifact
	Environment runEnvironment
}

// A stepRow is a step on the list, with its attempts as parts of a line of
// time.
type stepRow struct {
	ridgeline.Step
	URL    string
	Now    bool
	Tries  int
	Memory int64
	Asked  int64 // bytes of memory of the last attempt; 0: none, or any
	CPU    float64
	Advice string // what the last attempt asked for in vain
	System string // address of how it used all that, over its time; empty: it was too short
	Bars   []components.Bar
	Again  bool // it can be done anew, with all that depends on it
}

// A chosenStep is the step whose log is shown.
type chosenStep struct {
	stepRow
	Attempt  ridgeline.Attempt // zero: no task ran
	Attempts []components.Tab
	Log      logView
}

// runTabs are the parts of a run's page: what the address calls them, and what
// they are called.
var runTabs = [][2]string{{"", "Steps"}, {"metrics", "Metrics"}, {"artifacts", "Artifacts"}, {"environment", "Code and environment"}}

// mostInstances is how many steps a page lists.
const mostInstances = 200

func (u *UI) run(mux *http.ServeMux) {
	mux.Handle("GET /runs/{id}", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		body, err := u.loadRun(ctx, ridgeline.RunID(r.PathValue("id")), r.URL.Query())
		return Page{
			Title: "Run " + string(body.ID), Nav: "runs", Project: body.Project, Busy: !body.Status.Terminal(), Template: "run", Body: body,
			Crumbs: []components.Crumb{{Text: "Runs", URL: components.Path("runs", "?project="+url.QueryEscape(string(body.Project)))}, {Text: string(body.ID)}},
		}, err
	}))
	again := func(action string, start func(ctx context.Context, r *http.Request, id ridgeline.RunID) (ridgeline.Run, error)) http.Handler {
		return u.act(action, ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
			row, err := start(ctx, r, ridgeline.RunID(r.PathValue("id")))
			return components.Path("runs", row.ID), err
		})
	}
	mux.Handle("POST /runs/{id}/cancel", again("cancel-run", func(ctx context.Context, _ *http.Request, id ridgeline.RunID) (ridgeline.Run, error) {
		return ridgeline.Run{ID: id}, u.Store.RequestCancel(ctx, id)
	}))
	mux.Handle("POST /runs/{id}/resume", again("resume-run", func(ctx context.Context, _ *http.Request, id ridgeline.RunID) (ridgeline.Run, error) {
		return u.Runs.Resume(ctx, id, auth.From(ctx).Name)
	}))
	mux.Handle("POST /runs/{id}/rerun", again("rerun", func(ctx context.Context, r *http.Request, id ridgeline.RunID) (ridgeline.Run, error) {
		return u.Runs.Rerun(ctx, id, r.PostFormValue("step"), auth.From(ctx).Name)
	}))
	mux.HandleFunc("GET /runs/{id}/artifacts/{step}", u.runArtifact)
	mux.HandleFunc("GET /runs/{id}/logged/{logged}/{file...}", u.loggedArtifact)
}

func (u *UI) loadRun(ctx context.Context, id ridgeline.RunID, query url.Values) (out runPage, err error) {
	if out.Run, err = u.Store.Run(ctx, id); err != nil {
		return out, err
	}
	steps, err := u.Store.Steps(ctx, id)
	if err != nil {
		return out, err
	}
	p, err := u.Store.Pipeline(ctx, out.Project, out.Pipeline)
	if err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
		return out, err
	}
	out.Cost = u.attemptsCost(steps)
	if out.Rivals, err = u.rivals(ctx, out.Project, out.Model, id); err != nil {
		return out, err
	}
	out.Commit, out.Tab = p.Commit, query.Get("tab")
	for _, t := range runTabs {
		out.Tabs = append(out.Tabs, components.Tab{Text: t[1], URL: runURL(id, "tab", t[0]), Now: t[0] == out.Tab})
	}
	now := time.Now()
	chosen := chooseStep(steps, query.Get("step"))
	all := stepRows(out.Run, steps, chosen, now)
	for i, s := range all {
		if s.Status == ridgeline.Failed && s.Parent == "" && out.Status == ridgeline.Failed {
			out.Failure = &all[i]
		}
	}
	switch out.Tab {
	case "metrics":
		return out, u.addMetrics(ctx, &out, steps, query)
	case "artifacts":
		return out, u.addArtifacts(ctx, &out, steps)
	case "environment":
		return out, u.addEnvironment(ctx, &out, p)
	}
	out.draw(all, u.needsOf(ctx, p), chosen, query)
	if chosen >= 0 {
		out.Chosen, err = u.chosen(ctx, all[chosen], query)
	}
	return out, err
}

// runURL is the address of a run's page with one thing chosen.
func runURL(id ridgeline.RunID, pairs ...string) string {
	return components.Path("runs", id) + pairsOf(pairs)
}

// pairsOf is names and values, of those that have one, as an address's query.
func pairsOf(pairs []string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// chooseStep is the place of the named step; of none, of what people look for
// first: what failed, else what is under way, else the last that ran.
func chooseStep(steps []ridgeline.Step, name string) int {
	best, rank := -1, 0
	for i, s := range steps {
		if name != "" {
			if s.Name == name {
				return i
			}
			continue
		}
		worth := 0
		switch {
		case s.Status == ridgeline.Failed && len(s.Attempts) > 0:
			worth = 4
		case s.Status == ridgeline.Running && len(s.Attempts) > 0:
			worth = 3
		case len(s.Attempts) > 0 && !builtIn(s.Name):
			worth = 2
		case len(s.Attempts) > 0:
			worth = 1
		}
		if worth > 0 && worth >= rank {
			best, rank = i, worth
		}
	}
	return best
}

// builtIn reports whether the step is ours, and not a command of the project.
func builtIn(name string) bool {
	switch name {
	case "pack", "evaluate", "gate", "register":
		return true
	}
	return false
}

func stepRows(run ridgeline.Run, steps []ridgeline.Step, chosen int, now time.Time) []stepRow {
	begin, end := cmp.Or(run.Started, run.Created), cmp.Or(run.Ended, now)
	whole := end.Sub(begin).Seconds()
	since := func(at time.Time) float64 { return at.Sub(begin).Seconds() }
	rows := make([]stepRow, len(steps))
	for i, s := range steps {
		row := stepRow{Step: s, URL: runURL(run.ID, "step", s.Name), Now: i == chosen, Tries: len(s.Attempts)}
		row.Again = run.Status.Terminal() && run.Reproduces == "" && s.Parent == "" && !builtIn(s.Name)
		for _, a := range s.Attempts {
			row.CPU += a.Usage.CPUSeconds
			row.Memory = max(row.Memory, a.Usage.PeakMemory)
			row.Asked, row.Advice = a.Held.Memory, a.Held.Advice(a.Used())
			if a.Usage.WallSeconds >= ridgeline.CourseWorth {
				row.System = runURL(run.ID, "tab", "metrics", "step", s.Name)
			}
			if !a.Started.IsZero() {
				row.Bars = append(row.Bars, components.NewBar(since(a.Started), since(cmp.Or(a.Ended, end)), whole, components.NewStatus(a.Status).Tone,
					"attempt "+strconv.Itoa(a.Number)+": "+string(a.Status)))
			}
		}
		if len(s.Attempts) == 0 && !s.Started.IsZero() {
			row.Bars = append(row.Bars, components.NewBar(since(s.Started), since(cmp.Or(s.Ended, end)), whole, components.NewStatus(s.Status).Tone, string(s.Status)))
		}
		rows[i] = row
	}
	return rows
}

// draw draws the steps, and lists those that are asked for. Of a run whose needs
// nobody knows there is the list alone.
func (p *runPage) draw(all []stepRow, needs map[string][]string, chosen int, query url.Values) {
	var g *stepGraph
	if needs != nil {
		centre := ""
		if chosen >= 0 {
			centre = cmp.Or(all[chosen].Parent, all[chosen].Name)
		}
		g = runGraph(p.ID, all, needs)
		p.graphView = g.view(centre, query)
		p.Below = "#log"
	}
	p.list(all, query, g)
}

// runGraph is the steps that are nobody's instances, as the pipeline orders
// them; what judges the model comes after all of the project's own.
func runGraph(id ridgeline.RunID, rows []stepRow, needs map[string][]string) *stepGraph {
	parts := partsOf(rows)
	var nodes []components.GraphNode
	var stand []ridgeline.Status
	var last string
	var ends []string
	for _, s := range rows {
		if s.Parent != "" {
			continue
		}
		n := components.GraphNode{Name: s.Name, URL: s.URL, Tone: components.NewStatus(s.Status).Tone, Now: s.Now, Note: stepNote(s)}
		if many, ok := parts[s.Name]; ok {
			many.fill(&n, s)
		}
		if own, ok := needs[s.Name]; ok {
			n.Needs = own
			ends = append(ends, s.Name)
		} else if last == "" {
			n.Needs, last = tips(ends, needs), s.Name
		} else {
			n.Needs, last = []string{last}, s.Name
		}
		nodes, stand = append(nodes, n), append(stand, s.Status)
	}
	return newStepGraph("the steps of the run, and what waits for what", nodes, stand, func(pairs ...string) string { return runURL(id, pairs...) })
}

// needsOf says what each of the project's own steps waits for; nil: a
// configuration of an older program, which this one does not read.
func (u *UI) needsOf(ctx context.Context, p ridgeline.Pipeline) map[string][]string {
	config, err := u.Runs.Config(ctx, p)
	if err != nil {
		return nil
	}
	needs := map[string][]string{}
	for _, s := range config.Pipeline.Steps {
		if !builtIn(s.Name) {
			needs[s.Name] = s.Needs
		}
	}
	return needs
}

// tips are those of names that none of the others needs.
func tips(names []string, needs map[string][]string) (out []string) {
	needed := map[string]bool{}
	for _, n := range names {
		for _, need := range needs[n] {
			needed[need] = true
		}
	}
	for _, n := range names {
		if !needed[n] {
			out = append(out, n)
		}
	}
	return out
}

// stepNote is the second line of a step's box.
func stepNote(s stepRow) string {
	switch {
	case s.Cached:
		return "from cache"
	case s.Started.IsZero():
		return string(s.Status)
	}
	return string(s.Status) + " · " + components.Between(s.Started, s.Ended)
}

// chosen is a step with the log of the attempt that is asked for, or its last.
func (u *UI) chosen(ctx context.Context, s stepRow, query url.Values) (*chosenStep, error) {
	out := &chosenStep{stepRow: s}
	number, _ := strconv.Atoi(query.Get("attempt"))
	for i, a := range s.Attempts {
		if i == len(s.Attempts)-1 && out.Attempt.Number == 0 || a.Number == number {
			out.Attempt = a
		}
	}
	if out.Attempt.Number == 0 {
		return out, nil
	}
	if len(s.Attempts) > 1 {
		for _, a := range s.Attempts {
			out.Attempts = append(out.Attempts, components.Tab{
				Text: "Attempt " + strconv.Itoa(a.Number), URL: runURL(s.Run, "step", s.Name, "attempt", strconv.Itoa(a.Number)),
				Count: strings.TrimSpace(string(a.Status)), Now: a.Number == out.Attempt.Number,
			})
		}
	}
	var err error
	out.Log, err = u.viewLog(ctx, out.Attempt.Task, "Log of "+s.Name, !out.Attempt.Status.Terminal(), query,
		components.NewCLI("logs", s.Run, s.Name))
	out.Log.Hidden = [][2]string{{"step", s.Name}, {"attempt", strconv.Itoa(out.Attempt.Number)}}
	return out, err
}

// query is one pair of an address, as the query of components.Path.
func query(name, value string) string { return "?" + url.Values{name: {value}}.Encode() }
