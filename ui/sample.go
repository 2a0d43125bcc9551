package ui

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/gate"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// sampleReport is a gate's report of the verdict.
func sampleReport(v ridgeline.Verdict, effect, low, high float64, reasons ...string) gate.Report {
	champion, p, power, needed := 2995.2, 0.0007, 0.91, 820
	switch v {
	case ridgeline.Rejected:
		p, power = 0.9998, 0
	case ridgeline.Inconclusive:
		p, power = 0.44, 0.02
	}
	challenger := champion * (1 - effect)
	r := gate.Report{
		Verdict: v, Metric: "mse", Better: "lower", Champion: &champion, Challenger: &challenger, Effect: &effect, Interval: &[2]float64{low, high}, P: &p, Power: &power,
		Rows: 412, MinEffect: 0.01, Relative: true, Alpha: 0.05, Threshold: 0.0025, Spent: 0.0025, Reasons: reasons, Method: "paired studentised bootstrap and sign-flip test, 3999 resamples",
		Budget: &gate.Allowance{Alpha: 0.0025, Life: 1, Decision: 3, Limit: 20, Total: 0.05, Spent: 0.005, NewRows: 206},
		Limits: []gate.LimitResult{{Name: "p95 latency", Limit: "≤ 20ms", Measured: "754µs", Verdict: gate.LimitOK}, {Name: "model size", Limit: "≤ 50 MB", Measured: "43 MB", Verdict: gate.LimitOK}},
	}
	type slice struct {
		value    string
		rows     int
		champion float64
		at       float64
		v        gate.SliceVerdict
		p        float64
	}
	slices := []slice{{"1", 220, 3094.1, effect + 0.02, gate.SliceOK, 0.31}, {"2", 180, 2996.4, effect - 0.02, gate.SliceOK, 0.88}}
	switch v {
	case ridgeline.Rejected:
		slices[1].at, slices[1].v, slices[1].p = -0.108, gate.SliceWorse, 0.0007
		r.Limits[1].Measured, r.Limits[1].Verdict = "61 MB", gate.LimitBroken
	case ridgeline.Inconclusive:
		slices = append(slices, slice{awkward, 12, 2801, 0.01, gate.SliceSmall, 1}, slice{strings.Repeat(long300, 8), 40, 2913, effect, gate.SliceOK, 1})
	}
	for _, s := range slices {
		after := s.champion * (1 - s.at)
		one := gate.SliceResult{Column: "sex", Value: s.value, Rows: s.rows, Champion: &s.champion, Challenger: &after, Effect: &s.at, P: &s.p, Verdict: s.v}
		if s.v != gate.SliceSmall {
			one.Interval = &[2]float64{s.at - 0.05, s.at + 0.05}
		}
		r.Slices = append(r.Slices, one)
	}
	if v == ridgeline.Inconclusive {
		r.RowsNeeded = &needed
	}
	return r
}

// sampleRivals are what a run beside the live ones has.
var sampleRivals = []rival{{"Compare with what is live in production and qa, v3", comparison("r-3", sampleID)}, {"Compare with the champion, v2", comparison("r-2", sampleID)}}

func sampleVersion(report gate.Report) ridgeline.ModelVersion {
	text, _ := json.Marshal(report) // made of plain numbers
	return ridgeline.ModelVersion{
		Model: "diabetes", Version: 4, Project: "diabetes", Run: "r-1kwvcxsttarexx", Pipeline: 3, Commit: "4f2c9e1ab07d", Environment: "acebbb1bf42c", Created: sampleTime, Size: 1329,
		Image: "diabetes@sha256:63a6d52139a438a182d00c8111dd6692c3499028658f3024c8c886923f86b5af", Verdict: report.Verdict, Report: text, Artifact: "63a6d52139a438a1",
		Data: map[string]string{"diabetes": "9d1e66b8"}, Params: map[string]string{"alpha": "10", awkward: strings.Repeat(long300, 8)}, Metrics: ridgeline.Metrics{"mse": 2995.2, "rows": 344},
		Framework: "scikit-learn 1.9.1", Evidence: ridgeline.Evidence{Rows: "9d1e66b8"},
	}
}

