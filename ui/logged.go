package ui

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/track"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// loggedPage is the runs that scripts have logged to an experiment: a notebook's,
// which no pipeline started, and those of the steps. As in the table of pipelines'
// runs a window of them is in the page; a script fetches the others.
type loggedPage struct {
	Experiments []track.Experiment
	Experiment  int64
	Filter      string // in MLflow's grammar
	Rows        []runLine
	Columns     []column // that are shown
	All         []column // that could be
	Problem     string   // why nothing is shown
	Sort        string   // a column, as the address has it
	Unsorted    string   // address of the same, latest first
	Down        bool
	Different   bool   // only columns that are not the same for all
	Of          string // which value of a metric is shown: last, min or max
	First       int    // number of the first row, from 0
	Further     string // address of the window after this; empty at the end
	Newest      string // address of the first window; empty there
	Parts       string // query, from its ? on, that asks for other rows of just this table
	Upto        string // when the latest run of the table was started, in Unix milliseconds; empty: whatever comes is in it
	Latest      string // when the latest run that is chosen was
	Size        int    // of the window
}

// loggedRunPage is one such run.
type loggedRunPage struct {
	track.Run
	Experiment     track.Experiment
	Started, Ended time.Time
	Parent         string // the run that it is a part of
	Children       []track.Run
	Of             ridgeline.RunID // the pipeline's run whose step logged it
	Charts         []components.Chart
	System         systemPart
	Drawing        drawing
	Artifacts      []artifact
	Notes          []track.Pair // tags that people set
}

// Of how many runs at least the columns are, most parts of a run that a page
// lists, and experiments to choose from.
const (
	loggedSeen      = 100
	mostChildren    = 200
	mostExperiments = 500
)

func (u *UI) loggedRuns(mux *http.ServeMux) {
	mux.Handle("GET /logged", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		body, err := u.loadLogged(ctx, r.URL.Query())
		return Page{Title: "Logged runs", Nav: "runs", Template: "logged", Body: body, Busy: body.moves(), Crumbs: []components.Crumb{{Text: "Runs", URL: "/runs"}, {Text: "Logged"}}}, err
	}))
	mux.HandleFunc("GET /ui/logged/rows", u.part(u.loggedRows))
	mux.HandleFunc("GET /ui/logged/marks", u.part(u.loggedMarks))
	mux.Handle("GET /logged/{id}", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		body, err := u.loadLoggedRun(ctx, r.PathValue("id"), r.URL.Query())
		return Page{
			Title: body.Name, Nav: "runs", Template: "logged-run", Body: body, Busy: body.Status == track.Running,
			Crumbs: []components.Crumb{{Text: "Runs", URL: "/runs"}, {Text: "Logged", URL: "/logged"}, {Text: body.Experiment.Name, URL: loggedURL(body.Experiment.ID)}, {Text: body.Name}},
		}, err
	}))
	mux.HandleFunc("GET /logged/{id}/files/{file...}", u.loggedFile)
}

// moves reports whether the page is to be made again each second: no event tells
// of what a notebook logs. For least and greatest values all that was ever logged
// is read, so those stand still.
func (p loggedPage) moves() bool { return p.Of == lastValue && p.Problem == "" }

func loggedURL(experiment int64) string {
	return components.Path("logged", query("experiment", strconv.FormatInt(experiment, 10)))
}

func newLoggedPage(q url.Values) (out loggedPage) {
	out = loggedPage{Of: valueOf(q), Filter: q.Get("filter"), Sort: q.Get("sort"), Down: q.Get("down") != "", Different: q.Get("different") != "", Upto: q.Get("upto")}
	out.Experiment, _ = strconv.ParseInt(q.Get("experiment"), 10, 64)
	out.First, out.Size = tableWindow(q)
	return out
}

// search asks for the runs that are chosen, in the table's order.
func (p loggedPage) search(q url.Values) track.Search {
	search := track.Search{Experiments: []int64{p.Experiment}, Filter: p.Filter, Max: p.Size, Skip: p.First}
	if p.Sort != "" {
		search.Orders = []string{orderOf(p.Sort, p.Down)}
	} else if upto, err := strconv.ParseInt(p.Upto, 10, 64); err == nil {
		search.Token = track.StartedBy(upto)
	}
	if mark := q.Get("before"); mark != "" {
		search.Token = mark
	}
	return search
}

