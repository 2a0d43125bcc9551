package ridgeline

import "time"

// A Project is one model's code and all that came of it.
type Project struct {
	Name    ProjectName
	Created time.Time
}

// A Commit is a state of a project's code as it was handed over. Its Tree is
// what everything later is made from; Hash is what people know it by.
type Commit struct {
	Project ProjectName
	Hash    string // git commit, 40 hex digits; "-dirty-" and 8 digits of Tree follow when the working tree differed
	Tree    string // sha256 of the tar archive in the blob store, 64 hex digits
	Branch  string
	Message string
	Author  string
	Dirty   bool
	Created time.Time
}

// Short is the hash as people write it.
func (c Commit) Short() string {
	if len(c.Hash) > 12 && !c.Dirty {
		return c.Hash[:12]
	}
	return c.Hash
}

// CheckKind tells what a check of a build looked at.
type CheckKind string

// The kinds of check, in the order in which a report lists them.
const (
	CheckEnvironment CheckKind = "environment"
	CheckQuality     CheckKind = "quality"
	CheckTests       CheckKind = "tests"
	CheckCoverage    CheckKind = "coverage"
	CheckData        CheckKind = "data"
)

// A Check is one thing a build looked at, and what it found.
type Check struct {
	Name    string    `json:"name"`
	Kind    CheckKind `json:"kind"`
	Status  Status    `json:"status"`
	Message string    `json:"message"`       // one line: the figure when green, the cause when red
	Task    string    `json:"log,omitempty"` // the host task whose log has the rest; empty when there was none
	Seconds float64   `json:"seconds"`
}

// A Build takes one commit through its checks and, when they are green,
// publishes a pipeline.
type Build struct {
	ID              BuildID
	Project         ProjectName
	Commit          Commit
	Status          Status
	Checks          []Check
	Cause           string // how its commit came: "push", "git", "webhook github", "nightly", "retry b-…"
	PullRequest     string // the number of the one it is for; it publishes nothing then
	Nightly         bool   // the long tests of a commit that is green already; publishes nothing
	Environment     string // lock hash; empty until it is known
	Pipeline        int    // the version that stands for its code; 0 when it published nothing
	Run             RunID  // the run it started; empty when none
	Reason          string // why it failed, or, of a green one, why it published nothing new
	Report          Report // what its tests said; made when they have ended
	Caller          string // the principal who handed the commit over
	CancelRequested bool
	Created         time.Time
	Ended           time.Time
}

// Finish moves the build to a terminal status. Finishing twice with the same
// status is harmless, because callers retry.
func (b *Build) Finish(status Status, reason string, at time.Time) error {
	switch {
	case !status.Terminal():
		return Errorf(Invalid, "a build cannot finish as %s", status)
	case b.Status == status:
		return nil
	case b.Status.Terminal():
		return Errorf(Conflict, "build %s already ended as %s", b.ID, b.Status)
	}
	b.Status, b.Reason, b.Ended = status, reason, at
	return nil
}

// A Pipeline is what a green build published: code, configuration and locked
// environment under one number. It never changes.
type Pipeline struct {
	Project     ProjectName
	Version     int
	Build       BuildID
	Commit      Commit
	Environment string // lock hash, see package pyenv
	Lock        string // the locked requirements themselves
	Python      string // the interpreter's version, such as 3.11
	Config      string // the text of its ridgeline.yaml
	Created     time.Time
}

// Stands reports whether p is already all that q would be: the same files in
// the same environment. A clean commit does not let a dirty tree stand for it,
// whose hash nobody else knows.
func (p *Pipeline) Stands(q Pipeline) bool {
	return p.Commit.Tree == q.Commit.Tree && p.Environment == q.Environment && (!p.Commit.Dirty || q.Commit.Dirty)
}