// gateSamples are the gate's report in each of its states.
func gateSamples() (all []sample) {
	page := func(name string, body gatePage) {
		body.Run = ridgeline.Run{ID: "r-1kwvcxsttarexx", Project: "diabetes", Status: ridgeline.Succeeded, Model: "diabetes", Version: 4, Reason: body.Run.Reason, GateOff: body.Run.GateOff}
		all = append(all, sample{"gate-" + name, Page{Title: "Gate report", Nav: "runs", Project: "diabetes", Template: "gate", Body: body}})
	}
	for name, r := range map[string]gate.Report{
		"promoted":     sampleReport(ridgeline.Promoted, 0.084, 0.041, 0.127, "The new model is better: mse went from 2,995 to 2,744, 8.4 % better (95 % interval +4.1 % to +12.7 %, 412 rows)."),
		"rejected":     sampleReport(ridgeline.Rejected, -0.06, -0.11, -0.02, "It got significantly worse where sex is 2 (mse 2,996 → 3,320, −10.8 % on 180 rows), so it is rejected whatever the whole says.", "The size of 61 MB is over the limit of 50 MB."),
		"inconclusive": sampleReport(ridgeline.Inconclusive, 0.012, -0.02, 0.044, "The new model looks better by 1.2 %, but so small a difference may be chance (95 % interval −2 % to +4.4 %)."),
	} {
		v := sampleVersion(r)
		var body gatePage
		o := ridgeline.Override{Who: "ann", At: sampleTime, Reason: "finance wants the simpler one", How: "promote"}
		ledger := []ridgeline.Decision{
			{Model: "diabetes", Version: 2, Run: "r-2", At: sampleTime.Add(-48 * time.Hour), Rows: 412, New: 1, Life: 1, Alpha: 0.0025, Verdict: ridgeline.Promoted},
			{Model: "diabetes", Version: 3, Run: "r-3", At: sampleTime.Add(-24 * time.Hour), Rows: 412, Life: 1, Alpha: 0.0025, Verdict: ridgeline.Rejected},
			{Model: "diabetes", Version: 3, Run: "r-3", At: sampleTime.Add(-23 * time.Hour), Verdict: ridgeline.Rejected, Override: &o},
			{Model: "diabetes", Version: 4, Run: v.Run, At: sampleTime, Rows: 412, Life: 1, Alpha: 0.0025, Verdict: r.Verdict},
		}
		if body.fill(v, ledger) == nil {
			body.Rivals = sampleRivals
			page(name, body)
		}
	}
	page("none", gatePage{Run: ridgeline.Run{Reason: "step train failed"}})
	return all
}

// releaseSamples are releases in each of their states.
func releaseSamples() (all []sample) {
	v := sampleVersion(sampleReport(ridgeline.Promoted, 0.084, 0.041, 0.127, "The new model is better by 8.4 %."))
	at := func(s int) time.Time { return sampleTime.Add(time.Duration(s) * time.Second) }
	check := func(name string, s ridgeline.Status, message string) ridgeline.ReleaseCheck {
		return ridgeline.ReleaseCheck{Name: name, Status: s, Message: message, Started: at(1), Ended: at(3)}
	}
	qa := lane{
		ReleaseEnvironment: ridgeline.ReleaseEnvironment{Name: "qa", Status: ridgeline.Succeeded, Started: at(1), Ended: at(9)}, Live: true, Now: 4, Earlier: 3,
		Checks: []ridgeline.ReleaseCheck{
			check("ready", ridgeline.Succeeded, "2 of 2 copies answer"), check("smoke.json, case 1", ridgeline.Succeeded, "POST /score answered as expected by each copy, in 5.3 ms at most"),
			check("switch", ridgeline.Succeeded, "version 4 is live"),
		},
	}
	production := func(s ridgeline.Status, checks ...ridgeline.ReleaseCheck) lane {
		return lane{ReleaseEnvironment: ridgeline.ReleaseEnvironment{Name: "production", Status: s, Message: "not reached"}, Checks: checks, Now: 3}
	}
	page := func(name string, s ridgeline.Status, body releasePage) {
		body.Release = ridgeline.Release{
			ID: "l-1kwvcyh8b9wh40", Project: "diabetes", Model: "diabetes", Version: 4, Status: s, Cause: "run r-1kwvcxsttarexx", Caller: "ann", Created: at(0), Ended: at(30), Reason: body.Release.Reason,
		}
		for _, l := range body.Lanes {
			body.Release.Environments = append(body.Release.Environments, l.ReleaseEnvironment)
		}
		body.Version, body.Why, body.Acts = v, why(v), actList{"releases/l-1kwvcyh8b9wh40", sampleActs()[:2]}
		all = append(all, sample{"release-" + name, Page{Title: "Release of diabetes v4", Nav: "releases", Project: "diabetes", Template: "release", Body: body}})
	}
	page("waiting", ridgeline.Running, releasePage{Waiting: "production", Lanes: []lane{qa, production(ridgeline.Waiting, check("approval", ridgeline.Running, ""))}})
	cause := "smoke test smoke.json, case 1: expected status 200, got 500; its scorer's last lines:\nTraceback (most recent call last):\n  File \"score.py\", line 12, in run\nModuleNotFoundError: No module named 'sklearn'"
	page("failed", ridgeline.Failed, releasePage{
		Release: ridgeline.Release{Reason: "production: " + cause}, Retry: true,
		Lanes: []lane{qa, production(ridgeline.Failed, check("ready", ridgeline.Succeeded, "1 of 1 copies answer"), check("smoke.json, case 1", ridgeline.Failed, cause))},
	})
	return append(all, sample{"releases", Page{Title: "Releases", Nav: "releases", Template: "releases", Body: releasesPage{Releases: []ridgeline.Release{all[0].Page.Body.(releasePage).Release, all[1].Page.Body.(releasePage).Release}}}},
		sample{"releases-empty", Page{Title: "Releases", Nav: "releases", Template: "releases", Body: releasesPage{}}})
}

