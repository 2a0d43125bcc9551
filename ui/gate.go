package ui

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/gate"
	"github.com/ridgeline-mlops/ridgeline/release"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// gatePage is why a model was promoted, or was not.
type gatePage struct {
	Run      ridgeline.Run
	Judged   bool // else there is nothing below
	Version  ridgeline.ModelVersion
	Report   gate.Report
	Champion int    // version that it was compared with; 0: none, or not known
	Rival    string // champion, or the baseline's name
	Sentence string // that decides
	Others   []string
	Rivals   []rival

	Effect *components.Interval // nil: there is no interval
	Slices []gateSlice
	Axis   components.Interval // of the slices

	Budget  *components.Slots
	Left    float64 // share of the error budget that is left after this
	Ledger  []ledgerLine
	HasRows bool
	Again   string // what came of making it once more; empty: not asked
	Same    bool
}

type gateSlice struct {
	gate.SliceResult
	Name string
	Plot *components.Interval
}

type ledgerLine struct {
	ridgeline.Decision
	This bool
}

func (u *UI) gate(mux *http.ServeMux) {
	mux.Handle("GET /runs/{id}/gate", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		return u.gatePage(ctx, ridgeline.RunID(r.PathValue("id")), r.URL.Query().Has("again"))
	}))
	mux.HandleFunc("GET /runs/{id}/gate/rows.csv", u.gateRows)
	mux.Handle("POST /models/{name}/{version}/promote", u.act("promote", ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
		model, version, err := modelVersion(r)
		if err != nil {
			return "", err
		}
		return u.promote(ctx, model, version, r.PostFormValue("reason"))
	}))
}

// promote makes a version champion beside the gate, and releases it.
func (u *UI) promote(ctx context.Context, model ridgeline.ModelName, version int, reason string) (next string, err error) {
	who := auth.From(ctx).Name
	o := ridgeline.Override{Who: who, At: now(), Reason: reason, How: "promote"}
	v, err := u.Store.OverrideVersion(ctx, model, version, o)
	if err != nil {
		return "", err
	}
	row, err := u.Releases.Submit(ctx, release.Request{Model: v.Model, Version: v.Version, Cause: "override", Caller: who})
	if err != nil {
		return "", fmt.Errorf("version %d of model %s is the champion now, but was not released: %w", v.Version, v.Model, err)
	}
	return components.Path("releases", row.ID), nil
}

func (u *UI) gatePage(ctx context.Context, id ridgeline.RunID, again bool) (Page, error) {
	run, err := u.Store.Run(ctx, id)
	if err != nil {
		return Page{}, err
	}
	body := gatePage{Run: run}
	p := Page{
		Title: "Gate report", Nav: "runs", Project: run.Project, Busy: !run.Status.Terminal(), Template: "gate",
		Crumbs: []components.Crumb{{Text: "Runs", URL: components.Path("runs", "?project="+string(run.Project))}, {Text: string(run.ID), URL: components.Path("runs", run.ID)}, {Text: "Gate report"}},
	}
	if run.Version > 0 {
		v, err := u.Store.ModelVersion(ctx, run.Model, run.Version)
		if err != nil {
			return p, err
		}
		ledger, err := u.Store.Decisions(ctx, v.Model)
		if err != nil {
			return p, err
		}
		if err := body.fill(v, ledger); err != nil {
			return p, err
		}
		versions, err := u.Store.ModelVersions(ctx, v.Model)
		if err != nil {
			return p, err
		}
		if body.Champion = championBefore(versions, v); body.Champion > 0 && body.Report.Champion != nil {
			body.Rival = fmt.Sprintf("champion v%d", body.Champion)
		}
		if body.Rivals, err = u.rivals(ctx, run.Project, run.Model, run.ID); err != nil {
			return p, err
		}
		if again {
			if body.Same, body.Again, err = u.judgeAgain(ctx, v); err != nil {
				return p, err
			}
		}
	}
	p.Body = body
	return p, nil
}

