package pyfunc

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	library "github.com/parquet-go/parquet-go"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/parquet"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == parquet.Command { // started again to read a file
		os.Exit(parquet.Main(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// sums is a model that answers each row of a and b with their sum.
type sums struct {
	kind  string
	fault error
	out   *tensor.Batch
}

func (m *sums) Model() (worker.Model, bool) {
	s := &tensor.Signature{Form: tensor.Table, Inputs: []tensor.Field{{Name: "a", Type: tensor.Float64}, {Name: "b", Type: tensor.Float64}}}
	return worker.Model{Kind: m.kind, Signature: s}, m.kind != ""
}

func (m *sums) Ready() (int, error) {
	if m.kind == "" {
		return 0, errors.New("starting")
	}
	return 1, nil
}

func (m *sums) Predict(_ context.Context, in tensor.Batch) (tensor.Batch, error) {
	if m.fault != nil || m.out != nil {
		if m.out != nil {
			return *m.out, nil
		}
		return tensor.Batch{}, m.fault
	}
	out := tensor.Tensor{Type: tensor.Float64, Shape: []int{in.Rows}}
	for row := range in.Rows {
		sum := 0.0
		for k := range 2 {
			sum += math.Float64frombits(binary.LittleEndian.Uint64(in.Tensors[0].Data[(row*2+k)*8:]))
		}
		out.Data = binary.LittleEndian.AppendUint64(out.Data, math.Float64bits(sum))
	}
	return tensor.Batch{Form: tensor.Array, Rows: in.Rows, Tensors: []tensor.Tensor{out}}, nil
}

func ask(t *testing.T, m Model, method, path, contentType, body string) (*http.Response, string, *exchange.Exchange) {
	t.Helper()
	x := &exchange.Exchange{}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r = r.WithContext(exchange.With(r.Context(), x))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	Handler(m, Options{BodyLimit: 1000, Version: "1.2"}).ServeHTTP(w, r)
	return w.Result(), w.Body.String(), x
}

func parquetFile(t *testing.T) string {
	t.Helper()
	type row struct {
		B     int32   `parquet:"b"`
		A     float64 `parquet:"a"`
		Index int64   `parquet:"__index_level_0__"`
	}
	var out bytes.Buffer
	if err := library.Write(&out, []row{{2, 1, 0}, {4, 3, 1}}, library.Compression(&library.Snappy)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestHandler(t *testing.T) {
	const js, csv, pq = "application/json", "text/csv", "application/vnd.apache.parquet"
	ready := &sums{kind: worker.KindModel}
	for _, c := range []struct {
		name, method, path, contentType, body string
		status                                int
		want                                  string // what the body begins with
	}{
		{"ping", "GET", "/ping", "", "", 200, "\n"},
		{"health", "GET", "/health", "", "", 200, "\n"},
		{"version", "GET", "/version", "", "", 200, "1.2"},
		{"post ping", "POST", "/ping", "", "", 405, `{"detail":"Method Not Allowed"}`},
		{"get invocations", "GET", "/invocations", "", "", 405, `{"detail":"Method Not Allowed"}`},
		{"split", "POST", "/invocations", js, `{"dataframe_split":{"columns":["b","a"],"data":[[1,2],[3,4]]}}`, 200, `{"predictions": [3.0,7.0]}`},
		{"charset", "POST", "/invocations", js + "; charset=UTF-8", `{"inputs":{"a":[1],"b":[2]}}`, 200, `{"predictions": [3.0]}`},
		{"csv", "POST", "/invocations", csv, "a,c,b\n1,x,2\n,y,2\n", 200, `{"predictions": [3.0,null]}`},
		{"parquet", "POST", "/invocations", pq, parquetFile(t), 200, `{"predictions": [3.0,7.0]}`},
		{"another charset", "POST", "/invocations", js + "; charset=latin-1", `{}`, 415, `The scoring server only supports UTF-8`},
		{"a parameter", "POST", "/invocations", js + "; a=b", `{}`, 415, `Unrecognized content type parameters: a.`},
		{"another type", "POST", "/invocations", "text/plain", `{}`, 415, `This predictor only supports the following content types: Types: ['text/csv', 'application/json', 'application/vnd.apache.parquet']. Got 'text/plain'.`},
		{"no type", "POST", "/invocations", "", `{}`, 415, `This predictor only supports`},
		{"bad JSON", "POST", "/invocations", js, `{"a"`, 400, `{"error_code":"BAD_REQUEST","message":"The body is not valid JSON: it ends at byte 4, where ':' was expected.","sqlstate":"KAM00","error_class":"INVALID_PARAMETER_VALUE"}`},
		{"a missing input", "POST", "/invocations", js, `{"inputs":{"a":[1],"c":[2]}}`, 400,
			`{"error_code":"INVALID_PARAMETER_VALUE","message":"Failed to enforce schema. Error: Model is missing inputs ['b']. Note that there were extra inputs: ['c'].","sqlstate":"KAM01","error_class":"SCHEMA_ENFORCEMENT_FAILED"}`},
		{"bad CSV", "POST", "/invocations", csv, "a,b\n1\n", 400, `{"error_code":"BAD_REQUEST","message":"The body is not valid CSV: line 2 has another number of values than there are columns."`},
		{"a text in CSV", "POST", "/invocations", csv, "a,b\n1,x\n", 400, `{"error_code":"INVALID_PARAMETER_VALUE","message":"Failed to enforce schema. Error: Input 'b', row 0: expected a number (FP64), found \"x\"."`},
		{"bad Parquet", "POST", "/invocations", pq, "PAR1PAR1", 400, `{"error_code":"BAD_REQUEST","message":"The body is not valid Parquet`},
		{"too large", "POST", "/invocations", js, strings.Repeat(" ", 1001), 413, `{"error_code":"BAD_REQUEST","message":"The request's body is larger than the limit of 1000 bytes`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, body, _ := ask(t, ready, c.method, c.path, c.contentType, c.body)
			if r.StatusCode != c.status || !strings.HasPrefix(body, c.want) {
				t.Errorf("%d %s\nwant %d %s", r.StatusCode, body, c.status, c.want)
			}
			want := js
			if c.status == 415 {
				want = "text/plain; charset=utf-8"
			}
			if got := r.Header.Get("Content-Type"); got != want {
				t.Errorf("Content-Type %q, want %q", got, want)
			}
		})
	}
	t.Run("a script", func(t *testing.T) {
		r, body, _ := ask(t, &sums{kind: worker.KindScript}, "POST", "/invocations", js, `{}`)
		if r.StatusCode != 404 || !strings.Contains(body, "/score") {
			t.Errorf("%d %s", r.StatusCode, body)
		}
	})
	t.Run("not ready", func(t *testing.T) {
		for _, path := range []string{"/ping", "/invocations"} {
			method := map[string]string{"/ping": "GET", "/invocations": "POST"}[path]
			if r, body, _ := ask(t, &sums{}, method, path, js, `{}`); r.StatusCode != 503 || !strings.Contains(body, "starting") {
				t.Errorf("%s: %d %s", path, r.StatusCode, body)
			}
		}
	})
	t.Run("an infinite answer", func(t *testing.T) {
		out := tensor.Batch{Form: tensor.Array, Rows: 1, Tensors: []tensor.Tensor{{Type: tensor.Float64, Shape: []int{1}, Data: binary.LittleEndian.AppendUint64(nil, math.Float64bits(math.Inf(1)))}}}
		if r, body, x := ask(t, &sums{kind: worker.KindModel, out: &out}, "POST", "/invocations", js, `{"inputs":{"a":[1],"b":[2]}}`); r.StatusCode != 500 || x.Failure.Reason != exchange.Unusable {
			t.Errorf("%d %s", r.StatusCode, body)
		}
	})
}

// Every failure has a spelling, and no answer repeats what was raised.
func TestFailures(t *testing.T) {
	for _, reason := range exchange.Reasons() {
		fault := &exchange.Failure{Reason: reason, Message: "told", Cause: "Traceback: secret", RetryAfter: 1500 * time.Millisecond}
		r, body, x := ask(t, &sums{kind: worker.KindModel, fault: fault}, "POST", "/invocations", "application/json", `{"inputs":{"a":[1],"b":[2]}}`)
		want := spellings[reason]
		if want.status == 0 || r.StatusCode != want.status {
			t.Errorf("reason %d: status %d, want %d", reason, r.StatusCode, want.status)
		}
		if strings.Contains(body, "secret") {
			t.Errorf("reason %d tells the cause: %s", reason, body)
		}
		if got := r.Header.Get("Retry-After"); got != "2" {
			t.Errorf("reason %d: Retry-After %q", reason, got)
		}
		var answer map[string]string
		if err := json.Unmarshal([]byte(body), &answer); want.code != "" && (err != nil || answer["error_code"] != want.code) {
			t.Errorf("reason %d: %s", reason, body)
		}
		if x.Failure != fault || x.Dialect != "pyfunc" || x.RequestID == "" || x.RequestID != r.Header.Get("X-Request-Id") {
			t.Errorf("reason %d: exchange %+v", reason, x)
		}
	}
}
