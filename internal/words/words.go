// Package words helps messages about words: which known word somebody most
// likely meant, and what could be written instead. It leaves to its callers
// where the words come from and how a mistake is reported.
package words

import (
	"fmt"
	"slices"
	"strings"
)

// Nearest returns the known word that somebody who wrote word most likely
// meant, and false when none is near.
func Nearest(word string, known []string) (string, bool) {
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

// DidYouMean ends a message about a word that is not among the known ones.
func DidYouMean(word string, known []string) string {
	if len(word) <= 40 {
		if k, ok := Nearest(word, known); ok {
			return fmt.Sprintf("did you mean %s?", k)
		}
	}
	all := slices.Clone(known)
	slices.Sort(all)
	return "use " + OrList(all)
}

// OrList lists words as alternatives: a, b or c.
func OrList(words []string) string {
	switch len(words) {
	case 0:
		return "nothing"
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
