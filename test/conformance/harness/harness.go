// Package harness asks a contract's own server and ours the same questions
// and holds what differs to a list of known differences, each with its reason.
//
// Which questions, and which differences are meant, is each contract's own
// test: test/conformance.
package harness

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Python is the interpreter of the environment that `make tools` makes of
// environments/NAME.txt, a list of pinned packages; its folder's name has the
// list's hash. Without it the test is skipped, unless CI=true says that it has
// to be there.
func Python(t testing.TB, name string) string {
	t.Helper()
	list, err := os.ReadFile(filepath.Join("environments", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cache, "ridgeline-conformance-"+name+"-"+fmt.Sprintf("%x", sha256.Sum256(list))[:12], "bin", "python")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed: make tools", path)
	}
	t.Skipf("%s is not installed: make tools", path)
	return ""
}

// Scorer is the built scorer.
func Scorer(t testing.TB) string { return Built(t, "scorer") }

// Built is a program that `make build` has built.
func Built(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not built: make build", path)
	}
	t.Skipf("%s is not built: make build", path)
	return ""
}

// A Process is a program under test.
type Process struct {
	Ended chan struct{} // closed when the program has ended
	cmd   *exec.Cmd
	out   output
}

// Run starts a program in a folder with nothing in its environment but PATH,
// HOME and what is given, and ends it, and all that it started, with the test.
func Run(t testing.TB, folder string, env []string, program ...string) *Process {
	t.Helper()
	p := &Process{Ended: make(chan struct{}), cmd: exec.Command(program[0], program[1:]...)}
	p.cmd.Dir = folder
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TZ=UTC"}, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.Ended)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.Ended
	})
	return p
}

// Kill ends the program, and all that it started, at once.
func (p *Process) Kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.Ended
}

// Output is what the program has written so far.
func (p *Process) Output() string { return p.out.String() }

// ExitCode waits for the end.
func (p *Process) ExitCode(t testing.TB) int {
	t.Helper()
	select {
	case <-p.Ended:
	case <-time.After(time.Minute):
		t.Fatalf("%s did not end within a minute:\n%s", p.cmd.Path, p.out.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

// Stop asks the program to end, and waits until it has.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.ExitCode(t)
}

// Await waits until a GET of the address is answered with 200.
func (p *Process) Await(t testing.TB, url string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		r, err := http.Get(url)
		if err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-p.Ended:
			t.Fatalf("%s ended before it answered:\n%s", p.cmd.Path, p.out.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s did not answer %s within a minute:\n%s", p.cmd.Path, url, p.out.String())
		}
	}
}

// Address is a free port of this machine.
func Address(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// A Probe is one question.
type Probe struct {
	Name         string // "GET /score" when empty, with its own method and path
	Method, Path string
	Header       []string // names and values, in turn
	Body         string
}

func (p Probe) String() string {
	if p.Name != "" {
		return p.Name
	}
	return p.Method + " " + p.Path
}

// A Reply is what came back. When the connection broke, Status is 0 and Body
// says so.
type Reply struct {
	Status int
	Header http.Header
	Body   string
}

// Ask sends a probe on a connection of its own.
func Ask(t testing.TB, base string, p Probe) Reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, p.Method, base+p.Path, strings.NewReader(p.Body))
	if err != nil {
		t.Fatalf("%s: %v", p, err)
	}
	r.Close = true
	r.Header["User-Agent"] = nil
	for i := 0; i+1 < len(p.Header); i += 2 {
		r.Header.Add(p.Header[i], p.Header[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		return Reply{Body: "the connection ended without an answer"}
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return Reply{Body: "the connection ended within the answer"}
	}
	return Reply{answer.StatusCode, answer.Header, string(body)}
}

// A Difference is one thing in which two replies to a probe differ.
type Difference struct {
	Probe  string
	What   string // "status", "body", or a header's name
	Theirs string
	Ours   string
}

func (d Difference) String() string {
	return fmt.Sprintf("%s: %s: theirs %.300q, ours %.300q", d.Probe, d.What, d.Theirs, d.Ours)
}

// Compare lists what differs. normal is given each header's value, and the body
// under the name "body", of either reply, and makes equal what has to differ
// from one answer to the next; nil leaves all as it is.
func Compare(p Probe, theirs, ours Reply, normal func(name, value string) string) []Difference {
	if normal == nil {
		normal = func(_, value string) string { return value }
	}
	var found []Difference
	compare := func(what, a, b string) {
		if a != b {
			found = append(found, Difference{p.String(), what, a, b})
		}
	}
	compare("status", fmt.Sprint(theirs.Status), fmt.Sprint(ours.Status))
	names := map[string]bool{}
	for _, h := range []http.Header{theirs.Header, ours.Header} {
		for name := range h {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range names {
			if !yield(name) {
				return
			}
		}
	}) {
		value := func(r Reply) string {
			if r.Header[name] == nil {
				return "(absent)"
			}
			return normal(name, strings.Join(r.Header[name], " | "))
		}
		compare(name, value(theirs), value(ours))
	}
	compare("body", normal("body", theirs.Body), normal("body", ours.Body))
	return found
}
