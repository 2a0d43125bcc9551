package gate

import (
	"fmt"
	"strconv"
	"strings"
)

// An Overlap is the holdout rows that a model was trained on.
type Overlap struct {
	Model    string `json:"model"`    // champion or challenger
	Rows     int    `json:"rows"`     // of the holdout, found in the training rows
	Of       int    `json:"of"`       // rows of the holdout
	Examples []int  `json:"examples"` // the first of them, counted from 1
}

// leakExamples is how many rows an Overlap names.
const leakExamples = 5

// Leak finds the holdout rows that are among the rows a model was trained on,
// by whatever identifies a row: its hash, or its key. A model that knows the
// answers must not be judged by them.
func Leak[K comparable](model string, trained, holdout []K) Overlap {
	known := make(map[K]struct{}, len(trained))
	for _, k := range trained {
		known[k] = struct{}{}
	}
	o := Overlap{Model: model, Of: len(holdout), Examples: []int{}}
	for i, k := range holdout {
		if _, ok := known[k]; !ok {
			continue
		}
		if o.Rows++; len(o.Examples) < leakExamples {
			o.Examples = append(o.Examples, i+1)
		}
	}
	return o
}

// String is the sentence of the report; empty when there is no overlap.
func (o Overlap) String() string {
	if o.Rows == 0 {
		return ""
	}
	names := make([]string, len(o.Examples))
	for i, row := range o.Examples {
		names[i] = strconv.Itoa(row)
	}
	list := "row " + names[0]
	if len(names) > 1 {
		list = "rows " + strings.Join(names, ", ")
	}
	if o.Rows > len(names) {
		list += ", …"
	}
	return fmt.Sprintf("The %s was trained on %s of the %s (%s), so it cannot be judged by this holdout; hold out rows that neither model has seen.",
		o.Model, grouped(float64(o.Rows)), count(o.Of, "holdout row"), list)
}
