package ridgeline

// Status is the state of a run, a step, an attempt, a build or a release. A
// verdict stands beside it: a run whose model was rejected has succeeded.
type Status string

// The statuses, in the order in which a run meets them.
const (
	Queued    Status = "queued"
	Running   Status = "running"
	Waiting   Status = "waiting" // for a person
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
	Skipped   Status = "skipped" // of a part: a condition said that it is not needed
)

// Terminal reports whether the status is an end.
func (s Status) Terminal() bool {
	return s == Succeeded || s == Failed || s == Cancelled || s == Skipped
}

// Verdict is what the gate said of a challenger.
type Verdict string

// The four verdicts; the empty one means that no gate has spoken. Rejected and
// inconclusive are successful ends of a run.
const (
	Promoted     Verdict = "promoted"
	Rejected     Verdict = "rejected"
	Inconclusive Verdict = "inconclusive"
	GateError    Verdict = "error"
)
