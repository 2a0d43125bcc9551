package pipeline

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
)

func TestReadMetrics(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want map[string]float64
		says string
	}{
		"numbers":     {text: `{"mse": 2900.5, "n": 3}`, want: map[string]float64{"mse": 2900.5, "n": 3}},
		"none":        {text: `{}`, want: map[string]float64{}},
		"NaN":         {text: `{"mse": NaN, "the NaN \"\\": -Infinity, "top":Infinity}`, want: map[string]float64{"mse": math.NaN(), `the NaN "\`: math.Inf(-1), "top": math.Inf(1)}},
		"a text NaN":  {text: `{"mse": "NaN"}`, want: map[string]float64{"mse": math.NaN()}},
		"infinite":    {text: `{"mse": 1e999}`, says: "expected one object of numbers"},
		"null":        {text: `{"mse": null}`, says: "mse is null"},
		"a list":      {text: `[1, 2]`, says: "expected one object of numbers"},
		"a word":      {text: `{"mse": "low"}`, says: "expected one object of numbers"},
		"nested":      {text: `{"test": {"mse": 1}}`, says: "expected one object of numbers"},
		"two objects": {text: "{\"a\": 1}\n{\"a\": 2}\n", says: "expected one object of numbers"},
		"empty":       {text: ``, says: "expected one object of numbers"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readMetrics(file(t, "metrics.json", test.text))
			if test.says == "" {
				if err != nil || fmt.Sprint(map[string]float64(got)) != fmt.Sprint(test.want) {
					t.Errorf("got %v, %v; want %v", got, err, test.want)
				}
				return
			}
			if ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want Invalid and %q", err, test.says)
			}
		})
	}
	if got, err := readMetrics(filepath.Join(t.TempDir(), "metrics.json")); err != nil || len(got) != 0 {
		t.Errorf("no file: got %v, %v; want no metrics", got, err)
	}
}

func TestModelFolder(t *testing.T) {
	t.Run("none", func(t *testing.T) {
		_, err := modelFolder(t.TempDir())
		if ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), "left no model") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("empty", func(t *testing.T) {
		out := t.TempDir()
		if err := os.Mkdir(filepath.Join(out, "model"), 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := modelFolder(out)
		if ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), "is empty") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a folder", func(t *testing.T) {
		out := t.TempDir()
		want := filepath.Join(out, "model")
		if err := os.Mkdir(want, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(want, "MLmodel"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := modelFolder(out); err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	})
	t.Run("a file, twice", func(t *testing.T) { // a step may be entered again after a crash
		out := t.TempDir()
		if err := os.WriteFile(filepath.Join(out, "model"), []byte("weights"), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			folder, err := modelFolder(out)
			if err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(folder)
			if err != nil || len(entries) != 1 || entries[0].Name() != "model" {
				t.Fatalf("the folder holds %v, %v; want the file alone", entries, err)
			}
			if text, err := os.ReadFile(filepath.Join(folder, "model")); err != nil || string(text) != "weights" {
				t.Errorf("got %q, %v", text, err)
			}
			if n, err := treeSize(folder); err != nil || n != int64(len("weights")) {
				t.Errorf("size %d, %v", n, err)
			}
		}
	})
}

func TestRowScores(t *testing.T) {
	for name, test := range map[string]struct {
		text   string
		slices []string
		losses []float64
		y, p   []float64
		reason string
	}{
		"losses":                     {text: "loss\n0.5\n1\n", losses: []float64{0.5, 1}},
		"y and prediction":           {text: "prediction,y\n1,2\n3,4\n", y: []float64{2, 4}, p: []float64{1, 3}},
		"labels, prediction first":   {text: "prediction,y\nb,a\nb,b\n", y: []float64{0, 1}, p: []float64{1, 1}},
		"slices":                     {text: "loss,sex\n1,f\n2,\n", slices: []string{"sex"}, losses: []float64{1, 2}},
		"columns that mean nothing":  {text: "id,loss\nx,1\n", losses: []float64{1}},
		"neither":                    {text: "y\n1\n", reason: "needs a column loss, or the columns y and prediction"},
		"a loss is missing":          {text: "loss,x\n1,1\n,1\n", reason: "row 2 of rows.csv has no loss"},
		"a loss is a word":           {text: "loss\nlow\n", reason: "a loss is a number"},
		"a label against a number":   {text: "y,prediction\n0,a\n1,b\n", reason: "both numbers or both labels"},
		"a slice column is not here": {text: "loss\n1\n", slices: []string{"sex"}, reason: `lacks the slice column "sex"`},
		"not a table":                {text: "", reason: "was judged unclearly"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := rowScores(t.Context(), file(t, "rows.csv", test.text), test.slices)
			if err != nil {
				t.Fatal(err)
			}
			if (test.reason == "") != (got.Reason == "") || !strings.Contains(got.Reason, test.reason) {
				t.Fatalf("got %q, want %q", got.Reason, test.reason)
			}
			if test.reason != "" {
				return
			}
			s := got.Scores
			if !s.Has || !slices.Equal(s.Losses, test.losses) || !slices.Equal(s.Y, test.y) || !slices.Equal(s.Prediction, test.p) {
				t.Errorf("got %+v", s)
			}
			if test.slices != nil && !slices.Equal(got.Slices["sex"], []string{"f", "(missing)"}) {
				t.Errorf("slices %v", got.Slices)
			}
		})
	}
}

func TestReadRows(t *testing.T) {
	read := func(t *testing.T, files map[string]string) evaluation {
		t.Helper()
		dir := t.TempDir()
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := readRows(t.Context(), dir, nil, "mse", nil)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	t.Run("rows before metrics", func(t *testing.T) {
		got := read(t, map[string]string{"rows.csv": "loss\n1\n", "metrics.json": `{"mse": 7}`})
		if got.Reason != "" || len(got.Scores.Losses) != 1 || got.Scores.Point != nil {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("metrics alone", func(t *testing.T) {
		got := read(t, map[string]string{"metrics.json": `{"mse": 7}`})
		if got.Reason != "" || got.Scores.Point == nil || *got.Scores.Point != 7 {
			t.Errorf("got %+v", got)
		}
	})
	for name, files := range map[string]map[string]string{
		"nothing":        {},
		"another metric": {"metrics.json": `{"mae": 7}`},
		"a NaN":          {"metrics.json": `{"mse": NaN}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := read(t, files); got.Reason == "" || got.Scores.Has {
				t.Errorf("got %+v, want a reason and no scores", got)
			}
		})
	}
}

