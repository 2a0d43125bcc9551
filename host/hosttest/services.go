package hosttest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
)

// Images names three images as the host under test knows them. Each runs a
// program that does what Scorer does when told good, broken or never.
type Images struct {
	Good   string
	Broken string // writes "cannot load the model" and exits
	Never  string // listens and never gets ready
}

// Scorer is the program in the images. It listens where RIDGELINE_LISTEN says,
// answers as a scorer does, and on SIGTERM finishes the requests it holds.
// Beside the health routes it has /id, /env?name=N, /crash and /slow?ms=N,
// which says "slow" in the log before it waits.
func Scorer(kind string) int {
	if kind == "broken" {
		fmt.Fprintln(os.Stderr, "ModuleNotFoundError: cannot load the model")
		return 3
	}
	path, ok := strings.CutPrefix(os.Getenv("RIDGELINE_LISTEN"), "unix://")
	network := "unix"
	if !ok {
		network, path = "tcp", strings.TrimPrefix(os.Getenv("RIDGELINE_LISTEN"), "http://")
	}
	l, err := net.Listen(network, path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz/live", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /healthz/ready", func(w http.ResponseWriter, _ *http.Request) {
		if kind == "never" {
			http.Error(w, "init() has not returned", http.StatusServiceUnavailable)
		}
	})
	id := fmt.Sprintf("%d %d", os.Getpid(), time.Now().UnixNano()) // in containers of their own, all processes have the same number
	mux.HandleFunc("GET /id", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, id) })
	mux.HandleFunc("GET /crash", func(http.ResponseWriter, *http.Request) { os.Exit(1) })
	mux.HandleFunc("GET /env", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, os.Getenv(r.FormValue("name"))) })
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("slow")
		ms, _ := strconv.Atoi(r.FormValue("ms"))
		time.Sleep(time.Duration(ms) * time.Millisecond)
		fmt.Fprint(w, "at last")
	})
	srv := &http.Server{Handler: mux}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Println("listening")
	go srv.Serve(l)
	<-stop
	srv.Shutdown(context.Background())
	fmt.Println("drained")
	return 0
}

// Services tests a host that keeps services. newHost is as for Tasks; what
// must be running for Apply to be carried out is running when it returns.
func Services(t *testing.T, newHost func(t *testing.T) host.Services, images Images) {
	t.Setenv("SERVERS_OWN", "no copy's business")
	for _, test := range []struct {
		name string
		run  func(*testing.T, func(t *testing.T) host.Services, Images)
	}{
		{"gets_ready_and_answers", testReady},
		{"broken_says_why_and_is_tried_again", testBroken},
		{"never_ready_is_not_ready", testNever},
		{"scales", testScale},
		{"a_crashed_copy_comes_back", testCrash},
		{"a_later_host_finds_the_copies", testServiceRestart},
		{"remove_lets_requests_finish", testDrain},
		{"unknown_is_nothing", testUnknownService},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, newHost, images)
		})
	}
}

func apply(t *testing.T, h host.Services, w host.Workload) {
	t.Helper()
	if err := h.Apply(t.Context(), w); err != nil {
		t.Fatalf("Apply(%s): %v", w.ID, err)
	}
	t.Cleanup(func() { h.Remove(context.Background(), w.ID) })
}

func observe(t *testing.T, h host.Services, id ridgeline.DeploymentID) host.Observed {
	t.Helper()
	o, err := h.Observe(t.Context(), id)
	if err != nil {
		t.Fatalf("Observe(%s): %v", id, err)
	}
	return o
}

func untilReady(t *testing.T, h host.Services, id ridgeline.DeploymentID, copies int) host.Observed {
	t.Helper()
	var o host.Observed
	until(t, fmt.Sprintf("%s has %d ready copies", id, copies), func() bool {
		o = observe(t, h, id)
		return o.Ready() == copies && len(o.Copies) == copies
	})
	return o
}

