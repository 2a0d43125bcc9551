package ridgeline

import "time"

// A Schedule is a timetable of a project's newest pipeline at work.
type Schedule struct {
	Project ProjectName
	Kind    string // ScheduleRun or ScheduleNightly
	Cron    string
	Zone    string // IANA name
	Params  map[string]string
	Missed  string    // what happens to due times that passed: skip, once or all, as project spells them
	Due     time.Time // the next one
	Last    time.Time // the due time that was dealt with last; zero: none yet
	Started string    // the run or build it started; empty: none
	Reason  string    // why it started none
	Skipped int       // due times up to now that started nothing
	Paused  time.Time // the project's switch; zero: on
}

// What a schedule starts.
const (
	ScheduleRun     = "run"
	ScheduleNightly = "nightly" // the build's long tests
)

// OnTime is how late a due time may be dealt with without having been missed.
const OnTime = time.Minute

// A Tick is what is to be done about a schedule whose due time has come.
type Tick struct {
	Due     time.Time // the due time to start something for; zero: nothing
	Next    time.Time // when the schedule is due after that
	Skipped int       // due times passed over
}

// farBehind is how many due times are gone through one by one.
const farBehind = 10_000

// Tick decides about a schedule that is due. next is the timetable. Under
// "all" each due time comes up by itself, oldest first, until none is left
// behind; under "once" the newest stands for all that passed; under "skip" it
// does if it is on time. A schedule that is very far behind counts some of the
// due times that it skipped, not all.
func (s Schedule) Tick(now time.Time, next func(after time.Time) time.Time) Tick {
	if s.Missed == "all" {
		return Tick{Due: s.Due, Next: next(s.Due)}
	}
	t := Tick{Due: s.Due, Next: next(s.Due)}
	for !t.Next.IsZero() && !t.Next.After(now) {
		t.Skipped++
		if t.Skipped == farBehind {
			if near := next(now.Add(-24 * time.Hour)); near.After(t.Next) && !near.After(now) {
				t.Next = near
			}
		}
		t.Due, t.Next = t.Next, next(t.Next)
	}
	if s.Missed == "skip" && now.Sub(t.Due) > OnTime {
		t.Due = time.Time{}
		t.Skipped++
	}
	return t
}
