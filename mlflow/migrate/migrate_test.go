package migrate

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPoints(t *testing.T) {
	got, err := points(Pair{"a/b", "1700000000000 0.5 3\n1700000000001 nan -2\n\n1700000000002 inf\n1700000000003 1 4 run name digest\n"})
	if err != nil || len(got) != 4 {
		t.Fatal(got, err)
	}
	if m := got[0]; m != (Metric{Key: "a/b", Value: 0.5, Time: 1700000000000, Step: 3}) {
		t.Errorf("%+v", m)
	}
	if m := got[1]; !math.IsNaN(float64(m.Value)) || m.Step != -2 {
		t.Errorf("%+v", m)
	}
	if m := got[2]; !math.IsInf(float64(m.Value), 1) || m.Step != 0 {
		t.Errorf("of MLflow 0, without a step: %+v", m)
	}
	if m := got[3]; m.Run != "run" || m.DatasetName != "name" || m.DatasetDigest != "digest" {
		t.Errorf("of a logged model: %+v", m)
	}
	for _, line := range []string{"x 1 0", "1 y 0", "1 1 z", "1"} {
		if _, err := points(Pair{"m", line}); err == nil || !strings.Contains(err.Error(), "time, value and step were expected") {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestFloat_survives_JSON(t *testing.T) {
	for _, v := range []float64{0, -3.5, 1e308, math.Inf(1), math.Inf(-1), math.NaN()} {
		text, err := json.Marshal(Float(v))
		if err != nil {
			t.Fatal(err)
		}
		var back Float
		if err := json.Unmarshal(text, &back); err != nil || float64(back) != v && !math.IsNaN(v) || math.IsNaN(v) != math.IsNaN(float64(back)) {
			t.Errorf("%v became %s and %v (%v)", v, text, back, err)
		}
	}
}

func TestDisk(t *testing.T) {
	d := disk{base: "/base", artifacts: "/served"}
	for uri, want := range map[string]string{
		"/a/b": "/a/b", "file:///a/b%20c": "/a/b c", "file:/a": "/a", "mlruns/0/r/artifacts": "/base/mlruns/0/r/artifacts",
		"mlflow-artifacts:/1/r/artifacts": "/served/1/r/artifacts", "mlflow-artifacts://host:1/1/r": "/served/1/r",
	} {
		if got, err := d.folder(uri); got != want || err != nil {
			t.Errorf("%s is %s, %v, want %s", uri, got, err, want)
		}
	}
	if _, err := d.folder("s3://bucket/a"); err == nil || !strings.Contains(err.Error(), "copy from the MLflow server itself") {
		t.Error(err)
	}
	if files, err := d.files("/not/there"); len(files) != 0 || err != nil {
		t.Error(files, err)
	}
}

func TestSource(t *testing.T) {
	c := &copier{places: map[string]Place{}}
	c.remember(Place{Run: "r1", URI: "file:///x/r1/artifacts/"})
	c.remember(Place{Model: "m-1", URI: "/x/models/m-1/artifacts"})
	for source, want := range map[string]string{
		"/x/r1/artifacts/model/a": "runs:/r1/model/a", "file:///x/r1/artifacts": "runs:/r1", "/x/models/m-1/artifacts": "models:/m-1",
		"models:/m-9": "models:/m-9", "runs:/r9/m": "runs:/r9/m", "s3://elsewhere/m": "", "/x/r1": "",
	} {
		if got := c.source(Version{Source: source}); got != want {
			t.Errorf("%s is %q here, want %q", source, got, want)
		}
	}
}

func TestOpen_refuses_what_is_no_MLflow(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte("not a database, though a file of some length"), 0o600); err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]string{
		filepath.Join(dir, "none"): "name the address of an MLflow server", dir: "is no mlruns folder", filepath.Join(dir, "text"): "open MLflow's database",
		"http://127.0.0.1:1": "connection refused",
	} {
		if _, err := Open(t.Context(), Options{From: from}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", from, err, want)
		}
	}
}
