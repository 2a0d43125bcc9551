package build

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Write puts the build's reports into dir, where CI systems look for them:
// TASK.junit.xml as each task wrote it, coverage.xml of all tasks together,
// ridgeline.sarif, and summary.json, which is the build itself. Reports of an
// earlier build in the folder are removed. A .gitignore keeps the folder from
// making the tree dirty.
//
// The error is of what could not be written; the rest is there.
func (b *LocalBuild) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var problems []error
	for _, old := range []string{"*.junit.xml", "coverage.xml", "ridgeline.sarif", "summary.json"} {
		files, _ := filepath.Glob(filepath.Join(dir, old)) // the pattern is a good one
		for _, f := range files {
			problems = append(problems, os.Remove(f))
		}
	}
	put := func(name string, text []byte) {
		problems = append(problems, os.WriteFile(filepath.Join(dir, name), text, 0o644))
	}
	put(".gitignore", []byte("*\n"))
	for task, from := range b.junit {
		problems = append(problems, copyReport(from, filepath.Join(dir, task+".junit.xml")))
	}
	if b.lines != nil {
		text, err := b.lines.cobertura()
		problems = append(problems, err)
		put("coverage.xml", text)
	}
	text, trouble := b.sarifLog()
	problems = append(problems, trouble...)
	put("ridgeline.sarif", text)
	text, err := json.MarshalIndent(b, "", "  ")
	problems = append(problems, err)
	put("summary.json", append(text, '\n'))
	return errors.Join(problems...)
}

func copyReport(from, to string) error {
	in, err := openReport(filepath.Dir(from), filepath.Base(from))
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

type coberturaRates struct {
	LineRate   string `xml:"line-rate,attr"`
	BranchRate string `xml:"branch-rate,attr"`
	Complexity string `xml:"complexity,attr"`
}

type coberturaLine struct {
	Number    int    `xml:"number,attr"`
	Hits      int    `xml:"hits,attr"`
	Branch    string `xml:"branch,attr,omitempty"`
	Condition string `xml:"condition-coverage,attr,omitempty"`
}

type coberturaClass struct {
	Name     string `xml:"name,attr"`
	Filename string `xml:"filename,attr"`
	coberturaRates
	Methods struct{}        `xml:"methods"`
	Lines   []coberturaLine `xml:"lines>line"`
}

// cobertura writes the coverage as one Cobertura report, with names relative
// to the project's folder (the format: see readCobertura).
func (c coverage) cobertura() ([]byte, error) {
	var doc struct {
		XMLName xml.Name `xml:"coverage"`
		coberturaRates
		LinesValid      int      `xml:"lines-valid,attr"`
		LinesCovered    int      `xml:"lines-covered,attr"`
		BranchesValid   int      `xml:"branches-valid,attr"`
		BranchesCovered int      `xml:"branches-covered,attr"`
		Version         string   `xml:"version,attr"`
		Timestamp       int      `xml:"timestamp,attr"`
		Sources         []string `xml:"sources>source"`
		Package         struct {
			Name string `xml:"name,attr"`
			coberturaRates
			Classes []coberturaClass `xml:"classes>class"`
		} `xml:"packages>package"`
	}
	rates := func(lines, branches float64) coberturaRates {
		return coberturaRates{strconv.FormatFloat(lines/100, 'f', 4, 64), strconv.FormatFloat(branches/100, 'f', 4, 64), "0"}
	}
	_, sum := c.files()
	doc.coberturaRates = rates(sum.Percent(), sum.BranchPercent())
	doc.LinesValid, doc.LinesCovered, doc.BranchesValid, doc.BranchesCovered = sum.Lines, sum.Covered, sum.Branches, sum.BranchesCovered
	doc.Version, doc.Sources = "ridgeline", []string{"."}
	doc.Package.Name, doc.Package.coberturaRates = ".", doc.coberturaRates
	for _, name := range slices.Sorted(maps.Keys(c)) {
		f := c[name]
		total := f.total()
		class := coberturaClass{Name: filepath.Base(name), Filename: name, coberturaRates: rates(total.Percent(), total.BranchPercent())}
		for _, n := range slices.Sorted(maps.Keys(f.Lines)) {
			line := coberturaLine{Number: n}
			if f.Lines[n] {
				line.Hits = 1
			}
			if b, ok := f.Branches[n]; ok && b[1] > 0 {
				line.Branch, line.Condition = "true", fmt.Sprintf("%d%% (%d/%d)", 100*b[0]/b[1], b[0], b[1])
			}
			class.Lines = append(class.Lines, line)
		}
		doc.Package.Classes = append(doc.Package.Classes, class)
	}
	text, err := xml.MarshalIndent(doc, "", " ")
	return append([]byte(xml.Header), append(text, '\n')...), err
}
