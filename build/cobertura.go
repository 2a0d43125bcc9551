package build

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// maxLines is how many measured lines a Cobertura report may have.
const maxLines = 5_000_000

// coverage is which lines ran, file by file.
type coverage map[string]*fileLines

type fileLines struct {
	Lines    map[int]bool   `json:"lines"`              // number from 1 → whether it ran
	Branches map[int][2]int `json:"branches,omitempty"` // number → branches taken, branches there are
}

// readCobertura reads a Cobertura report as coverage.py and most others write
// it (http://cobertura.sourceforge.net/xml/coverage-04.dtd). Names are made
// relative to root, the folder that was measured. It is read as a stream.
func readCobertura(r io.Reader, root string) (coverage, error) {
	p := &cobertura{dec: decoder(r), root: root, out: coverage{}}
	for {
		token, err := p.dec.Token()
		if errors.Is(err, io.EOF) && p.begun && p.depth == 0 {
			return p.out, nil
		}
		if err == nil {
			err = p.read(token)
		}
		if err != nil {
			return nil, fmt.Errorf("not a Cobertura report: %w", ending(err))
		}
	}
}

type cobertura struct {
	dec     *xml.Decoder
	root    string
	out     coverage
	begun   bool
	depth   int
	count   int
	sources []string
	inside  string // the element whose text is being read
	file    *fileLines
}

func (p *cobertura) read(token xml.Token) error {
	switch e := token.(type) {
	case xml.StartElement:
		if !p.begun && e.Name.Local != "coverage" {
			return fmt.Errorf("it begins with <%s>, expected <coverage>", e.Name.Local)
		}
		p.begun, p.inside = true, e.Name.Local
		p.depth++
		switch e.Name.Local {
		case "class":
			name := p.name(attr(e, "filename"))
			if p.out[name] == nil {
				p.out[name] = &fileLines{Lines: map[int]bool{}, Branches: map[int][2]int{}}
			}
			p.file = p.out[name]
		case "line":
			return p.line(e)
		}
	case xml.EndElement:
		p.depth--
		p.inside = ""
		if e.Name.Local == "class" {
			p.file = nil
		}
	case xml.CharData:
		if text := strings.TrimSpace(string(e)); p.inside == "source" && text != "" {
			p.sources = append(p.sources, text)
		}
	}
	return nil
}

// line notes one; of a line given twice (a method's and its class's) the better.
func (p *cobertura) line(e xml.StartElement) error {
	n, err := strconv.Atoi(attr(e, "number"))
	if err != nil || n < 0 || p.file == nil {
		return nil
	}
	if p.count++; p.count > maxLines {
		return fmt.Errorf("it has more than %d lines", maxLines)
	}
	hits, _ := strconv.ParseFloat(attr(e, "hits"), 64)
	p.file.add(n, hits > 0)
	// condition-coverage="50% (1/2)"
	if _, counts, ok := strings.Cut(attr(e, "condition-coverage"), "("); ok {
		taken, all, _ := strings.Cut(strings.TrimSuffix(counts, ")"), "/")
		a, err1 := strconv.Atoi(taken)
		b, err2 := strconv.Atoi(all)
		if err1 == nil && err2 == nil && 0 <= a && a <= b {
			p.file.addBranches(n, [2]int{a, b})
		}
	}
	return nil
}

func (f *fileLines) add(n int, ran bool) { f.Lines[n] = f.Lines[n] || ran }

func (f *fileLines) addBranches(n int, b [2]int) {
	old := f.Branches[n]
	f.Branches[n] = [2]int{max(old[0], b[0]), max(old[1], b[1])}
}

// name is the file's, relative to the folder measured: coverage.py writes names
// relative to the sources, which are absolute.
func (p *cobertura) name(file string) string {
	file = filepath.Clean(filepath.FromSlash(file))
	candidates := []string{file}
	for _, s := range p.sources {
		if !filepath.IsAbs(file) {
			candidates = append(candidates, filepath.Join(s, file))
		}
	}
	for _, c := range candidates {
		if rel, err := filepath.Rel(p.root, c); filepath.IsAbs(c) && err == nil && filepath.IsLocal(rel) && isFile(c) {
			return filepath.ToSlash(rel)
		}
	}
	return filepath.ToSlash(file)
}

// join adds what another report of the same code covers: a line that ran in
// either ran. Branches of a line count as in the report that took most, since
// none says which ones it took.
func (c coverage) join(other coverage) {
	for name, f := range other {
		if c[name] == nil {
			c[name] = &fileLines{Lines: map[int]bool{}, Branches: map[int][2]int{}}
		}
		for n, ran := range f.Lines {
			c[name].add(n, ran)
		}
		for n, b := range f.Branches {
			c[name].addBranches(n, b)
		}
	}
}

func (f *fileLines) total() (t ridgeline.Coverage) {
	for _, ran := range f.Lines {
		t.Lines++
		if ran {
			t.Covered++
		}
	}
	for _, b := range f.Branches {
		t.BranchesCovered += b[0]
		t.Branches += b[1]
	}
	return t
}

// A CoveredFile is how much of one file ran.
type CoveredFile struct {
	File string `json:"file"`
	ridgeline.Coverage
	Missing string `json:"missing,omitempty"` // lines that did not run: 3-7, 12
}

// files lists what was measured by name, and the sum.
func (c coverage) files() (list []CoveredFile, sum ridgeline.Coverage) {
	for _, name := range slices.Sorted(maps.Keys(c)) {
		t := c[name].total()
		list = append(list, CoveredFile{File: name, Coverage: t, Missing: c[name].missing()})
		sum.Lines += t.Lines
		sum.Covered += t.Covered
		sum.Branches += t.Branches
		sum.BranchesCovered += t.BranchesCovered
	}
	return list, sum
}

// missing names the lines that did not run; one range goes over lines that
// hold no code.
func (f *fileLines) missing() string {
	var out []string
	first, last := 0, 0
	flush := func() {
		switch first {
		case 0:
		case last:
			out = append(out, strconv.Itoa(first))
		default:
			out = append(out, fmt.Sprintf("%d-%d", first, last))
		}
		first = 0
	}
	for _, n := range slices.Sorted(maps.Keys(f.Lines)) {
		switch {
		case f.Lines[n]:
			flush()
		case first == 0:
			first, last = n, n
		default:
			last = n
		}
	}
	flush()
	return strings.Join(out, ", ")
}
