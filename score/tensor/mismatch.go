package tensor

import (
	"fmt"
	"strings"
)

// A Mismatch says why what a client sent cannot be a model's input. It is the
// only error of this package's readers.
type Mismatch struct {
	Field   string // the input it is about, where there is one
	Message string // one line, for the client
	Schema  bool   // it could be read, but the signature wants something else
}

// Error is the message.
func (m *Mismatch) Error() string { return m.Message }

func unfit(field, format string, args ...any) *Mismatch {
	return &Mismatch{Field: field, Message: fmt.Sprintf(format, args...), Schema: true}
}

func malformed(format string, args ...any) *Mismatch {
	return &Mismatch{Message: fmt.Sprintf(format, args...)}
}

// missing is MLflow's message: its clients look for it.
func missing(names, extra []string) *Mismatch {
	message := "Model is missing inputs " + quoted(names) + "."
	if len(extra) > 0 {
		message += " Note that there were extra inputs: " + quoted(extra) + "."
	}
	return &Mismatch{Field: names[0], Message: message, Schema: true}
}

// quoted lists names, not all of a thousand.
func quoted(names []string) string {
	const most = 20
	more := ""
	if len(names) > most {
		more = fmt.Sprintf(", and %d more", len(names)-most)
		names = names[:most]
	}
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = "'" + short(name) + "'"
	}
	return "[" + strings.Join(texts, ", ") + more + "]"
}

// short is a client's own words as a message repeats them.
func short(text string) string {
	const most = 60
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// in is the beginning of a message about an element.
func in(field string, row int) string {
	if field == "" {
		return fmt.Sprintf("Row %d", row)
	}
	return fmt.Sprintf("Input '%s', row %d", short(field), row)
}
