package ridgeline

import "time"

// A DatasetVersion is one content of a dataset, known by its digest.
type DatasetVersion struct {
	Project ProjectName
	Name    string
	Version int
	Digest  string // sha256 over the content, 64 hex digits
	Size    int64  // bytes
	Rows    int64
	Columns []Column
	Created time.Time
}

// A Column of a dataset.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // DuckDB's name of the type: BIGINT, DOUBLE, VARCHAR…
}

// A ModelVersion is a model that reached the gate, with its whole lineage.
// Only a promoted one becomes champion.
type ModelVersion struct {
	Model       ModelName
	Version     int
	Project     ProjectName
	Run         RunID
	Pipeline    int
	Commit      string
	Environment string            // lock hash
	Data        map[string]string // dataset name → digest
	Params      map[string]string
	Metrics     map[string]float64 // what the training reported and the gate measured
	Artifact    string             // sha256 of the model folder's tar archive in the blob store
	Size        int64              // bytes of that folder
	Image       string             // repository@sha256:…
	Verdict     Verdict
	Report      []byte // the gate's report, JSON
	Champion    bool
	Created     time.Time
}
