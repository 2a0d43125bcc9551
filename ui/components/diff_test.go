package components

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// spelled is a hunk as lines: = same, - removed, + new, with their numbers.
func spelled(f FileDiff) (out []string) {
	for _, h := range f.Hunks {
		out = append(out, h.Head)
		for _, b := range h.Blocks {
			if b.Same {
				for i, l := range b.New {
					out = append(out, fmt.Sprintf("=%d,%d %s", b.Old[i].Number, l.Number, l.Text))
				}
				continue
			}
			for _, l := range b.Old {
				out = append(out, fmt.Sprintf("-%d %s", l.Number, l.Text))
			}
			for _, l := range b.New {
				out = append(out, fmt.Sprintf("+%d %s", l.Number, l.Text))
			}
		}
	}
	return out
}

func TestFileDiff_Compare(t *testing.T) {
	for name, test := range map[string]struct {
		before, now    string
		added, removed int
		want           string
	}{
		"changed":             {"a\nb\nc\n", "a\nB\nc\n", 1, 1, "@@ -1,3 +1,3 @@|=1,1 a|-2 b|+2 B|=3,3 c"},
		"added":               {"", "x\ny\n", 2, 0, "@@ -0,0 +1,2 @@|+1 x|+2 y"},
		"removed":             {"x\n", "", 0, 1, "@@ -1,1 +0,0 @@|-1 x"},
		"lines of a diff":     {"--- a\n", "+++ b\n@@ -9 @@\n", 2, 1, "@@ -1,1 +1,2 @@|-1 --- a|+1 +++ b|+2 @@ -9 @@"},
		"no line end":         {"a", "a\n", 1, 1, ""},
		"of another system":   {"a\r\nb\r\n", "a\r\nc\r\n", 1, 1, "@@ -1,2 +1,2 @@|=1,1 a|-2 b|+2 c"},
		"an empty line":       {"a\n\nb\n", "a\nb\n", 0, 1, "@@ -1,3 +1,2 @@|=1,1 a|-2 |=3,2 b"},
		"the same":            {"a\n", "a\n", 0, 0, ""},
		"far from each other": {"1\n2\n3\n4\n5\n6\n7\n8\n9\n", "x\n2\n3\n4\n5\n6\n7\n8\ny\n", 2, 2, "@@ -1,4 +1,4 @@|-1 1|+1 x|=2,2 2|=3,3 3|=4,4 4|@@ -6,4 +6,4 @@|=6,6 6|=7,7 7|=8,8 8|-9 9|+9 y"},
	} {
		t.Run(name, func(t *testing.T) {
			var f FileDiff
			f.Compare([]byte(test.before), []byte(test.now))
			got := strings.Join(spelled(f), "|")
			if f.Added != test.added || f.Removed != test.removed || test.want != "" && got != test.want {
				t.Errorf("+%d −%d %s, want +%d −%d %s", f.Added, f.Removed, got, test.added, test.removed, test.want)
			}
		})
	}
}

// Whatever the texts are, the hunks lead from one to the other.
func TestFileDiff_Compare_any(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	text := func() (lines []string) {
		for range random.IntN(40) {
			lines = append(lines, fmt.Sprint(random.IntN(12)))
		}
		return lines
	}
	for range 300 {
		before, now := text(), text()
		var f FileDiff
		joined := func(lines []string) []byte { return []byte(strings.Join(append(lines, ""), "\n")) }
		f.Compare(joined(slices.Clone(before)), joined(slices.Clone(now)))
		made, at := []string{}, 0 // of before, with the hunks applied
		for _, h := range f.Hunks {
			for _, b := range h.Blocks {
				if len(b.Old) > 0 {
					made = append(made, before[at:b.Old[0].Number-1]...)
					at = b.Old[len(b.Old)-1].Number
				} else {
					upTo := at + b.New[0].Number - 1 - len(made)
					made = append(made, before[at:upTo]...)
					at = upTo
				}
				for _, l := range b.New {
					made = append(made, l.Text)
				}
			}
		}
		made = append(made, before[at:]...)
		if !slices.Equal(made, now) {
			t.Fatalf("%v to %v: %v makes %v", before, now, spelled(f), made)
		}
	}
}
