package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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

// However often the scorer and its workers are killed: each answer that came
// is in the inference log exactly once, one that did not come at most once,
// and none went to another caller.
func TestServe_kill_loses_nothing_acknowledged(t *testing.T) {
	const kills, clients = 12, 4
	_, dir := scorer(t, "def init(): pass\ndef run(raw_data): return raw_data\n")
	files := t.TempDir()
	log := filepath.Join(dir, "log")
	var output lines
	worker, err := filepath.Abs("../../python")
	if err != nil {
		t.Fatal(err)
	}
	// As a supervisor does, it starts the scorer again whenever it ends.
	var pid atomic.Int64
	var ending atomic.Bool
	ended := make(chan int, 1)
	go func() {
		for {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "SCORER_TEST_MAIN=1", "RIDGELINE_APP="+dir, "RIDGELINE_SCORE=score.py", "RIDGELINE_WORKER_PATH="+worker,
				"RIDGELINE_LISTEN=unix://"+dir+"/s.sock", "RIDGELINE_DRAIN_MS=50", "RIDGELINE_WORKERS=2",
				"RIDGELINE_LOG_URL=file://"+files, "RIDGELINE_LOG_DIR="+log, "RIDGELINE_LOG_SECONDS=1", "RIDGELINE_COPY=0", "RIDGELINE_PROJECT=kill")
			cmd.Stderr = &output
			if err := cmd.Start(); err != nil {
				t.Error(err)
				ended <- -1
				return
			}
			pid.Store(int64(cmd.Process.Pid))
			_ = cmd.Wait()
			if ending.Load() {
				ended <- cmd.ProcessState.ExitCode()
				return
			}
		}
	}()
	t.Cleanup(func() {
		ending.Store(true)
		_ = syscall.Kill(int(pid.Load()), syscall.SIGKILL)
	})
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: clients, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", dir+"/s.sock")
	}}}

	var mu sync.Mutex
	sent, answered := map[string]bool{}, map[string]int{} // id → status
	stop := make(chan struct{})
	var under sync.WaitGroup
	for c := range clients {
		under.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%d-%d", c, n)
				req, err := http.NewRequest(http.MethodPost, "http://unix/score", strings.NewReader(id))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("x-request-id", id)
				mu.Lock()
				sent[id] = true
				mu.Unlock()
				res, err := client.Do(req)
				if err != nil {
					time.Sleep(time.Millisecond) // killed; the next one is on its way
					continue
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil {
					continue
				}
				if got := res.Header.Get("x-request-id"); got != id || res.StatusCode == 200 && string(body) != strconv.Quote(id) {
					t.Errorf("request %s got the answer to %s: %d %s", id, got, res.StatusCode, body)
				}
				mu.Lock()
				answered[id] = res.StatusCode
				mu.Unlock()
			}
		})
	}
	good := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, status := range answered {
			if status == http.StatusOK {
				n++
			}
		}
		return n
	}
	until := func(more int) {
		t.Helper()
		more += good()
		for deadline := time.Now().Add(30 * time.Second); good() < more; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no answers any more:\n%s", output.text())
			}
		}
	}
	for range kills {
		until(50 + rand.IntN(200))
		victim := int(pid.Load())
		if workers := children(t, victim); rand.IntN(3) == 0 && len(workers) > 0 {
			victim = workers[rand.IntN(len(workers))]
		}
		_ = syscall.Kill(victim, syscall.SIGKILL)
	}
	until(50)
	close(stop)
	under.Wait()
	ending.Store(true)
	if err := syscall.Kill(int(pid.Load()), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := <-ended; code != 0 {
		t.Fatalf("exit code %d:\n%s", code, output.text())
	}

	logged := loggedStatus(t, files)
	for id, status := range answered {
		if got := logged[id]; len(got) != 1 || got[0] != status {
			t.Errorf("%s was answered with %d; in the log: %v", id, status, got)
		}
	}
	for id, got := range logged {
		if len(got) > 1 || !sent[id] {
			t.Errorf("%s is in the log as %v; it was sent: %v", id, got, sent[id])
		}
	}
	if left, _ := filepath.Glob(filepath.Join(log, "*", "*.segment")); len(left) > 0 || len(answered) < kills*50 {
		t.Errorf("segments left: %v; %d answers", left, len(answered))
	}
	t.Logf("%d sent, %d answered, %d logged", len(sent), len(answered), len(logged))
}

// loggedStatus reads all Parquet files: the statuses of each request id.
func loggedStatus(t *testing.T, dir string) map[string][]int {
	t.Helper()
	type row struct {
		RequestID string `parquet:"request_id,optional"`
		Status    int32  `parquet:"status,optional"`
	}
	all := map[string][]int{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") { // not in its place yet
			return err
		}
		rows, err := parquet.ReadFile[row](path)
		for _, r := range rows {
			all[r.RequestID] = append(all[r.RequestID], int(r.Status))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// children are the processes that a process has started.
func children(t *testing.T, pid int) (list []int) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		for word := range strings.FieldsSeq(string(text)) {
			if n, err := strconv.Atoi(word); err == nil {
				list = append(list, n)
			}
		}
	}
	return list
}

// lines is what processes write one after the other.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.b.String()
	return s[max(0, len(s)-4000):]
}
