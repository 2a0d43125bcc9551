// Package scoring loads the built scorer while its workers are killed, and the
// scorer itself is, and looks whether anything was lost or went astray.
//
// What a client or a model may do wrong is tested in score/serve.
package scoring

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

var (
	duration    = flag.Duration("load", 25*time.Second, "of the load")
	worker      = flag.Duration("worker", 1500*time.Millisecond, "between two kills of a worker")
	scorer      = flag.Duration("scorer", 7*time.Second, "between two kills of the scorer")
	connections = flag.Int("connections", 16, "clients of each scorer")
)

const script = `
import json
def init(): pass
def run(raw_data): return {"result": [row[0] for row in json.loads(raw_data)["data"]]}
`

// TestLoad: requests carry a number, which the model echoes. No answer goes to
// the wrong caller, and whatever was answered is in the Parquet files exactly
// once.
func TestLoad(t *testing.T) {
	if testing.Short() {
		*duration = 8 * time.Second
	}
	t.Run("one by one", func(t *testing.T) {
		t.Parallel()
		load(t, "RIDGELINE_BATCH=false")
	})
	t.Run("together", func(t *testing.T) {
		t.Parallel()
		load(t, "RIDGELINE_BATCH=true")
	})
}

func load(t *testing.T, env ...string) {
	s := start(t, env...)
	deadline := time.Now().Add(*duration)
	ctx, cancel := context.WithDeadline(t.Context(), deadline)
	defer cancel()
	var sent, ok, failed, refused, broken atomic.Int64
	var answered sync.Map // number → true, of requests that got an answer of any status
	var clients sync.WaitGroup
	for range *connections {
		clients.Go(func() {
			transport := &http.Transport{DialContext: s.dial, MaxIdleConnsPerHost: 1}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: time.Minute}
			for time.Now().Before(deadline) {
				n := sent.Add(1)
				status, text, err := ask(client, n)
				switch {
				case err != nil: // the scorer went away meanwhile: nothing was acknowledged
					broken.Add(1)
					time.Sleep(10 * time.Millisecond) // as a client would, rather than spin
					continue
				case status == http.StatusOK && text == fmt.Sprintf(`{"result": [%d]}`, n):
					ok.Add(1)
				case status == http.StatusInternalServerError && strings.Contains(text, "worker process ended"):
					failed.Add(1)
				case status == http.StatusServiceUnavailable:
					if refused.Add(1) == 1 {
						t.Logf("the first refusal: %s", text)
					}
					time.Sleep(10 * time.Millisecond)
				default:
					t.Errorf("request %d was answered %d %.300s", n, status, text)
				}
				answered.Store(n, true)
			}
		})
	}
	workers, scorers := s.kill(ctx)
	clients.Wait()
	s.stop()

	counts := s.logged()
	lost, twice := 0, 0
	answered.Range(func(n, _ any) bool {
		switch c := counts[n.(int64)]; {
		case c == 0:
			lost++
		case c > 1:
			twice++
		}
		return true
	})
	for n, c := range counts {
		if _, known := answered.Load(n); !known && c > 1 {
			twice++
		}
	}
	t.Logf("%d requests: %d answered, %d failed with their worker, %d were refused, %d had no answer; %d workers and %d scorers were killed",
		sent.Load(), ok.Load(), failed.Load(), refused.Load(), broken.Load(), workers, scorers)
	if lost > 0 || twice > 0 {
		t.Errorf("%d answered requests are not in the log, %d are there more than once", lost, twice)
	}
	if workers == 0 || scorers == 0 || ok.Load() < 100 {
		t.Error("that was no load, or not under kills")
	}
	if most := int64(workers * *connections); failed.Load() > most {
		t.Errorf("%d requests failed with %d workers, which had at most %d", failed.Load(), workers, most)
	}
}

func ask(client *http.Client, n int64) (int, string, error) {
	r, err := http.NewRequest(http.MethodPost, "http://scorer/score", strings.NewReader(fmt.Sprintf(`{"data": [[%d]]}`, n)))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Request-Id", strconv.FormatInt(n, 10))
	r.GetBody = nil // what was sent is not sent again behind our back
	got, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	return got.StatusCode, string(text), err
}

// A supervised scorer is started again whenever it ends.
type supervised struct {
	t       *testing.T
	dir     string
	env     []string
	stopped atomic.Bool
	ended   chan struct{}

	mu       sync.Mutex
	cmd      *exec.Cmd
	log      bytes.Buffer
	deadline time.Time // for the end, once it is asked for
}

func (s *supervised) until() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deadline
}