// modelSamples are a version with its lineage, and an endpoint where it lives.
func modelSamples() []sample {
	v := sampleVersion(sampleReport(ridgeline.Promoted, 0.084, 0.041, 0.127, "The new model is better by 8.4 %."))
	body := versionPage{ModelVersion: v, Why: why(v), Rivals: sampleRivals, Pull: "127.0.0.1:8470/" + v.Image, Datasets: []datasetLink{{"diabetes", "9d1e66b8", 2}}}
	older := v
	older.Version, older.Run, older.Verdict, older.Created = 3, "r-3", ridgeline.Inconclusive, v.Created.Add(-26*time.Hour)
	body.Release = releaseAction(v, []string{"qa", "production"})
	body.describe()
	d := ridgeline.Deployment{ID: "d-1", Project: "diabetes", Environment: "production", Model: "diabetes", Version: 4, Weight: 100, Replicas: 2, Release: "l-1", Created: sampleTime}
	where := place{Project: "diabetes", Environment: "production", Live: []livePart{{d, 2}}, Main: livePart{d, 2}, Version: v, Why: why(v), Earlier: 3}
	end := endpointPage{
		place: where, URL: "http://127.0.0.1:8470/endpoints/diabetes/production", Rows: []endpointRow{{
			livePart{d, 2}, ridgeline.Figures{Requests: 120400, Errors: 3, PerSecond: 1204, P50: 0.0011, P95: 0.0042, P99: 0.0081},
			ridgeline.Used{Seconds: 7200, CPU: 2900, Peak: 610e6}, ridgeline.Held{CPU: 0.5, Memory: 4e9},
		}},
		Log: components.NewLog("Log of version 4", "", []string{"init() took 0.8 s", awkward, strings.Repeat(long300, 8)}),
	}
	var slots []store.Slot
	for i := range 120 {
		calls := int64(600 + 200*math.Sin(float64(i)/9))
		slots = append(slots, store.Slot{
			Deployment: "d-1", Version: 4, At: sampleTime.Add(time.Duration(i-120) * 30 * time.Second), CopySeconds: 60,
			Answers: ridgeline.Answers{Succeeded: calls - int64(i%40/39), Failed: int64(i % 40 / 39), Latency: ridgeline.Histogram{0, 0, calls / 4, calls / 2, calls / 5, calls/20 + int64(i%7), 3}},
			Model:   ridgeline.Histogram{0, calls / 2, calls / 3, calls / 6}, Batch: ridgeline.Histogram{calls / 4, calls / 4, calls / 4, calls / 8, calls / 8},
		})
	}
	end.History = endpointHistory{Window: "Last hour", Rows: byVersion(slots, "diabetes", time.Hour), Charts: historyCharts(slots, windows[0], sampleTime)}
	for _, w := range windows {
		end.History.Windows = append(end.History.Windows, components.Tab{Text: w.title, URL: "#", Now: w.name == ""})
	}
	body.Cost = versionCost{Training: cost{ridgeline.Spent{CPU: 812, Memory: 3e12}, ridgeline.Used{}, 0.0093, "EUR"}, Serving: cost{ridgeline.Spent{CPU: 51200}, ridgeline.Used{}, 1.84, "EUR"}, Requests: 120397, PerThousand: "0.015 EUR"}
	end.Console = end.calls(console{Path: "/score", Body: `{"data": [[59, 2, 32.1]]}`, Asked: true, Status: 200, By: "v4", Took: 0.0042, Answer: "{\n  \"result\": [\n    202.35\n  ]\n}"})
	return []sample{
		{"models", Page{Title: "Models", Nav: "models", Template: "models", Body: modelsPage{[]modelRow{{Model: "diabetes", Project: "diabetes", Champion: &v, Newest: v, Versions: 4, Live: []ridgeline.Deployment{d}}}}}},
		{"model", Page{Title: "diabetes", Nav: "models", Project: "diabetes", Template: "model", Body: modelPage{Model: "diabetes", Project: "diabetes", Champion: 4, Versions: []versionRow{{ModelVersion: v, Live: []ridgeline.Deployment{d}}, {ModelVersion: older}}}}},
		{"version", Page{Title: "diabetes v4", Nav: "models", Project: "diabetes", Template: "version", Body: body}},
		{"endpoint", Page{Title: "diabetes · production", Nav: "endpoints", Project: "diabetes", Template: "endpoint", Body: end}},
		{"endpoints", Page{Title: "Endpoints", Nav: "endpoints", Template: "endpoints", Body: endpointsPage{[]place{where}}}},
		{"endpoints-empty", Page{Title: "Endpoints", Nav: "endpoints", Template: "endpoints", Body: endpointsPage{}}},
	}
}
