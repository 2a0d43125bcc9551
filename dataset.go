package ridgeline

import (
	"encoding/json"
	"time"
)

// A DatasetContent is what a dataset holds at one moment, known by its digest.
type DatasetContent struct {
	Digest   string // see package data's Digest: the same bytes and names have the same, wherever they come from
	Size     int64  // bytes
	Rows     int64
	Files    int
	Columns  []Column
	Manifest string // blob with the DatasetManifest; empty for what was recorded before there were manifests
	Profile  string // blob with its statistics, data.Profile as JSON; empty for none
}

// A DatasetVersion is a content under the next number of its dataset. The same
// content never gets a second number.
type DatasetVersion struct {
	Project ProjectName
	Name    string
	Version int
	DatasetContent
	Created time.Time
}

// A Column of a dataset.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // DuckDB's name of the type: BIGINT, DOUBLE, VARCHAR…
}

// A DatasetManifest lists a content's files and says where their bytes are
// kept, once.
type DatasetManifest struct {
	Single bool          `json:"single"`         // one file by itself, not a folder with one
	Tree   string        `json:"tree,omitempty"` // they lie in the tree of a commit; empty: each is a blob of its own
	Path   string        `json:"path,omitempty"` // in the tree: the file, or the folder that the names start from
	Some   bool          `json:"some,omitempty"` // the folder in the tree has other data files, too
	Files  []DatasetFile `json:"files"`          // by name, bytewise
}

// A DatasetFile is one file of a content.
type DatasetFile struct {
	Name   string `json:"name"` // relative, with slashes
	Size   int64  `json:"size"`
	Digest string `json:"sha256"`
}

// ArrivalID is a-…, of one arrival.
type ArrivalID string

// Source tells where an arrival came from.
type Source string

// The sources. A dataset has an arrival when one of them changes.
const (
	FromCommit Source = "commit" // a file of the project's code
	FromRemote Source = "remote" // the place that the dataset's path names
	FromUpload Source = "upload" // ridgeline data add
)

// ArrivalStatus is how far an arrival has come.
type ArrivalStatus string

// The statuses of an arrival.
const (
	Arriving    ArrivalStatus = "arriving"    // being fetched, described and checked
	Proposed    ArrivalStatus = "proposed"    // checked by a build that has not published it
	Accepted    ArrivalStatus = "accepted"    // it passed its checks, or a person released it
	Quarantined ArrivalStatus = "quarantined" // it did not; nothing works on it
	Unchanged   ArrivalStatus = "unchanged"   // the source only looked different
	Lost        ArrivalStatus = "failed"      // it could not be fetched; the next look tries again
)

// Terminal reports whether the status is an end. A person may still release
// what is quarantined.
func (s ArrivalStatus) Terminal() bool { return s != Arriving && s != Proposed }

// An Arrival is something new at one of a dataset's sources, and what became
// of it.
type Arrival struct {
	ID      ArrivalID
	Project ProjectName
	Dataset string
	Source  Source
	Origin  string // where, without anything secret: an address, "commit 1f2e…", the names of uploaded files
	Address string // of what is still to be fetched, which may hold a signature: never shown, and forgotten at the end
	Status  ArrivalStatus
	DatasetContent
	Version     int             // of the dataset; 0 until accepted or quarantined
	Fingerprint string          // of the source's listing; empty when it tells no changes
	Rules       string          // sha256 of what it was checked with: checks.yaml, target, holdout
	Listing     string          // blob with the source's files, to fetch only what changes
	Findings    json.RawMessage // of the checks, []data.Finding; null for none
	Reason      string          // why it is quarantined or lost, or started no run though it is in use
	Released    *Override       // who released it from quarantine, and why
	Cause       string          // who looked or sent: "watch", "run r-…", "cli", "build b-…"
	Caller      string          // the principal
	Run         RunID           // the run it started; empty for none
	Created     time.Time
	Ended       time.Time
}

// Finish moves the arrival to a terminal status. Finishing twice with the same
// status is harmless, because callers retry.
func (a *Arrival) Finish(status ArrivalStatus, reason string, at time.Time) error {
	switch {
	case !status.Terminal():
		return Errorf(Invalid, "an arrival cannot finish as %s", status)
	case a.Status == status:
		return nil
	case a.Status.Terminal():
		return Errorf(Conflict, "arrival %s already ended as %s", a.ID, a.Status)
	}
	a.Status, a.Reason, a.Ended = status, reason, at
	return nil
}

// Release takes the arrival out of quarantine because a person says so.
func (a *Arrival) Release(o Override) error {
	if err := o.Check(); err != nil {
		return err
	}
	if a.Status != Quarantined {
		return Errorf(Conflict, "version %d of dataset %s is %s, not in quarantine", a.Version, a.Dataset, a.Status)
	}
	a.Status, a.Released, a.Ended = Accepted, &o, o.At
	return nil
}

// A Dataset is what is known of one beside its versions.
type Dataset struct {
	Project ProjectName
	Name    string
	Current int       // the version that runs work on: of the last accepted arrival; 0 when none
	Looked  time.Time // when its source was last looked at
	Problem string    // why that failed; empty when it did not
}