func start(t *testing.T, env ...string) *supervised {
	t.Helper()
	bin, err := filepath.Abs("../../bin/scorer")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bin); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not built: make build", bin)
		}
		t.Skipf("%s is not built: make build", bin)
	}
	dir, err := os.MkdirTemp("", "load") // short, for the socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "score.py"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	python, err := filepath.Abs("../../python")
	if err != nil {
		t.Fatal(err)
	}
	s := &supervised{t: t, dir: dir, ended: make(chan struct{}), env: append(append(os.Environ(),
		"RIDGELINE_APP="+dir, "RIDGELINE_SCORE=score.py", "RIDGELINE_WORKER_PATH="+python, "RIDGELINE_WORKERS=2", "RIDGELINE_LISTEN=unix://"+dir+"/s",
		"RIDGELINE_LOG_URL=file://"+dir+"/log", "RIDGELINE_LOG_DIR="+dir+"/waiting", "RIDGELINE_DRAIN_MS=50"), env...)}
	go s.supervise(bin)
	t.Cleanup(s.stop)
	return s
}

func (s *supervised) supervise(bin string) {
	defer close(s.ended)
	// What a busy machine kept a scorer from bringing away before it ended is
	// its successor's to bring.
	for !s.stopped.Load() || len(s.segments()) > 0 && time.Now().Before(s.until()) {
		cmd := exec.Command(bin)
		cmd.Env = s.env
		out := &bytes.Buffer{}
		cmd.Stderr = out
		s.mu.Lock()
		err := cmd.Start()
		s.cmd = cmd
		s.mu.Unlock()
		if err != nil {
			s.t.Error(err)
			return
		}
		_ = cmd.Wait()
		s.mu.Lock()
		s.log.Write(out.Bytes())
		s.mu.Unlock()
	}
}

func (s *supervised) signal(which os.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(which)
	}
}

// segments are the files of the log that wait to be made Parquet.
func (s *supervised) segments() []string {
	left, err := filepath.Glob(s.dir + "/waiting/*/*.segment")
	if err != nil {
		s.t.Error(err)
	}
	return left
}

// stop lets the scorer drain and bring its log away. It is asked to again and
// again, as its successor may be there meanwhile.
func (s *supervised) stop() {
	s.mu.Lock()
	again := s.stopped.Swap(true)
	s.deadline = time.Now().Add(2 * time.Minute)
	s.mu.Unlock()
	if again {
		return
	}
	for ended := false; !ended; {
		s.signal(syscall.SIGTERM)
		select {
		case <-s.ended:
			ended = true
		case <-time.After(5 * time.Second):
			if time.Now().After(s.until()) {
				s.signal(os.Kill)
				s.t.Error("the scorer did not end in time")
			}
		}
	}
	if s.t.Failed() {
		s.t.Logf("the scorers' log ends:\n%s", s.log.String()[max(0, s.log.Len()-4000):])
	}
}

func (s *supervised) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", s.dir+"/s")
}

// kill kills workers, and the scorer, at their times until ctx ends, and
// returns how many.
func (s *supervised) kill(ctx context.Context) (workers, scorers int) {
	each, all := time.NewTicker(*worker), time.NewTicker(*scorer)
	defer each.Stop()
	defer all.Stop()
	for {
		select {
		case <-ctx.Done():
			return workers, scorers
		case <-each.C:
			if pids := s.children(); len(pids) > 0 && syscall.Kill(pids[0], syscall.SIGKILL) == nil {
				workers++
			}
		case <-all.C:
			s.signal(os.Kill)
			scorers++
		}
	}
}

// children are the scorer's processes, oldest first.
func (s *supervised) children() (pids []int) {
	s.mu.Lock()
	parent := s.cmd.Process.Pid
	s.mu.Unlock()
	found, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	if err != nil {
		s.t.Error(err)
	}
	for _, path := range found {
		text, _ := os.ReadFile(path) // a thread may end
		for _, one := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(one); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// logged counts the rows of each request in all Parquet files.
func (s *supervised) logged() map[int64]int {
	counts := map[int64]int{}
	err := filepath.WalkDir(filepath.Join(s.dir, "log"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !strings.HasSuffix(path, ".parquet") {
			return nil
		}
		return count(path, counts)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if left := s.segments(); len(left) > 0 {
		s.t.Errorf("left behind: %v", left)
	}
	return counts
}

func count(path string, counts map[int64]int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := parquet.NewReader(f)
	defer r.Close()
	column, ok := r.Schema().Lookup("request_id")
	if !ok {
		return fmt.Errorf("%s has no column request_id", path)
	}
	rows := make([]parquet.Row, 1000)
	for {
		n, err := r.ReadRows(rows)
		for _, row := range rows[:n] {
			for _, v := range row {
				if v.Column() == column.ColumnIndex {
					id, bad := strconv.ParseInt(v.String(), 10, 64)
					if bad != nil {
						return bad
					}
					counts[id]++
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
}
