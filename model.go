package ridgeline

import (
	"strings"
	"time"
)

// A ModelVersion is a model that reached the gate, with its whole lineage, or
// one that was registered by hand and may be sent there: that one has no run, no
// verdict and no image yet. Only a promoted one becomes champion.
type ModelVersion struct {
	Model       ModelName
	Version     int
	Source      Origin
	Project     ProjectName
	Run         RunID // that made it or, of a manual one, judged it
	Pipeline    int
	Commit      string
	Environment string            // lock hash
	Data        map[string]string // dataset name → digest
	Params      map[string]string
	Metrics     Metrics // what the training reported and the gate measured
	Artifact    string  // sha256 of the model folder's tar archive in the blob store
	Size        int64   // bytes of that folder
	Image       string  // repository@sha256:…
	Verdict     Verdict
	Report      []byte // the gate's report, JSON
	Evidence    Evidence
	Framework   string     // of a model that is served without a scoring script, such as "scikit-learn 1.9.1"; else empty
	Signature   []byte     // what such a model takes and gives, JSON as score/tensor has it; nil when it does not tell
	Overrides   []Override // oldest first; kept for ever
	Champion    bool
	Created     time.Time
	Registration
}

// Evidence is what a report was made from: enough to make it again.
type Evidence struct {
	Settings []byte // the gate's input without its rows, JSON
	Rows     string // blob: the holdout's rows as both models answered them, CSV; empty: only values were compared
	Trained  string // blob: the hashes of the rows it was trained on; empty: not known
}

// An Override is a person's decision that a version takes over whatever the
// gate says.
type Override struct {
	Who    string    `json:"who"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
	How    string    `json:"how"` // "promote", or "gate off"
}

// Check wants a reason and somebody who has it.
func (o Override) Check() error {
	if strings.TrimSpace(o.Reason) == "" {
		return Errorf(Invalid, "an override needs a reason: it stays with the version for ever")
	}
	if o.Who == "" {
		return Errorf(Invalid, "an override needs to know who it is by")
	}
	return nil
}

// A Decision is a line of a model's ledger: what the gate, or a person beside
// it, decided about a version, and what that took from the error budget.
type Decision struct {
	Model    ModelName
	Version  int
	Run      RunID
	At       time.Time
	Holdout  []byte  // which rows judged, JSON as package gate writes it; empty for an override
	Rows     int     // of them
	New      float64 // share of them that no decision before had seen
	Life     int     // of the holdout, from 1
	Alpha    float64 // spent
	Verdict  Verdict
	Override *Override
}
