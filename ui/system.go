package ui

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/track"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// systemPrefix begins the names under which MLflow's client logs what the
// machine does.
const systemPrefix = "system/"

// mostCourses is how many attempts the charts of a run show together.
const mostCourses = 8

// longestName is how much of a step's name a legend has room for.
const longestName = 28

// systemPart is what a run used of its machines over its time: as those saw it
// who ran its steps, and as its scripts have logged it.
type systemPart struct {
	Charts []components.Chart // of the attempts
	Uses   []systemUse
	Rest   bool               // there are more attempts than these, the longest
	Of     string             // only of this step
	All    string             // address of all steps
	GPUs   bool               // an attempt held some
	Curves []components.Chart // of what was logged
	Logged []stepMetric
	Line   components.CLI
}

// A systemUse is one attempt, in figures.
type systemUse struct {
	ridgeline.AttemptCourse
	Held   ridgeline.Held
	Used   ridgeline.Used
	Most   float64 // cores
	Advice string
	URL    string // of the step alone
}

// GPUTime says how many were held, and for how long.
func (s systemUse) GPUTime() string {
	if s.Held.GPU == 0 {
		return ""
	}
	return strconv.Itoa(s.Held.GPU) + " × " + components.Seconds(s.Length())
}

// isSystem reports whether a metric is what the machine did, and not what the
// model is worth.
func isSystem(metric string) bool { return strings.HasPrefix(metric, systemPrefix) }

// addSystem fills in what the attempts used.
func (u *UI) addSystem(ctx context.Context, out *runPage, steps []ridgeline.Step, query url.Values) error {
	s := &out.System
	s.Of, s.All, s.Line = query.Get("step"), runURL(out.ID, "tab", "metrics"), components.NewCLI("run", out.ID, "--json")
	courses, err := u.Store.Courses(ctx, out.ID, s.Of, mostCourses+1)
	if err != nil {
		return err
	}
	s.fill(out.Run, courses, ridgeline.Tried(steps))
	return nil
}

// fill makes lines and charts of the courses, of which there may be one more
// than are shown.
func (s *systemPart) fill(run ridgeline.Run, courses []ridgeline.AttemptCourse, tried map[ridgeline.AttemptName]ridgeline.Attempt) {
	if len(courses) > mostCourses {
		s.Rest = true
		shortest := slices.MinFunc(courses, func(a, b ridgeline.AttemptCourse) int { return cmp.Compare(a.Length(), b.Length()) })
		courses = slices.DeleteFunc(courses, func(c ridgeline.AttemptCourse) bool { return c.AttemptName == shortest.AttemptName })
	}
	for _, c := range courses {
		a := tried[c.AttemptName]
		use := systemUse{AttemptCourse: c, Held: a.Held, Used: c.Course.Used(a), URL: runURL(run.ID, "tab", "metrics", "step", c.Step)}
		use.Most, _ = c.Peak()
		use.Advice = a.Held.Advice(use.Used)
		s.Uses, s.GPUs = append(s.Uses, use), s.GPUs || a.Held.GPU > 0
	}
	if len(s.Uses) > 0 {
		s.Charts = s.courseCharts(run)
	}
}

// courseCharts draws cores and memory over the time of the run, each attempt a
// line, and dashed what it had asked for.
func (s *systemPart) courseCharts(run ridgeline.Run) []components.Chart {
	unit, of := "MB", 1e6
	for _, use := range s.Uses {
		if max(use.Used.Peak, use.Held.Memory) >= 2e9 {
			unit, of = "GB", 1e9
		}
	}
	cores := systemChart("Cores in use", s.Uses, func(c ridgeline.Course, i int) float64 { return c.Cores[i] }, func(h ridgeline.Held) float64 { return h.CPU })
	memory := systemChart("Memory, "+unit, s.Uses, func(c ridgeline.Course, i int) float64 { return float64(c.Memory[i]) / of }, func(h ridgeline.Held) float64 { return float64(h.Memory) / of })
	for _, chart := range []components.Chart{cores, memory} {
		axis := chart.Option["xAxis"].(map[string]any)
		if begin := cmp.Or(run.Started, run.Created); begin.Before(s.Uses[0].Began) {
			axis["min"] = begin.UnixMilli()
		}
		if !run.Ended.IsZero() {
			axis["max"] = run.Ended.UnixMilli()
		}
	}
	return []components.Chart{cores, memory}
}

func systemChart(title string, uses []systemUse, value func(ridgeline.Course, int) float64, asked func(ridgeline.Held) float64) components.Chart {
	var series []any
	var label strings.Builder
	for _, use := range uses {
		points, most := make([][2]float64, 0, len(use.Seconds)+1), 0.0
		at := func(seconds float64) float64 { return float64(use.Began.UnixMilli()) + math.Round(seconds*1000) }
		for i, seconds := range use.Seconds {
			v := value(use.Course, i)
			if i == 0 {
				points = append(points, [2]float64{at(0), v})
			}
			points, most = append(points, [2]float64{at(seconds), v}), max(most, v)
		}
		name := use.name(uses)
		fmt.Fprintf(&label, "; %s up to %s", name, components.Number(most))
		series = append(series, map[string]any{"type": "line", "name": name, "showSymbol": false, "data": points, "lineStyle": map[string]any{"width": 1.6}})
		if limit := asked(use.Held); limit > 0 {
			fmt.Fprintf(&label, " of %s", components.Number(limit))
			series = append(series, map[string]any{ // of the same name: of the same colour
				"type": "line", "name": name, "showSymbol": false, "data": [][2]float64{{at(0), limit}, {at(use.Length()), limit}},
				"lineStyle": map[string]any{"width": 1.2, "type": "dashed"},
			})
		}
	}
	chart := timeChart(title, series...)
	chart.Label = title + " over the time of the run" + label.String() + "; the table below has the figures"
	chart.Option["legend"] = map[string]any{"show": len(uses) > 1, "type": "scroll", "top": 0, "itemWidth": 14, "itemHeight": 8}
	return chart
}

// name tells an attempt from the others, in a legend.
func (s systemUse) name(all []systemUse) string {
	name := components.Cut(s.Step, longestName)
	if s.Number > 1 || slices.ContainsFunc(all, func(other systemUse) bool { return other.Step == s.Step && other.Number > 1 }) {
		name += ", attempt " + strconv.Itoa(s.Number)
	}
	return name
}

// loggedSystem draws what a script has logged of its machine. It goes by the
// time: its steps count samples, and not what the training counts.
func loggedSystem(name string, curves []curve) components.Chart {
	title := strings.ReplaceAll(strings.TrimPrefix(name, systemPrefix), "_", " ")
	var series []any
	var label strings.Builder
	for _, c := range curves {
		var points [][2]any
		most := math.Inf(-1)
		for _, p := range track.Downsample(c.Points, mostPoints) {
			if !math.IsNaN(p.Value) && !math.IsInf(p.Value, 0) {
				points, most = append(points, [2]any{p.Time, p.Value}), max(most, p.Value)
			}
		}
		if len(points) > 0 {
			fmt.Fprintf(&label, "; %s up to %s", c.Of, components.Number(most))
			series = append(series, map[string]any{"type": "line", "name": c.Of, "showSymbol": len(points) < 30, "symbolSize": 4, "data": points, "lineStyle": map[string]any{"width": 1.5}})
		}
	}
	chart := timeChart(title, series...)
	chart.Label = title + " over time, as it was logged" + label.String()
	return chart
}
