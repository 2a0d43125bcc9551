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
	Cause           string // why it started: "push b-…", "cli", "rest", "resume r-…", "rerun r-… from train"
	Caller          string // the principal who asked
	Params          map[string]string
	Data            map[string]int // dataset → version it works on: as pinned by the caller, then as planned; nil: not known yet
	Resumes         RunID          // the run whose successful steps it takes over; empty: none
	From            string         // this step and what depends on it run anew, though Resumes has them; empty: none
	NoCache         bool           // every step runs, whatever was made before
	Reproduces      string         // NAME:V, when it only looks whether that version comes out again; then it registers nothing
	Judges          string         // NAME:V of a version registered by hand, which it takes to the gate in place of training one; empty: none
	GateOff         string         // the caller's reason to make its model champion whatever the gate says; empty: the gate decides
	Status          Status
	Verdict         Verdict
	Model           ModelName
	Version         int // the model version it made; 0 when none
	Release         ReleaseID
	Reason          string // why it failed or what the gate said, in a sentence
	Note            string // what a person should know of its data: a delivery in quarantine, a source that does not answer
	CancelRequested bool
	Created         time.Time
	Started         time.Time
	Ended           time.Time
}

// Finish moves the run to a terminal status. Finishing twice with the same
// status is harmless, because callers retry.
func (r *Run) Finish(status Status, reason string, at time.Time) error {
	switch {
	case !status.Terminal() || status == Skipped:
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
//
// A step with a matrix or a sweep has instances, steps of their own such as
// folds[fold=1]; it is their parent, and its result is made of theirs.
type Step struct {
	Run      RunID
	Name     string
	Position int               // order within the run, from 0
	Parent   string            // whose instance it is; empty: nobody's
	Params   map[string]string // an instance's own parameters
	Status   Status
	Cached   bool // its result is an earlier one
	Message  string
	Attempts []Attempt
	Started  time.Time
	Ended    time.Time

	Key         string // of its content: the same key, the same result; empty: not computed
	Ingredients []byte // what Key was made of, JSON
	Result      Result
	Note        string // why its result was, or was not, an earlier one
	Source      RunID  // the run that made Result, when Cached
}

// A Result is what a step that succeeded left.
type Result struct {
	Output  string            `json:"output,omitempty"` // digest of $RIDGELINE_OUT as a tree
	Parts   map[string]string `json:"parts,omitempty"`  // of a matrix, in place of Output: subfolder → digest of an instance's output
	Model   string            `json:"model,omitempty"`  // digest of the model folder as a tree
	Size    int64             `json:"size,omitempty"`   // of the model folder in bytes
	Metrics Metrics           `json:"metrics,omitempty"`
	Best    map[string]string `json:"best,omitempty"` // of a sweep: the parameters of the instance that went on
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
	Fate    string // how its task ended, in a word that retries know: an exit code, "timeout", "memory", "lost"…
	Task    string // the task's name on its host, which is also where its log is kept
	Status  Status
	Message string
	Usage   Usage
	Started time.Time
	Ended   time.Time
	Pool    string // where it computed
	Spot    bool   // at the price of capacity that may be taken away
	Held    Held
}

// Held is what was set aside for a task or a copy, whether it used it or not;
// zero for what was not asked for.
type Held struct {
	CPU    float64 // cores
	Memory int64   // bytes
	GPU    int     // devices
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
