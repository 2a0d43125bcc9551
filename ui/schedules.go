package ui

import (
	"context"
	"net/http"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// schedules are switched off and on, a project's all together. When they are due
// is the pipeline's to say: its ridgeline.yaml.
func (u *UI) schedules(mux *http.ServeMux) {
	for verb, do := range map[string]func(ctx context.Context, p ridgeline.ProjectName) error{
		"pause":  func(ctx context.Context, p ridgeline.ProjectName) error { return u.Schedules.Pause(ctx, p) },
		"resume": func(ctx context.Context, p ridgeline.ProjectName) error { return u.Schedules.Resume(ctx, p) },
	} {
		mux.Handle("POST /projects/{project}/schedules/"+verb, u.act(verb+"-schedules", ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
			name := ridgeline.ProjectName(r.PathValue("project"))
			return components.Path("projects", name) + "#starts", do(ctx, name)
		}))
	}
}

// scheduleActions switch the schedules of each project, in their order.
func scheduleActions(all []ridgeline.Schedule) (out []components.Action) {
	seen := map[ridgeline.ProjectName]bool{}
	for _, s := range all {
		if seen[s.Project] {
			continue
		}
		seen[s.Project] = true
		at := components.Path("projects", s.Project, "schedules")
		if s.Paused.IsZero() {
			out = append(out, components.NewAction("Pause", at+"/pause", "The schedules of "+string(s.Project)+" start nothing until they are resumed.", components.NewCLI("schedules", "pause", s.Project)))
		} else {
			out = append(out, components.NewAction("Resume", at+"/resume", "The schedules of "+string(s.Project)+" go on from their next due times.", components.NewCLI("schedules", "resume", s.Project), "primary"))
		}
	}
	return out
}

// Switches pause or resume the project's schedules.
func (p projectPage) Switches() []components.Action { return scheduleActions(p.Schedules) }

// Switch pauses or resumes those of the schedule's project; it stands at the
// first of them.
func (p settingsPage) Switch(i int) []components.Action {
	if i > 0 && p.Schedules[i-1].Project == p.Schedules[i].Project {
		return nil
	}
	return scheduleActions(p.Schedules[i : i+1])
}
