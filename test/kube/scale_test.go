package kube_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestScale lets a load bring copies, its end take them away, the last one
// too, and the next request bring one back.
func TestScale(t *testing.T) {
	s := serve(t)
	dir := s.project("kube-scale", "replicas: {min: 0, max: 4, idle: 30s}, cpu: 0.1")
	s.must(dir, "push")
	e := s.production("kube-scale")
	copies := func() int {
		return len(strings.Fields(s.w.Kubectl("get", "pods", "-l", "app.kubernetes.io/component=scorer", "-o", "name")))
	}
	if !e.Ready || copies() != 1 {
		t.Fatalf("production begins with %d copies: %+v", copies(), e)
	}
	began := time.Now()
	l := s.load(e, 4, time.Millisecond)
	s.until(3*time.Minute, "four copies answer", func() bool { return s.production("kube-scale").Replicas == 4 })
	t.Logf("from 1 to 4 copies in %s", time.Since(began).Round(time.Second))
	l.end(t, "the growth to four copies")
	began = time.Now()
	s.until(3*time.Minute, "one copy is left, or none", func() bool { return copies() <= 1 })
	t.Logf("back in %s", time.Since(began).Round(time.Second))
	s.until(3*time.Minute, "it is asleep", func() bool { return s.production("kube-scale").Asleep && copies() == 0 })
	t.Logf("asleep after %s", time.Since(began).Round(time.Second))
	began = time.Now()
	status, body, err := ask(http.DefaultClient, e, `{"data": [[1.0]]}`)
	if err != nil || status != http.StatusOK {
		t.Fatalf("the first request: %d %s %v", status, body, err)
	}
	t.Logf("the first request was answered after %s, from no copy at all", time.Since(began).Round(10*time.Millisecond))
	if e := s.production("kube-scale"); !e.Ready || e.Asleep || e.Replicas != 1 {
		t.Errorf("after the first request: %+v", e)
	}
}
