package ridgeline

import (
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A View is a table of runs as somebody has arranged it, kept under a name by
// which everybody who may see those runs finds it again.
type View struct {
	Project ProjectName // whose runs it shows; empty: those of all projects
	Name    string      // unique among the project's
	Query   string      // of its address, as ViewQuery spells it
	Caller  string      // who saved it
	Saved   time.Time
}

// The longest name of a view, in letters, and the longest query, in bytes.
const (
	maxViewName  = 100
	maxViewQuery = 8 << 10
)

// NewView is the table at an address, under a name. An address of another
// project's table is refused; one of no project's is taken as the project's own.
func NewView(project ProjectName, name, address, caller string, at time.Time) (View, error) {
	v := View{Project: project, Name: name, Caller: caller, Saved: at}
	if err := CheckViewName(name); err != nil {
		return v, err
	}
	of, query, err := ViewQuery(address)
	if v.Query = query; err == nil && of != "" && of != project {
		err = Errorf(Invalid, "the table is of project %s: a view of it is that project's, too", of)
	}
	return v, err
}

// Check refuses a view that nobody could be shown, but for conditions on values,
// which package store reads.
func (v View) Check() error {
	if err := CheckViewName(v.Name); err != nil {
		return err
	}
	project, query, err := ViewQuery(v.Query)
	switch {
	case err != nil:
		return err
	case project != "" || query != v.Query:
		return Errorf(Invalid, "the query %q of a view: expected it as ViewQuery spells it, %q", v.Query, query)
	}
	return nil
}

// CheckViewName refuses what nobody could tell from another name, or ask for.
func CheckViewName(name string) error {
	bad := func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }
	switch n := utf8.RuneCountInString(name); {
	case strings.TrimSpace(name) == "":
		return Errorf(Invalid, "a view needs a name, up to %d letters long", maxViewName)
	case n > maxViewName:
		return Errorf(Invalid, "a view's name has up to %d letters, this one %d", maxViewName, n)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, bad):
		return Errorf(Invalid, "the view's name %q: expected text in one line, without control characters", name)
	case name != strings.TrimSpace(name):
		return Errorf(Invalid, "the view's name %q: expected no space before or behind it", name)
	case name == "." || name == "..":
		return Errorf(Invalid, "%q is no name for a view: an address reads it as a folder", name)
	}
	return nil
}

// Address is where the view is shown, below the server's own address.
func (v View) Address() string {
	query := v.Query
	if v.Project != "" {
		query = strings.TrimSuffix(url.Values{"project": {string(v.Project)}}.Encode()+"&"+query, "&")
	}
	if query == "" {
		return "/runs"
	}
	return "/runs?" + query
}

// What an address of a table of runs says: what is a part of the view, and what
// only tells where in it somebody was.
var (
	inView = map[string]func(value string) bool{
		"status":    oneOf(Queued, Running, Waiting, Succeeded, Failed, Cancelled),
		"verdict":   oneOf(Promoted, Rejected, Inconclusive, GateError),
		"where":     func(string) bool { return true },
		"group":     func(s string) bool { return isValue(s) || s == "project" || s == "status" || s == "verdict" },
		"in":        func(string) bool { return true },
		"of":        func(s string) bool { return isValue(s) && s[0] == 'm' },
		"by":        oneOf("count", "value", "least", "mean", "deviation", "greatest"),
		"fall":      oneOf("1"),
		"sort":      func(s string) bool { return isValue(s) || s == "took" },
		"down":      oneOf("1"),
		"different": oneOf("1"),
		"column":    isValue,
	}
	besideView = []string{"skip", "upto", "before", "window", "open", "inline", "_live"}
)

func oneOf[T ~string](words ...T) func(string) bool {
	return func(s string) bool { return slices.Contains(words, T(s)) }
}

// isValue reports whether that is what runs have: m.NAME or p.NAME.
func isValue(key string) bool {
	return len(key) > 2 && (strings.HasPrefix(key, "m.") || strings.HasPrefix(key, "p."))
}

// ViewQuery reads the address of a table of runs, or the query of one: whose
// runs they are, and the rest in one spelling, so that equal tables are equal
// texts. Where in the table the address is, is left out.
func ViewQuery(address string) (project ProjectName, query string, err error) {
	if path, rest, ok := strings.Cut(address, "?"); ok && (path == "" || strings.HasSuffix(path, "/runs")) {
		address = rest
	} else if strings.HasSuffix(address, "/runs") {
		address = ""
	}
	address, _, _ = strings.Cut(address, "#")
	q, err := url.ParseQuery(address)
	if err != nil {
		return "", "", Errorf(Invalid, "%q cannot be read as a query: %v: expected one as in the address of the table of runs, such as sort=m.loss&where=p.kind+%%3D+ridge", address, err)
	}
	project = ProjectName(q.Get("project"))
	q.Del("project")
	for name, values := range q {
		fits, known := inView[name]
		values = slices.DeleteFunc(values, func(v string) bool { return v == "" && name != "in" || slices.Contains(besideView, name) })
		if len(values) == 0 {
			delete(q, name)
			continue
		}
		if !known {
			return "", "", Errorf(Invalid, "a table of runs has no %q: expected status, verdict, where, group, in, of, by, fall, sort, down, different or column", name)
		}
		if i := slices.IndexFunc(values, func(v string) bool { return !fits(v) }); i >= 0 {
			return "", "", Errorf(Invalid, "%s=%s: a table of runs has no such %s; its own address shows how that is written", name, values[i], name)
		}
		if q[name] = values; name != "column" {
			q[name] = values[:1]
		}
	}
	needs := map[string]string{"in": "group", "of": "group", "by": "group", "fall": "group", "down": "sort"}
	for name, of := range needs {
		if !q.Has(of) {
			q.Del(name)
		}
	}
	slices.Sort(q["column"])
	q["column"] = slices.Compact(q["column"])
	if query = q.Encode(); len(query) > maxViewQuery {
		return "", "", Errorf(Invalid, "the query of a view has up to %d bytes, this one %d: choose fewer columns", maxViewQuery, len(query))
	}
	return project, query, nil
}
