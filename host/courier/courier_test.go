package courier_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/host/courier"
)

// The test binary is also the first process of a container.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "container" {
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		work := os.Args[3]
		os.Exit(courier.Run(courier.Options{File: os.Args[2], App: filepath.Join(filepath.Dir(work), "app"), Work: work, Stdout: os.Stdout}, stop))
	}
	os.Exit(m.Run())
}

// side is a server with a desk, on a real store.
type side struct {
	desk  *courier.Desk
	blobs *blob.Store
	url   string
	down  atomic.Bool // answers nobody
}

func newSide(t *testing.T) *side {
	t.Helper()
	blobs, err := blob.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	dir := t.TempDir()
	keys, err := auth.New(dir, dir, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &side{blobs: blobs, desk: &courier.Desk{
		Contents: blobs, Logs: blobs.Logs(), Notes: blobs.Objects("tasks"), Seal: keys.TaskToken, Whose: keys.Task, Log: slog.New(slog.DiscardHandler),
	}}
	mux := http.NewServeMux()
	mux.Handle(courier.Pattern, s.desk)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			panic(http.ErrAbortHandler)
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// container starts the other side of a task.
func (s *side) container(t *testing.T, task host.Task) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	e, err := s.desk.Open(t.Context(), task, s.url, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "errand.json")
	text, err := json.Marshal(e)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command(os.Args[0], "container", file, filepath.Dir(task.Dir))
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, &out
}

// ended waits for the end that a task tells.
func (s *side) ended(t *testing.T, task string) host.TaskState {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		bell := s.desk.Ended(task)
		st, there, err := s.desk.End(ctx, task)
		if err != nil {
			t.Fatal(err)
		}
		if there {
			return st
		}
		select {
		case <-bell:
		case <-ctx.Done():
			t.Fatalf("task %s never told its end", task)
		}
	}
}

