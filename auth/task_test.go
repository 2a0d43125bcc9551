package auth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestAuthenticator_TaskToken(t *testing.T) {
	a, other := open(t, t.TempDir(), "", tokens{}), open(t, t.TempDir(), "", tokens{})
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	token := a.TaskToken("run-r1-grid.2-1", now.Add(time.Hour)) // names have dots
	if task, err := a.Task(token, now); task != "run-r1-grid.2-1" || err != nil {
		t.Errorf("got %q, %v", task, err)
	}
	if _, err := a.Principal(t.Context(), token, now); ridgeline.CodeOf(err) != ridgeline.Denied {
		t.Errorf("it opens the API: %v", err)
	}
	for name, wrong := range map[string]string{
		"another task": strings.Replace(token, "r1", "r2", 1), "another server's": other.TaskToken("run-r1-grid.2-1", now.Add(time.Hour)),
		"expired": a.TaskToken("run-r1-grid.2-1", now), "of a log": a.LogToken("run-r1-grid.2-1", now.Add(time.Hour)), "none": "", "half": token[:len(token)-3],
	} {
		if task, err := a.Task(wrong, now); ridgeline.CodeOf(err) != ridgeline.Denied {
			t.Errorf("%s: %q, %v; want Denied", name, task, err)
		}
	}
}
