package data

import (
	"slices"
	"strings"
	"testing"
)

// Of more rows than can be held against each other, a key is left to the person.
func TestSuggest_too_many_rows_for_a_key(t *testing.T) {
	mean := 3e6
	c := ColumnProfile{Name: "id", Type: "BIGINT", Distinct: 6_100_000, Min: "1", Max: "6000000", Mean: &mean}
	rules, seen := suggestColumn(c, 6_000_000, false)
	if slices.Contains(rules, "unique: true") || !strings.Contains(seen, "add unique: true if it is a key") {
		t.Errorf("%v # %s", rules, seen)
	}
}
