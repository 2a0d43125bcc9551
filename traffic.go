package ridgeline

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxMirror is up to which share of an endpoint's requests, in percent, may be
// copied: Azure ML's limit, which leaves room for the requests themselves.
const MaxMirror = 50

// PurposeHeader says of a request to a scorer that no client asked it: why it is
// made, PurposeMirror or PurposeSmoke. Clients cannot send it: the gateway takes
// it away.
const (
	PurposeHeader = "X-Ridgeline-Purpose"
	PurposeMirror = "mirror" // a copy of a client's request, whose answer nobody gets
	PurposeSmoke  = "smoke"  // a release's smoke test
)

// Traffic says who answers an endpoint's requests: each live deployment's
// share of them, and the share of which it gets a copy whose answer nobody
// waits for. Both are percent by version; a version that is not named has 0.
type Traffic struct {
	Weights map[int]int // nil: as they are
	Mirror  map[int]int // nil: as they are
}

// Route gives the endpoint's live deployments the traffic. The weights add up
// to 100, or to 0: then nobody answers. A mirrored deployment has no weight.
func (t Traffic) Route(live []Deployment) error {
	there := make([]string, 0, len(live))
	byVersion := map[int]bool{}
	for _, d := range live {
		there = append(there, d.Name())
		byVersion[d.Version] = true
	}
	for _, shares := range []map[int]int{t.Weights, t.Mirror} {
		for _, v := range slices.Sorted(maps.Keys(shares)) {
			switch n := shares[v]; {
			case !byVersion[v]:
				return Errorf(NotFound, "there is no deployment %s to send requests to: it has %s (ridgeline release NAME:%d --beside adds one)", versionName(v), strings.Join(there, ", "), v)
			case n < 0 || n > 100:
				return Errorf(Invalid, "%s=%d: a share is 0 to 100 percent", versionName(v), n)
			}
		}
	}
	weights, mirrors := 0, 0
	for i := range live {
		d := &live[i]
		if t.Weights != nil {
			d.Weight = t.Weights[d.Version]
		}
		if t.Mirror != nil {
			d.Mirror = t.Mirror[d.Version]
		}
		if d.Weight > 0 && d.Mirror > 0 {
			return Errorf(Invalid, "%s cannot have %d %% of the requests and copies of %d %% more: take one away (%s=0, or --mirror %s=0)", d.Name(), d.Weight, d.Mirror, d.Name(), d.Name())
		}
		weights, mirrors = weights+d.Weight, mirrors+d.Mirror
	}
	switch {
	case weights != 0 && weights != 100:
		return Errorf(Invalid, "the weights add up to %d: they have to be 100 together, or 0 for an endpoint that answers nobody (%s)", weights, TrafficText(live))
	case mirrors > MaxMirror:
		return Errorf(Invalid, "copies of %d %% of the requests: at most %d %% may be copied", mirrors, MaxMirror)
	}
	return nil
}

// TrafficText is the deployments' weights as ridgeline traffic takes them.
func TrafficText(live []Deployment) string {
	words := make([]string, 0, len(live))
	for _, d := range live {
		words = append(words, fmt.Sprintf("%s=%d", d.Name(), d.Weight))
	}
	return strings.Join(words, " ")
}

// Name is what requests and people call the deployment among those of its
// endpoint: v3 for version 3.
func (d Deployment) Name() string { return versionName(d.Version) }

func versionName(v int) string { return "v" + strconv.Itoa(v) }

// VersionNamed reads a deployment's name, such as v3.
func VersionNamed(name string) (int, error) {
	digits, ok := strings.CutPrefix(name, "v")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 || versionName(n) != name {
		return 0, Errorf(Invalid, "%q: expected a deployment's name, v and its version's number: v3", name)
	}
	return n, nil
}

// Retire ends the deployment. One that requests are sent to is Conflict; twice
// is harmless and keeps the first time.
func (d *Deployment) Retire(at time.Time) error {
	switch {
	case d.State == DeploymentRetired:
		return nil
	case d.Weight > 0:
		return Errorf(Conflict, "%s answers %d %% of the requests of %s/%s: give them to another first (ridgeline traffic %s %s v…=100), or to none (%s=0)",
			d.Name(), d.Weight, d.Project, d.Environment, d.Project, d.Environment, d.Name())
	case d.Mirror > 0:
		return Errorf(Conflict, "%s gets copies of %d %% of the requests of %s/%s: end that first (ridgeline traffic %s %s --mirror %s=0)",
			d.Name(), d.Mirror, d.Project, d.Environment, d.Project, d.Environment, d.Name())
	}
	d.State, d.Ended = DeploymentRetired, at
	return nil
}

// MayStandBeside is Conflict when one of the live deployments would go by the
// same name.
func (d Deployment) MayStandBeside(live []Deployment) error {
	for _, o := range live {
		if o.Version == d.Version && o.ID != d.ID {
			return Errorf(Conflict, "%s is in %s/%s already, with %d %% of the requests: ridgeline traffic %s %s shares them", d.Name(), d.Project, d.Environment, o.Weight, d.Project, d.Environment)
		}
	}
	return nil
}

// Figures are what a deployment has answered. Times are in seconds.
type Figures struct {
	Requests, Errors uint64 // errors are answers with a status of 500 or more
	PerSecond        float64
	P50, P95, P99    float64 // NaN before the first request
}
