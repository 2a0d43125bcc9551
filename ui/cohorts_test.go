package ui

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/track"
)

func points(values ...float64) (all []track.Metric) {
	for i, v := range values {
		all = append(all, track.Metric{Key: "loss", Step: int64(10 * i), Time: int64(i), Value: v})
	}
	return all
}

// The mean is over the union of the steps, of those that have a value there;
// what was logged twice at a step counts as it was logged last.
func TestSpreadOf(t *testing.T) {
	again := append(points(9), points(1e9+1, math.NaN(), 1e9+3)...)
	for what, one := range map[string]struct {
		curves []curve
		want   string
	}{
		"the same steps":  {[]curve{{"a", points(1, 2)}, {"b", points(3, 6)}}, "0:2±1.41421/2 10:4±2.82843/2"},
		"one is longer":   {[]curve{{"a", points(1)}, {"b", points(3, 6)}}, "0:2±1.41421/2 10:6±0/1"},
		"large, and once": {[]curve{{"a", again}, {"b", points(1e9, 1, 1e9+1)}}, "0:1e+09±0.707107/2 10:1±0/1 20:1e+09±1.41421/2"},
		"by their order":  {[]curve{{"a", []track.Metric{{Value: 1}, {Value: 2}}}}, "0:1±0/1 1:2±0/1"},
		"nothing finite":  {[]curve{{"a", points(math.Inf(1), math.NaN())}}, ""},
	} {
		var got []string
		for _, s := range spreadOf(one.curves) {
			got = append(got, fmt.Sprintf("%d:%.6g±%.6g/%d", s.X, s.Mean, s.Deviation(), s.Runs))
		}
		if text := strings.Join(got, " "); text != one.want {
			t.Errorf("%s: %s, want %s", what, text, one.want)
		}
	}
}

// Numbers come by size, and of too many values those that most runs have are
// drawn.
func TestCohortsOf(t *testing.T) {
	var rows []runLine
	add := func(kind string, runs int) {
		for range runs {
			r := runLine{Run: ridgeline.Run{Params: map[string]string{"kind": kind}}}
			if kind == "" {
				r.Params = nil
			}
			rows = append(rows, r)
		}
	}
	add("", 2)
	add("word", 3)
	for i := range mostCohorts {
		add(fmt.Sprint(100-i), 2)
	}
	add("7", 1)
	cohorts := cohortsOf(rows, "p.kind")
	var names, lost []string
	for _, c := range cohorts {
		if names = append(names, c.Value); c.Shade == 0 {
			lost = append(lost, c.Value)
		}
	}
	if names[0] != "7" || names[1] != "89" || names[len(names)-2] != "word" || names[len(names)-1] != "" {
		t.Errorf("their order: %q", names)
	}
	if !slices.Equal(lost, []string{"7", "100", ""}) {
		t.Errorf("not drawn: %q", lost)
	}
	if all := cohortsOf(rows, byAll); len(all) != 1 || all[0].Name() != fmt.Sprintf("all (%d runs)", len(rows)) {
		t.Errorf("all together: %+v", all)
	}
}

// A band on a logarithmic axis ends above zero, where there is a place for it.
func TestCohortChart_log(t *testing.T) {
	cohorts := []cohort{{Value: "a", Rows: []int{0, 1}, Shade: 1}}
	curves := map[int][]curve{0: {{"a", points(1, 0.5)}}, 1: {{"b", points(9, 0.1)}}}
	lowest := func(d drawing) float64 {
		least := math.Inf(1)
		for _, s := range cohortChart("loss", "kind", cohorts, curves, d).Option["series"].([]any) {
			if series := s.(map[string]any); series["type"] == "custom" {
				for _, p := range series["data"].([][3]float64) {
					least = min(least, p[1])
				}
			}
		}
		return least
	}
	if v := lowest(drawing{}); v > -0.6 {
		t.Errorf("the band ends at %v, which is not one deviation below the mean", v)
	}
	if v := lowest(drawing{Log: true}); !(v > 0 && v < 0.1) {
		t.Errorf("on a logarithmic axis the band ends at %v", v)
	}
}