// get asks the program of a copy.
func get(ctx context.Context, c host.Copy, path string) (string, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext}
	base := c.Address
	if socket, ok := strings.CutPrefix(c.Address, "unix://"); ok {
		base = "http://unix"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func mustGet(t *testing.T, c host.Copy, path string) string {
	t.Helper()
	s, err := get(t.Context(), c, path)
	if err != nil {
		t.Fatalf("GET %s%s: %v", c.Address, path, err)
	}
	return s
}

// answers says whether the process that had the id still answers, or at least
// is still there.
func answers(c host.Copy, id string) bool {
	if pid, _, _ := strings.Cut(id, " "); strings.HasPrefix(c.Address, "unix://") {
		return alive(nil, pid)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	now, err := get(ctx, c, "/id")
	return err == nil && now == id
}

func testReady(t *testing.T, newHost func(t *testing.T) host.Services, images Images) {
	h := newHost(t)
	w := host.Workload{ID: "d-ready", Image: images.Good, Replicas: 1, Env: []string{"COLOUR=grün", "TWICE=1", "TWICE=2"}}
	apply(t, h, w)
	c := untilReady(t, h, w.ID, 1).Copies[0]
	pid := mustGet(t, c, "/id")
	for name, want := range map[string]string{"COLOUR": "grün", "TWICE": "2", "SERVERS_OWN": ""} {
		if got := mustGet(t, c, "/env?name="+name); got != want {
			t.Errorf("the copy sees %s=%q, want %q", name, got, want)
		}
	}
	apply(t, h, w) // the same again: no effect
	if ids, err := h.Workloads(t.Context()); err != nil || !slices.Equal(ids, []ridgeline.DeploymentID{w.ID}) {
		t.Errorf("Workloads: %v, %v", ids, err)
	}
	log, err := h.Log(t.Context(), w.ID, 1000)
	if err != nil || !strings.Contains(string(log), "listening\n") {
		t.Errorf("Log: %q, %v", log, err)
	}
	if log, err := h.Log(t.Context(), w.ID, 5); err != nil || string(log) != "ning\n" {
		t.Errorf("the last 5 bytes of the log: %q, %v", log, err)
	}
	after := untilReady(t, h, w.ID, 1).Copies[0]
	if got := mustGet(t, after, "/id"); got != pid || after.Restarts != 0 {
		t.Errorf("after the same Apply: process %s with %d restarts, before %s", got, after.Restarts, pid)
	}
}

func testBroken(t *testing.T, newHost func(t *testing.T) host.Services, images Images) {
	h := newHost(t)
	apply(t, h, host.Workload{ID: "d-broken", Image: images.Broken, Replicas: 1})
	until(t, "the broken copy was started again and says why", func() bool {
		o := observe(t, h, "d-broken")
		return len(o.Copies) == 1 && !o.Copies[0].Ready && o.Copies[0].Restarts > 1 && strings.Contains(o.Copies[0].Message, "cannot load the model")
	})
	if err := h.Remove(t.Context(), "d-broken"); err != nil {
		t.Error(err)
	}
}

func testNever(t *testing.T, newHost func(t *testing.T) host.Services, images Images) {
	h := newHost(t)
	apply(t, h, host.Workload{ID: "d-never", Image: images.Never, Replicas: 1})
	until(t, "the copy listens", func() bool {
		log, err := h.Log(t.Context(), "d-never", 1000)
		return err == nil && strings.Contains(string(log), "listening")
	})
	if o := observe(t, h, "d-never"); o.Ready() != 0 || len(o.Copies) != 1 || o.Copies[0].Message == "" {
		t.Errorf("a copy whose init() has not returned: %+v", o)
	}
}

func testScale(t *testing.T, newHost func(t *testing.T) host.Services, images Images) {
	h := newHost(t)
	w := host.Workload{ID: "d-scale", Image: images.Good, Replicas: 2}
	apply(t, h, w)
	o := untilReady(t, h, w.ID, 2)
	pid := mustGet(t, o.Copies[0], "/id")
	other := mustGet(t, o.Copies[1], "/id")
	if o.Copies[0].Address == o.Copies[1].Address || pid == other {
		t.Errorf("two copies at %s and %s are %s and %s", o.Copies[0].Address, o.Copies[1].Address, pid, other)
	}
	w.Replicas = 3
	apply(t, h, w)
	if got := mustGet(t, untilReady(t, h, w.ID, 3).Copies[0], "/id"); got != pid {
		t.Errorf("with a third copy the first became %s, was %s", got, pid)
	}
	ids := map[string]host.Copy{}
	for _, c := range untilReady(t, h, w.ID, 3).Copies {
		ids[mustGet(t, c, "/id")] = c
	}
	w.Replicas = 1
	apply(t, h, w)
	left := mustGet(t, untilReady(t, h, w.ID, 1).Copies[0], "/id")
	if _, ok := ids[left]; !ok {
		t.Errorf("the copy that is left is %s, and was not there before", left)
	}
	for id, c := range ids {
		until(t, "the other copies are gone", func() bool { return id == left || !answers(c, id) })
	}
	w.Replicas = 0
	apply(t, h, w)
	until(t, "no copy is left", func() bool { return !answers(ids[left], left) && len(observe(t, h, w.ID).Copies) == 0 })
}

func testCrash(t *testing.T, newHost func(t *testing.T) host.Services, images Images) {
	h := newHost(t)
	apply(t, h, host.Workload{ID: "d-crash", Image: images.Good, Replicas: 1})
	pid := mustGet(t, untilReady(t, h, "d-crash", 1).Copies[0], "/id")
	if _, err := get(t.Context(), untilReady(t, h, "d-crash", 1).Copies[0], "/crash"); err == nil {
		t.Error("the copy answered, and was to crash")
	}
	until(t, "another copy answers", func() bool {
		o := observe(t, h, "d-crash")
		if o.Ready() == 0 {
			return false
		}
		now, err := get(t.Context(), o.Copies[0], "/id")
		return err == nil && now != pid && o.Copies[0].Restarts == 1
	})
}

func testServiceRestart(t *testing.T, newHost func(t *testing.T) host.Services, images Images) {
	w := host.Workload{ID: "d-restart", Image: images.Good, Replicas: 1}
	first := newHost(t)
	apply(t, first, w)
	pid := mustGet(t, untilReady(t, first, w.ID, 1).Copies[0], "/id")
	second := newHost(t)
	apply(t, second, w)
	c := untilReady(t, second, w.ID, 1).Copies[0]
	if got := mustGet(t, c, "/id"); got != pid || c.Restarts != 0 {
		t.Errorf("the next host has process %s with %d restarts, the first had %s", got, c.Restarts, pid)
	}
	if err := second.Remove(t.Context(), w.ID); err != nil {
		t.Fatal(err)
	}
	if answers(c, pid) {
		t.Errorf("after Remove process %s still runs", pid)
	}
}

func testDrain(t *testing.T, newHost func(t *testing.T) host.Services, images Images) {
	h := newHost(t)
	apply(t, h, host.Workload{ID: "d-drain", Image: images.Good, Replicas: 1})
	c := untilReady(t, h, "d-drain", 1).Copies[0]
	pid := mustGet(t, c, "/id")
	var wg sync.WaitGroup
	wg.Go(func() {
		if got, err := get(context.Background(), c, "/slow?ms=400"); err != nil || got != "at last" {
			t.Errorf("the request that was under way: %q, %v", got, err)
		}
	})
	until(t, "the request is under way", func() bool {
		log, err := h.Log(t.Context(), "d-drain", 1000)
		return err == nil && strings.Contains(string(log), "slow")
	})
	for range 2 { // twice is harmless
		if err := h.Remove(t.Context(), "d-drain"); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if answers(c, pid) {
		t.Errorf("after Remove process %s still runs", pid)
	}
	if _, err := get(t.Context(), c, "/id"); err == nil {
		t.Errorf("after Remove %s still answers", c.Address)
	}
	if socket, ok := strings.CutPrefix(c.Address, "unix://"); ok {
		if _, err := os.Lstat(socket); err == nil {
			t.Errorf("after Remove %s is still there", socket)
		}
	}
	if o := observe(t, h, "d-drain"); len(o.Copies) != 0 {
		t.Errorf("after Remove: %+v", o)
	}
	if ids, err := h.Workloads(t.Context()); err != nil || len(ids) != 0 {
		t.Errorf("Workloads: %v, %v", ids, err)
	}
}

func testUnknownService(t *testing.T, newHost func(t *testing.T) host.Services, _ Images) {
	h := newHost(t)
	for _, id := range []ridgeline.DeploymentID{"d-nobody", "", "../x"} {
		if o, err := h.Observe(t.Context(), id); err != nil || len(o.Copies) != 0 {
			t.Errorf("Observe(%q): %+v, %v", id, o, err)
		}
		if log, err := h.Log(t.Context(), id, 100); err != nil || len(log) != 0 {
			t.Errorf("Log(%q): %q, %v", id, log, err)
		}
		if err := h.Remove(t.Context(), id); err != nil {
			t.Errorf("Remove(%q): %v", id, err)
		}
	}
	if err := h.Apply(t.Context(), host.Workload{ID: "../x", Image: "any", Replicas: 1}); err == nil {
		t.Error("Apply took the id ../x")
	}
}