func (u *UI) loadLogged(ctx context.Context, q url.Values) (out loggedPage, err error) {
	out = newLoggedPage(q)
	of := ridgeline.ProjectName("")
	if who := auth.From(ctx); who.Scoped() {
		of = who.Project
	}
	if out.Experiments, _, err = u.Track.SearchExperiments(ctx, track.ExperimentSearch{Max: mostExperiments, Project: string(of)}); err != nil || len(out.Experiments) == 0 {
		return out, err
	}
	if !q.Has("experiment") {
		out.Experiment = out.Experiments[0].ID
	}
	err = u.fillLogged(ctx, &out, q)
	if ridgeline.CodeOf(err) == ridgeline.Invalid {
		out.Problem, err = err.Error(), nil
	}
	return out, err
}

// fillLogged reads the window that the address asks for, and what columns there are.
func (u *UI) fillLogged(ctx context.Context, out *loggedPage, q url.Values) error {
	search := out.search(q)
	search.Max = max(out.Size, loggedSeen)
	rows, next, err := u.Track.SearchRuns(ctx, search)
	if err != nil || len(rows) == 0 {
		return err
	}
	out.Latest = strconv.FormatInt(rows[0].Started, 10)
	if first := search; out.Sort == "" && (out.First > 0 || out.Upto != "") {
		first.Max, first.Skip, first.Token = 1, 0, ""
		latest, _, err := u.Track.SearchRuns(ctx, first)
		if err != nil {
			return err
		}
		for _, r := range latest {
			out.Latest = strconv.FormatInt(r.Started, 10)
		}
	}
	if out.Sort == "" {
		out.Upto = cmp.Or(out.Upto, out.Latest)
	}
	lines, err := u.loggedLines(ctx, rows, *out)
	if err != nil {
		return err
	}
	out.arrange(lines, q)
	here := maps.Clone(q)
	if len(rows) > out.Size || next != "" {
		if out.Upto != "" {
			here.Set("upto", out.Upto)
		}
		out.Further = with(here, "/logged", "skip", strconv.Itoa(out.First+out.Size))
	}
	if out.First > 0 {
		here.Del("upto")
		out.Newest = with(here, "/logged", "skip", "")
	}
	return nil
}

// loggedLines are runs beside those of pipelines, numbered.
func (u *UI) loggedLines(ctx context.Context, rows []track.Run, p loggedPage) ([]runLine, error) {
	lines, tracked := make([]runLine, len(rows)), make([][]track.Run, len(rows))
	for i, r := range rows {
		lines[i], tracked[i] = loggedValues(r), []track.Run{r}
		lines[i].Row = p.First + i
	}
	if p.Of == lastValue {
		return lines, nil
	}
	return lines, u.addExtremes(ctx, lines, tracked, p.Of)
}

// arrange chooses columns as the address says, of those that the runs have and
// that it asks for, and shows them of the runs in the window.
func (p *loggedPage) arrange(lines []runLine, q url.Values) {
	var keys []string
	for _, c := range columnsOf(lines, p.Different) {
		keys = append(keys, c.Key)
	}
	for _, key := range q["column"] {
		if !p.Different && !slices.Contains(keys, key) && (strings.HasPrefix(key, "p.") || strings.HasPrefix(key, "m.")) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, paramsFirst)
	t := tableAt{"/logged", maps.Clone(q), p.Sort, p.Down}
	t.q.Set("experiment", strconv.FormatInt(p.Experiment, 10))
	p.All, p.Columns = t.columns(keys)
	p.Unsorted, p.Parts = t.unsorted(), t.parts(p.Columns)
	p.Rows = lines[:min(p.Size, len(lines))]
	fillCells(p.Rows, p.Columns)
}

// loggedRows are rows of a table that is shown already, as runRows are.
func (u *UI) loggedRows(ctx context.Context, q url.Values) ([]byte, string, error) {
	body := newLoggedPage(q)
	rows, _, err := u.Track.SearchRuns(ctx, body.search(q))
	if err != nil {
		return nil, "", err
	}
	body.Columns = columnsAsked(q)
	body.First, _ = strconv.Atoi(q.Get("row"))
	if body.Rows, err = u.loggedLines(ctx, rows, body); err != nil {
		return nil, "", err
	}
	fillCells(body.Rows, body.Columns)
	text, err := u.renderPart("logged", "logged-rows", body)
	return text, "text/html; charset=utf-8", err
}

// loggedMarks is how many rows a table has, and where in it is what.
func (u *UI) loggedMarks(ctx context.Context, q url.Values) ([]byte, string, error) {
	total, marks, err := u.Track.RunMarks(ctx, newLoggedPage(q).search(q), marksEvery)
	if err != nil {
		return nil, "", err
	}
	return rowMarks(total, marks)
}

// lastValue is which value of a metric is shown unless the address says min or max.
const lastValue = "last"

