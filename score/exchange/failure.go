package exchange

import "time"

// A Reason says whose fault it is that there is no answer. Each dialect has
// one table from it to its own spelling.
type Reason uint8

// The reasons.
const (
	Invalid     Reason = iota + 1 // the request: it does not fit the contract or the signature
	TooLarge                      // the request's body
	Stalled                       // the request's body did not come in time
	Cut                           // the request's body ended before its end
	Unsupported                   // the content type
	Shed                          // nobody's: there is no room, or no time, for it now; it was not begun
	Stopped                       // there is no worker, or the process is about to end; it was not begun
	Timeout                       // the model's: no answer within the request's deadline
	Raised                        // the model's: it raised
	Died                          // the model's: its process ended
	Unusable                      // the model's: what it gave cannot be sent
	Broken                        // ours
)

// Reasons lists every reason, for tables that must be complete.
func Reasons() []Reason {
	return []Reason{Invalid, TooLarge, Stalled, Cut, Unsupported, Shed, Stopped, Timeout, Raised, Died, Unusable, Broken}
}

// A Failure says why a request has no answer from the model. It is the error
// of package score's calls.
type Failure struct {
	Reason     Reason
	Message    string        // for the client; one line
	Cause      string        // for logs and reports; one line; Message when empty
	Field      string        // the input it is about, when Reason is Invalid and there is one
	RetryAfter time.Duration // when Reason is Shed or Stopped
}

// Error is the cause, for logs.
func (f *Failure) Error() string {
	if f.Cause != "" {
		return f.Cause
	}
	return f.Message
}
