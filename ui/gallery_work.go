package ui

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/build"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/forge"
	"github.com/ridgeline-mlops/ridgeline/intake"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/storage"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// workSamples are what surrounds runs, with made-up content: builds, projects,
// data and settings.
func workSamples() []sample {
	green, red, busy := sampleBuild(ridgeline.Succeeded), sampleBuild(ridgeline.Failed), sampleBuild(ridgeline.Running)
	all := []ridgeline.Build{busy.Build, red.Build, green.Build}
	odd := green.Build
	odd.ID, odd.Project, odd.Commit.Message, odd.Commit.Branch, odd.Reason, odd.Run = "b-1kw4nn5es46104", ridgeline.ProjectName(strings.Repeat("p", 60)), awkward, strings.Repeat(long300, 8), awkward, ""
	set := sampleSet(0)
	held := sampleSet(4)
	return []sample{
		{"builds", Page{Title: "Builds", Nav: "builds", Template: "builds", Body: buildsPage{Builds: append(all, odd)}}},
		{"builds-empty", Page{Title: "Builds", Nav: "builds", Template: "builds", Body: buildsPage{}}},
		{"build-succeeded", buildSample(green)}, {"build-failed", buildSample(red)}, {"build-running", buildSample(busy)},
		{"projects", Page{Title: "Projects", Nav: "projects", Template: "projects", Body: projectsPage{[]projectRow{
			{ridgeline.Project{Name: "churn", Created: sampleTime.Add(-72 * time.Hour)}, &red.Build, nil},
			{ridgeline.Project{Name: "diabetes", Created: sampleTime.Add(-240 * time.Hour)}, &green.Build, &sampleRuns(3, nil).Rows[2].Run},
			{ridgeline.Project{Name: odd.Project, Created: sampleTime}, nil, nil},
		}}}},
		{"projects-empty", Page{Title: "Projects", Nav: "projects", Template: "projects", Body: projectsPage{}}},
		{"project", Page{Title: "diabetes", Nav: "projects", Project: "diabetes", Template: "project", Body: sampleProject(all)}},
		{"project-300-steps", Page{Title: "diabetes", Nav: "projects", Project: "diabetes", Template: "project", Body: sampleLargeProject(all)}},
		{"project-empty", Page{Title: "new", Nav: "projects", Project: "new", Template: "project", Body: projectPage{Name: "new"}}},
		{"data", Page{Title: "Data", Nav: "data", Template: "data", Body: dataPage{[]intake.State{set, held, {Dataset: ridgeline.Dataset{Project: "churn", Name: strings.Repeat("n", 60), Problem: awkward}}}}}},
		{"data-empty", Page{Title: "Data", Nav: "data", Template: "data", Body: dataPage{}}},
		{"dataset-held", Page{Title: "diabetes", Nav: "data", Project: "diabetes", Template: "dataset", Body: datasetPage{State: held, Versions: []ridgeline.DatasetVersion{held.Version}, Arrivals: sampleArrivals()}}},
		{"dataset-empty", Page{Title: "diabetes", Nav: "data", Project: "diabetes", Template: "dataset", Body: datasetPage{State: intake.State{Dataset: ridgeline.Dataset{Project: "diabetes", Name: "diabetes"}}}}},
		{"dataset-version", Page{Title: "diabetes version 3", Nav: "data", Project: "diabetes", Template: "dataset-version", Body: sampleDatasetVersion(set.Version)}},
		{"settings", Page{Title: "Settings", Nav: "settings", Template: "settings", Body: sampleSettings()}},
		{"settings-refused", Page{Title: "Settings", Nav: "settings", Template: "settings", Body: sampleRefused()}},
		{"webhook", Page{Title: "Webhook", Nav: "settings", Template: "webhook", Body: sampleWebhook()}},
		{"remote", Page{Title: "Remote origin", Nav: "projects", Project: "diabetes", Template: "remote", Body: sampleRemote()}},
		{"audit", Page{Title: "Audit trail", Nav: "settings", Template: "audit", Body: sampleAudit()}},
		{"audit-verified", Page{Title: "Audit trail", Nav: "settings", Template: "audit", Body: sampleVerified(nil)}},
		{"audit-changed", Page{Title: "Audit trail", Nav: "settings", Template: "audit", Body: sampleVerified(&ridgeline.AuditFault{Position: 18_204, Event: "x-1kwvcyh8b9wh40", Problem: "the event is not what it was when it was written, or is gone"})}},
		{"audit-none", Page{Title: "Audit trail", Nav: "settings", Template: "audit", Body: auditPage{Filter: store.AuditFilter{Who: awkward}, Line: components.NewCLI("audit", "--who", awkward)}}},
		{"settings-empty", Page{Title: "Settings", Nav: "settings", Template: "settings", Body: settingsPage{}}},
	}
}

