package build

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// junit is what a JUnit XML report says: counts, and each failure in a line.
type junit struct {
	Tests, Skipped int
	Failures       []string
}

// readJUnit reads a report as pytest, nose, Maven and most others write it.
// There is no normative schema; the attributes read here are those of
// https://github.com/testmoapp/junitxml.
func readJUnit(path string) (junit, error) {
	type failure struct {
		Message string `xml:"message,attr"`
	}
	type testcase struct {
		Name    string    `xml:"name,attr"`
		Class   string    `xml:"classname,attr"`
		Failure []failure `xml:"failure"`
		Error   []failure `xml:"error"`
		Skipped []failure `xml:"skipped"`
	}
	type suite struct {
		Cases []testcase `xml:"testcase"`
	}
	var doc struct {
		Suites []suite    `xml:"testsuite"`
		Cases  []testcase `xml:"testcase"` // the root may be the one suite itself
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return junit{}, err
	}
	if err := xml.Unmarshal(text, &doc); err != nil {
		return junit{}, fmt.Errorf("%s is not a JUnit report: %w", filepath.Base(path), err)
	}
	var out junit
	for _, s := range append(doc.Suites, suite{Cases: doc.Cases}) {
		for _, c := range s.Cases {
			out.Tests++
			if len(c.Skipped) > 0 {
				out.Skipped++
			}
			for _, f := range append(c.Failure, c.Error...) {
				out.Failures = append(out.Failures, strings.TrimPrefix(c.Class+"."+c.Name, ".")+": "+firstLine(f.Message))
			}
		}
	}
	return out, nil
}

func (j junit) summary() string {
	if len(j.Failures) == 0 {
		text := fmt.Sprintf("%d tests passed", j.Tests-j.Skipped)
		if j.Skipped > 0 {
			text += fmt.Sprintf(", %d skipped", j.Skipped)
		}
		return text
	}
	return fmt.Sprintf("%d of %d tests failed: %s", len(j.Failures), j.Tests, strings.Join(j.Failures, "; "))
}

// readCoverage reads the share of covered lines, in percent, from a Cobertura
// report (http://cobertura.sourceforge.net/xml/coverage-04.dtd, line-rate).
func readCoverage(path string) (float64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var doc struct {
		XMLName xml.Name `xml:"coverage"`
		Rate    string   `xml:"line-rate,attr"`
	}
	if err := xml.Unmarshal(text, &doc); err != nil {
		return 0, fmt.Errorf("%s is not a Cobertura report: %w", filepath.Base(path), err)
	}
	rate, err := strconv.ParseFloat(doc.Rate, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: line-rate %q is not a number", filepath.Base(path), doc.Rate)
	}
	return 100 * rate, nil
}

var (
	junitFlag    = regexp.MustCompile(`--junit-?xml[= ]([^\s'"]+)`)
	coverageFlag = regexp.MustCompile(`--cov-report[= ]xml:([^\s'"]+)`)
)

// junitPath and coveragePath are where the test command says it reports to.
func junitPath(command string) string    { return flagValue(junitFlag, command, "junit.xml") }
func coveragePath(command string) string { return flagValue(coverageFlag, command, "coverage.xml") }

func flagValue(flag *regexp.Regexp, command, otherwise string) string {
	if m := flag.FindStringSubmatch(command); m != nil {
		return m[1]
	}
	return otherwise
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
