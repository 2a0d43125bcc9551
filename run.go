package ridgeline

import (
	"fmt"
	"time"
)

// A Run is one passage through a published pipeline.
type Run struct {
	ID              RunID
	Project         ProjectName
	Pipeline        int    // version
	Cause           string // why it started: "push b-…", "cli", "rest"
	Caller          string // the principal who asked
	Params          map[string]string
	GateOff         string // the caller's reason to make its model champion whatever the gate says; empty: the gate decides
	Status          Status
	Verdict         Verdict
	Model           ModelName
	Version         int // the model version it made; 0 when none
	Release         ReleaseID
	Reason          string // why it failed or what the gate said, in a sentence
	CancelRequested bool
	Created         time.Time
	Started         time.Time
	Ended           time.Time
}

// Finish moves the run to a terminal status. Finishing twice with the same
// status is harmless, because callers retry.
func (r *Run) Finish(status Status, reason string, at time.Time) error {
	switch {
	case !status.Terminal():
		return Errorf(Invalid, "a run cannot finish as %s", status)
	case r.Status == status:
		return nil
	case r.Status.Terminal():
		return Errorf(Conflict, "run %s already ended as %s", r.ID, r.Status)
	}
	r.Status, r.Reason, r.Ended = status, reason, at
	return nil
}

// A Step is one part of a run: the user's own (train) or built in (pack,
// evaluate, gate, register).
type Step struct {
	Run      RunID
	Name     string
	Position int // order within the run, from 0
	Status   Status
	Cached   bool
	Message  string
	Attempts []Attempt
	Started  time.Time
	Ended    time.Time
}

// Seconds is how long the step took, or has taken up to now.
func (s Step) Seconds(now time.Time) float64 {
	if s.Started.IsZero() {
		return 0
	}
	if !s.Ended.IsZero() {
		now = s.Ended
	}
	return now.Sub(s.Started).Seconds()
}

// An Attempt is one try at a step as a task on a host.
type Attempt struct {
	Number  int    // from 1
	Task    string // the task's name on its host, which is also where its log is kept
	Status  Status
	Message string
	Usage   Usage
	Started time.Time
	Ended   time.Time
}

// TaskName is the name of an attempt's task. It is a function of the attempt
// alone, so that whoever comes back after a crash finds the task again.
func TaskName(run RunID, step string, attempt int) string {
	return fmt.Sprintf("run-%s-%s-%d", run, step, attempt)
}

// Usage is what a task used. Zero values mean not measured.
type Usage struct {
	WallSeconds float64 `json:"wall_seconds"`
	CPUSeconds  float64 `json:"cpu_seconds"`
	PeakMemory  int64   `json:"peak_memory_bytes"`
}