func buildSample(body buildPage) Page {
	return Page{Title: "Build", Nav: "builds", Project: body.Project, Template: "build", Body: body, Crumbs: []components.Crumb{{Text: "Builds", URL: "/builds"}, {Text: string(body.ID)}}}
}

func sampleBuild(status ridgeline.Status) (out buildPage) {
	b := &out.Build
	*b = ridgeline.Build{
		ID: "b-1kw4nn5es46105", Project: "diabetes", Status: status, Cause: "push", Caller: "ann", Created: sampleTime,
		Commit: ridgeline.Commit{Hash: strings.Repeat("4f2c9e1a", 5), Branch: "main", Author: "ann", Message: "train on the new columns"},
		Checks: []ridgeline.Check{
			{Name: "environment", Kind: ridgeline.CheckEnvironment, Status: ridgeline.Succeeded, Message: "Python 3.11, requirements.txt, environment acebbb1bf42c", Seconds: 3.4},
			{Name: "quality", Kind: ridgeline.CheckQuality, Status: ridgeline.Succeeded, Message: "ruff check .", Task: "sample", Seconds: 0.4},
			{Name: "tests", Kind: ridgeline.CheckTests, Status: ridgeline.Succeeded, Message: "118 tests", Task: "sample", Seconds: 21},
			{Name: "coverage", Kind: ridgeline.CheckCoverage, Status: ridgeline.Succeeded, Message: "91.2 %, at least 80 are asked for"},
			{Name: "data diabetes", Kind: ridgeline.CheckData, Status: ridgeline.Succeeded, Message: "new content: 442 rows, 11 columns, 24 rules hold; 353 rows to train on, 89 held out", Seconds: 0.8},
		},
		Report: ridgeline.Report{Tests: 118, Skipped: 2, Coverage: &ridgeline.Coverage{Lines: 1204, Covered: 1098}},
	}
	results := build.Results{Files: []build.CoveredFile{covered("diabetes/score.py", 44, 30), covered("diabetes/train.py", 210, 201), covered("diabetes/"+long300+"features.py", 312, 309)}}
	lines := []string{"............................................................ [ 50%]", "............................................................ [100%]", "118 passed, 2 skipped in 20.6s"}
	switch status {
	case ridgeline.Succeeded:
		b.Ended, b.Pipeline, b.Run = sampleTime.Add(31*time.Second), 7, sampleID
	case ridgeline.Failed:
		b.Ended, b.Reason, b.Report.Failed, b.ID = sampleTime.Add(29*time.Second), "tests: 2 of 118 tests failed", 2, "b-1kw4nn5es46106"
		b.Checks[2].Status, b.Checks[2].Message = ridgeline.Failed, "2 of 118 tests failed"
		results.Tests = []build.TestResult{
			{Suite: "tests.test_score", Name: "test_answers_rows", Status: "failed", File: "tests/test_score.py", Line: 17, Message: "assert [152.1] == [153.7]\n  At index 0 diff: 152.1 != 153.7"},
			{Suite: "tests.test_train", Name: awkward, Status: "failed", Message: strings.Repeat(long300, 8)},
		}
		b.Report.NewlyFailing, b.Report.Flaky = []string{"tests.test_score.test_answers_rows"}, []string{"tests.test_io.test_retries"}
		lines = []string{"FAILED tests/test_score.py::test_answers_rows - assert [152.1] == [153.7]", "2 failed, 114 passed, 2 skipped in 20.1s"}
	case ridgeline.Running:
		b.ID, b.Report, results, lines = "b-1kw4nn5es46107", ridgeline.Report{}, build.Results{}, lines[:1]
		b.Checks[2].Status, b.Checks[2].Message, b.Checks[2].Seconds = ridgeline.Running, "", 0
		for i := 3; i < len(b.Checks); i++ {
			b.Checks[i].Status, b.Checks[i].Message, b.Checks[i].Seconds = ridgeline.Queued, "", 0
		}
	}
	out.addResults(results)
	for i, c := range b.Checks {
		row := checkRow{Check: c, Now: i == 2}
		if c.Task != "" {
			row.URL = "#"
		}
		out.Checks = append(out.Checks, row)
	}
	out.Log, out.Name = &logView{Task: "sample", Size: "4.1 kB", Box: components.NewLog("Log of tests", "", lines), Line: components.NewCLI("logs", b.ID, "tests")}, "tests"
	return out
}

