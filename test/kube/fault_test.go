package kube_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/host/kube"
)

// within waits for what a person should be told in seconds.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	began := time.Now()
	for ; time.Since(began) < time.Minute; time.Sleep(20 * time.Millisecond) {
		if ok() {
			t.Logf("%s: after %s", what, time.Since(began).Round(100*time.Millisecond))
			return
		}
	}
	t.Fatalf("not within a minute: %s", what)
}

// says waits until a copy says something, and whether it is stuck with it.
func says(t *testing.T, h host.Services, id ridgeline.DeploymentID, text string, stuck bool) {
	t.Helper()
	var last host.Observed
	defer func() {
		if t.Failed() {
			t.Logf("it says %+v", last)
		}
	}()
	within(t, fmt.Sprintf("it says %q", text), func() bool {
		var err error
		if last, err = h.Observe(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		for _, c := range last.Copies {
			if strings.Contains(c.Message, text) && c.Stuck == stuck && !c.Ready {
				return true
			}
		}
		return false
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestFaults are what only a cluster can do wrong. Each is said in a user's
// words, within seconds.
func TestFaults(t *testing.T) {
	w := open(t)
	good := w.push(t, "good")
	for name, test := range map[string]func(t *testing.T, h host.Services){
		"an image that cannot be pulled": func(t *testing.T, h host.Services) {
			must(t, h.Apply(t.Context(), host.Workload{ID: "d-none", Replicas: 1, Image: "test@sha256:" + strings.Repeat("0", 64)}))
			says(t, h, "d-none", "cannot pull the image", true)
			must(t, h.Remove(t.Context(), "d-none"))
		},
		"no node has room": func(t *testing.T, h host.Services) {
			must(t, h.Apply(t.Context(), host.Workload{ID: "d-room", Replicas: 1, Image: good, Resources: host.Resources{CPU: 1000}}))
			says(t, h, "d-room", "no node has room", false)
			must(t, h.Remove(t.Context(), "d-room"))
		},
		"more memory than allowed": func(t *testing.T, h host.Services) {
			must(t, h.Apply(t.Context(), host.Workload{ID: "d-eats", Replicas: 1, Image: w.push(t, "hungry"), Resources: host.Resources{Memory: 64 << 20}}))
			says(t, h, "d-eats", "more memory than its limit of 64Mi", false)
			must(t, h.Remove(t.Context(), "d-eats"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, w.host(t, newServer()).Services())
		})
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.Kubectl("create", "quota", "few", "--hard=pods=1")
	w.until(t, "the quota counts", func() bool { return strings.Contains(w.Kubectl("get", "quota", "few"), "pods: 0/1") })
	h := w.host(t, newServer()).Services()
	must(t, h.Apply(t.Context(), host.Workload{ID: "d-quota", Image: w.push(t, "good"), Replicas: 2}))
	says(t, h, "d-quota", "the namespace's quota is used up", true)
	within(t, "the copy within the quota answers", func() bool {
		o, err := h.Observe(t.Context(), "d-quota")
		return err == nil && o.Ready() == 1 && len(o.Copies) == 2
	})
}

func (w world) until(t *testing.T, what string, ok func() bool) { t.Helper(); within(t, what, ok) }

// Two servers may be pointed at one namespace: neither sees or touches what
// the other has, though they call it the same.
func TestTwoServersInOneNamespace(t *testing.T) {
	t.Parallel()
	w := open(t)
	one, two := w.host(t, newServer()).Services(), w.host(t, newServer()).Services()
	want := host.Workload{ID: "d-same", Image: w.push(t, "good"), Replicas: 1}
	for _, h := range []host.Services{one, two} {
		must(t, h.Apply(t.Context(), want))
	}
	ready := func(h host.Services) func() bool {
		return func() bool {
			o, err := h.Observe(t.Context(), "d-same")
			return err == nil && o.Ready() == 1 && len(o.Copies) == 1
		}
	}
	within(t, "the first answers", ready(one))
	within(t, "the second answers", ready(two))
	must(t, one.Remove(t.Context(), "d-same"))
	if ids, err := one.Workloads(t.Context()); err != nil || len(ids) != 0 {
		t.Errorf("the first still has %v, %v", ids, err)
	}
	if !ready(two)() {
		t.Error("the second's copy went with the first's")
	}
	must(t, two.Remove(t.Context(), "d-same"))
}

func TestWrongSettings(t *testing.T) {
	t.Parallel()
	w := open(t)
	text, err := os.ReadFile(w.Kubeconfig)
	must(t, err)
	before, _, _ := strings.Cut(string(text), "users:")
	expired := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(expired, []byte(before+`users: [{name: u, user: {token: expired}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`), 0o600))
	for name, test := range map[string]struct {
		o    kube.Options
		code ridgeline.Code
		says string
	}{
		"a kubeconfig that expired": {kube.Options{Kubeconfig: expired, Namespace: w.Namespace}, ridgeline.Unavailable, "renew the kubeconfig"},
		"no such namespace":         {kube.Options{Kubeconfig: w.Kubeconfig, Namespace: "nowhere"}, ridgeline.Invalid, "the namespace does not exist"},
	} {
		test.o.Server = newServer()
		c, err := kube.Open(test.o)
		must(t, err)
		t.Cleanup(c.Close)
		err = c.Services().Apply(t.Context(), host.Workload{ID: "d-wrong", Image: "any", Replicas: 1})
		if ridgeline.CodeOf(err) != test.code || !strings.Contains(fmt.Sprint(err), test.says) {
			t.Errorf("%s: got %v (%s), want %s and %q", name, err, ridgeline.CodeOf(err), test.code, test.says)
		}
	}
	if _, err := kube.Open(kube.Options{Kubeconfig: "/nowhere/kubeconfig", Server: "x"}); ridgeline.CodeOf(err) != ridgeline.Invalid {
		t.Errorf("a kubeconfig that is not there: %v", err)
	}
}

// While the API server is away the last known copies are told, and what has
// changed meanwhile is seen when it is back.
func TestServerAway(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := newProxy(t, "10.77.0.2:6443")
	text, err := os.ReadFile(w.Kubeconfig)
	must(t, err)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(file, []byte(strings.Replace(string(text), "10.77.0.2:6443", p.address, 1)), 0o600))
	near := w
	cluster := *w.Cluster
	cluster.Kubeconfig = file
	near.Cluster = &cluster
	h := near.host(t, newServer()).Services()
	want := host.Workload{ID: "d-away", Image: w.push(t, "good"), Replicas: 2}
	must(t, h.Apply(t.Context(), want))
	copies := func(ready int) func() bool {
		return func() bool {
			o, err := h.Observe(t.Context(), "d-away")
			return err == nil && o.Ready() == ready
		}
	}
	within(t, "both answer", copies(2))
	p.cut(true)
	want.Replicas = 3
	if err := h.Apply(t.Context(), want); ridgeline.CodeOf(err) != ridgeline.Unavailable {
		t.Errorf("Apply while the API server is away: %v, want Unavailable", err)
	}
	if !copies(2)() {
		t.Error("with the API server away the copies are forgotten")
	}
	w.Kubectl("scale", "deployment", "-l", kube.DeploymentLabel+"=d-away", "--replicas=1")
	w.until(t, "one pod is left", func() bool {
		return len(strings.Fields(w.Kubectl("get", "pods", "-l", kube.DeploymentLabel+"=d-away", "-o", "name"))) == 1
	})
	if !copies(2)() {
		t.Error("the watch was not cut")
	}
	p.cut(false)
	within(t, "what somebody has scaled is seen", copies(1))
	must(t, h.Apply(t.Context(), want))
	within(t, "three answer", copies(3))
	must(t, h.Remove(t.Context(), "d-away"))
}

// A proxy leads to the API server until it is cut.
type proxy struct {
	address string
	mu      sync.Mutex
	closed  bool
	open    map[net.Conn]bool
}

func newProxy(t *testing.T, target string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	p := &proxy{address: l.Addr().String(), open: map[net.Conn]bool{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.lead(c, target)
		}
	}()
	return p
}

func (p *proxy) lead(c net.Conn, target string) {
	defer c.Close()
	p.mu.Lock()
	closed := p.closed
	p.open[c] = true
	p.mu.Unlock()
	if closed {
		return
	}
	to, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer to.Close()
	go func() { _, _ = io.Copy(to, c); _ = to.Close() }()
	_, _ = io.Copy(c, to)
}

func (p *proxy) cut(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = yes
	for c := range p.open {
		_ = c.Close()
		delete(p.open, c)
	}
}
