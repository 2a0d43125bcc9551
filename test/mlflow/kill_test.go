package mlflow_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/test/conformance/harness"
)

// TestKill kills the server while clients log, again and again. What was
// acknowledged is there afterwards, and no point is there twice, though each
// client repeats what it got no answer to. RIDGELINE_KILLS and RIDGELINE_POINTS
// make it as long as one likes.
func TestKill(t *testing.T) {
	const clients = 20
	kills, points := number(t, "RIDGELINE_KILLS", 4), number(t, "RIDGELINE_POINTS", 40_000)
	address, folder, token := harness.Address(t), t.TempDir(), "rl_kill"
	start := func() *harness.Process {
		s := harness.Run(t, folder, []string{"RIDGELINE_ADMIN_TOKEN=" + token}, harness.Built(t, "ridgeline"), "up", "--dir", folder, "--listen", address)
		s.Await(t, "http://"+address+"/health")
		return s
	}
	s := start()
	c := &logger{t: t, url: "http://" + address + "/api/2.0/mlflow/", token: token}
	var acknowledged, created atomic.Int64
	runs := make([]string, clients)
	var done sync.WaitGroup
	each := points / clients
	for i := range clients {
		done.Go(func() {
			var answer struct {
				Run struct {
					Info struct {
						ID string `json:"run_id"`
					} `json:"info"`
				} `json:"run"`
			}
			c.insist("runs/create", fmt.Sprintf(`{"experiment_id": "0", "run_name": "killed %d", "start_time": %d}`, i, 1000+i), &answer)
			runs[i] = answer.Run.Info.ID
			created.Add(1)
			for step := 0; step < each; {
				var b bytes.Buffer
				fmt.Fprintf(&b, `{"run_id": %q, "metrics": [`, runs[i])
				n := min(100, each-step)
				for j := range n {
					if j > 0 {
						b.WriteString(", ")
					}
					fmt.Fprintf(&b, `{"key": "m", "value": %d, "timestamp": %d, "step": %d}`, step+j, step+j, step+j)
				}
				b.WriteString("]}")
				c.insist("runs/log-batch", b.String(), nil)
				step += n
				acknowledged.Add(int64(n))
			}
		})
	}
	finished := make(chan struct{})
	go func() { done.Wait(); close(finished) }()
	for i := range kills {
		goal := int64(points) * int64(i+1) / int64(kills+1)
		for acknowledged.Load() < goal {
			select {
			case <-finished:
				goal = 0
			case <-time.After(time.Millisecond):
			}
		}
		s.Kill()
		s = start()
	}
	<-finished
	var answer struct {
		Runs []json.RawMessage `json:"runs"`
	}
	c.insist("runs/search", `{"experiment_ids": ["0"], "max_results": 1000}`, &answer)
	if len(answer.Runs) != clients {
		t.Errorf("%d runs, but %d were made", len(answer.Runs), clients)
	}
	for i, id := range runs {
		var history struct {
			Metrics []struct {
				Value float64
				Step  int
			} `json:"metrics"`
		}
		c.insist("metrics/get-history?metric_key=m&run_id="+id, "", &history)
		if len(history.Metrics) != each {
			t.Errorf("run %d has %d points of %d", i, len(history.Metrics), each)
			continue
		}
		for step, m := range history.Metrics {
			if m.Step != step || m.Value != float64(step) {
				t.Fatalf("run %d: point %d is %+v", i, step, m)
			}
		}
	}
	t.Logf("%d kills, %d points in %d runs", kills, points, clients)
}

func number(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// logger repeats a request until it is answered, as MLflow's client does.
type logger struct {
	t          *testing.T
	url, token string
}

func (c *logger) insist(path, body string, into any) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		status, text, err := c.ask(path, body)
		if err == nil && status == http.StatusOK {
			if into != nil {
				if err := json.Unmarshal(text, into); err != nil {
					c.t.Errorf("%s: %s", path, text)
				}
			}
			return
		}
		if err == nil && status < 500 || time.Now().After(deadline) {
			c.t.Errorf("%s: %d %s %v", path, status, text, err)
			return
		}
	}
}

func (c *logger) ask(path, body string) (int, []byte, error) {
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	return w.StatusCode, text, err
}