func covered(file string, lines, ran int) build.CoveredFile {
	return build.CoveredFile{File: file, Coverage: ridgeline.Coverage{Lines: lines, Covered: ran}}
}

func sampleProject(builds []ridgeline.Build) projectPage {
	alpha := "0.5"
	config := project.Config{Pipeline: project.Pipeline{
		On: project.On{Push: true}, Params: []project.Param{{Name: "alpha", Type: project.ParamFloat, Default: &alpha, Description: "of the ridge"}},
		Steps: []project.Step{{Name: "prepare", Run: "python -m diabetes.prepare"}, {Name: "train", Run: "python -m diabetes.train", Needs: []string{"prepare"}}, {Name: "report", Run: "python -m diabetes.report", Needs: []string{"prepare"}}},
	}}
	out := projectPage{
		Name: "diabetes", Config: config, Train: trainAction("diabetes", config.Pipeline), Builds: builds,
		Pipeline:  &ridgeline.Pipeline{Project: "diabetes", Version: 7, Commit: builds[0].Commit, Created: sampleTime},
		Schedules: []ridgeline.Schedule{sampleSchedule()}, Sets: []intake.State{sampleSet(0)},
		Remotes: []ridgeline.Remote{{Project: "diabetes", Name: "github", Forge: "github", URL: "https://github.com/example/diabetes.git"}},
	}
	out.draw(url.Values{})
	for _, r := range sampleRuns(6, nil).Rows {
		out.Runs = append(out.Runs, r.Run)
	}
	v := sampleVersion(sampleReport(ridgeline.Promoted, 0.084, 0.041, 0.127))
	out.Places = []place{samplePlace("qa", v), samplePlace("production", v)}
	return out
}

func samplePlace(environment string, v ridgeline.ModelVersion) place {
	d := ridgeline.Deployment{ID: ridgeline.DeploymentID("d-" + environment), Project: "diabetes", Environment: environment, Model: v.Model, Version: v.Version, Weight: 100, Replicas: 2, Release: "l-1kwvcyh8b9wh40", Created: sampleTime}
	return place{Project: "diabetes", Environment: environment, Live: []livePart{{d, 2}}, Main: livePart{d, 2}, Version: v, Why: why(v), Earlier: 3}
}

func sampleSchedule() ridgeline.Schedule {
	return ridgeline.Schedule{Project: "diabetes", Kind: ridgeline.ScheduleRun, Cron: "0 3 * * 1", Zone: "Europe/Zurich", Due: sampleTime.Add(160 * time.Hour), Last: sampleTime.Add(-7 * time.Hour), Started: string(sampleID)}
}

