package build

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// What is read of a report: enough for any suite that people run on a push,
// and little enough to be kept and compared.
const (
	maxReport  = 64 << 20 // bytes of a file
	maxTests   = 100_000  // in one
	maxMessage = 4 << 10  // bytes kept of a failure
)

// The results of a test.
const (
	Passed  = "passed"
	Broken  = "failed" // an assertion's failure and any other error alike
	Skipped = "skipped"
)

// A TestResult is one test case of a JUnit report.
type TestResult struct {
	Task    string  `json:"task"`
	Suite   string  `json:"suite,omitempty"` // classname, else the suites' names
	Name    string  `json:"name"`
	Status  string  `json:"status" enum:"passed,failed,skipped"`
	Seconds float64 `json:"seconds"`
	Message string  `json:"message,omitempty"` // why it failed or was skipped
	File    string  `json:"file,omitempty"`    // where it is, as far as the report says
	Line    int     `json:"line,omitempty"`    // from 1; 0: not known
	Flaky   bool    `json:"flaky,omitempty"`   // the runner repeated it and got both results
}

// ID names the test as people do: tests.test_train.test_fits.
func (t TestResult) ID() string { return strings.TrimPrefix(t.Suite+"."+t.Name, ".") }

// readJUnit reads a JUnit report. There is no normative schema: these are the
// elements and attributes on which pytest, unittest-xml-reporting, Surefire,
// Gradle, Jest and googletest agree (https://github.com/testmoapp/junitxml), the
// repetitions of Surefire (flakyFailure, rerunFailure) and googletest's status.
// Suites may be nested. It is read as a stream; no entity of a document type is
// ever expanded.
func readJUnit(r io.Reader, task string) ([]TestResult, error) {
	p := &junit{task: task, dec: decoder(r)}
	for {
		token, err := p.dec.Token()
		if errors.Is(err, io.EOF) && p.begun && len(p.names) == 0 {
			return p.tests, nil
		}
		if err == nil {
			err = p.read(token)
		}
		if err != nil {
			return nil, fmt.Errorf("not a JUnit report: %w", ending(err))
		}
	}
}

type junit struct {
	task  string
	dec   *xml.Decoder
	tests []TestResult
	begun bool
	names []string // of the elements that are open: the name of a suite, else nothing
}

func (p *junit) read(token xml.Token) error {
	switch e := token.(type) {
	case xml.StartElement:
		switch name := e.Name.Local; {
		case name == "testcase" && p.begun:
			t, err := p.testcase(e)
			if err == nil && len(p.tests) == maxTests {
				err = fmt.Errorf("it has more than %d tests", maxTests)
			}
			p.tests = append(p.tests, t)
			return err
		case name == "testsuites" || name == "testsuite" || p.begun && name == "test-suite":
			p.begun = true
			p.names = append(p.names, attr(e, "name"))
		case p.begun:
			return p.dec.Skip() // properties, system-out
		default:
			return fmt.Errorf("it begins with <%s>, expected <testsuites> or <testsuite>", name)
		}
	case xml.EndElement:
		p.names = p.names[:len(p.names)-1]
	}
	return nil
}

func (p *junit) testcase(e xml.StartElement) (TestResult, error) {
	t := TestResult{Task: p.task, Name: attr(e, "name"), Suite: attr(e, "classname"), Status: Passed, File: attr(e, "file")}
	if t.Suite == "" && len(p.names) > 2 { // beyond the root and one suite named by the tool
		t.Suite = strings.Join(p.names[2:], ".")
	}
	t.Line, _ = strconv.Atoi(attr(e, "line"))
	t.Line = max(t.Line, 0)
	t.Seconds, _ = strconv.ParseFloat(strings.ReplaceAll(attr(e, "time"), ",", ""), 64) // Surefire writes 1,234.5
	if math.IsNaN(t.Seconds) || math.IsInf(t.Seconds, 0) || t.Seconds < 0 {
		t.Seconds = 0
	}
	if s := attr(e, "status"); s == "notrun" || s == "disabled" || s == "skipped" {
		t.Status = Skipped
	}
	for {
		token, err := p.dec.Token()
		if err != nil {
			return t, err
		}
		child, ok := token.(xml.StartElement)
		if _, end := token.(xml.EndElement); end {
			return t, nil
		}
		if !ok {
			continue
		}
		switch child.Name.Local {
		case "failure", "error":
			t.Status = Broken
			err = p.message(&t, child)
		case "skipped":
			if t.Status == Passed {
				t.Status = Skipped
			}
			err = p.message(&t, child)
		case "flakyFailure", "flakyError":
			t.Flaky = true
			err = p.dec.Skip()
		default:
			err = p.dec.Skip()
		}
		if err != nil {
			return t, err
		}
	}
}

