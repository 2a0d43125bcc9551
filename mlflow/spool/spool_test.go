package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tracking is a server that remembers what it was told, and can go away and
// come back at the same address.
type tracking struct {
	t       *testing.T
	address string
	server  *http.Server

	mu    sync.Mutex
	taken []string // path and body
}

func newTracking(t *testing.T) *tracking {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &tracking{t: t, address: l.Addr().String()}
	s.serve(l)
	t.Cleanup(func() { s.server.Close() })
	return s
}

func (s *tracking) serve(l net.Listener) {
	s.server = &http.Server{Handler: s}
	go s.server.Serve(l)
}

func (s *tracking) away() { s.server.Close() }

func (s *tracking) back() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.serve(l)
}

func (s *tracking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if r.Header.Get("Authorization") != "Bearer step" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.Method == http.MethodGet {
		fmt.Fprintf(w, `{"run": {"info": {"run_id": "r1", "status": "RUNNING", "artifact_uri": "a"}}}`)
		return
	}
	if strings.Contains(string(body), "refuse") {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error_code": "INVALID_PARAMETER_VALUE"}`)
		return
	}
	if len(body) > 100 {
		body = fmt.Appendf(nil, "%d bytes", len(body))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = append(s.taken, strings.TrimPrefix(r.URL.EscapedPath(), "/api/2.0/mlflow/")+" "+string(body))
	fmt.Fprint(w, `{"from": "server"}`)
}

func (s *tracking) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.taken)
}

// log is written to while it is read.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// open runs a proxy, and returns it with what ends it.
func open(t *testing.T, server, dir string, w io.Writer) (*Proxy, func()) {
	t.Helper()
	return openWith(t, Options{Server: "http://" + server, Token: "step", Dir: dir, Run: "r1", Log: w})
}

func openWith(t *testing.T, o Options) (*Proxy, func()) {
	t.Helper()
	p, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return p, stop
}

func send(ctx context.Context, p *Proxy, token, method, path, body string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, p.URL()+"/api/2.0/"+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	return w.StatusCode, string(text), err
}