func (s *side) log(t *testing.T, task string) string {
	t.Helper()
	r, err := s.desk.ReadLog(t.Context(), task, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

func sh(t *testing.T, name, script string) host.Task {
	work := filepath.Join(t.TempDir(), "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		t.Fatal(err)
	}
	return host.Task{Name: name, Command: []string{"/bin/sh", "-c", script}, Dir: filepath.Join(work, "src"), Env: []string{"PATH=" + os.Getenv("PATH")}}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestErrand(t *testing.T) {
	s := newSide(t)
	task := sh(t, "whole", `cat code.txt ../data.csv ../in/left; echo made > ../out/model; echo scratch > here; exit 0`)
	work := filepath.Dir(task.Dir)
	write(t, filepath.Join(filepath.Dir(work), "app/code.txt"), "code ")
	file, _, err := s.blobs.Put(t.Context(), strings.NewReader("data "))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	write(t, filepath.Join(folder, "left"), "input\n")
	tree, _, err := s.blobs.PutTree(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	task.Fetch = []host.Fetch{{Path: work + "/data.csv", Digest: file}, {Path: work + "/in", Digest: tree, Tree: true}}
	task.Keep = work + "/out"
	cmd, out := s.container(t, task)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	st := s.ended(t, "whole")
	if st.Phase != host.Ended || st.Reason != host.Exited || st.ExitCode != 0 || st.Usage.WallSeconds <= 0 || st.Kept == "" {
		t.Errorf("ended as %+v", st)
	}
	const said = "code data input\n"
	if got := s.log(t, "whole"); got != said || out.String() != said {
		t.Errorf("the log is %q, the container showed %q", got, out)
	}
	back := filepath.Join(t.TempDir(), "back")
	if err := s.blobs.GetTree(t.Context(), st.Kept, back); err != nil {
		t.Fatal(err)
	}
	if p, err := os.ReadFile(filepath.Join(back, "model")); err != nil || string(p) != "made\n" {
		t.Errorf("it brought back %q, %v", p, err)
	}
	if err := s.desk.Close(t.Context(), "whole"); err != nil {
		t.Fatal(err)
	}
	if _, there, err := s.desk.End(t.Context(), "whole"); there || err != nil || s.log(t, "whole") != "" {
		t.Errorf("after Close something is left: %v, %v", there, err)
	}
}

func TestErrand_server_away(t *testing.T) {
	s := newSide(t)
	s.down.Store(true)
	task := sh(t, "away", `echo one; sleep 0.3; echo two; exit 3`)
	task.Keep = filepath.Dir(task.Dir) + "/out"
	cmd, out := s.container(t, task)
	time.AfterFunc(2*time.Second, func() { s.down.Store(false) })
	if st := s.ended(t, "away"); st.ExitCode != 3 || st.Message != "exited with code 3" || st.Kept != "" {
		t.Errorf("ended as %+v", st)
	}
	if got := s.log(t, "away"); got != "one\ntwo\n" {
		t.Errorf("the log is %q", got)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("the container ended with %v: %s", err, out)
	}
}

func TestErrand_asked_to_stop(t *testing.T) {
	s := newSide(t)
	cmd, _ := s.container(t, sh(t, "stop", `trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done`))
	for end := time.Now().Add(20 * time.Second); s.log(t, "stop") != "up\n"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never said that it is up")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if st := s.ended(t, "stop"); st.Reason != host.Killed {
		t.Errorf("ended as %+v", st)
	}
	if got := s.log(t, "stop"); !strings.HasPrefix(got, "up\n") || !strings.HasSuffix(got, "bye\n") {
		t.Errorf("the log is %q", got)
	}
}

func TestErrand_nobody_waits(t *testing.T) {
	s := newSide(t)
	task := sh(t, "orphan", "echo words; exit 0")
	cmd, out := s.container(t, task)
	if err := s.desk.Close(t.Context(), "orphan"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("it goes on though nobody waits: %s", out)
	}
	// It may have ended before Close; then its notes were removed with the rest.
	if _, there, err := s.desk.End(t.Context(), "orphan"); there || err != nil {
		t.Errorf("an end was taken that nobody waits for: %v", err)
	}
}

func TestDesk_refuses(t *testing.T) {
	s := newSide(t)
	secret, _, err := s.blobs.Put(t.Context(), strings.NewReader("another project's"))
	if err != nil {
		t.Fatal(err)
	}
	own, _, err := s.blobs.Put(t.Context(), strings.NewReader("own"))
	if err != nil {
		t.Fatal(err)
	}
	task := sh(t, "mine", "")
	task.Fetch = []host.Fetch{{Path: "/x", Digest: own}}
	e, err := s.desk.Open(t.Context(), task, s.url, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.desk.Open(t.Context(), sh(t, "other", ""), s.url, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		what, method, path, token, body string
		status                          int
	}{
		{"its own content", "GET", "/mine/content?digest=" + own, e.Token, "", 200},
		{"what is not its own", "GET", "/mine/content?digest=" + secret, e.Token, "", 400},
		{"another task's route", "GET", "/other/content?digest=" + own, e.Token, "", 401},
		{"no token", "GET", "/mine/content?digest=" + own, "", "", 401},
		{"expired", "GET", "/mine/content?digest=" + own, s.desk.Seal("mine", time.Now().Add(-time.Second)), "", 401},
		{"a hole in the log", "POST", "/mine/log?offset=7", e.Token, "x", 409},
		{"an offset that is none", "POST", "/mine/log?offset=-1", e.Token, "x", 400},
		{"an end that is none", "PUT", "/mine/end", e.Token, `{"Phase":"running"}`, 400},
		{"a course that is none", "PUT", "/mine/used", e.Token, `{"course":{"seconds":[2,1],"cores":[1,1],"memory_bytes":[1,1]}}`, 400},
		{"more than a course can be", "PUT", "/mine/used", e.Token, `{"course":{"seconds":[` + strings.Repeat("1,", 40_000) + `1]}}`, 400},
		{"what an older container says", "PUT", "/mine/used", e.Token, `{"wall_seconds":1,"cpu_seconds":1,"peak_memory_bytes":1}`, 204},
		{"no JSON", "PUT", "/mine/end", e.Token, `end`, 400},
		{"a part that does not exist", "GET", "/mine/secrets", e.Token, "", 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), test.method, s.url+"/api/v1/tasks"+test.path, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+test.token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != test.status {
			t.Errorf("%s: %s, want %d", test.what, resp.Status, test.status)
		}
	}
	// What it claims to have kept is not believed.
	claimed, _ := json.Marshal(host.TaskState{Phase: host.Ended, Reason: host.Exited, Kept: secret})
	req, _ := http.NewRequestWithContext(t.Context(), "PUT", s.url+"/api/v1/tasks/mine/end", bytes.NewReader(claimed))
	req.Header.Set("Authorization", "Bearer "+e.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if st, there, err := s.desk.End(t.Context(), "mine"); !there || err != nil || st.Kept != "" {
		t.Errorf("%+v, %v, %v", st, there, err)
	}
}

// A container that is killed says nothing more: what it used is what it said
// before, for as long as it held its place.
func TestDesk_Settle(t *testing.T) {
	s := newSide(t)
	task := sh(t, "run-1-train-1", `i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sleep 600`)
	began := time.Now()
	cmd, _ := s.container(t, task)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		u, err := s.desk.Used(t.Context(), task.Name)
		if err != nil {
			t.Fatal(err)
		}
		if u.PeakMemory > 0 && u.CPUSeconds > 0 && u.Course.Length() > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after 20 s it has not said what it uses: %+v", u)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	st, err := s.desk.Settle(t.Context(), task.Name, host.TaskState{Phase: host.Ended, Reason: host.Displaced, Started: began, Ended: began.Add(time.Hour)})
	if err != nil || st.Usage.PeakMemory == 0 || st.Usage.CPUSeconds == 0 || st.Usage.WallSeconds != 3600 {
		t.Errorf("%+v, %v; want what it had used, in an hour", st, err)
	}
	if cores, memory := st.Course.Peak(); cores == 0 || memory == 0 || st.Course.Began.Before(began.Add(-time.Second)) {
		t.Errorf("what it used over its time: %+v", st.Course)
	}
	if again, there, err := s.desk.End(t.Context(), task.Name); err != nil || !there || again.Usage != st.Usage {
		t.Errorf("its end is kept as %+v, %v, %v", again, there, err)
	}
	if st, err := s.desk.Settle(t.Context(), "run-1-train-2", host.TaskState{Phase: host.Ended, Started: began, Ended: began.Add(time.Hour)}); err != nil || st.Usage != (ridgeline.Usage{}) {
		t.Errorf("one that never said anything: %+v, %v", st, err)
	}
}
