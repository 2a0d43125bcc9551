package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// runSamples is the pages of runs, builds, data and settings with made-up
// content: each end of a run, 5,000 steps, 10,000 lines of a log, names as
// people give them, and nothing at all.
func runSamples() []sample {
	all := []sample{
		{"runs-empty", Page{Title: "Runs", Nav: "runs", Template: "runs", Body: runsPage{}}},
		{"builds-empty", Page{Title: "Builds", Nav: "builds", Template: "builds", Body: buildsPage{}}},
		{"projects-empty", Page{Title: "Projects", Nav: "projects", Template: "projects", Body: projectsPage{}}},
		{"project-empty", Page{Title: "new", Nav: "projects", Template: "project", Body: projectPage{Name: "new"}}},
		{"data-empty", Page{Title: "Data", Nav: "data", Template: "data", Body: dataPage{}}},
		{"compare-empty", Page{Title: "Compare", Nav: "runs", Template: "compare", Body: comparePage{}}},
		{"settings-empty", Page{Title: "Settings", Nav: "settings", Template: "settings", Body: settingsPage{}}},
		{"run-5000-steps", sampleRun(ridgeline.Running, "", 5000)},
	}
	for _, s := range []ridgeline.Status{ridgeline.Queued, ridgeline.Running, ridgeline.Failed, ridgeline.Cancelled} {
		all = append(all, sample{"run-" + string(s), sampleRun(s, "", 3)})
	}
	for _, v := range []ridgeline.Verdict{ridgeline.Promoted, ridgeline.Rejected, ridgeline.Inconclusive} {
		all = append(all, sample{"run-" + string(v), sampleRun(ridgeline.Succeeded, v, 3)})
	}
	return all
}

func sampleRun(status ridgeline.Status, verdict ridgeline.Verdict, instances int) Page {
	run := ridgeline.Run{
		ID: "r-1kw4nzzgq3kb4p", Project: ridgeline.ProjectName(strings.Repeat("p", 60)), Pipeline: 7, Cause: "push b-1kw4nn5es46105", Caller: awkward, Status: status, Verdict: verdict,
		Params: map[string]string{awkward: strings.Repeat(long300, 8)}, Data: map[string]int{"iris": 3}, Reason: "A sentence about " + awkward, Created: sampleTime, Started: sampleTime,
	}
	if status.Terminal() {
		run.Ended = sampleTime.Add(100 * time.Second)
	}
	body := runPage{Run: run, Commit: ridgeline.Commit{Hash: strings.Repeat("ab", 20), Message: awkward}}
	for _, t := range runTabs {
		body.Tabs = append(body.Tabs, components.Tab{Text: t[1], URL: "#", Now: t[0] == ""})
	}
	if status != ridgeline.Queued {
		steps := []ridgeline.Step{sampleStep(run, strings.Repeat(long300, 8), "", status), sampleStep(run, "folds", "", ridgeline.Running)}
		for i := range instances {
			steps = append(steps, sampleStep(run, fmt.Sprintf("folds[fold=%d]", i), "folds", ridgeline.Succeeded))
		}
		rows := stepRows(run, steps, 0, sampleTime.Add(100*time.Second))
		body.Steps, body.Hidden = fewer(rows, false)
		body.Graph = components.NewGraph("the steps", []components.GraphNode{{Name: rows[0].Name, Note: "running · 4 s", Tone: "busy", URL: "#"}, {Name: awkward, Note: "queued", Needs: []string{rows[0].Name}, Tone: "quiet", URL: "#"}})
		lines := make([]string, 10_000)
		for i := range lines {
			lines[i] = fmt.Sprintf("epoch %d loss %.4f %s", i, 1/float64(i+1), awkward)
		}
		body.Chosen = &chosenStep{stepRow: rows[0], Attempt: rows[0].Attempts[0], Log: logView{Task: "sample", Size: "1.2 MB", Cut: true, Box: components.NewLog("Log", "", lines), Line: components.NewCLI("logs", run.ID)}}
		if status == ridgeline.Failed {
			body.Failure = &rows[0]
		}
	}
	return Page{Title: "Run", Nav: "runs", Template: "run", Body: body, Crumbs: []components.Crumb{{Text: "Runs", URL: "/runs"}, {Text: string(run.ID)}}}
}

func sampleStep(run ridgeline.Run, name, parent string, status ridgeline.Status) ridgeline.Step {
	s := ridgeline.Step{Run: run.ID, Name: name, Parent: parent, Status: status, Message: awkward, Started: sampleTime, Note: "runs: nothing was made of the same before"}
	if status.Terminal() {
		s.Ended = sampleTime.Add(40 * time.Second)
	}
	s.Attempts = []ridgeline.Attempt{{Number: 1, Task: "sample", Status: status, Started: s.Started, Ended: s.Ended, Usage: ridgeline.Usage{CPUSeconds: 3, PeakMemory: 2e8}}}
	return s
}