func must(t *testing.T, p *Proxy, method, path, body, want string) {
	t.Helper()
	status, text, err := send(t.Context(), p, "step", method, path, body)
	if err != nil || status != http.StatusOK || text != want {
		t.Fatalf("%s %s: %d %s %v, want %s", method, path, status, text, err, want)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func known(t *testing.T, p *Proxy) {
	t.Helper()
	eventually(t, "the run is known", func() bool { _, ok := p.memory.find("run r1"); return ok })
}

const fromServer = `{"from": "server"}`

func TestProxy(t *testing.T) {
	t.Run("what is written while the server is away arrives in order, once", func(t *testing.T) {
		s, said, dir := newTracking(t), &log{}, filepath.Join(t.TempDir(), "spool")
		p, _ := open(t, s.address, dir, said)
		known(t, p)
		var want []string
		for round := range 3 {
			for i := range 40 {
				switch body, answer := fmt.Sprintf("%d.%d", round, i), "{}"; {
				case i < 10 && round == 0:
					answer = fromServer
					fallthrough
				default:
					want = append(want, "runs/log-metric "+body)
					must(t, p, "POST", "mlflow/runs/log-metric", body, answer)
				}
				if i == 9 {
					s.away()
				}
			}
			s.back()
			eventually(t, "all is delivered", func() bool { return p.journal.waiting() == 0 })
			want = append(want, "runs/log-metric direct")
			must(t, p, "POST", "mlflow/runs/log-metric", "direct", fromServer)
			s.away()
			eventually(t, "the proxy keeps again", func() bool {
				_, text, err := send(t.Context(), p, "step", "POST", "mlflow/runs/set-tag", "again")
				return err == nil && text == "{}"
			})
			want = append(want, "runs/set-tag again")
		}
		s.back()
		if err := p.Delivered(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.all(); !slices.Equal(got, want) {
			t.Errorf("the server got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if text := said.String(); !strings.Contains(text, "does not answer") || !strings.Contains(text, "is back") {
			t.Errorf("said %q", text)
		}
	})
	t.Run("a script reads what it was told before, and its changes are answered as the server would", func(t *testing.T) {
		s := newTracking(t)
		p, _ := open(t, s.address, t.TempDir(), &log{})
		known(t, p)
		s.away()
		must(t, p, "GET", "mlflow/runs/get?run_uuid=r1&run_id=r1", "", `{"run": {"info": {"run_id": "r1", "status": "RUNNING", "artifact_uri": "a"}}}`)
		must(t, p, "POST", "mlflow/runs/update", `{"run_id":"r1","status":"FINISHED"}`, `{"run_info":{"artifact_uri":"a","run_id":"r1","status":"FINISHED"}}`)
		must(t, p, "GET", "mlflow/runs/get?run_id=r1", "", `{"run": {"info": {"run_id": "r1", "status": "RUNNING", "artifact_uri": "a"}}}`)
		s.back()
		eventually(t, "the change is delivered", func() bool { return len(s.all()) == 1 })
	})
	t.Run("what needs an answer waits for the server", func(t *testing.T) {
		s := newTracking(t)
		p, _ := open(t, s.address, t.TempDir(), &log{})
		known(t, p)
		s.away()
		must(t, p, "POST", "mlflow/runs/set-tag", "before", "{}")
		created := make(chan string, 1)
		go func() {
			_, text, err := send(t.Context(), p, "step", "POST", "mlflow/runs/create", "child")
			created <- fmt.Sprint(text, err)
		}()
		s.back()
		if got := <-created; got != fromServer+"<nil>" {
			t.Error(got)
		}
		if got := s.all(); !slices.Equal(got, []string{"runs/set-tag before", "runs/create child"}) {
			t.Error(got)
		}
	})
	t.Run("a wait is told now and then, and outlives the client's own", func(t *testing.T) {
		s, said := newTracking(t), &log{}
		p, _ := openWith(t, Options{Server: "http://" + s.address, Token: "step", Dir: t.TempDir(), Run: "r1", Log: said, Patience: 300 * time.Millisecond, Remind: 10 * time.Millisecond})
		known(t, p)
		s.away()
		refused, created := make(chan string, 100), make(chan string, 1)
		go func() { // as MLflow's client repeats itself
			for {
				status, text, err := send(t.Context(), p, "step", "POST", "mlflow/runs/create", "child")
				if status != http.StatusServiceUnavailable {
					created <- fmt.Sprint(status, text, err)
					return
				}
				refused <- text
			}
		}()
		for range 2 {
			if text := <-refused; !strings.Contains(text, "may be repeated") {
				t.Error(text)
			}
		}
		if text := said.String(); strings.Count(text, "runs/create has waited for") < 2 {
			t.Errorf("said %q", text)
		}
		s.back()
		if got := <-created; got != "200"+fromServer+"<nil>" {
			t.Error(got)
		}
	})
	t.Run("a step is told to wait as long as it runs", func(t *testing.T) {
		for told, want := range map[string]string{"": "604800", "60": "60"} {
			s, out := newTracking(t), filepath.Join(t.TempDir(), "out")
			t.Setenv("MLFLOW_TRACKING_URI", "http://"+s.address)
			t.Setenv(timeoutVariable, told)
			if code := Command([]string{"--dir", t.TempDir(), "sh", "-c", "echo $" + timeoutVariable + " > " + out}, io.Discard); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if text, err := os.ReadFile(out); err != nil || strings.TrimSpace(string(text)) != want {
				t.Errorf("told %q: %q %v, want %s", told, text, err, want)
			}
		}
	})
	t.Run("a refusal is told in the log and holds up nothing", func(t *testing.T) {
		s, said := newTracking(t), &log{}
		p, _ := open(t, s.address, t.TempDir(), said)
		known(t, p)
		s.away()
		for _, body := range []string{"a", "refuse", "b"} {
			must(t, p, "POST", "mlflow/runs/log-parameter", body, "{}")
		}
		s.back()
		eventually(t, "the rest arrives", func() bool { return len(s.all()) == 2 })
		if text := said.String(); !strings.Contains(text, "POST /api/2.0/mlflow/runs/log-parameter: 400") || !strings.Contains(text, "INVALID_PARAMETER_VALUE") {
			t.Errorf("said %q", text)
		}
	})
	t.Run("only what comes with the step's token is kept", func(t *testing.T) {
		s, dir := newTracking(t), filepath.Join(t.TempDir(), "spool")
		p, _ := open(t, s.address, dir, &log{})
		known(t, p)
		s.away()
		ctx, cancel := context.WithCancel(t.Context())
		asked := make(chan error, 1)
		go func() {
			_, _, err := send(ctx, p, "another", "POST", "mlflow/runs/log-metric", "x")
			asked <- err
		}()
		must(t, p, "POST", "mlflow/runs/set-tag", "ours", "{}") // however long that takes, the other is not kept
		cancel()
		if err := <-asked; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if n := p.journal.waiting(); n != 1 {
			t.Errorf("%d writes are kept", n)
		}
	})
	t.Run("long artifacts are kept in files of their own", func(t *testing.T) {
		s, dir := newTracking(t), filepath.Join(t.TempDir(), "spool")
		p, _ := open(t, s.address, dir, &log{})
		known(t, p)
		long := strings.Repeat("0123456789", inMemory/10+1)
		must(t, p, "PUT", "mlflow-artifacts/artifacts/0/r1/artifacts/a%2Fb", long, fromServer)
		s.away()
		must(t, p, "PUT", "mlflow-artifacts/artifacts/0/r1/artifacts/c", long, "{}")
		must(t, p, "PUT", "mlflow-artifacts/artifacts/0/r1/artifacts/d", "short", "{}")
		s.back()
		eventually(t, "both arrive", func() bool { return len(s.all()) == 3 })
		const at = "/api/2.0/mlflow-artifacts/artifacts/0/r1/artifacts/"
		size := fmt.Sprintf(" %d bytes", len(long))
		if got := s.all(); !slices.Equal(got, []string{at + "a%2Fb" + size, at + "c" + size, at + "d short"}) {
			t.Error(got)
		}
		eventually(t, "the files are gone", func() bool {
			all, err := os.ReadDir(dir)
			return err == nil && len(all) == 1
		})
	})
}

func TestDeliver(t *testing.T) {
	t.Run("nothing kept is nothing to do", func(t *testing.T) {
		if n, err := Deliver(t.Context(), filepath.Join(t.TempDir(), "none"), "http://127.0.0.1:1", "step", io.Discard); n != 0 || err != nil {
			t.Error(n, err)
		}
	})
	t.Run("what a killed proxy acknowledged is delivered, and what it had half written is not", func(t *testing.T) {
		s, dir := newTracking(t), t.TempDir()
		p, stop := open(t, s.address, dir, &log{})
		known(t, p)
		s.away()
		for i := range 5 {
			must(t, p, "POST", "mlflow/runs/log-metric", fmt.Sprint(i), "{}")
		}
		stop()
		f, err := os.OpenFile(filepath.Join(dir, journalFile), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(`{"method": "POST", "path": "/api/2.0/mlflow/runs/log-metric", "bo`)
		f.Close()
		// The next proxy in that folder goes on behind it.
		p, stop = open(t, s.address, dir, &log{})
		p.memory.keep("run r1", nil)
		must(t, p, "POST", "mlflow/runs/log-metric", "5", "{}")
		stop()
		s.back()
		if n, err := Deliver(t.Context(), dir, "http://"+s.address, "step", io.Discard); n != 6 || err != nil {
			t.Error(n, err)
		}
		if n, err := Deliver(t.Context(), dir, "http://"+s.address, "step", io.Discard); n != 0 || err != nil {
			t.Error("again:", n, err)
		}
		var want []string
		for i := range 6 {
			want = append(want, fmt.Sprintf("runs/log-metric %d", i))
		}
		if got := s.all(); !slices.Equal(got, want) {
			t.Errorf("the server got %q", got)
		}
	})
	t.Run("a token that is refused at the end is told, too", func(t *testing.T) {
		s, dir, said := newTracking(t), t.TempDir(), &log{}
		p, stop := open(t, s.address, dir, &log{})
		known(t, p)
		s.away()
		must(t, p, "POST", "mlflow/runs/log-metric", "1", "{}")
		stop()
		s.back()
		if n, err := Deliver(t.Context(), dir, "http://"+s.address, "wrong", said); n != 1 || err != nil || !strings.Contains(said.String(), "401") {
			t.Error(n, err, said.String())
		}
	})
}
