package exchange

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

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
	Unserved                      // the route: this model does not answer in that contract
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
	return []Reason{Invalid, TooLarge, Stalled, Cut, Unsupported, Unserved, Shed, Stopped, Timeout, Raised, Died, Unusable, Broken}
}

// A Failure says why a request has no answer from the model. It is the error
// of package score's calls.
type Failure struct {
	Reason     Reason
	Message    string        // for the client; one line
	Cause      string        // for logs and reports; one line; Message when empty
	Field      string        // the input it is about, when Reason is Invalid and there is one
	Schema     bool          // when Reason is Invalid: it could be read, and the model's signature wants something else
	RetryAfter time.Duration // when Reason is Shed or Stopped
}

// Error is the cause, for logs.
func (f *Failure) Error() string {
	if f.Cause != "" {
		return f.Cause
	}
	return f.Message
}

// RetryHeader tells the client when to come again, in whole seconds.
func (f *Failure) RetryHeader(h http.Header) {
	if f.RetryAfter > 0 {
		h["Retry-After"] = []string{strconv.Itoa(int((f.RetryAfter + time.Second - 1) / time.Second))}
	}
}

// FailureOf is err as a failure: the one it is, a body that is no input for
// the model, or else one of ours.
func FailureOf(err error) *Failure {
	var f *Failure
	var m *tensor.Mismatch
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &m):
		return &Failure{Reason: Invalid, Message: m.Message, Field: m.Field, Schema: m.Schema}
	}
	return &Failure{Reason: Broken, Message: "An unexpected internal error occurred. Check the logs for more info.", Cause: err.Error()}
}
