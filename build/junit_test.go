package build

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestReadJUnit(t *testing.T) {
	for name, test := range map[string]struct {
		text    string
		want    []TestResult
		summary string
	}{
		"as pytest writes it": {
			text: `<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="0" failures="0" skipped="1" tests="3">
				<testcase classname="tests.test_train" name="test_fits" time="0.01"/>
				<testcase classname="tests.test_train" name="test_saves[a &amp; b]" time="0.25"><system-out><![CDATA[<testcase name="not one"/>]]></system-out></testcase>
				<testcase classname="tests.test_gpu" name="test_cuda"><skipped type="pytest.skip" message="no GPU">gpu.py:3</skipped></testcase>
				</testsuite></testsuites>`,
			want: []TestResult{
				{Suite: "tests.test_train", Name: "test_fits", Status: Passed, Seconds: 0.01},
				{Suite: "tests.test_train", Name: "test_saves[a & b]", Status: Passed, Seconds: 0.25},
				{Suite: "tests.test_gpu", Name: "test_cuda", Status: Skipped, Message: "no GPU"},
			},
			summary: "2 tests passed, 1 skipped",
		},
		"a failure and an error, with the place": {
			text: `<testsuites><testsuite>
				<testcase classname="tests.test_split" name="test_sides"><failure message="assert 89 == 88&#10; + where 89 = len(holdout)">def test_sides(): …

tests/test_split.py:12: in test_sides
    check(x)
helpers.py:30: AssertionError
/usr/lib/python3/site.py:5: somewhere else</failure></testcase>
				<testcase classname="tests.test_io" name="test_read"><error message="failed on setup with &quot;fixture 'x' not found&quot;"/></testcase>
				<testcase name="test_ok"/></testsuite></testsuites>`,
			want: []TestResult{
				{Suite: "tests.test_split", Name: "test_sides", Status: Broken, Message: "assert 89 == 88\n + where 89 = len(holdout)", File: "helpers.py", Line: 30},
				{Suite: "tests.test_io", Name: "test_read", Status: Broken, Message: "failed on setup with \"fixture 'x' not found\""},
				{Name: "test_ok", Status: Passed},
			},
			summary: `2 of 3 tests failed: tests.test_split.test_sides: assert 89 == 88; tests.test_io.test_read: failed on setup with "fixture 'x' not found"`,
		},
		"as unittest-xml-reporting writes it": {
			text: `<testsuites><testsuite name="tests.TestA-20260101" tests="1" file="tests/test_a.py" time="1.5">
				<testcase classname="tests.TestA" name="test_a" time="1,001.5" timestamp="2026-01-01T00:00:00" file="tests/test_a.py" line="7">
				<failure type="AssertionError"><![CDATA[Traceback (most recent call last):
AssertionError: 1 != 2]]></failure></testcase><system-err/></testsuite></testsuites>`,
			want: []TestResult{{Suite: "tests.TestA", Name: "test_a", Status: Broken, Seconds: 1001.5, File: "tests/test_a.py", Line: 7,
				Message: "Traceback (most recent call last):\nAssertionError: 1 != 2"}},
			summary: "1 of 1 tests failed: tests.TestA.test_a: Traceback (most recent call last):",
		},
		"as Surefire writes repeated tests": {
			text: `<testsuite xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" tests="2"><properties><property name="a" value="b"/></properties>
				<testcase name="again" classname="A" time="NaN"><flakyFailure message="first try"><stackTrace>x</stackTrace></flakyFailure></testcase>
				<testcase name="never" classname="A" time="-1"><failure message="no"/><rerunFailure message="no again"/></testcase></testsuite>`,
			want: []TestResult{
				{Suite: "A", Name: "again", Status: Passed, Flaky: true},
				{Suite: "A", Name: "never", Status: Broken, Message: "no"},
			},
			summary: "1 of 2 tests failed: A.never: no",
		},
		"as googletest writes it": {
			text:    `<testsuites><testsuite name="Math"><testcase name="Off" status="notrun" classname="Math"/></testsuite></testsuites>`,
			want:    []TestResult{{Suite: "Math", Name: "Off", Status: Skipped}},
			summary: "0 tests passed, 1 skipped",
		},
		"nested suites": {
			text:    `<testsuites><testsuite name="all"><testsuite name="inner"><testsuite name="most"><testcase name="a"/></testsuite></testsuite><testcase name="b"/></testsuite></testsuites>`,
			want:    []TestResult{{Suite: "inner.most", Name: "a", Status: Passed}, {Name: "b", Status: Passed}},
			summary: "2 tests passed",
		},
		"in Latin-1": {
			text:    `<?xml version="1.0" encoding="ISO-8859-1"?><testsuite><testcase name="gr` + "\xfc\xdf" + `e"/></testsuite>`,
			want:    []TestResult{{Name: "grüße", Status: Passed}},
			summary: "1 tests passed",
		},
		"no test at all": {text: `<testsuites/>`, summary: "0 tests passed"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readJUnit(strings.NewReader(test.text), "unit")
			if err != nil {
				t.Fatal(err)
			}
			for i := range test.want {
				test.want[i].Task = "unit"
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n%+v, want\n%+v", got, test.want)
			}
			if summary(got) != test.summary {
				t.Errorf("%q, want %q", summary(got), test.summary)
			}
		})
	}
}