// sampleSet is a dataset; held is its version in quarantine, or 0.
func sampleSet(held int) intake.State {
	v := ridgeline.DatasetVersion{Project: "diabetes", Name: "diabetes", Version: 3, Created: sampleTime, DatasetContent: ridgeline.DatasetContent{Digest: strings.Repeat("9d1e66b8", 8), Size: 23_911, Rows: 442, Files: 1, Columns: make([]ridgeline.Column, 11)}}
	return intake.State{Dataset: ridgeline.Dataset{Project: "diabetes", Name: "diabetes", Current: 3, Looked: sampleTime}, Origin: "data/diabetes.csv", Starts: true, Version: v, Held: held}
}

func sampleArrivals() []arrivalRow {
	return []arrivalRow{
		{Arrival: ridgeline.Arrival{Project: "diabetes", Dataset: "diabetes", Source: ridgeline.FromUpload, Origin: "diabetes.csv", Status: ridgeline.Quarantined, Version: 4, DatasetContent: ridgeline.DatasetContent{Rows: 442}, Reason: "2 of 24 rules do not hold", Created: sampleTime},
			Rules: 24, Findings: []data.Finding{
				{Column: "bmi", Rule: "mean", Expected: "within 10 % of 26.4", Found: "31.9"}, {Column: awkward, Rule: "nullable", Expected: "no empty values", Found: "17 of 442 rows", Rows: []string{`row 17: ""`}},
			}},
		{Arrival: ridgeline.Arrival{Project: "diabetes", Dataset: "diabetes", Source: ridgeline.FromCommit, Origin: "commit 4f2c9e1ab07d", Status: ridgeline.Accepted, Version: 3, DatasetContent: ridgeline.DatasetContent{Rows: 442}, Run: sampleID, Created: sampleTime.Add(-26 * time.Hour)}, Rules: 24},
	}
}

func sampleDatasetVersion(v ridgeline.DatasetVersion) datasetVersionPage {
	number := func(f float64) *float64 { return &f }
	bell := make([]float64, 21)
	for i := range bell {
		x := float64(i-10) / 10
		bell[i] = 26.4 + 9*x*x*x + 4*x
	}
	profile := data.Profile{Rows: 442, Columns: []data.ColumnProfile{
		{Name: "age", Type: "BIGINT", Distinct: 58, Min: "19", Max: "79", Mean: number(48.5), Quantiles: []float64{19, 25, 29, 33, 36, 38, 41, 44, 47, 49, 50, 52, 54, 56, 58, 60, 62, 64, 67, 70, 79}},
		{Name: "bmi", Type: "DOUBLE", Distinct: 163, Min: "18", Max: "42.2", Mean: number(26.38), Quantiles: bell, Nulls: 3},
		{Name: "sex", Type: "BIGINT", Distinct: 2, Min: "1", Max: "2", Top: []data.ValueCount{{Value: "1", Rows: 235}, {Value: "2", Rows: 207}}},
		{Name: awkward, Type: "VARCHAR", Distinct: 5, Min: awkward, Max: strings.Repeat(long300, 8), Top: []data.ValueCount{{Value: awkward, Rows: 400}, {Value: strings.Repeat(long300, 8), Rows: 42}}},
		{Name: "id", Type: "VARCHAR", Distinct: 442, Min: "000f21", Max: "fff0a2"},
	}}
	finding := func(column, rule, expected, found string, ok bool) data.Finding {
		return data.Finding{Column: column, Rule: rule, Expected: expected, Found: found, OK: ok}
	}
	out := datasetVersionPage{DatasetVersion: v, Current: true, Columns: columnViews(profile, nil), Other: 2, Versions: []int{1, 2}, Arrivals: sampleArrivals()[1:]}
	out.Columns[1].Findings = []data.Finding{finding("bmi", "min", "at least 10", "18", true), finding("bmi", "mean", "within 10 % of 26.4", "26.38", true), finding("bmi", "nullable", "no empty values", "3 of 442 rows", false)}
	out.Change = &data.Difference{RowsA: 430, RowsB: 442, Added: []string{"s6"}, Columns: []data.ColumnDifference{
		{Name: "bmi", TypeA: "DOUBLE", TypeB: "DOUBLE", NullsB: 0.007, MinA: "18", MinB: "18", MaxA: "41.3", MaxB: "42.2", MeanA: number(26.1), MeanB: number(26.38), PSI: number(0.031)},
		{Name: awkward, TypeA: "BIGINT", TypeB: "VARCHAR", New: []string{awkward}, Vanished: []string{strings.Repeat(long300, 8)}},
	}}
	return out
}

