package conformance

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/test/conformance/harness"
)

// Whatever is sent to a model without a script is answered, with a reason where
// it is no input; and others, who ask meanwhile, get their own predictions.
func TestModel_bad_input(t *testing.T) {
	t.Parallel()
	python := harness.Python(t, "mlflow")
	p, at := serveModel(t, python, linearModel(t, python))
	base := "http://" + at
	p.Await(t, base+"/healthz/ready")
	good := func(n int) harness.Probe { return invoke("", jsonHeader, split(fmt.Sprintf("[[%d,2,0]]", n))) }
	right := map[int]string{}
	for n := range 50 {
		r := harness.Ask(t, base, good(n))
		if r.Status != 200 {
			t.Fatalf("%d: %d %s", n, r.Status, r.Body)
		}
		right[n] = r.Body
	}
	stop := make(chan struct{})
	var others sync.WaitGroup
	defer others.Wait()
	defer close(stop)
	others.Go(func() {
		for n := 0; ; n = (n + 1) % len(right) {
			select {
			case <-stop:
				return
			default:
			}
			if r := harness.Ask(t, base, good(n)); r.Body != right[n] {
				t.Errorf("another client's row %d: %d %.300s, want %s", n, r.Status, r.Body, right[n])
				return
			}
		}
	})
	const million = 1_000_000
	row := "[1,2,0],"
	rows := "[" + strings.Repeat(row, (100_000_000-200)/len(row)) + "[1,2,0]]"
	deep := strings.Repeat("[", million) + strings.Repeat("]", million)
	objects := strings.Repeat(`{"a":`, million) + "1" + strings.Repeat("}", million)
	v2 := func(data string) string {
		return `{"inputs":[{"name":"age","shape":[1],"datatype":"FP64","data":` + data + `},{"name":"bmi","shape":[1],"datatype":"FP64","data":[1]},{"name":"sex","shape":[1],"datatype":"FP64","data":[0]}]}`
	}
	const infer = "/v2/models/linear/infer"
	for _, c := range []struct {
		name, path, contentType, body string
		status                        int
		says                          string
	}{
		{"100 MB of rows", "/invocations", jsonHeader, split(rows), 200, `{"predictions": [`},
		{"100 MB of a text", "/invocations", jsonHeader, `{"inputs":"` + strings.Repeat("x", 99_999_000) + `"}`, 400, ""},
		{"deep lists", "/invocations", jsonHeader, split(deep), 400, ""},
		{"deep lists in a field that nobody reads", "/invocations", jsonHeader, `{"x":` + deep + `,"inputs":{"age":1,"bmi":2,"sex":0}}`, 400, "deep"},
		{"deep objects", "/invocations", jsonHeader, `{"inputs":` + objects + `}`, 400, ""},
		{"deep, and never closed", "/invocations", jsonHeader, `{"inputs":` + strings.Repeat("[", million), 400, ""},
		{"deep at /score", "/score", jsonHeader, `{"data":` + deep + `}`, 400, ""},
		{"deep at /v2", infer, jsonHeader, v2(deep), 400, ""},
		{"a number of a million digits", "/invocations", jsonHeader, split("[[" + strings.Repeat("9", million) + ",2,0]]"), 400, ""},
		{"a million columns", "/invocations", jsonHeader, `{"dataframe_split":{"columns":[` + strings.Repeat(`"a",`, million) + `"a"],"data":[]}}`, 400, "columns"},
		{"a million names", "/invocations", jsonHeader, `{"inputs":{` + strings.Repeat(`"x":1,`, million) + `"y":1}}`, 400, "missing inputs"},
		{"cut off", "/invocations", jsonHeader, `{"inputs":{"age":[1,2`, 400, "ends at byte"},
		{"not UTF-8", "/invocations", jsonHeader, split("[[1,2,\"\xff\"]]"), 400, "UTF-8"},
		{"half a word", "/invocations", jsonHeader, split("[[1,-Inf,0]]"), 400, ""},
		{"another type", "/invocations", "text/html", "<html>", 415, "content types"},
		{"CSV that is none", "/invocations", "text/csv", "\"", 400, ""},
		{"Parquet that is none", "/invocations", "application/vnd.apache.parquet", strings.Repeat("PAR1", 1000), 400, ""},
		{"a shape that is too large", infer, jsonHeader, strings.Replace(v2("[1]"), `"shape":[1]`, `"shape":[9223372036854775807,9]`, 1), 400, ""},
		{"a shape below zero", infer, jsonHeader, strings.Replace(v2("[1]"), `"shape":[1]`, `"shape":[-1]`, 1), 400, ""},
	} {
		if r := harness.Ask(t, base, post(c.name, c.path, c.contentType, c.body)); r.Status != c.status || !strings.Contains(r.Body, c.says) {
			t.Errorf("%s: %d %.300s; want %d …%s…", c.name, r.Status, r.Body, c.status, c.says)
		}
	}
}