// championBefore is the version that was champion when v was judged; 0 for
// none. Versions come newest first.
func championBefore(versions []ridgeline.ModelVersion, v ridgeline.ModelVersion) int {
	var since time.Time
	champion := 0
	take := func(n int, at time.Time) {
		if at.Before(v.Created) && at.After(since) {
			champion, since = n, at
		}
	}
	for _, other := range versions {
		if other.Version == v.Version {
			continue
		}
		if other.Verdict == ridgeline.Promoted {
			take(other.Version, other.Created)
		}
		for _, o := range other.Overrides {
			take(other.Version, o.At)
		}
	}
	return champion
}

// judgeAgain makes the report once more from what was kept of it.
func (u *UI) judgeAgain(ctx context.Context, v ridgeline.ModelVersion) (same bool, says string, err error) {
	_, difference, err := u.Runs.Again(ctx, v)
	switch {
	case ridgeline.CodeOf(err) == ridgeline.NotFound:
		return false, err.Error(), nil
	case err != nil:
		return false, "", err
	case difference != "":
		return false, "Made once more from the kept rows, it is another: " + difference, nil
	}
	return true, "Made once more from the kept rows, it is the same to the last digit.", nil
}

// fill reads a version's report and the ledger of its model.
func (p *gatePage) fill(v ridgeline.ModelVersion, ledger []ridgeline.Decision) error {
	p.Judged, p.Version, p.HasRows = true, v, v.Evidence.Rows != ""
	if len(v.Report) > 0 {
		if err := json.Unmarshal(v.Report, &p.Report); err != nil {
			return fmt.Errorf("read the gate's report on version %d of %s: %w", v.Version, v.Model, err)
		}
	}
	r := p.Report
	p.Rival = "champion"
	if r.Champion == nil && r.Baseline != nil {
		p.Rival = r.Baseline.Name
	}
	if len(r.Reasons) > 0 {
		p.Sentence, p.Others = r.Reasons[0], r.Reasons[1:]
	}
	p.Effect = effectOf(r)
	p.slices()
	for _, d := range ledger {
		p.Ledger = append(p.Ledger, ledgerLine{d, d.Run == v.Run && d.Override == nil})
	}
	p.budget()
	return nil
}

// effectOf is the interval plot of the effect, relative where there is one.
func effectOf(r gate.Report) *components.Interval {
	out := components.Interval{Tone: toneOf(r.Verdict), Level: components.Percent(1 - r.Alpha)}
	switch {
	case r.Effect != nil && r.Interval != nil:
		out.At, out.Low, out.High, out.Margin, out.Format = *r.Effect, r.Interval[0], r.Interval[1], r.MinEffect, components.Signed
		if against := rivalValue(r); !r.Relative && against != 0 {
			out.Margin /= math.Abs(against)
		}
	case r.Difference != nil && r.DifferenceInterval != nil:
		out.At, out.Low, out.High, out.Format = *r.Difference, r.DifferenceInterval[0], r.DifferenceInterval[1], func(v float64) string { return components.Number(v) }
		if !r.Relative {
			out.Margin = r.MinEffect
		}
	default:
		return nil
	}
	out.Scale = components.NewScale(out.Low, out.High, out.At, 0, out.Margin, -out.Margin)
	out.Label = fmt.Sprintf("Effect %s, %s interval from %s to %s. 0 is no change; a promotion needs more than %s.",
		out.Format(out.At), out.Level, out.Format(out.Low), out.Format(out.High), out.Format(out.Margin))
	return &out
}

func rivalValue(r gate.Report) float64 {
	switch {
	case r.Champion != nil:
		return *r.Champion
	case r.Baseline != nil:
		return r.Baseline.Value
	}
	return 0
}

func toneOf(v ridgeline.Verdict) string { return components.NewVerdict(v).Tone }

