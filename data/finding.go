package data

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// CheckOptions are what a check needs beside the data and the rules.
type CheckOptions struct {
	// Reference names the file or folder that a rule compares with: "" is the
	// dataset's own last accepted version; "NAME" or "NAME:V" is a dataset of
	// the project. It answers ridgeline.NotFound when there is none yet: the
	// rules that need it then hold, and say so. A nil Reference has none.
	Reference func(ctx context.Context, name string) (path string, err error)
	// Now is what freshness is measured from; zero is the present.
	Now time.Time
}

// A Severity says what a broken rule means.
type Severity string

// Fail refuses the data; Warn only tells.
const (
	Fail Severity = "fail"
	Warn Severity = "warn"
)

// A Finding is what one rule found.
type Finding struct {
	Column   string   `json:"column,omitempty"` // empty for a rule on the whole dataset
	Rule     string   `json:"rule"`             // the key in checks.yaml, or present
	Expected string   `json:"expected"`         // in words
	Found    string   `json:"found"`            // in words
	Rows     []string `json:"rows,omitempty"`   // up to three rows that break the rule: `row 17: "abc"`; rows count from 1, the header is none
	OK       bool     `json:"ok"`
	Severity Severity `json:"severity"`
}

// Fails reports whether the finding refuses the data.
func (f Finding) Fails() bool { return !f.OK && f.Severity != Warn }

// Warns reports whether the finding is only to be told.
func (f Finding) Warns() bool { return !f.OK && f.Severity == Warn }

// String is the finding as one line of a report.
func (f Finding) String() string {
	what := f.Rule
	if f.Column != "" {
		what = "column " + f.Column + ": " + f.Rule
	}
	text := fmt.Sprintf("%s: expected %s, found %s", what, f.Expected, f.Found)
	if len(f.Rows) > 0 {
		text += " (" + strings.Join(f.Rows, "; ") + ")"
	}
	return text
}