// On the page runs are put together by a parameter, and metrics are shown as they
// were at their least or greatest.
func TestCompare_grouped(t *testing.T) {
	s := furnish(t)
	ctx := t.Context()
	e, err := s.ui.Track.CreateExperiment(ctx, track.NewExperiment{Name: "iris"})
	ok(t, err)
	other, err := s.ui.Track.CreateExperiment(ctx, track.NewExperiment{Name: "another"})
	ok(t, err)
	log := func(experiment int64, run ridgeline.RunID, started int64, values ...float64) {
		r, err := s.ui.Track.CreateRun(ctx, track.NewRun{Experiment: experiment, Name: "train", Started: started, Tags: []track.Pair{{Key: runTag, Value: string(run)}}})
		ok(t, err)
		ok(t, s.ui.Track.Log(ctx, r.ID, track.Batch{Metrics: points(values...)}))
	}
	address := "/compare?different=1"
	for i, kind := range []string{"ridge", "ridge", "forest", "forest"} {
		run := aRun(t, s, i, map[string]string{"kind": kind, "seed": fmt.Sprint(i)}, 3+float64(i))
		address += "&run=" + string(run)
		log(e, run, 1, 77, 78)                                        // an attempt before
		log(e, run, 2, 10+float64(i), 2+2*float64(i%2), 3+float64(i)) // it ends at what the run has as its metric
		log(other, run, 3, -500, -600)                                // not its project's: somebody wrote its name there
	}
	text := s.shows(address, http.StatusOK, "Group by", `<option value="p.kind">`, "r-00000000000000 train from 10 to 3", "from 77 to 78")
	_, by, _ := strings.Cut(text, `name="by"`)
	if by, _, _ = strings.Cut(by, "</select>"); strings.Contains(by, "p.seed") || strings.Contains(text, "−500") {
		t.Error("groups by what is another in each run, or reads another project's experiment")
	}
	text = s.shows(address+"&by=p.kind&smooth=0.3&log=1", http.StatusOK, `value="p.kind" selected`, "loss by kind", "ridge (2 runs) from 10.5 ± 0.7071 to 3.5 ± 0.7071",
		"By kind", `<td class="num">5.5 ± 0.7071</td>`, `"type":"custom"`, `"type":"log"`)
	if strings.Contains(text, "visualMap") || strings.Contains(text, "[0,77") {
		t.Error("runs are coloured by a number, or an attempt before counts")
	}
	s.shows(address+"&by=all", http.StatusOK, "By all runs", "all (4 runs) from 11.5 ± 1.291 to 4.5 ± 1.291")
	s.shows(address+"&by=p.seed", http.StatusOK, "from 77 to 78") // nothing to put together
	s.shows(address+"&of=min", http.StatusOK, "each the least that the run logged", `<td class="num" title="2">2</td>`, `<td class="num" title="4">4</td>`)
	s.shows(address+"&of=max", http.StatusOK, "each the greatest that the run logged", `<td class="num" title="10">10</td>`, `<td class="num" title="13">13</td>`)
	s.shows(address+"&of=nonsense", http.StatusOK, `<option value="last" selected>`)
}

// Of more curves than have names there is one series, in which each ends before
// the next begins.
func TestCurveChart_cloud(t *testing.T) {
	for n, want := range map[int]int{mostNamed: mostNamed, mostNamed + 1: 1} {
		curves := make([]curve, n)
		for i := range curves {
			curves[i] = curve{fmt.Sprint(i), points(1, 2)}
		}
		chart := curveChart("loss", curves, drawing{})
		series := chart.Option["series"].([]any)
		if len(series) != want || !strings.Contains(chart.Label, "; and up to") {
			t.Fatalf("%d curves: %d series, want %d; %s", n, len(series), want, chart.Label)
		}
		if data, cloud := series[0].(map[string]any)["data"].([]any); cloud && (len(data) != 3*n || data[2] != any(gap)) {
			t.Errorf("the cloud of %d curves of two points has %d, the third is %v", n, len(data), data[2])
		}
	}
}
