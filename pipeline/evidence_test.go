package pipeline

import (
	"bytes"
	"encoding/json"
	"math"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/gate"

	"github.com/ridgeline-mlops/ridgeline"
)

// TestAgain: what is kept gives the same report to the last digit, and a
// report that was tampered with is told by the first thing that differs.
func TestAgain(t *testing.T) {
	n := 60
	share := 0.5
	predictions := gate.Input{
		Metric: "mse", MinEffect: 0.01, Relative: true, Alpha: 0.05, Seed: math.MaxUint64 - 1,
		Challenger: gate.Scores{Has: true}, Champion: gate.Scores{Has: true}, Slices: map[string][]string{"sex": {}, "y": {}},
		Limits: gate.Limits{Missing: &share}, Features: []gate.Feature{{Name: "age", Type: "BIGINT"}},
	}
	for i := range n {
		y := math.Sin(float64(i)) * 100 / 3
		predictions.Challenger.Y = append(predictions.Challenger.Y, y)
		predictions.Challenger.Prediction = append(predictions.Challenger.Prediction, y+math.Cos(float64(i))/7)
		predictions.Champion.Prediction = append(predictions.Champion.Prediction, y+math.Cos(float64(3*i))/5)
		predictions.Slices["sex"] = append(predictions.Slices["sex"], []string{"f", "a, \"b\"\n"}[i%2])
		predictions.Slices["y"] = append(predictions.Slices["y"], "one")
		predictions.Reported = append(predictions.Reported, y)
	}
	predictions.Champion.Y = predictions.Challenger.Y
	predictions.Challenger.Prediction[7] = math.NaN()
	losses := gate.Input{Metric: "profit", Better: "higher", Alpha: 0.05, Challenger: gate.Scores{Has: true, Losses: predictions.Champion.Prediction}, Champion: gate.Scores{Has: true, Losses: predictions.Champion.Y}}
	value := 3.0
	point := gate.Input{Metric: "mse", Alpha: 0.05, Challenger: gate.Scores{Has: true, Point: &value}}

	store, err := blob.Open(t.Context(), "file://"+filepath.ToSlash(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	r := &Runner{Blob: store}
	for name, in := range map[string]gate.Input{"predictions": predictions, "losses": losses, "a value": point} {
		t.Run(name, func(t *testing.T) {
			report, err := gate.Decide(in)
			if err != nil {
				t.Fatal(err)
			}
			v := ridgeline.ModelVersion{Model: "m", Version: 1}
			if v.Report, err = json.Marshal(report); err != nil {
				t.Fatal(err)
			}
			if v.Evidence, err = r.keep(t.Context(), in, identity{}); err != nil {
				t.Fatal(err)
			}
			again, difference, err := r.Again(t.Context(), v)
			if err != nil || difference != "" || !reflect.DeepEqual(again, report) {
				t.Fatalf("%v, %s\n%+v\n%+v", err, difference, again, report)
			}
			v.Report = bytes.Replace(v.Report, []byte(`"verdict":"`+string(report.Verdict)), []byte(`"verdict":"perfect`), 1)
			if _, difference, err = r.Again(t.Context(), v); err != nil || difference != `verdict was "perfect" and is "`+string(report.Verdict)+`"` {
				t.Errorf("%v, %s", err, difference)
			}
		})
	}
	if _, _, err := r.Again(t.Context(), ridgeline.ModelVersion{Model: "m", Version: 1}); ridgeline.CodeOf(err) != ridgeline.NotFound {
		t.Errorf("a version without evidence: %v", err)
	}
}

func TestWriteRows(t *testing.T) {
	in := gate.Input{
		Challenger: gate.Scores{Has: true, Y: []float64{1, 2}, Prediction: []float64{0.1, math.NaN()}},
		Champion:   gate.Scores{Has: true, Y: []float64{1, 2}, Prediction: []float64{1e-300, 3}},
		Slices:     map[string][]string{"sex": {"f", "m"}},
	}
	want := "row,y,challenger,champion,slice.sex\n00000000000000ff,1,0.1,1e-300,f\n0000000000000001,2,NaN,3,m\n"
	if got := string(writeRows(in, []uint64{255, 1})); got != want {
		t.Errorf("got %s", got)
	}
	if got := writeRows(gate.Input{}, nil); got != nil {
		t.Errorf("no rows: %q", got)
	}
}