// message takes the first failure's attribute, or else its text.
func (p *junit) message(t *TestResult, e xml.StartElement) error {
	text := attr(e, "message")
	var body strings.Builder
	for depth := 1; depth > 0; {
		token, err := p.dec.Token()
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			depth--
		case xml.CharData:
			if body.Len() < maxMessage {
				body.Write(token[:min(len(token), maxMessage)])
			}
		}
	}
	if strings.TrimSpace(text) == "" {
		text = body.String()
	}
	if t.Message == "" {
		t.Message = clip(strings.TrimSpace(text), maxMessage)
	}
	if t.Line == 0 && t.Status == Broken {
		t.File, t.Line = traceback(t.File, body.String())
	}
	return nil
}

var tracebackLine = regexp.MustCompile(`(?m)^([^\s:"'<>]+\.py):([0-9]+):`)

// traceback finds where a test broke in what pytest prints of it: the last line
// path:line: of the project's own files. (unittest and others: file, as it was.)
func traceback(file, text string) (string, int) {
	at, line := file, 0
	for _, m := range tracebackLine.FindAllStringSubmatch(text, -1) {
		if n, err := strconv.Atoi(m[2]); err == nil && !path.IsAbs(m[1]) && !strings.HasPrefix(m[1], "..") {
			at, line = m[1], n
		}
	}
	return at, line
}

// summary is what a task's tests came to, in a line.
func summary(tests []TestResult) string {
	var failed []string
	skipped := 0
	for _, t := range tests {
		switch t.Status {
		case Broken:
			failed = append(failed, t.ID()+": "+firstLine(t.Message))
		case Skipped:
			skipped++
		}
	}
	if len(failed) > 0 {
		more := ""
		if n := len(failed) - ridgeline.ReportNames; n > 0 {
			more = fmt.Sprintf("; and %d more", n)
		}
		return fmt.Sprintf("%d of %d tests failed: %s%s", len(failed), len(tests), strings.Join(failed[:min(len(failed), ridgeline.ReportNames)], "; "), more)
	}
	text := fmt.Sprintf("%d tests passed", len(tests)-skipped)
	if skipped > 0 {
		text += fmt.Sprintf(", %d skipped", skipped)
	}
	return text
}

// decoder reads XML in UTF-8, ASCII or Latin-1, the encodings that reports come
// in, and knows the entities that XML itself defines.
func decoder(r io.Reader) *xml.Decoder {
	d := xml.NewDecoder(bufio.NewReader(r))
	d.CharsetReader = func(charset string, in io.Reader) (io.Reader, error) {
		switch strings.ToLower(charset) {
		case "us-ascii", "ascii", "utf8":
			return in, nil
		case "iso-8859-1", "latin1", "latin-1", "windows-1252":
			return &latin1{r: in}, nil
		}
		return nil, fmt.Errorf("its encoding %s is not read here: write it in UTF-8", charset)
	}
	return d
}

// latin1 turns each byte into the code point of its number.
type latin1 struct {
	r   io.Reader
	buf [512]byte
}

func (l *latin1) Read(p []byte) (int, error) {
	if len(p) < 2 {
		return 0, io.ErrShortBuffer
	}
	n, err := l.r.Read(l.buf[:min(len(l.buf), len(p)/2)])
	out := p[:0]
	for _, c := range l.buf[:n] {
		out = append(out, string(rune(c))...)
	}
	return len(out), err
}

func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// ending says of a report that ends too early just that.
func ending(err error) error {
	var syntax *xml.SyntaxError
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &syntax) && syntax.Msg == "unexpected EOF" {
		return errors.New("it is empty or cut off")
	}
	return err
}

// openReport opens a file that a task has written into its copy of the tree.
// What a name or a link leads out of it is not there, and what is no plain file
// is not read.
func openReport(dir, name string) (io.ReadCloser, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("no report %s: %w", name, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("report %s: %w", name, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("report %s is no file", name)
	case info.Size() > maxReport:
		return nil, fmt.Errorf("report %s has %d MiB, over the %d MiB that are read", name, info.Size()>>20, maxReport>>20)
	}
	return root.Open(name)
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

func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}
