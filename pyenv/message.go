package pyenv

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// A lineWriter passes a command's stderr on, a line at a time and without
// credentials, and keeps it.
type lineWriter struct {
	tell    Progress
	masker  masker
	partial []byte
	text    strings.Builder
}

// maxKept is more than uv ever says; a build that prints without end must not
// fill the memory.
const maxKept = 1 << 20

func (w *lineWriter) Write(p []byte) (int, error) {
	w.partial = append(w.partial, p...)
	for {
		i := slices.Index(w.partial, '\n')
		if i < 0 {
			if len(w.partial) > maxKept {
				w.flush()
			}
			return len(p), nil
		}
		w.line(string(w.partial[:i]))
		w.partial = w.partial[i+1:]
	}
}

func (w *lineWriter) flush() {
	if len(w.partial) > 0 {
		w.line(string(w.partial))
		w.partial = nil
	}
}

func (w *lineWriter) line(line string) {
	line = strings.TrimRight(w.masker.mask(line), " \r")
	if w.text.Len() < maxKept {
		w.text.WriteString(line + "\n")
	}
	if line = strings.TrimSpace(line); line != "" {
		w.tell.say("%s", line)
	}
}

// A masker replaces credentials: those in addresses, and the values of
// variables that hold one.
type masker struct{ secrets []string }

