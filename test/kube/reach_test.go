package kube_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/host/kube"
)

// TestOutside runs the server on a machine that has no way to pods, as a laptop
// has none: it finds out, goes through the API server, and a release under load
// costs no request.
func TestOutside(t *testing.T) {
	t.Parallel()
	s := serve(t)
	address, on := s.w.Outside()
	s.stop()
	before := s.at
	s.at, s.on = net.JoinHostPort(address, "8470"), on
	s.w.Trust(s.at)
	s.edit(filepath.Join(s.dir, "server.yaml"), before, s.at, before, s.at)
	s.start()
	dir := s.project("kube-outside", "replicas: 2, cpu: 0.1")
	s.must(dir, "push")
	ip := strings.Fields(s.w.Kubectl("get", "pods", "-l", "app.kubernetes.io/component=scorer", "-o", "jsonpath={.items[*].status.podIP}"))[0]
	if out, err := exec.Command(on[0], append(on[1:], "ip", "route", "get", ip)...).CombinedOutput(); err == nil {
		t.Fatalf("there is a way to pods after all: %s", out)
	}
	s.must(dir, "train", "--param", "factor=1.01")
	e := s.production("kube-outside")
	if !e.Ready || e.Replicas != 2 {
		t.Fatalf("production: %+v", e)
	}
	began := time.Now()
	l := s.load(e, 4, 10*time.Millisecond)
	s.must(dir, "release", "kube-outside:2")
	l.end(t, "a release through the API server ("+time.Since(began).Round(100*time.Millisecond).String()+")")
	if e := s.production("kube-outside"); e.Version != 2 {
		t.Errorf("after the release: %+v", e)
	}
	log, err := os.ReadFile(s.log.Name())
	must(t, err)
	if !strings.Contains(string(log), "way=forward") {
		t.Errorf("the log does not say which way was taken")
	}
}

// The two ways lead to the same copies; through the API server by many
// connections at once, to a copy that has been replaced, and not beyond what
// the sign-in may do.
func TestForward(t *testing.T) {
	t.Parallel()
	w := open(t)
	server := newServer()
	direct := w.host(t, server).Services()
	through := w.hostBy(t, server, kube.PodsForward).Services()
	must(t, direct.Apply(t.Context(), host.Workload{ID: "d-way", Image: w.push(t, "good"), Replicas: 1, Env: []string{"NAME=one"}}))
	at := func(h host.Services) (address string) {
		within(t, "a copy answers", func() bool {
			o, err := h.Observe(t.Context(), "d-way")
			if err != nil || o.Ready() != 1 || len(o.Copies) != 1 {
				return false
			}
			address = o.Copies[0].Address
			return true
		})
		return address
	}
	if got := at(direct); !strings.HasPrefix(got, "http://10.244.") {
		t.Errorf("on the pods' network a copy is at %s", got)
	}
	socket := at(through)
	get := func(address, path string) (string, error) {
		transport, base := host.Transport(address)
		defer transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
		must(t, err)
		res, err := transport.RoundTrip(req)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		return string(text), err
	}
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			if text, err := get(socket, "/slow?ms=300"); err != nil || text != "at last" {
				t.Errorf("one of thirty at once: %q, %v", text, err)
			}
		})
	}
	all.Wait()
	if text, err := get(socket, "/env?name=NAME"); err != nil || text != "one" {
		t.Errorf("got %q, %v", text, err)
	}
	w.Kubectl("delete", "pod", "-l", kube.DeploymentLabel+"=d-way")
	next := at(through)
	if next == socket {
		t.Error("another pod is behind the same socket")
	}
	if text, err := get(next, "/env?name=NAME"); err != nil || text != "one" {
		t.Errorf("after its pod was replaced: %q, %v", text, err)
	}
	if _, err := get(socket, "/env?name=NAME"); err == nil {
		t.Error("the way to a pod that is gone is still open")
	}
}
