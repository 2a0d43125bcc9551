package kube_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestScale lets a load bring copies, its end take them away, the last one
// too, and the next request bring one back. One project's copies follow their
// CPU, by the cluster's own autoscaler, and rest outside of their hours; those
// of the other one follow the requests that they have.
func TestScale(t *testing.T) {
	s := serve(t)
	elsewhen := time.Now().UTC().AddDate(0, 0, 2).Format("Mon")
	cpu := s.project("kube-scale", `replicas: {min: 1, max: 4, idle: 30s, hours: "`+elsewhen+` 00:00-24:00"}, cpu: 0.1`)
	s.must(cpu, "push")
	e := s.production("kube-scale")
	if !e.Ready || s.copies("kube-scale") != 1 {
		t.Fatalf("production begins with %d copies: %+v", s.copies("kube-scale"), e)
	}
	fallen := s.inFlight()

	began := time.Now()
	l := s.load(e, 4, time.Millisecond)
	s.until(3*time.Minute, "four copies answer", func() bool { return s.production("kube-scale").Replicas == 4 })
	t.Logf("by CPU from 1 to 4 copies in %s", time.Since(began).Round(time.Second))
	l.end(t, "the growth to four copies")
	began = time.Now()
	s.until(3*time.Minute, "one copy is left, or none", func() bool { return s.copies("kube-scale") <= 1 })
	t.Logf("back in %s", time.Since(began).Round(time.Second))
	s.until(3*time.Minute, "it is asleep", func() bool { return s.production("kube-scale").Asleep && s.copies("kube-scale") == 0 })
	t.Logf("asleep after %s", time.Since(began).Round(time.Second))
	if e := s.production("kube-scale"); !strings.Contains(e.Resting, "outside its hours") || time.Until(e.Until) < 24*time.Hour {
		t.Errorf("why it rests, and until when: %q, %s", e.Resting, e.Until)
	}
	began = time.Now()
	status, body, err := ask(http.DefaultClient, e, `{"data": [[1.0]]}`)
	if err != nil || status != http.StatusOK {
		t.Fatalf("the first request: %d %s %v", status, body, err)
	}
	t.Logf("the first request was answered after %s, from no copy at all", time.Since(began).Round(10*time.Millisecond))
	if e := s.production("kube-scale"); !e.Ready || e.Asleep || e.Replicas != 1 {
		t.Errorf("after the first request: %+v", e)
	}
	fallen(t)
}

// inFlight brings the second project's copies to their most, and returns what
// waits for their end.
func (s *server) inFlight() func(t *testing.T) {
	s.t.Helper()
	dir := s.project("kube-flight", "replicas: {min: 1, max: 3, in_flight: 2}, cpu: 0.1")
	s.edit(filepath.Join(dir, "score.py"), "    rows = ", "    __import__(\"time\").sleep(0.2)\n    rows = ") // it waits, without CPU
	s.git(dir)
	s.must(dir, "push")
	e := s.production("kube-flight")
	began := time.Now()
	l := s.load(e, 8, time.Millisecond)
	s.until(time.Minute, "three copies answer", func() bool { return s.production("kube-flight").Replicas == 3 })
	s.t.Logf("by 8 requests under way, for 2 to a copy, from 1 to 3 copies in %s", time.Since(began).Round(time.Second))
	l.end(s.t, "the growth to three copies")
	if out := s.w.Kubectl("get", "hpa", "-o", "name"); strings.Count(out, "\n") != 0 {
		s.t.Errorf("an autoscaler looks after copies that follow their requests: %s", out)
	}
	return func(t *testing.T) {
		t.Helper()
		s.until(2*time.Minute, "one copy is left, and answers", func() bool { return s.copies("kube-flight") == 1 && s.production("kube-flight").Replicas == 1 })
		t.Logf("and back to 1 since their load ended, %s ago at most", time.Since(began).Round(time.Second))
		if status, body, err := ask(http.DefaultClient, e, `{"data": [[1.0]]}`); err != nil || status != http.StatusOK {
			t.Errorf("the copy that is left: %d %s %v", status, body, err)
		}
	}
}

// copies counts a project's pods in production.
func (s *server) copies(project string) int {
	s.t.Helper()
	id := s.production(project).Deployments[0].ID
	return len(strings.Fields(s.w.Kubectl("get", "pods", "-l", "ridgeline.io/deployment="+id, "-o", "name")))
}
