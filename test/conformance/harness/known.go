package harness

import (
	"flag"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of differences into docs/contracts.md")

// A Known is a difference that is meant.
type Known struct {
	Probes []string // patterns of path.Match for the probes' names
	Not    []string // and those that it does not cover
	What   []string // "status", "body", or headers' names
	Theirs string   // as people read it, in the documentation
	Ours   string
	Why    string
}

func (k Known) covers(d Difference) bool {
	return slices.Contains(k.What, d.What) && fits(k.Probes, d.Probe) && !fits(k.Not, d.Probe)
}

func fits(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(name, "/", "\x00"))
		if err != nil {
			panic(err) // a mistake in the test
		}
		return ok
	})
}

// Check fails for every difference that is not known, and for every known one
// that is not there any more.
func Check(t *testing.T, differences []Difference, known []Known) {
	t.Helper()
	used := make([]bool, len(known))
	for _, d := range differences {
		i := slices.IndexFunc(known, func(k Known) bool { return k.covers(d) })
		if i < 0 {
			t.Errorf("a difference that nobody meant: %s", d)
			continue
		}
		used[i] = true
	}
	for i, k := range known {
		if !used[i] {
			t.Errorf("there is no such difference any more, take it from the list: %s of %s (%s)", strings.Join(k.What, ", "), strings.Join(k.Probes, ", "), k.Why)
		}
	}
}

// Document holds the table of differences in docs/contracts.md, between the
// marks of the given name, to the list; with -update it writes it.
func Document(t *testing.T, name string, known []Known) {
	t.Helper()
	const page = "../../docs/contracts.md"
	var b strings.Builder
	b.WriteString("| theirs | ours | why |\n|---|---|---|\n")
	for _, k := range known {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", cell(k.Theirs), cell(k.Ours), cell(k.Why))
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	from, to := "<!-- "+name+" -->\n", "<!-- /"+name+" -->\n"
	before, rest, found := strings.Cut(string(text), from)
	current, after, closed := strings.Cut(rest, to)
	if !found || !closed {
		t.Fatalf("%s: expected the marks %q and %q on lines of their own", page, from, to)
	}
	if current == b.String() {
		return
	}
	if !*update {
		t.Fatalf("the differences %s in %s are not those of the test: run it with -update", name, page)
	}
	if err := os.WriteFile(page, []byte(before+from+b.String()+to+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
