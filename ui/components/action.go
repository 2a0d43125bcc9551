package components

import "strings"

// An Action is a button that changes something, after a second click on what
// will happen.
type Action struct {
	Label  string // of the button: Roll back
	URL    string // posted to
	Text   string // what will happen
	Line   CLI    // that does the same
	Tone   string // primary, danger or empty
	Inputs []Input
	Field  string // a field and its value, NAME=VALUE, sent along; empty: none
	Open   bool   // what it asks for is shown at once
}

// An Input is something that an action asks for.
type Input struct {
	Name     string
	Label    string // default: its name
	Note     string // what it means, beside the label
	Value    string
	Hint     string      // shown while it is empty
	Type     string      // of an <input>; default: text
	Rows     int         // above 0: a text of several lines
	Choices  [][2]string // value and words; when there are any, one of them is chosen
	Required bool
	Secret   bool   // its value is not shown again
	Problem  string // what is wrong with the value
}

// NewAction makes an Action; options are primary, danger, ask=NAME for a text
// that has to be given, and NAME=VALUE.
func NewAction(label, address, text string, line CLI, options ...string) Action {
	a := Action{Label: label, URL: address, Text: text, Line: line}
	for _, o := range options {
		name, value, given := strings.Cut(o, "=")
		switch {
		case !given:
			a.Tone = o
		case name == "ask":
			a.Inputs = append(a.Inputs, Input{Name: value, Rows: 2, Required: true})
		default:
			a.Field = o
		}
	}
	return a
}

// FieldName is the name of what is sent along.
func (a Action) FieldName() string {
	name, _, _ := strings.Cut(a.Field, "=")
	return name
}

// FieldValue is its value.
func (a Action) FieldValue() string {
	_, value, _ := strings.Cut(a.Field, "=")
	return value
}
