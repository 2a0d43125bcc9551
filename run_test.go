package ridgeline_test

import (
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

var (
	statuses = []ridgeline.Status{
		ridgeline.Queued, ridgeline.Running, ridgeline.Waiting, ridgeline.Succeeded, ridgeline.Failed, ridgeline.Cancelled,
	}
	at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func TestStatus_Terminal(t *testing.T) {
	ends := map[ridgeline.Status]bool{ridgeline.Succeeded: true, ridgeline.Failed: true, ridgeline.Cancelled: true}
	for _, s := range statuses {
		if s.Terminal() != ends[s] {
			t.Errorf("%s: got %v", s, s.Terminal())
		}
	}
	if ridgeline.Status("").Terminal() {
		t.Error("no status is no end")
	}
}

// finish is what a run, a build and a release have in common.
type finish func(ridgeline.Status, string, time.Time) error

func TestRun_Finish(t *testing.T) {
	testFinish(t, func(s ridgeline.Status) (finish, func() (ridgeline.Status, string, time.Time)) {
		r := &ridgeline.Run{ID: "r-1", Status: s}
		return r.Finish, func() (ridgeline.Status, string, time.Time) { return r.Status, r.Reason, r.Ended }
	})
}

func TestBuild_Finish(t *testing.T) {
	testFinish(t, func(s ridgeline.Status) (finish, func() (ridgeline.Status, string, time.Time)) {
		b := &ridgeline.Build{ID: "b-1", Status: s}
		return b.Finish, func() (ridgeline.Status, string, time.Time) { return b.Status, b.Reason, b.Ended }
	})
}

func TestRelease_Finish(t *testing.T) {
	testFinish(t, func(s ridgeline.Status) (finish, func() (ridgeline.Status, string, time.Time)) {
		r := &ridgeline.Release{ID: "l-1", Status: s}
		return r.Finish, func() (ridgeline.Status, string, time.Time) { return r.Status, r.Reason, r.Ended }
	})
}

func testFinish(t *testing.T, in func(ridgeline.Status) (finish, func() (ridgeline.Status, string, time.Time))) {
	for _, from := range statuses {
		for _, to := range statuses {
			t.Run(string(from)+" to "+string(to), func(t *testing.T) {
				end, now := in(from)
				err := end(to, "because", at)
				status, reason, ended := now()
				switch {
				case !to.Terminal():
					if ridgeline.CodeOf(err) != ridgeline.Invalid || status != from || !ended.IsZero() {
						t.Errorf("got %v and %s; want Invalid and no change", err, status)
					}
				case from == to: // twice is harmless, and the first one counts
					if err != nil || status != from || reason != "" || !ended.IsZero() {
						t.Errorf("got %v, %s, %q, %s; want no error and no change", err, status, reason, ended)
					}
				case from.Terminal():
					if ridgeline.CodeOf(err) != ridgeline.Conflict || status != from || reason != "" {
						t.Errorf("got %v and %s; want Conflict and no change", err, status)
					}
				default:
					if err != nil || status != to || reason != "because" || !ended.Equal(at) {
						t.Errorf("got %v, %s, %q, %s", err, status, reason, ended)
					}
				}
			})
		}
	}
}

func TestStep_Seconds(t *testing.T) {
	now := at.Add(time.Minute)
	for name, test := range map[string]struct {
		step ridgeline.Step
		want float64
	}{
		"not begun": {ridgeline.Step{}, 0},
		"running":   {ridgeline.Step{Started: at}, 60},
		"ended":     {ridgeline.Step{Started: at, Ended: at.Add(1500 * time.Millisecond)}, 1.5},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.step.Seconds(now); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestTaskName(t *testing.T) {
	if got, want := ridgeline.TaskName("r-1", "train", 2), "run-r-1-train-2"; got != want {
		t.Errorf("got %q, want %q: tasks that run now are found by this name", got, want)
	}
}

func TestRole_Allows(t *testing.T) {
	roles := []ridgeline.Role{ridgeline.Viewer, ridgeline.Writer, ridgeline.Admin}
	for i, have := range roles {
		for j, need := range roles {
			if got := have.Allows(need); got != (i >= j) {
				t.Errorf("%s for what needs %s: %v", have, need, got)
			}
		}
	}
	for _, nobody := range []ridgeline.Role{"", "owner"} {
		if nobody.Allows(ridgeline.Viewer) || nobody.Allows("") || nobody.Allows("owner") {
			t.Errorf("role %q may do something", nobody)
		}
	}
}

func TestCommit_Short(t *testing.T) {
	hash := "0123456789abcdef0123456789abcdef01234567"
	if got := (ridgeline.Commit{Hash: hash}).Short(); got != "0123456789ab" {
		t.Errorf("got %q", got)
	}
	// What differs in a dirty one stands at its end.
	if got := (ridgeline.Commit{Hash: hash + "-dirty-89abcdef", Dirty: true}).Short(); got != hash+"-dirty-89abcdef" {
		t.Errorf("got %q", got)
	}
}