func TestNames(t *testing.T) {
	if got := varName("my-data"); got != "MY_DATA" {
		t.Errorf("varName: %q", got)
	}
	if got := describe(ridgeline.Metrics{"r2": 0.5, "mse": 2900.123456}); got != "mse 2900.12, r2 0.5" {
		t.Errorf("describe: %q", got)
	}
	if one, again := seed("r-1"), seed("r-1"); one != again || one == seed("r-2") {
		t.Error("a run's seed is its own, and the same each time")
	}
	if got := short("sha256:0123456789abcdef"); got != "sha256:0123456789ab" {
		t.Errorf("short: %q", got)
	}
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 2_500_000: "2.5 MB", 3e9: "3.0 GB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d bytes: %q, want %q", n, got, want)
		}
	}
}

func TestRunner_failure(t *testing.T) {
	// A task that was stopped on request is not tried again; one that could not
	// be started neither.
	r := &Runner{}
	if out := r.failure(t.Context(), host.TaskState{Phase: host.Ended, Reason: host.Exited}, "train", "t"); out.Reason != "" {
		t.Errorf("exit code 0: %+v", out)
	}
	if out := r.failure(t.Context(), host.TaskState{Phase: host.Ended, Reason: host.Killed}, "train", "t"); out.Reason != "train: cancelled" || out.Fate != fateKilled {
		t.Errorf("killed: %+v", out)
	}
}
