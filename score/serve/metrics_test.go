package serve

import (
	"bufio"
	"log/slog"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/internal/tracing"
	"github.com/ridgeline-mlops/ridgeline/internal/tracing/tracingtest"
)

const raises = `
import json
def init(): pass
def run(raw_data, request_headers):
    if json.loads(raw_data) == "raise": raise ValueError("no")
    return request_headers.get("Traceparent", "")
`

func TestMetrics(t *testing.T) {
	s := serve(t, raises)
	for range 3 {
		s.do(t, "POST", "/score", `"x"`)
	}
	s.do(t, "POST", "/score", `"raise"`)
	s.do(t, "POST", "/score", `"x"`, "X-Request-Id", strings.Repeat("x", 101))
	got := s.do(t, "GET", "/metrics", "")
	for _, want := range []string{
		`ridgeline_scorer_request_duration_seconds_count{dialect="azureml",status="2xx"} 3`,
		`ridgeline_scorer_request_duration_seconds_count{dialect="azureml",status="5xx"} 1`,
		`ridgeline_scorer_request_duration_seconds_count{dialect="azureml",status="4xx"} 1`,
		"ridgeline_scorer_model_seconds_count 4", // what was refused never came to a worker
		"ridgeline_scorer_queue_seconds_count 4",
		"ridgeline_scorer_server_seconds_count 4",
		`ridgeline_scorer_batch_rows_bucket{le="1"} 4`,
		"ridgeline_scorer_rows_total 3",
		"ridgeline_scorer_workers 1",
		"ridgeline_scorer_requests_in_flight 0",
		"ridgeline_scorer_requests_waiting 0",
		"ridgeline_scorer_shed_total 0",
		"ridgeline_scorer_worker_restarts_total 0",
	} {
		if !strings.Contains(got.body, want+"\n") {
			t.Errorf("no %s in\n%s", want, got.body)
		}
	}
	for _, name := range []string{"cpu_seconds_total", "memory_bytes", "memory_peak_bytes"} {
		if !regexp.MustCompile(`(?m)^ridgeline_scorer_` + name + ` [0-9.e+]*[1-9]`).MatchString(got.body) {
			t.Errorf("%s is not there, or 0", name)
		}
	}
}

// A worker's memory and processor time are its scorer's.
func TestUsedNow(t *testing.T) {
	before, ok := usedNow()
	if !ok {
		t.Fatal("the processes of this machine cannot be looked at")
	}
	cmd := exec.Command("python3", "-c", "x = bytearray(200_000_000); print(sum(range(5_000_000)), flush=True); input()")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	now, _ := usedNow()
	if now.memory < before.memory/2+200e6 || now.peak < before.peak/2+200e6 || now.cpu <= before.cpu {
		t.Errorf("with a child of 200 MB that has counted: %+v; before: %+v", now, before)
	}
	_ = in.Close()
	_ = cmd.Wait()
	if after, _ := usedNow(); after.cpu < now.cpu || after.memory > now.memory-150e6 {
		t.Errorf("when it has ended: %+v, while it was there: %+v", after, now)
	}
}

func TestTraces(t *testing.T) {
	sent := tracingtest.Collect(t)
	tracer, err := tracing.New(t.Context(), slog.New(slog.DiscardHandler), "ridgeline-scorer")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, raises, func(c *Config) { c.tracer = tracer })
	const trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	first := s.do(t, "POST", "/score", `"x"`, "Traceparent", "00-"+trace+"-"+caller+"-01")
	s.do(t, "POST", "/score", `"raise"`, "Traceparent", "00-"+trace+"-"+caller+"-01")
	s.do(t, "GET", "/healthz/live", "")
	// A span ends when its answer has gone, so it may be a moment after the answer.
	s.await(t, func() bool {
		if err := tracer.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		return len(sent()) >= 6
	})
	all := sent()
	if len(all) != 6 {
		t.Fatalf("got %+v; want three spans for each of two requests", all)
	}
	score, below := all[0], all[1:3]
	if score.Name != "score" || score.Trace != trace || score.Parent != caller || score.About["http.response.status_code"] != "200" || score.About["ridgeline.dialect"] != "azureml" {
		t.Errorf("got %+v", score)
	}
	if first.body != `"00-`+trace+"-"+score.ID+`-01"` {
		t.Errorf("run() was told %s, want the span %s", first.body, score.ID)
	}
	for i, name := range []string{"queue", "model"} {
		if b := below[i]; b.Name != name || b.Parent != score.ID || b.From.Before(score.From) || b.To.After(score.To) {
			t.Errorf("got %+v, want %s below and within %+v", b, name, score)
		}
	}
	if !strings.Contains(all[3].Error, "ValueError") {
		t.Errorf("the request that failed says %q", all[3].Error)
	}
	if !strings.Contains(s.log.String(), "trace_id="+trace) {
		t.Error("the log does not name the trace of what failed")
	}
}
