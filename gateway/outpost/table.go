package outpost

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
)

// A Table is all that an outpost has to know to answer. It holds no key, only
// hashes of keys, and is JSON wherever it travels or lies.
type Table struct {
	Made      int64      `json:"made"` // microseconds since 1970, by the server's clock: of two in files the later one counts
	Endpoints []Endpoint `json:"endpoints"`
}

// An Endpoint is one that has live deployments on the outpost's cluster.
type Endpoint struct {
	Project     ridgeline.ProjectName  `json:"project"`
	Environment string                 `json:"environment"`
	Keys        [2]string              `json:"keys"` // SHA-256 of the primary and of the secondary one, in hex
	Live        ridgeline.DeploymentID `json:"live"` // what answers most
	Deployments []Deployment           `json:"deployments"`
}

// A Deployment is one that may answer.
type Deployment struct {
	ID         ridgeline.DeploymentID `json:"id"`
	Version    int                    `json:"version"`
	Weight     int                    `json:"weight"`
	Mirror     int                    `json:"mirror,omitempty"`
	Concurrent int                    `json:"concurrent,omitempty"`
	TimeoutMS  int64                  `json:"timeout_ms,omitempty"`
	IdleMS     int64                  `json:"idle_ms,omitempty"`
	Asleep     bool                   `json:"asleep,omitempty"`
	Address    string                 `json:"address"` // host:port; the name's addresses are those of the ready copies
}

// Digest names what the table says, whenever it was made.
func (t Table) Digest() string {
	text, _ := json.Marshal(t.Endpoints) // plain values: never fails
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// keys are what opens the endpoint. A hash that is none opens nothing.
func (e Endpoint) keys() (k auth.Keys) {
	for i, text := range e.Keys {
		if sum, err := hex.DecodeString(text); err == nil && len(sum) == sha256.Size {
			k[i] = auth.Keys{[sha256.Size]byte(sum)}[0]
		}
	}
	return k
}

// deployment is a row of the table as the gateway knows deployments.
func (d Deployment) deployment(e Endpoint) ridgeline.Deployment {
	return ridgeline.Deployment{
		ID: d.ID, Project: e.Project, Environment: e.Environment, Version: d.Version, State: ridgeline.DeploymentLive, Weight: d.Weight, Mirror: d.Mirror,
		Limit: ridgeline.Limit{Concurrent: d.Concurrent, Timeout: time.Duration(d.TimeoutMS) * time.Millisecond},
		Idle:  time.Duration(d.IdleMS) * time.Millisecond, Asleep: d.Asleep,
	}
}

// A Report is what an outpost tells when it asks for the table.
type Report struct {
	Copy     string                                       `json:"copy"`               // who reports
	Table    string                                       `json:"table,omitempty"`    // digest of the one it answers by
	Answered map[ridgeline.DeploymentID]ridgeline.Answers `json:"answered,omitempty"` // since the last report that arrived
	Asked    map[ridgeline.DeploymentID]int64             `json:"asked,omitempty"`    // microseconds since 1970, of those that rest when nobody asks
	Wake     []ridgeline.DeploymentID                     `json:"wake,omitempty"`     // asleep, and asked now
}

// An Answer to a Report: the table, unless the outpost has it.
type Answer struct {
	Table *Table `json:"table,omitempty"`
}