func valueOf(q url.Values) string {
	if of := q.Get("of"); of == "min" || of == "max" {
		return of
	}
	return lastValue
}

// orderOf is a column's order in MLflow's grammar.
func orderOf(key string, down bool) string {
	kind, name, _ := strings.Cut(key, ".")
	order := map[string]string{"m": "metrics", "p": "params"}[kind] + ".`" + strings.ReplaceAll(name, "`", "") + "`"
	if down {
		return order + " DESC"
	}
	return order + " ASC"
}

// loggedStatuses are MLflow's statuses in our words.
var loggedStatuses = map[string]ridgeline.Status{
	track.Running: ridgeline.Running, track.Scheduled: ridgeline.Queued, track.Finished: ridgeline.Succeeded, track.Failed: ridgeline.Failed, track.Killed: ridgeline.Cancelled,
}

// loggedValues is a logged run beside runs of pipelines.
func loggedValues(r track.Run) runLine {
	l := runLine{Run: ridgeline.Run{ID: ridgeline.RunID(r.ID), Status: loggedStatuses[r.Status], Started: time.UnixMilli(r.Started), Params: map[string]string{}}, Metrics: ridgeline.Metrics{}, Logged: &r}
	for _, p := range r.Params {
		l.Params[p.Key] = p.Value
	}
	for _, m := range r.Metrics {
		l.Metrics[m.Key] = m.Value
	}
	return l
}

func (u *UI) loadLoggedRun(ctx context.Context, id string, q url.Values) (out loggedRunPage, err error) {
	if out.Run, err = u.Track.Run(ctx, id); err != nil {
		return out, err
	}
	if out.Experiment, err = u.Track.Experiment(ctx, out.Run.Experiment); err != nil {
		return out, err
	}
	out.Started, out.Drawing = time.UnixMilli(out.Run.Started), drawingOf(q)
	if e := out.Run.Ended; e != nil {
		out.Ended = time.UnixMilli(*e)
	}
	for _, t := range out.Tags {
		switch {
		case t.Key == "mlflow.parentRunId":
			out.Parent = t.Value
		case t.Key == "ridgeline.run":
			out.Of = ridgeline.RunID(t.Value)
		case !strings.HasPrefix(t.Key, "mlflow.log-model") && t.Key != track.RunNameTag:
			out.Notes = append(out.Notes, t)
		}
	}
	if err := u.addLogged(ctx, &out); err != nil {
		return out, err
	}
	out.Children, _, err = u.Track.SearchRuns(ctx, track.Search{
		Experiments: []int64{out.Run.Experiment}, Filter: "tags.`mlflow.parentRunId` = '" + strings.ReplaceAll(id, "'", "") + "'", Max: mostChildren,
	})
	if err != nil {
		return out, err
	}
	err = u.Track.EachArtifact(ctx, artifactFolder(out.Run), func(name string, a track.Artifact) error {
		if len(out.Artifacts) == mostFiles {
			return errEnough
		}
		address := components.Path("logged", id, "files")
		for part := range strings.SplitSeq(name, "/") {
			address += components.Path(part)
		}
		out.Artifacts = append(out.Artifacts, artifact{Path: name, Size: a.Size, Logged: true, Picture: picture(name), URL: address})
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, err
}

// addLogged draws what was logged more than once; of the machine, by itself.
func (u *UI) addLogged(ctx context.Context, out *loggedRunPage) error {
	var own []track.Metric
	for _, m := range out.Metrics {
		charts := &out.Charts
		if isSystem(m.Key) {
			charts = &out.System.Curves
			out.System.Logged = append(out.System.Logged, stepMetric{Name: m.Key, Value: m.Value})
		} else {
			own = append(own, m)
		}
		if len(*charts) >= mostCharts {
			continue
		}
		points, err := u.Track.History(ctx, out.ID, m.Key)
		if err != nil {
			return err
		}
		switch {
		case len(points) < 2:
		case isSystem(m.Key):
			*charts = append(*charts, loggedSystem(m.Key, []curve{{out.Name, points}}))
		default:
			*charts = append(*charts, curveChart(m.Key, []curve{{out.Name, points}}, out.Drawing))
		}
	}
	out.Metrics = own
	return nil
}

// loggedFile sends a file that a run has logged.
func (u *UI) loggedFile(w http.ResponseWriter, r *http.Request) {
	r, ok := u.enter(w, r)
	if !ok {
		return
	}
	run, err := u.Track.Run(r.Context(), r.PathValue("id"))
	if err != nil {
		u.fail(w, r, err)
		return
	}
	u.sendLogged(w, r, run)
}
