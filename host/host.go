// Package host says where things run: a Task runs to an end, a Service is kept
// ready to answer. The hosts themselves are the folders below; hosttest is the
// suite that each of them passes.
//
// It knows nothing of runs, builds or releases: names come from the caller.
package host

import (
	"context"
	"io"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Task is one command to be run to its end.
type Task struct {
	Name      string        // letters, digits, dots and dashes; chosen so that whoever comes back finds it again
	Command   []string      // argv: no shell unless the caller names one
	Dir       string        // working folder
	Env       []string      // KEY=value, the whole environment
	Timeout   time.Duration // wall time; 0 for none
	Grace     time.Duration // between SIGTERM and SIGKILL; 0 means 5 s
	Resources Resources

	// The rest is for a host that shares no disk with its caller; one that does
	// refuses a task with an Image. There the paths above are those of the image.
	Image string  // repository@sha256:…, what the command finds; made by image.Builder.BuildTask
	Fetch []Fetch // what is put in place before the command starts
	Keep  string  // folder whose content is brought back when the command has ended with exit code 0
}

// A Fetch is something of the blob store that a task works on.
type Fetch struct {
	Path   string // absolute; nothing is there yet
	Digest string // sha256, 64 hex digits
	Tree   bool   // it becomes a folder, else a file
}

// Resources a task or one copy of a service may use; zero means no limit.
type Resources struct {
	CPU    float64 // cores
	Memory int64   // bytes
	GPU    int     // whole devices; process hosts do not hand these out and refuse them
}

// Phase is how far a task has come.
type Phase string

// The phases. Absent: nobody asked for it, or it was removed. Lost: it was
// there and what ran it is gone without leaving an end (power cut, reboot).
const (
	Absent  Phase = "absent"
	Pending Phase = "pending" // waits for a free place
	Running Phase = "running"
	Ended   Phase = "ended"
	Lost    Phase = "lost"
)

// EndReason tells why a task ended.
type EndReason string

// The reasons.
const (
	Exited      EndReason = "exited"
	TimedOut    EndReason = "timeout"
	Killed      EndReason = "killed" // by Kill
	OutOfMemory EndReason = "oom"
	NotStarted  EndReason = "not-started" // the command could not be run at all; Message says why
	Displaced   EndReason = "displaced"   // the host took its place away: spot capacity preempted, a node drained
)

// TaskState is what is known of a task now.
type TaskState struct {
	Phase    Phase
	Reason   EndReason // when Ended
	ExitCode int       // when Reason is Exited; 128+n for a signal n of its own
	Message  string    // a sentence for people: why it did not end with exit code 0, or what it waits for
	Started  time.Time
	Ended    time.Time
	Usage    ridgeline.Usage  // filled when Ended; a running task may show what it used up to now
	Course   ridgeline.Course // how that went; empty: not known
	Kept     string           // digest of the tree that lay in Task.Keep
}

// A Measure is what a task has used up to some moment, and how that went.
type Measure struct {
	ridgeline.Usage
	Course ridgeline.Course `json:"course"`
}

// Tasks is a host that runs commands to their end.
//
// Every method may be called at any time, from any goroutine, for any name.
// Nothing is remembered in memory that a restart would lose: a task goes on
// when the process that asked for it dies, and the next one finds it by name.
type Tasks interface {
	// Ensure starts the task unless one of its name exists, in whatever phase;
	// then it does nothing. It returns without waiting for the end.
	Ensure(ctx context.Context, t Task) error
	// Observe reports the task now. An unknown name is Absent, not an error.
	Observe(ctx context.Context, name string) (TaskState, error)
	// Wait returns when the task is Ended, Lost or Absent. When ctx is done it
	// returns ctx.Err() and leaves the task alone.
	Wait(ctx context.Context, name string) (TaskState, error)
	// Log opens what the task has written so far, from offset bytes on, stdout
	// and stderr as they came. An unknown name, or nothing new, is an empty log.
	Log(ctx context.Context, name string, offset int64) (io.ReadCloser, error)
	// Kill ends the task and everything it started, first politely. It returns
	// when nothing of it runs any more. Absent and Ended are success.
	Kill(ctx context.Context, name string) error
	// Remove kills the task if need be and forgets it, its log and its folder.
	Remove(ctx context.Context, name string) error
	// Tasks lists the names of all that is known, in no order.
	Tasks(ctx context.Context) ([]string, error)
}

// A Workload is one image to be kept ready in a number of copies.
type Workload struct {
	ID       ridgeline.DeploymentID
	Host     string // the name of the host it is for, where there are several; see Together
	Image    string // repository@sha256:…
	Replicas int

	MaxReplicas int       // above Replicas: the host adds copies up to so many while they are busy, if it can
	Env         []string  // KEY=value, added to the image's own; and RIDGELINE_COPY, which tells the copies apart
	Resources   Resources // of each copy
}

// Observed is what a host sees of a workload now.
type Observed struct {
	Copies []Copy
}

// Ready counts the copies that answer.
func (o Observed) Ready() int {
	n := 0
	for _, c := range o.Copies {
		if c.Ready {
			n++
		}
	}
	return n
}

// A Copy is one running instance of a workload.
type Copy struct {
	Address  string // unix:///path or http://host:port; where the scorer listens
	Ready    bool   // its scorer says that init() has returned
	Restarts int
	Message  string // why it is not ready, when known: the scorer's last words
	Stuck    bool   // it will not get ready before somebody does something: Message says what
}

// A Services host keeps copies of workloads ready to answer.
//
// Every method may be called at any time, from any goroutine, for any
// workload. The caller repeats itself: it will Apply what is already applied
// and Remove what is already gone, and both must then succeed without effect.
// Nothing is remembered in memory that a restart would lose: Observe finds
// what an earlier process started.
type Services interface {
	// Apply makes the host work towards want and returns without waiting.
	Apply(ctx context.Context, want Workload) error
	// Observe reports what is there now. Unknown is no copies, not an error.
	Observe(ctx context.Context, id ridgeline.DeploymentID) (Observed, error)
	// Remove stops every copy, letting each finish the requests it holds, and
	// frees what it held.
	Remove(ctx context.Context, id ridgeline.DeploymentID) error
	// Log returns up to the last tail bytes that the copies wrote.
	Log(ctx context.Context, id ridgeline.DeploymentID, tail int64) ([]byte, error)
	// Workloads lists the ids of all that is known, in no order.
	Workloads(ctx context.Context) ([]ridgeline.DeploymentID, error)
}
