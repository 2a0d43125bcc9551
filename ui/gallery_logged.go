package ui

import (
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline/track"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// sampleLogged is an experiment of a notebook.
func sampleLogged() loggedPage {
	out := loggedPage{
		Experiments: []track.Experiment{{ID: 1, Name: "notebooks"}, {ID: 2, Name: awkward}}, Experiment: 1, Filter: "metrics.loss < 0.5", Of: "min", Sort: "m.loss", Size: windowUsual,
	}
	var lines []runLine
	for i := range 8 {
		r := sampleLoggedRun().Run
		r.ID, r.Name = fmt.Sprintf("%032x", i), fmt.Sprintf("trial %d", i)
		if i == 3 {
			r.Name, r.Status = strings.Repeat(long300, 2), track.Failed
		}
		l := loggedValues(r)
		l.Row = i
		lines = append(lines, l)
	}
	out.arrange(lines, url.Values{"sort": {"m.loss"}})
	out.Parts = "" // no server has these
	return out
}

func sampleLoggedRun() loggedRunPage {
	var points []track.Metric
	for i := range 60 {
		points = append(points, track.Metric{Key: "loss", Value: math.Exp(-float64(i) / 20), Step: int64(i)})
	}
	run := track.Run{
		ID: strings.Repeat("0f", 16), Name: "amused-bear-7", User: "ann", Status: track.Finished, Stage: track.Active, Started: sampleTime.UnixMilli(),
		Metrics: []track.Metric{{Key: "loss", Value: 0.052, Step: 59}, {Key: "accuracy", Value: 0.93, Step: 59}},
		Params:  []track.Pair{{Key: "alpha", Value: "0.5"}, {Key: awkward, Value: strings.Repeat(long300, 8)}}, Tags: []track.Pair{{Key: "team", Value: awkward}},
		Inputs: []track.Input{{Name: "diabetes", Digest: "9d1e66b8", Source: "data/diabetes.csv"}},
	}
	return loggedRunPage{
		Run: run, Experiment: track.Experiment{ID: 1, Name: "notebooks"}, Started: sampleTime, Ended: sampleTime.Add(90 * time.Second), Notes: run.Tags,
		Charts:   []components.Chart{curveChart("loss", []curve{{run.Name, points}}, drawing{})},
		System:   systemPart{Curves: []components.Chart{loggedSystem("system/cpu_utilization_percentage", []curve{{run.Name, sampleLoad(1)}})}, Logged: []stepMetric{{Name: "system/cpu_utilization_percentage", Value: 74.1}}},
		Children: []track.Run{run}, Artifacts: []artifact{{Path: strings.Repeat(long300, 2), Size: 1200, URL: "#"}},
	}
}
