package ui

import (
	"context"
	"errors"
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
// which no pipeline started, and those of the steps.
type loggedPage struct {
	Experiments []track.Experiment
	Experiment  int64
	Filter      string // in MLflow's grammar
	Rows        []loggedLine
	Columns     []column
	Problem     string // why nothing is shown
	Sort        string // a column, as the address has it
	Down        bool
	Of          string // which value of a metric is shown: last, min or max
	More        string // address of the next ones; empty at the end
}

// A loggedLine is such a run with what the columns show.
type loggedLine struct {
	track.Run
	Line    runLine
	Cells   []cell
	Started time.Time
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

// Most parts of a run that a page lists, experiments to choose from, and runs.
const (
	loggedUsual     = 100
	mostChildren    = 200
	mostExperiments = 500
)

func (u *UI) loggedRuns(mux *http.ServeMux) {
	mux.Handle("GET /logged", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		body, err := u.loadLogged(ctx, r.URL.Query())
		return Page{Title: "Logged runs", Nav: "runs", Template: "logged", Body: body, Busy: body.moves(), Crumbs: []components.Crumb{{Text: "Runs", URL: "/runs"}, {Text: "Logged"}}}, err
	}))
	mux.Handle("GET /logged/{id}", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		body, err := u.loadLoggedRun(ctx, r.PathValue("id"), r.URL.Query())
		return Page{
			Title: body.Name, Nav: "runs", Template: "logged-run", Body: body, Busy: body.Status == track.Running,
			Crumbs: []components.Crumb{{Text: "Runs", URL: "/runs"}, {Text: "Logged", URL: "/logged"}, {Text: body.Experiment.Name, URL: loggedURL(body.Experiment.ID)}, {Text: body.Name}},
		}, err
	}))
	mux.HandleFunc("GET /logged/{id}/files/{file...}", u.loggedFile)
}

// moves reports whether the page is to be made again each second: for least and
// greatest values, all that was ever logged is read.
func (p loggedPage) moves() bool {
	return p.Of == lastValue && slices.ContainsFunc(p.Rows, func(l loggedLine) bool { return l.Run.Status == track.Running })
}

func loggedURL(experiment int64) string {
	return components.Path("logged", query("experiment", strconv.FormatInt(experiment, 10)))
}

func (u *UI) loadLogged(ctx context.Context, q url.Values) (out loggedPage, err error) {
	out.Of = valueOf(q)
	of := ridgeline.ProjectName("")
	if who := auth.From(ctx); who.Scoped() {
		of = who.Project
	}
	if out.Experiments, _, err = u.Track.SearchExperiments(ctx, track.ExperimentSearch{Max: mostExperiments, Project: string(of)}); err != nil || len(out.Experiments) == 0 {
		return out, err
	}
	out.Experiment, out.Filter, out.Sort, out.Down = out.Experiments[0].ID, q.Get("filter"), q.Get("sort"), q.Get("down") != ""
	if id, err := strconv.ParseInt(q.Get("experiment"), 10, 64); err == nil {
		out.Experiment = id
	}
	search := track.Search{Experiments: []int64{out.Experiment}, Filter: out.Filter, Max: loggedUsual, Token: q.Get("token")}
	if out.Sort != "" {
		search.Orders = []string{orderOf(out.Sort, out.Down)}
	}
	rows, next, err := u.Track.SearchRuns(ctx, search)
	if ridgeline.CodeOf(err) == ridgeline.Invalid {
		out.Problem = err.Error()
		return out, nil
	}
	if next != "" {
		out.More = with(q, "/logged", "token", next)
	}
	lines, tracked := make([]runLine, len(rows)), make([][]track.Run, len(rows))
	for i, r := range rows {
		lines[i], tracked[i] = loggedValues(r), []track.Run{r}
	}
	if out.Of != lastValue {
		if err := u.addExtremes(ctx, lines, tracked, out.Of); err != nil {
			return out, err
		}
	}
	out.Columns = chosenColumns(columnsOf(lines, false), q)
	for i, r := range rows {
		l := loggedLine{Run: r, Line: lines[i], Started: time.UnixMilli(r.Started)}
		for _, c := range out.Columns {
			l.Cells = append(l.Cells, l.Line.value(c.Key))
		}
		out.Rows = append(out.Rows, l)
	}
	return out, err
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

// chosenColumns are the first of each kind, with the addresses that sort by them.
func chosenColumns(all []column, q url.Values) (out []column) {
	own := map[byte]int{}
	for _, c := range all {
		if own[c.Key[0]]++; own[c.Key[0]] > columnsOwn {
			continue
		}
		next := url.Values{"experiment": q["experiment"], "filter": q["filter"], "of": q["of"], "sort": {c.Key}}
		if q.Get("sort") == c.Key {
			if c.Now = "descending"; q.Get("down") == "" {
				c.Now = "ascending"
				next.Set("down", "1")
			}
		}
		c.Sort = "/logged?" + next.Encode()
		out = append(out, c)
	}
	return out
}

// loggedStatuses are MLflow's statuses in our words.
var loggedStatuses = map[string]ridgeline.Status{
	track.Running: ridgeline.Running, track.Scheduled: ridgeline.Queued, track.Finished: ridgeline.Succeeded, track.Failed: ridgeline.Failed, track.Killed: ridgeline.Cancelled,
}

// loggedValues is a logged run beside runs of pipelines.
func loggedValues(r track.Run) runLine {
	l := runLine{Run: ridgeline.Run{ID: ridgeline.RunID(r.ID), Status: loggedStatuses[r.Status], Params: map[string]string{}}, Metrics: ridgeline.Metrics{}, Logged: &r}
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
