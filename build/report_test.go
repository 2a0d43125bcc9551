package build

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.xml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadJUnit(t *testing.T) {
	for name, test := range map[string]struct {
		text     string
		failures []string
		summary  string
	}{
		"as pytest writes it": {
			text: `<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="0" failures="0" skipped="1" tests="3">
				<testcase classname="tests.test_train" name="test_fits" time="0.01"/>
				<testcase classname="tests.test_train" name="test_saves" time="0.01"></testcase>
				<testcase classname="tests.test_gpu" name="test_cuda"><skipped type="pytest.skip" message="no GPU">gpu.py:3</skipped></testcase>
				</testsuite></testsuites>`,
			summary: "2 tests passed, 1 skipped",
		},
		"the root is the one suite": {
			text:    `<testsuite tests="2"><testcase classname="A" name="a"/><testcase classname="A" name="b"/></testsuite>`,
			summary: "2 tests passed",
		},
		"several suites": {
			text:    `<testsuites><testsuite><testcase name="a"/></testsuite><testsuite><testcase name="b"/></testsuite></testsuites>`,
			summary: "2 tests passed",
		},
		"a failure and an error": {
			text: `<testsuites><testsuite>
				<testcase classname="tests.test_split" name="test_sides"><failure message="assert 89 == 88&#10; + where 89 = len(holdout)">def test_sides(): …</failure></testcase>
				<testcase classname="tests.test_io" name="test_read"><error message="failed on setup with &quot;fixture 'x' not found&quot;"/></testcase>
				<testcase name="test_ok"/></testsuite></testsuites>`,
			failures: []string{"tests.test_split.test_sides: assert 89 == 88", `tests.test_io.test_read: failed on setup with "fixture 'x' not found"`},
			summary:  `2 of 3 tests failed: tests.test_split.test_sides: assert 89 == 88; tests.test_io.test_read: failed on setup with "fixture 'x' not found"`,
		},
		"without classes": {
			text:     `<testsuite><testcase name="collect"><error message="SyntaxError"/></testcase></testsuite>`,
			failures: []string{"collect: SyntaxError"},
			summary:  "1 of 1 tests failed: collect: SyntaxError",
		},
		"no test at all": {text: `<testsuites/>`, summary: "0 tests passed"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readJUnit(write(t, test.text))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Failures, test.failures) {
				t.Errorf("failures %q, want %q", got.Failures, test.failures)
			}
			if got.summary() != test.summary {
				t.Errorf("%q, want %q", got.summary(), test.summary)
			}
		})
	}
	for name, text := range map[string]string{"empty": "", "cut off": "<testsuites><testsuite>", "not XML": "{}"} {
		t.Run(name, func(t *testing.T) {
			if _, err := readJUnit(write(t, text)); err == nil || !strings.Contains(err.Error(), "report.xml is not a JUnit report") {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := readJUnit(filepath.Join(t.TempDir(), "none.xml")); !os.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
}

func TestReadCoverage(t *testing.T) {
	got, err := readCoverage(write(t, `<?xml version="1.0" ?>
<!DOCTYPE coverage SYSTEM "http://cobertura.sourceforge.net/xml/coverage-04.dtd">
<coverage version="7.10" lines-valid="40" lines-covered="35" line-rate="0.875" branch-rate="0"><packages/></coverage>`))
	if err != nil || got != 87.5 {
		t.Errorf("got %v, %v; want 87.5", got, err)
	}
	for name, test := range map[string]struct{ text, want string }{
		"no rate":                {`<coverage/>`, `line-rate "" is not a number`},
		"a rate that is a word":  {`<coverage line-rate="most"/>`, `line-rate "most" is not a number`},
		"another kind of report": {`<testsuites/>`, "is not a Cobertura report"},
		"cut off":                {`<coverage line-rate="1"`, "is not a Cobertura report"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := readCoverage(write(t, test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestReportPaths(t *testing.T) {
	for command, want := range map[string][2]string{
		"pytest": {"junit.xml", "coverage.xml"},
		"pytest --cov=iris --cov-report=xml --junitxml=junit.xml":        {"junit.xml", "coverage.xml"},
		"pytest --junit-xml=out/tests.xml --cov-report=xml:out/cov.xml":  {"out/tests.xml", "out/cov.xml"},
		"pytest --junitxml out/tests.xml --cov-report xml:out/cov.xml":   {"out/tests.xml", "out/cov.xml"},
		`sh -c 'pytest --junitxml=a.xml --cov-report=xml:b.xml'`:         {"a.xml", "b.xml"},
		"pytest --cov-report=term --cov-report=xml:c.xml -q --junitxml=": {"junit.xml", "c.xml"},
	} {
		if got := [2]string{junitPath(command), coveragePath(command)}; got != want {
			t.Errorf("%s: got %q, want %q", command, got, want)
		}
	}
}

func TestLines(t *testing.T) {
	if got := firstLine("\n  one\ntwo\n"); got != "one" {
		t.Errorf("firstLine: %q", got)
	}
}