func TestReadJUnit_refuses(t *testing.T) {
	many := "<testsuite>" + strings.Repeat(`<testcase name="a"/>`, maxTests+1) + "</testsuite>"
	bomb := `<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><testsuite name="&b;"/>`
	external := `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><testsuite><testcase name="a"><failure>&e;</failure></testcase></testsuite>`
	for name, test := range map[string]struct{ text, want string }{
		"empty":              {"", "empty or cut off"},
		"cut off":            {`<testsuites><testsuite><testcase name="a">`, "cut off"},
		"not XML":            {"{}", "empty or cut off"},
		"something else":     {`<coverage/>`, "begins with <coverage>"},
		"too many":           {many, "more than 100000 tests"},
		"entities":           {bomb, "entity"},
		"an external entity": {external, "entity"},
		"another encoding":   {`<?xml version="1.0" encoding="Shift_JIS"?><testsuite/>`, "Shift_JIS is not read here"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readJUnit(strings.NewReader(test.text), "unit")
			if err == nil || !strings.Contains(err.Error(), "not a JUnit report: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	// A long message is cut, however it is written.
	got, err := readJUnit(strings.NewReader(`<testsuite><testcase name="a"><failure>`+strings.Repeat("x", 1<<20)+`</failure></testcase></testsuite>`), "unit")
	if err != nil || len(got[0].Message) > maxMessage+10 {
		t.Errorf("%d bytes of message, %v", len(got[0].Message), err)
	}
}

// What a task leaves is not to be trusted: it may lead out, block, or be huge.
func TestOpenReport(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(dir, "good.xml"), []byte("<testsuites/>"), 0o600))
	must(os.Symlink("/etc/passwd", filepath.Join(dir, "link.xml")))
	must(syscall.Mkfifo(filepath.Join(dir, "pipe.xml"), 0o600))
	must(os.Mkdir(filepath.Join(dir, "folder.xml"), 0o700))
	must(os.WriteFile(filepath.Join(dir, "huge.xml"), nil, 0o600))
	must(os.Truncate(filepath.Join(dir, "huge.xml"), maxReport+1))
	f, err := openReport(dir, "good.xml")
	must(err)
	must(f.Close())
	for name, want := range map[string]string{
		"none.xml": "no report none.xml", "link.xml": "escapes", "../good.xml": "escapes", "pipe.xml": "is no file",
		"folder.xml": "is no file", "huge.xml": "over the 64 MiB",
	} {
		_, err := openReport(dir, name)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
		if errors.Is(err, fs.ErrNotExist) != (name == "none.xml") {
			t.Errorf("%s: absent? %v", name, err)
		}
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
