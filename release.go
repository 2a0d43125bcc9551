package ridgeline

import (
	"strings"
	"time"
)

// A Release carries one model version through its project's environments, one
// after the other.
type Release struct {
	ID              ReleaseID
	Project         ProjectName
	Model           ModelName
	Version         int
	Status          Status
	Cause           string // "run r-…", "cli", "rollback"
	Caller          string
	Reason          string
	Only            string // one environment's name; empty for all
	Beside          bool   // what is live stays so, and keeps all requests
	Environments    []ReleaseEnvironment
	CancelRequested bool
	Created         time.Time
	Ended           time.Time
}

// A ReleaseEnvironment is a release's passage through one environment.
type ReleaseEnvironment struct {
	Name       string
	Status     Status
	Image      string
	Deployment DeploymentID
	Message    string
	Started    time.Time
	Ended      time.Time
}

// A ReleaseCheck is one thing that a release looks at in an environment before
// it goes on, and what it found.
type ReleaseCheck struct {
	Environment string
	Name        string // approval, ready, switch, or a smoke test's
	Status      Status
	Message     string // the evidence when it succeeded, the cause when not
	Started     time.Time
	Ended       time.Time
}

// Finish moves the release to a terminal status. Finishing twice with the
// same status is harmless.
func (r *Release) Finish(status Status, reason string, at time.Time) error {
	switch {
	case !status.Terminal():
		return Errorf(Invalid, "a release cannot finish as %s", status)
	case r.Status == status:
		return nil
	case r.Status.Terminal():
		return Errorf(Conflict, "release %s already ended as %s", r.ID, r.Status)
	}
	r.Status, r.Reason, r.Ended = status, reason, at
	return nil
}

// DeploymentState is where a deployment stands.
type DeploymentState string

// A deployment is starting until it passed its smoke test, then live: requests
// of its environment's endpoint may be sent to it, by its weight. Retired ones
// answer no more.
const (
	DeploymentStarting DeploymentState = "starting"
	DeploymentLive     DeploymentState = "live"
	DeploymentRetired  DeploymentState = "retired"
)

// A Deployment is one model version placed in one environment.
type Deployment struct {
	ID          DeploymentID
	Project     ProjectName
	Environment string
	Release     ReleaseID
	Model       ModelName
	Version     int
	Image       string
	Host        string
	Replicas    int
	Scaled      int // copies that its requests ask for, where they are asked; 0: nobody has looked yet
	Limit       Limit
	State       DeploymentState
	Weight      int // percent of the endpoint's requests that it answers
	Mirror      int // percent of them that are copied to it, with answers that nobody waits for
	Created     time.Time
	Ended       time.Time

	// A deployment that nobody asked for Idle gives up its copies until somebody
	// asks; 0: it keeps them. Within its Hours it keeps them, too, and has them
	// back when those begin.
	Idle   time.Duration
	Hours  Hours
	Asked  time.Time // last, give or take a quarter of Idle
	Asleep bool
}

// Rests says whether a deployment should give up its copies now.
func (d Deployment) Rests(now time.Time) bool {
	since := d.Created
	if d.Asked.After(since) {
		since = d.Asked
	}
	return d.Idle > 0 && !d.Asleep && d.State == DeploymentLive && now.Sub(since) > d.Idle && !d.Hours.Open(now)
}

// Resting says why a deployment has no copies now, in words, and when they come
// back by themselves: zero when only for a request. Why is empty when it does
// not rest.
func (d Deployment) Resting(now time.Time) (why string, until time.Time) {
	if !d.Asleep {
		return "", until
	}
	why = "nobody asked for " + d.Idle.String()
	if whole, ok := strings.CutSuffix(why, "m0s"); ok {
		why = whole + "m"
	}
	if d.Hours != "" {
		why += ", outside its hours (" + string(d.Hours) + ")"
	}
	return why, d.Hours.Next(now)
}

// A Limit bounds what an endpoint takes; zero values mean no bound.
type Limit struct {
	Concurrent int           // requests under way at once, in one server; more are refused
	Timeout    time.Duration // from a request's coming to its answer's
}

// An Endpoint is the stable address of a project's environment. The keys are
// derived from the server's own secret and a generation, so that rotating one
// is counting it up and the database holds no key.
type Endpoint struct {
	Project             ProjectName
	Environment         string
	PrimaryGeneration   int
	SecondaryGeneration int
	Live                DeploymentID // what answers most of its requests, or did last; empty when nothing is there
}