func sampleSettings() settingsPage {
	out := settingsPage{
		BaseURL: "http://127.0.0.1:8470", Registry: "127.0.0.1:8470", Now: sampleTime, Schedules: []ridgeline.Schedule{sampleSchedule()},
		Remotes:   []ridgeline.Remote{{Project: "diabetes", Name: "github", Forge: "github", URL: "https://github.com/example/diabetes.git"}},
		Endpoints: []ridgeline.Endpoint{{Project: "diabetes", Environment: "qa"}, {Project: "diabetes", Environment: "production"}},
		Tokens:    []ridgeline.Token{{ID: "t-1", Name: "ci", Role: ridgeline.Writer, Created: sampleTime}, {ID: "t-2", Name: awkward, Role: ridgeline.Viewer, Created: sampleTime, Revoked: sampleTime}},
		Webhooks:  []ridgeline.Subscription{{ID: "h-1", URL: "https://chat.example.org/hooks/" + long300 + long300, Types: []string{"io.ridgeline.run.*"}, Created: sampleTime}},
	}
	out.Audit = sampleActs()[:3]
	out.Room = &storage.Report{Measured: sampleTime, Free: 181e9, Kinds: []storage.Kind{
		{Kind: "models", What: "of all versions", Count: 214, Bytes: 9.1e9}, {Kind: "data", What: "files of all datasets' versions", Count: 96, Bytes: 31.4e9},
		{Kind: "artifacts", What: "that scripts and notebooks logged", Count: 18_211, Bytes: 12.2e9}, {Kind: "images", What: "in the registry", Count: 611, Bytes: 7.7e9},
		{Kind: "logs", What: "of steps and checks", Count: 40_120, Bytes: 1.3e9}, {Kind: "inference log", What: "of all endpoints", Count: 2_904, Bytes: 5.2e9},
		{Kind: "database", What: "metadata, and what was logged", Bytes: 8.8e8}, {Kind: "environments", What: "of Python, on this machine", Count: 88_019, Bytes: 3.6e9},
	}}
	for _, k := range out.Room.Kinds {
		out.Room.Bytes += k.Bytes
	}
	return out
}

// sampleActs are events of each outcome, and with names as people give them.
func sampleActs() []actRow {
	long := strings.Repeat(long300, 8)
	events := []ridgeline.AuditEvent{
		{Who: "ann", Via: "page", Address: "10.1.4.7", Action: "promote", Subject: "models/diabetes/versions/4", Made: "releases/l-1kwvcyh8b9wh40", Reason: "finance wants the simpler one"},
		{Who: "ci", Via: "cli", Address: "10.1.9.20", Action: "rollback", Subject: "endpoints/diabetes/production", Outcome: ridgeline.AuditFailed, Code: ridgeline.Conflict},
		{Who: "guest", Via: "api", Address: "2001:db8::17", Action: "create-token", Subject: "tokens", Outcome: ridgeline.AuditRefused, Code: ridgeline.Denied},
		{Who: "ann", Via: "git", Address: "10.1.4.7", Action: "push", Subject: "projects/diabetes", Reason: "main 1f2e3d4c5b6a, v1.4 removed"},
		{Who: "stranger", Via: "page", Address: "203.0.113.77", Action: "sign-in", Subject: "sessions", Outcome: ridgeline.AuditRefused, Code: ridgeline.Denied, Times: 12, Reason: "this token is not known here"},
		{Who: awkward, Via: "mlflow", Address: "10.1.4.8", Action: "accept-data", Subject: "projects/" + long + "/datasets/sales/versions/3", Reason: awkward + " " + long},
		{Who: long, Action: "override (gate off)", Subject: "model " + awkward, Reason: long},
	}
	for i := range events {
		events[i].ID, events[i].At = fmt.Sprintf("x-%d", i), sampleTime.Add(-time.Duration(i*i)*time.Hour)
		if events[i].Outcome == "" {
			events[i].Outcome = ridgeline.AuditDone
		}
	}
	return actRows(events)
}

