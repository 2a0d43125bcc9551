package project

import (
	"fmt"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Mistake is one thing wrong in a file, at a place that an editor can jump
// to. Line and Column count from 1.
type Mistake struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

// Mistakes is the error of everything wrong in one file, in the order of the
// text. It is Invalid.
type Mistakes struct {
	Name string // of the file
	List []Mistake
}

// Error prints one mistake a line: ridgeline.yaml:12:5: …
func (m *Mistakes) Error() string {
	lines := make([]string, len(m.List))
	for i, one := range m.List {
		lines[i] = fmt.Sprintf("%s:%d:%d: %s", m.Name, one.Line, one.Column, one.Message)
	}
	return strings.Join(lines, "\n")
}

// Unwrap classifies the mistakes as the caller's own.
func (m *Mistakes) Unwrap() error {
	return &ridgeline.Error{Code: ridgeline.Invalid, Message: m.Error()}
}