// slices draws all slices on one scale.
func (p *gatePage) slices() {
	var ends []float64
	for _, s := range p.Report.Slices {
		one := gateSlice{SliceResult: s, Name: s.Column + " = " + cmp.Or(s.Value, "missing")}
		if s.Effect != nil && s.Interval != nil {
			one.Plot = &components.Interval{At: *s.Effect, Low: s.Interval[0], High: s.Interval[1], Tone: components.NewStatus(s.Verdict).Tone, Format: components.Signed}
			if s.Champion != nil && *s.Champion != 0 {
				one.Plot.Margin = -s.Tolerance / math.Abs(*s.Champion)
			}
			one.Plot.Label = fmt.Sprintf("%s: effect %s, from %s to %s", one.Name, components.Signed(one.Plot.At), components.Signed(one.Plot.Low), components.Signed(one.Plot.High))
			ends = append(ends, one.Plot.Low, one.Plot.High, one.Plot.Margin)
		}
		p.Slices = append(p.Slices, one)
	}
	if len(ends) == 0 {
		return
	}
	p.Axis = components.Interval{Scale: components.NewScale(append(ends, 0)...), Format: components.Signed}
	for i := range p.Slices {
		if p.Slices[i].Plot != nil {
			p.Slices[i].Plot.Scale = p.Axis.Scale
		}
	}
}

// budget draws the decisions of the holdout's life, this one marked.
func (p *gatePage) budget() {
	b := p.Report.Budget
	if b == nil {
		return
	}
	out := components.Slots{Label: fmt.Sprintf("Decision %d of %d on this holdout", b.Decision, b.Limit), Free: b.Limit}
	for _, line := range p.Ledger {
		if line.Override != nil || line.Alpha <= 0 || line.Life != b.Life || line.At.After(p.Version.Created) && !line.This {
			continue
		}
		out.Made = append(out.Made, components.Slot{
			Tone: toneOf(line.Verdict), Now: line.This, URL: components.Path("runs", line.Run, "gate"),
			Title: fmt.Sprintf("version %d: %s, at %s", line.Version, line.Verdict, components.Percent(line.Alpha)),
		})
	}
	out.Free -= len(out.Made)
	p.Budget, p.Left = &out, 1
	if b.Total > 0 {
		p.Left = max(0, 1-(b.Spent+p.Report.Spent)/b.Total)
	}
}

// Missing is how many more rows it would take, as far as that is known.
func (p gatePage) Missing() int {
	if p.Report.RowsNeeded == nil {
		return 0
	}
	return max(*p.Report.RowsNeeded-p.Report.Rows, 0)
}

// Share is how much of the rows needed there is.
func (p gatePage) Share() float64 {
	if p.Report.RowsNeeded == nil || *p.Report.RowsNeeded == 0 {
		return 1
	}
	return float64(p.Report.Rows) / float64(*p.Report.RowsNeeded)
}

// BaselineValue is the baseline's value, where there is one.
func (p gatePage) BaselineValue() *float64 {
	if p.Report.Baseline == nil {
		return nil
	}
	return &p.Report.Baseline.Value
}

// P writes a probability.
func (p gatePage) P(v float64) string { return strings.Replace(fmt.Sprintf("%.2g", v), "e-0", "e-", 1) }

// Threshold is the highest p that is promoted, also of reports from before
// there was an error budget.
func (p gatePage) Threshold() float64 {
	if p.Report.Threshold == 0 && p.Report.Budget == nil {
		return p.Report.Alpha
	}
	return p.Report.Threshold
}

// gateRows answers with the holdout's rows as both models answered them.
func (u *UI) gateRows(w http.ResponseWriter, r *http.Request) {
	r, ok := u.enter(w, r)
	if !ok {
		return
	}
	run, err := u.Store.Run(r.Context(), ridgeline.RunID(r.PathValue("id")))
	if err != nil {
		u.fail(w, r, err)
		return
	}
	v, err := u.Store.ModelVersion(r.Context(), run.Model, run.Version)
	if err == nil && v.Evidence.Rows == "" {
		err = ridgeline.Errorf(ridgeline.NotFound, "run %s kept no rows: only values of the metric were compared", run.ID)
	}
	if err != nil {
		u.fail(w, r, err)
		return
	}
	f, err := u.Blob.Get(r.Context(), v.Evidence.Rows)
	if err != nil {
		u.fail(w, r, err)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=gate-%s.csv", run.ID))
	_, _ = io.Copy(w, f)
}
