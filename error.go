package ridgeline

import (
	"errors"
	"fmt"
)

// Code classifies an error for whoever has to answer it. Each surface (CLI,
// JSON API, scoring) has one table from code to its own spelling.
type Code string

// The six codes. An error without one is Internal: logged with its cause and
// answered without.
const (
	Invalid     Code = "invalid"     // the caller asked for something that cannot be
	NotFound    Code = "not_found"   // the thing named is not there
	Conflict    Code = "conflict"    // the thing is in a state that forbids this
	Denied      Code = "denied"      // the caller may not
	Unavailable Code = "unavailable" // may work later; worth a retry
	Internal    Code = "internal"    // our fault
)

// Codes lists every code, for tables that must be complete.
func Codes() []Code {
	return []Code{Invalid, NotFound, Conflict, Denied, Unavailable, Internal}
}

// Error is a classified error. Its message says what was expected, what came,
// and what to do next.
type Error struct {
	Code    Code
	Message string
	err     error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the wrapped cause, if Errorf was given one with %w.
func (e *Error) Unwrap() error { return e.err }

// Errorf builds an error with a code; it wraps like fmt.Errorf.
func Errorf(code Code, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), err: errors.Unwrap(err)}
}

// CodeOf returns the code of the outermost classified error in err's chain,
// and Internal when there is none. CodeOf(nil) is the empty code.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}