var (
	secretNameRE = regexp.MustCompile(`(?i)(PASSWORD|TOKEN|SECRET)`)
	userInfoRE   = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@]*@`)
	secretArgRE  = regexp.MustCompile(`(?i)([?&](?:[a-z_-]*token|key|password|sig|signature|secret)=)[^&\s]+`)
)

func newMasker(environ []string) masker {
	var m masker
	for _, kv := range environ {
		if name, v, _ := strings.Cut(kv, "="); len(v) >= 6 && secretNameRE.MatchString(name) {
			m.secrets = append(m.secrets, v)
		}
	}
	return m
}

func (m masker) mask(line string) string {
	for _, s := range m.secrets {
		line = strings.ReplaceAll(line, s, "***")
	}
	line = userInfoRE.ReplaceAllString(line, "$1***@")
	return secretArgRE.ReplaceAllString(line, "$1***")
}

var (
	ansiRE = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)
	// What uv says while all goes well, and its warnings.
	chatterRE = regexp.MustCompile(`^(Resolved|Prepared|Installed|Uninstalled|Audited|Checked|Downloading|Downloaded|Building|Built|Updated|Updating|Using|Creating virtual|Activate with|warning:|[+~-] )`)
	ornament  = regexp.MustCompile(`^(error: |cause: |hint: |Caused by: |[×╰├─▶│] *)+`)
)

var wrapRE = regexp.MustCompile(`\n[ │]{3,}(\S)`)

// unwrapped joins the lines that uv breaks to fit a terminal, so that phrases
// can be looked for.
func unwrapped(stderr string) string {
	return wrapRE.ReplaceAllString(ansiRE.ReplaceAllString(stderr, ""), " $1")
}

// explain makes one short sentence of what uv wrote before it failed: its
// chain of causes without ornaments, the middle left out when it is long.
func explain(stderr string, err error) string {
	var parts []string
	for line := range strings.Lines(ansiRE.ReplaceAllString(stderr, "")) {
		indented := strings.HasPrefix(line, "    ")
		line = strings.TrimSpace(line)
		bare := strings.TrimSpace(ornament.ReplaceAllString(line, ""))
		switch {
		case bare == "" || chatterRE.MatchString(line):
		case strings.HasPrefix(line, "hint: "):
			parts = append(parts, bare)
		case len(parts) > 0 && (indented || strings.HasPrefix(line, "│")) && bare == strings.TrimSpace(strings.TrimLeft(line, "│ ")):
			parts[len(parts)-1] += " " + bare
		default:
			parts = append(parts, bare)
		}
	}
	if parts == nil {
		return fmt.Sprintf("it ended with %v and said nothing", err)
	}
	if len(parts) > 6 {
		parts = append(append(slices.Clone(parts[:3]), "…"), parts[len(parts)-2:]...)
	}
	for i, p := range parts {
		parts[i] = shorten(strings.TrimRight(p, ".:"), 420)
	}
	return strings.Join(parts, ": ")
}

// shorten keeps the beginning and the end of a long text: the beginning names
// the package, the end the exception.
func shorten(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n/3], "") + " … " + strings.ToValidUTF8(text[len(text)-2*n/3:], "")
}

func clip(text string, n int) string {
	if text = strings.TrimSpace(text); len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}

var (
	networkRE = regexp.MustCompile(`(?i)error sending request|dns error|connection refused|connection reset|tcp connect error|client error \(connect\)|timed out|could not connect|network is unreachable|temporary failure in name resolution|could not resolve host|HTTP status server error|HTTP status client error \(429|NewConnectionError|broken pipe|connection closed`)
	offlineRE = regexp.MustCompile(`(?i)network (was|is|connectivity is) disabled`)
	machineRE = regexp.MustCompile(`(?i)no space left|disk quota|out of memory|cannot allocate memory|too many open files|read-only file system|permission denied`)
)

// classify tells a mistake of the user from what may work later.
func classify(stderr string, otherwise ridgeline.Code) ridgeline.Code {
	switch {
	case offlineRE.MatchString(stderr):
		return ridgeline.Unavailable
	case strings.Contains(stderr, "No solution found"), strings.Contains(stderr, "Hash mismatch"):
		return ridgeline.Invalid
	case networkRE.MatchString(stderr), machineRE.MatchString(stderr):
		return ridgeline.Unavailable
	}
	return otherwise
}

var (
	refusedRE  = regexp.MustCompile(`\((?:401|403)\b`)
	addressRE  = regexp.MustCompile(`https?://[^\s)` + "`" + `'"]+`)
	noWheelRE  = regexp.MustCompile(`no wheels? with a matching|no wheels are available|doesn't have a source distribution or wheel|no compatible wheel`)
	noPythonRE = regexp.MustCompile(`does not satisfy Python|requested Python version`)
)

// advice says what to do next, where uv does not.
func advice(stderr string, code ridgeline.Code, indexes []Index) string {
	switch {
	case offlineRE.MatchString(stderr):
		return ": unset UV_OFFLINE where Ridgeline runs, or bring the packages into uv's cache first"
	case refusedRE.MatchString(stderr):
		return refused(stderr, indexes)
	case code == ridgeline.Unavailable && networkRE.MatchString(stderr):
		return ": the package index did not answer, try again; behind a proxy set HTTPS_PROXY, for an index of your own UV_DEFAULT_INDEX"
	case strings.Contains(stderr, "Hash mismatch"):
		return ": the index serves another file than the one that was locked; find out why before you lock again"
	case noPythonRE.MatchString(stderr):
		return ": ask for another version of the package, or for another Python by python.version in ridgeline.yaml"
	case noWheelRE.MatchString(stderr):
		return ": there is no file of it for this Python and machine; ask for another version of the package, or for another Python by python.version in ridgeline.yaml"
	case strings.Contains(stderr, "not found in the package registry"):
		return ": correct the name; if it is in an index of your own, name that in python.indexes of ridgeline.yaml, or set UV_DEFAULT_INDEX or UV_INDEX where Ridgeline runs"
	}
	return ""
}

// refused names the index that wants credentials, and where they go.
func refused(stderr string, indexes []Index) string {
	const where = "where Ridgeline runs, or write them into a netrc file"
	for _, address := range addressRE.FindAllString(stderr, -1) {
		for _, i := range indexes {
			if strings.HasPrefix(withoutUser(address), strings.TrimSuffix(withoutUser(i.URL), "/")) {
				return fmt.Sprintf(": the index %s (%s) refuses: set %s and %s %s", i.Name, withoutUser(i.URL), i.variable("USERNAME"), i.variable("PASSWORD"), where)
			}
		}
	}
	return ": the index wants other credentials: name it in python.indexes of ridgeline.yaml, set UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD " + where
}