func sampleAudit() auditPage {
	return auditPage{Events: sampleActs(), Older: "/audit?before=x-5", Line: components.NewCLI("audit")}
}

// sampleVerified is a trail that somebody has gone over.
func sampleVerified(fault *ridgeline.AuditFault) auditPage {
	out := sampleAudit()
	out.Chain = &ridgeline.AuditCheck{Events: 18_211, Links: 24_020, Joined: 311, Last: sampleTime, Hash: strings.Repeat("5e884898", 8), Fault: fault}
	return out
}

// sampleRefused is the form of a webhook that was not taken.
func sampleRefused() settingsPage {
	out := sampleSettings()
	out.Projects = []ridgeline.ProjectName{"diabetes"}
	out.form = form{At: "/settings/webhooks", Sent: url.Values{"url": {"http://10.1.2.3/hook"}, "types": {"dev.ridgeline.run.*"}}, Field: "url", Problem: "webhook address: 10.1.2.3 is not a public address; name its network with up --webhook-networks"}
	return out
}

func sampleWebhook() webhookPage {
	out := webhookPage{Subscription: sampleSettings().Webhooks[0], Shown: "whsec_c2FtcGxlIHNhbXBsZSBzYW1wbGUgc2FtcGxlIHNhbXBsZSE="}
	out.Caller = "ann"
	for i, state := range []ridgeline.DeliveryState{ridgeline.DeliveryPending, ridgeline.DeliveryDone, ridgeline.DeliveryGivenUp} {
		out.Deliveries = append(out.Deliveries, ridgeline.Delivery{
			ID: fmt.Sprintf("w-%d", i), Type: "dev.ridgeline.run.succeeded", Subject: "runs/" + string(sampleID), State: state, Attempts: i, Code: []int{0, 204, 410}[i],
			Message: []string{"", "", "the answer was 410: " + awkward + long300}[i], Created: sampleTime.Add(-time.Duration(i) * time.Hour),
		})
	}
	return out
}

func sampleRemote() remotePage {
	notice := func(s ridgeline.Status, reason string) ridgeline.Notice {
		return ridgeline.Notice{Status: s, Branch: "main", Hash: strings.Repeat("4f2c9e1a", 5), Build: "b-1kw4nn5es46105", Reason: reason, Created: sampleTime}
	}
	return remotePage{
		Remote:  ridgeline.Remote{Project: "diabetes", Name: "origin", Forge: "github", URL: "https://github.com/example/" + long300 + ".git", Token: "sealed", Caller: "ann", Created: sampleTime},
		Webhook: "https://ridgeline.example.com/api/v1/projects/diabetes/hooks/origin", Shown: "SAMPLESAMPLESAMPLESAMPLE",
		Trials:  []forge.Trial{{Name: "fetch", OK: true, Message: "the repository can be read"}, {Name: "statuses", Message: "the forge's API does not take the token: " + awkward}},
		Notices: []ridgeline.Notice{notice(ridgeline.Succeeded, ""), notice(ridgeline.Failed, "no such commit "+awkward)},
	}
}
