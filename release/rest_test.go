package release_test

import (
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// Outside its hours an environment has no copies while nobody asks; a request
// brings them back, and so does the begin of the hours.
func TestReleaser_Rest_outside_hours(t *testing.T) {
	t.Parallel()
	f := open(t, "none")
	f.register(t, "one")
	f.release(t)
	qa, err := f.Store.Endpoint(t.Context(), f.project, "qa")
	check(t, err)
	production, err := f.Store.Endpoint(t.Context(), f.project, "production")
	check(t, err)
	copies := func(id ridgeline.DeploymentID) int {
		f.scorers.mu.Lock()
		defer f.scorers.mu.Unlock()
		return f.copies[id]
	}
	at := coming(time.Monday)
	monday := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		what  string
		after time.Duration // the beginning of that Monday
		asks  bool
		want  int
	}{
		{"in its hours nobody has to ask", 12 * time.Hour, false, 1},
		{"when they end it rests", 19 * time.Hour, false, 0},
		{"a request brings it back", 21 * time.Hour, true, 1},
		{"it stays for a while", 21*time.Hour + 4*time.Minute, false, 1},
		{"and rests again", 21*time.Hour + 6*time.Minute, false, 0},
		{"just before they begin it rests", 31*time.Hour - time.Second, false, 0},
		{"they begin", 31 * time.Hour, false, 1},
		{"they begin once", 31*time.Hour + time.Minute, false, 1},
		{"nobody asked all day", 43 * time.Hour, false, 0},
		{"over the weekend it rests", 5*24*time.Hour + 12*time.Hour, false, 0},
	} {
		now := monday.Add(step.after)
		if step.asks {
			check(t, f.Store.Asked(t.Context(), qa.Live, now))
			check(t, f.Wake(t.Context(), qa.Live))
		}
		check(t, f.Rest(t.Context(), now))
		if got := copies(qa.Live); got != step.want {
			t.Errorf("%s: %d copies, want %d", step.what, got, step.want)
		}
		d, err := f.Store.Deployment(t.Context(), qa.Live)
		check(t, err)
		if d.Asleep != (step.want == 0) {
			t.Errorf("%s: asleep is %v", step.what, d.Asleep)
		}
	}
	if got := copies(production.Live); got != 1 {
		t.Errorf("an environment that says nothing of hours has %d copies", got)
	}
}

// A host that is away when the hours begin holds no other deployment up, and
// the copies are wanted all the same: Reconcile brings them.
func TestReleaser_Rest_while_the_host_is_away(t *testing.T) {
	t.Parallel()
	f := open(t, "none")
	f.register(t, "one")
	f.release(t)
	qa, err := f.Store.Endpoint(t.Context(), f.project, "qa")
	check(t, err)
	saturday := coming(time.Saturday)
	check(t, f.Rest(t.Context(), saturday))
	f.reach(false)
	if err := f.Rest(t.Context(), time.Date(saturday.Year(), saturday.Month(), saturday.Day()+2, 12, 0, 0, 0, time.UTC)); err == nil {
		t.Error("nothing is said of a host that is away")
	}
	f.reach(true)
	check(t, f.Reconcile(t.Context()))
	f.scorers.mu.Lock()
	defer f.scorers.mu.Unlock()
	if got := f.copies[qa.Live]; got != 1 {
		t.Errorf("after the host is back: %d copies", got)
	}
}

// coming is a moment of the first such day that is a week away or more.
func coming(day time.Weekday) time.Time {
	at := time.Now().UTC().AddDate(0, 0, 7)
	for at.Weekday() != day {
		at = at.AddDate(0, 0, 1)
	}
	return at
}
