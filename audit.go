package ridgeline

import "time"

// An AuditEvent is one thing that somebody did to what is kept here, or was
// kept from doing. It is never changed or deleted afterwards, which a chain of
// hashes over all of them shows, and has no secret in it.
type AuditEvent struct {
	ID      string // x-…
	At      time.Time
	Who     string       // name of the principal
	Via     string       // what it came through: cli, api, page, git, registry, mlflow or webhook; empty: nobody asked from outside
	Address string       // of the client, or of the proxy in front of it
	Action  string       // as the API calls its operation: promote, cancel-run
	Subject string       // what it was done to, as a path below /api/v1/: models/diabetes/versions/3
	Made    string       // what came of it, likewise: releases/l-…; empty: nothing of its own
	Reason  string       // that the person gave; of what has none, what it was in particular: the commits of a push, why a sign-in was refused
	Outcome AuditOutcome // of older programs' events: AuditDone
	Code    Code         // why it was not done; empty of what was
	Times   int          // how often it was so within a minute: refusals of strangers and of tokens are counted, not listed
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

// An AuditCheck is what a look over the whole audit trail has found.
type AuditCheck struct {
	Events int         // in the trail; 0 of one with a fault
	Links  int         // in its chain: one for each event, and one for each time that more was learned of one
	Joined int         // events that were there before their links: from before the chain, or of servers of an older program
	Last   time.Time   // of the newest event that fits
	Hash   string      // of the last link: who has noted it finds out later whether the end was cut off
	Fault  *AuditFault // the first thing that does not fit; nil: all is as it was written
}

// An AuditFault is where an audit trail is not what was written.
type AuditFault struct {
	Position int64  // of the link, from 1
	Event    string // id; empty of a link that is gone
	Problem  string
}
