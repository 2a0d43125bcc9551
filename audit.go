package ridgeline

import "time"

// An AuditEvent is one thing that somebody did to what is kept here, or was
// kept from doing. It is never changed or deleted afterwards, and has no secret
// in it.
type AuditEvent struct {
	ID      string // x-…; empty of events that older programs wrote down
	At      time.Time
	Who     string       // name of the principal
	Via     string       // what it came through: cli, api, page, git, mlflow or webhook; empty: nobody asked from outside
	Address string       // of the client, or of the proxy in front of it
	Action  string       // as the API calls its operation: promote, cancel-run
	Subject string       // what it was done to, as a path below /api/v1/: models/diabetes/versions/3
	Made    string       // what came of it, likewise: releases/l-…; empty: nothing of its own
	Reason  string       // that the person gave
	Outcome AuditOutcome // of older programs' events: AuditDone
	Code    Code         // why it was not done; empty of what was
}

// AuditOutcome is what came of an action.
type AuditOutcome string

// An action was done; or refused, since the principal's role does not allow
// it; or it failed for the reason that the event's Code names.
const (
	AuditDone    AuditOutcome = "done"
	AuditRefused AuditOutcome = "refused"
	AuditFailed  AuditOutcome = "failed"
)
