package components

import (
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// A FileDiff is what has changed in one file.
type FileDiff struct {
	Path           string
	What           string // added, removed or changed
	Added, Removed int    // lines
	Hunks          []Hunk
	Note           string // why there are no lines; empty: there are
	Open           bool   // it is shown without a click
}

// A Hunk is a part of a file with changes in it, and some lines around them.
type Hunk struct {
	Head   string // where it is: @@ -1,4 +1,5 @@
	Blocks []Block
}

// A Block is lines that are the same on both sides, or lines that stand in the
// place of others.
type Block struct {
	Same     bool
	Old, New []DiffLine
}

// A DiffLine is a line and its number in its file.
type DiffLine struct {
	Number int
	Text   string
}

// Shown is how many lines of the hunks there are, on the side that has more.
func (f FileDiff) Shown() (n int) {
	for _, h := range f.Hunks {
		for _, b := range h.Blocks {
			n += max(len(b.Old), len(b.New))
		}
	}
	return n
}

// Compare fills in the hunks: the anchored diff of the Go project, which takes
// n log n of time whatever the texts are.
func (f *FileDiff) Compare(before, now []byte) {
	var a, b int // the next lines' numbers
	var h *Hunk
	for line := range strings.Lines(string(diff.Diff("a", before, "b", now))) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "@@ "):
			a, b = starts(line)
			f.Hunks = append(f.Hunks, Hunk{Head: line})
			h = &f.Hunks[len(f.Hunks)-1]
		case h == nil || line == "": // the header
		case line[0] == '-':
			h.changed(true)
			last := &h.Blocks[len(h.Blocks)-1]
			last.Old = append(last.Old, DiffLine{a, line[1:]})
			a, f.Removed = a+1, f.Removed+1
		case line[0] == '+':
			h.changed(false)
			last := &h.Blocks[len(h.Blocks)-1]
			last.New = append(last.New, DiffLine{b, line[1:]})
			b, f.Added = b+1, f.Added+1
		case line[0] == ' ':
			if n := len(h.Blocks); n == 0 || !h.Blocks[n-1].Same {
				h.Blocks = append(h.Blocks, Block{Same: true})
			}
			last := &h.Blocks[len(h.Blocks)-1]
			last.Old, last.New = append(last.Old, DiffLine{a, line[1:]}), append(last.New, DiffLine{b, line[1:]})
			a, b = a+1, b+1
		}
	}
}

// changed makes the last block one to which a line can be added that was
// removed, or one that is new. What is removed after what is new begins another.
func (h *Hunk) changed(removed bool) {
	n := len(h.Blocks)
	if n == 0 || h.Blocks[n-1].Same || removed && len(h.Blocks[n-1].New) > 0 {
		h.Blocks = append(h.Blocks, Block{})
	}
}

// starts are the first lines' numbers of "@@ -1,4 +1,5 @@".
func starts(head string) (a, b int) {
	for _, word := range strings.Fields(head) {
		number, _, _ := strings.Cut(word[1:], ",")
		n, _ := strconv.Atoi(number)
		switch word[0] {
		case '-':
			a = n
		case '+':
			b = n
		}
	}
	return a, b
}
