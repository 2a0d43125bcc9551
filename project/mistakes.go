package project

import (
	"fmt"
	"slices"
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

// nearest returns the known word that somebody who wrote word most likely
// meant, and false when none is near.
func nearest(word string, known []string) (string, bool) {
	best, distance := "", len(word)/3+2
	for _, k := range known {
		d := levenshtein(strings.ToLower(word), k)
		if len(word) > 1 && strings.HasPrefix(k, strings.ToLower(word)) {
			d = 1 // p95 is near to p95_ms, however much is left off
		}
		if d < distance {
			best, distance = k, d
		}
	}
	return best, best != ""
}

// levenshtein counts the single letters to insert, drop or change between two
// words (V. I. Levenshtein, 1966), with one row of the table in memory.
func levenshtein(a, b string) int {
	ra, rb := []rune(a), []rune(b)
	row := make([]int, len(rb)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range ra {
		diagonal := row[0]
		row[0] = i + 1
		for j, y := range rb {
			change := diagonal
			if x != y {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(rb)]
}

// didYouMean ends a message about a word that is not among the known ones.
func didYouMean(word string, known []string) string {
	if len(word) <= 40 {
		if k, ok := nearest(word, known); ok {
			return fmt.Sprintf("did you mean %s?", k)
		}
	}
	all := slices.Clone(known)
	slices.Sort(all)
	return "use " + orList(all)
}

func orList(words []string) string {
	switch len(words) {
	case 0:
		return "nothing"
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
