package ui

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/track"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// runsPage is a table of runs, newest first or in the order of a value. A window
// of it is in the page; a script fetches the others as they come into sight. All
// that is chosen, and where the window is, is in the address.
type runsPage struct {
	Rows    []runLine
	Groups  *runGroups // in place of rows, when grouped
	Columns []column   // that are shown
	All     []column   // that could be
	First   int        // number of the first row, from 0
	Older   string     // address of the window after this; empty at the end
	Newest  string     // address of the first window; empty there
	Took    column     // how long they ran
	Problem string     // why nothing is shown

	Unsorted string          // address of the same, newest first
	Parts    string          // query, from its ? on, that asks for other rows of just this table; empty: there are no others
	Upto     ridgeline.RunID // the newest run of the table: rows keep their numbers when others come
	Latest   ridgeline.RunID // the newest run that is chosen, whether or not it is in the table
	Size     int             // of the window
	Chosen   runChoice
	Views    viewMenu
	Hidden   [][2]string
}

// A runChoice is what of the address a form on the page shows again.
type runChoice struct {
	Status, Verdict, Sort, Group, Project, Where string
	Different, Down                              bool
	Opened                                       bool   // one group is shown as a table
	In                                           string // the value of that group; empty: those without
}

// A column is a parameter or a metric of the runs on the page.
type column struct {
	Key   string // p.NAME or m.NAME
	Name  string
	Shown bool
	Sort  string // address of the table sorted by it
	Now   string // ascending, descending or empty
}

// A runLine is a run with what the columns show.
type runLine struct {
	ridgeline.Run
	Metrics ridgeline.Metrics
	Cells   []cell
	Seconds float64
	Row     int        // its number in the table, from 0
	Logged  *track.Run // a run that no pipeline started; nil of one that did
}

// Title is what a run is called among others.
func (l runLine) Title() string {
	if l.Logged != nil {
		return components.Cut(cmp.Or(l.Logged.Name, l.Logged.ID), 40)
	}
	return string(l.ID)
}

// URL is the run's page.
func (l runLine) URL() string {
	if l.Logged != nil {
		return components.Path("logged", l.Logged.ID)
	}
	return components.Path("runs", l.ID)
}

// Grouped is the address of the groups that this one is of.
func (p runsPage) Grouped() string {
	next := url.Values{}
	for name, value := range map[string]string{"project": p.Chosen.Project, "status": p.Chosen.Status, "verdict": p.Chosen.Verdict, "where": p.Chosen.Where, "group": p.Chosen.Group} {
		if value != "" {
			next.Set(name, value)
		}
	}
	return with(next, "/runs", "", "")
}

// Index is the row's number as assistive technology counts: from 1, the head of
// the table being the first.
func (l runLine) Index() int { return l.Row + 2 }

// A cell is a value of a column; a number, if it can be read as one.
type cell struct {
	Text   string
	Number float64
	IsNum  bool
}

// Windows of the table, how many columns of each kind it has by itself, and of
// how many runs the columns are.
const (
	windowUsual = 40 // more than a screen has: what is painted first waits for all of it
	windowMost  = 1000
	columnsOwn  = 6
	columnsSeen = 300
)

func (u *UI) runs(mux *http.ServeMux) {
	mux.Handle("GET /runs", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		body, busy, err := u.loadRuns(ctx, r.URL.Query())
		return Page{Title: "Runs", Nav: "runs", Project: ridgeline.ProjectName(body.Chosen.Project), Busy: busy, Template: "runs", Body: body}, err
	}))
	mux.HandleFunc("GET /ui/runs/rows", u.part(u.runRows))
	mux.HandleFunc("GET /ui/runs/marks", u.part(u.runMarks))
	mux.HandleFunc("GET /ui/runs/groups", u.part(u.runGroups))
	mux.HandleFunc("GET /ui/runs/group", u.part(u.runsOfGroup))
}

func (u *UI) loadRuns(ctx context.Context, q url.Values) (out runsPage, busy bool, err error) {
	out = newRunsPage(q)
	want, err := out.Chosen.filter()
	if err == nil {
		err = u.fillRuns(ctx, &out, want, q)
	}
	if ridgeline.CodeOf(err) == ridgeline.Invalid {
		out.Problem, err = err.Error(), nil
	}
	if err == nil {
		out.Views, err = u.viewMenu(ctx, q)
	}
	for _, r := range out.Rows {
		busy = busy || !r.Status.Terminal()
	}
	return out, busy, err
}

func newRunsPage(q url.Values) (out runsPage) {
	out.Chosen = runChoice{
		Status: q.Get("status"), Verdict: q.Get("verdict"), Sort: q.Get("sort"), Group: q.Get("group"), Project: q.Get("project"), Where: q.Get("where"),
		Different: q.Get("different") != "", Down: q.Get("down") != "", Opened: q.Get("group") != "" && q.Has("in"), In: q.Get("in"),
	}
	out.First, out.Size = tableWindow(q)
	out.Upto = ridgeline.RunID(q.Get("upto"))
	return out
}

// filter is what the address chooses of all runs.
func (c runChoice) filter() (want store.RunFilter, err error) {
	want = store.RunFilter{Project: ridgeline.ProjectName(c.Project), Status: ridgeline.Status(c.Status), Verdict: ridgeline.Verdict(c.Verdict)}
	if want.Where, err = store.ParseRunConditions(c.Where); err != nil || !c.Opened {
		return want, err
	}
	switch {
	case c.Group == "project" && c.Project != "" && c.In != c.Project: // who is held to one project asks for that one
		return want, ridgeline.Errorf(ridgeline.Invalid, "a table of runs is of one project: %s and %s are two", c.Project, c.In)
	case c.Group == "project":
		want.Project = ridgeline.ProjectName(c.In)
	case c.Group == "status" && c.Status != "" && c.In != c.Status, c.Group == "verdict" && c.Verdict != "" && c.In != c.Verdict:
		return want, ridgeline.Errorf(ridgeline.Invalid, "no run is %s%s and %q", c.Status, c.Verdict, c.In)
	case c.Group == "status":
		want.Status = ridgeline.Status(c.In)
	case c.Group == "verdict":
		want.Verdict, want.Unjudged = ridgeline.Verdict(c.In), c.In == ""
	case c.In == "":
		want.Where = append(want.Where, store.RunCondition{Names: []string{c.Group}, Op: store.Lacks})
	default:
		want.Where = append(want.Where, store.RunCondition{Names: []string{c.Group}, Op: store.Is, Value: c.In})
	}
	return want, nil
}

// fillRuns reads the window that the address asks for, and what columns there are.
func (u *UI) fillRuns(ctx context.Context, out *runsPage, want store.RunFilter, q url.Values) error {
	known, err := u.Store.RunColumns(ctx, want, columnsSeen)
	if err != nil {
		return err
	}
	if out.Chosen.Group == "" || out.Chosen.Opened {
		if err := u.readWindow(ctx, out, want, q); err != nil {
			return err
		}
	}
	out.arrange(q, known)
	if out.Chosen.Group != "" && !out.Chosen.Opened {
		return u.addGroups(ctx, out, want, q)
	}
	return nil
}

func (u *UI) readWindow(ctx context.Context, out *runsPage, want store.RunFilter, q url.Values) error {
	plain := out.Chosen.Sort == ""
	if plain && (out.First > 0 || out.Upto != "") {
		want.Limit = 1
		newest, err := u.Store.Runs(ctx, want)
		if err != nil {
			return err
		}
		for _, r := range newest {
			out.Latest = r.ID
		}
		out.Upto = cmp.Or(out.Upto, out.Latest)
	}
	want.Upto, want.Before, want.Skip, want.Limit = out.Upto, ridgeline.RunID(q.Get("before")), out.First, out.Size+1
	rows, err := u.inOrder(ctx, out.Chosen, want)
	if err != nil {
		return err
	}
	here := maps.Clone(q)
	if plain && len(rows) > 0 && out.Upto == "" {
		out.Upto, out.Latest = rows[0].ID, rows[0].ID
	}
	if len(rows) > out.Size {
		rows = rows[:out.Size]
		if out.Upto != "" {
			here.Set("upto", string(out.Upto))
		}
		out.Older = with(here, "/runs", "skip", strconv.Itoa(out.First+out.Size))
	}
	if q.Get("before") != "" || out.First > 0 {
		here.Del("skip")
		here.Del("upto")
		out.Newest = with(here, "/runs", "before", "")
	}
	out.Rows, err = u.runLines(ctx, rows, out.First)
	return err
}

// inOrder reads runs in the order that is chosen.
func (u *UI) inOrder(ctx context.Context, c runChoice, want store.RunFilter) ([]ridgeline.Run, error) {
	if c.Sort == "" {
		return u.Store.Runs(ctx, want)
	}
	return u.Store.RunsByValue(ctx, want, c.Sort, c.Down)
}

// runLines adds what the runs measured; the first of them has that number.
func (u *UI) runLines(ctx context.Context, rows []ridgeline.Run, first int) ([]runLine, error) {
	ids := make([]ridgeline.RunID, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	metrics, err := u.Store.RunMetrics(ctx, ids)
	lines := make([]runLine, len(rows))
	for i, r := range rows {
		lines[i] = runLine{Run: r, Metrics: metrics[r.ID], Row: first + i}
		if !r.Started.IsZero() && !r.Ended.IsZero() {
			lines[i].Seconds = r.Ended.Sub(r.Started).Seconds()
		}
	}
	return lines, err
}

// with is the address with one thing changed.
func with(q url.Values, path, name, value string) string {
	next := maps.Clone(q)
	next.Del(liveParam)
	if next.Del(name); value != "" {
		next.Set(name, value)
	}
	if len(next) == 0 {
		return path
	}
	return path + "?" + next.Encode()
}

// value is the run's cell of a column.
func (l runLine) value(key string) cell {
	kind, name, _ := strings.Cut(key, ".")
	if kind == "m" {
		f, ok := l.Metrics[name]
		if !ok {
			return cell{}
		}
		return cell{components.Number(f), f, true}
	}
	text := l.Params[name]
	f, err := strconv.ParseFloat(text, 64)
	return cell{text, f, err == nil}
}

// columnsOf are the parameters and metrics of the runs, by name; different
// leaves out those that are the same for all.
func columnsOf(lines []runLine, different bool) (all []column) {
	values := map[string]map[string]bool{}
	note := func(key, text string) {
		if values[key] == nil {
			values[key] = map[string]bool{}
		}
		values[key][text] = true
	}
	for _, l := range lines {
		for name := range l.Params {
			note("p."+name, "")
		}
		for name := range l.Metrics {
			note("m."+name, "")
		}
	}
	for key, seen := range values {
		clear(seen)
		for _, l := range lines {
			note(key, l.value(key).Text)
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(values), paramsFirst) {
		if echoes(lines, key) {
			continue
		}
		if !different || len(values[key]) > 1 {
			all = append(all, column{Key: key, Name: key[2:]})
		}
	}
	return all
}

// paramsFirst is the order of columns. What the machine did comes last.
func paramsFirst(a, b string) int {
	system := func(key string) int {
		if isSystem(key[2:]) {
			return 1
		}
		return 0
	}
	return cmp.Or(-cmp.Compare(a[0], b[0]), system(a)-system(b), cmp.Compare(a, b))
}

// differs reports whether a column is not the same in all rows.
func differs(lines []runLine, key string) bool {
	return slices.ContainsFunc(lines, func(l runLine) bool { return l.value(key).Text != lines[0].value(key).Text })
}

// echoes reports whether a metric only repeats the parameter of its name, as
// some scripts log their parameters.
func echoes(lines []runLine, key string) bool {
	name, metric := strings.CutPrefix(key, "m.")
	if !metric {
		return false
	}
	return !slices.ContainsFunc(lines, func(l runLine) bool {
		m, p := l.value(key), l.value("p."+name)
		return m.IsNum && (!p.IsNum || p.Number != m.Number)
	})
}

// arrange chooses columns as the address says: of those that the newest runs are
// known to have, that the rows have, and that it asks for.
func (p *runsPage) arrange(q url.Values, known []store.RunColumn) {
	asked, differ := q["column"], map[string]bool{}
	for _, c := range known {
		differ[c.Name] = c.Differs
	}
	for _, c := range columnsOf(p.Rows, false) {
		differ[c.Key] = differ[c.Key] || differs(p.Rows, c.Key)
	}
	for _, key := range asked {
		if strings.HasPrefix(key, "p.") || strings.HasPrefix(key, "m.") {
			differ[key] = true
		}
	}
	keys := slices.DeleteFunc(slices.SortedFunc(maps.Keys(differ), paramsFirst), func(key string) bool {
		return p.Chosen.Different && !differ[key] || !slices.Contains(asked, key) && len(p.Rows) > 0 && echoes(p.Rows, key)
	})
	t := tableAt{"/runs", q, p.Chosen.Sort, p.Chosen.Down}
	p.All, p.Columns = t.columns(keys)
	fillCells(p.Rows, p.Columns)
	p.Unsorted, p.Parts = t.unsorted(), t.parts(p.Columns)
	p.Took.Sort, p.Took.Now = t.sorted(store.Took)
	for name, values := range q {
		if !slices.Contains(inForm, name) && !slices.Contains(inWindow, name) && name != liveParam {
			p.Hidden = append(p.Hidden, [2]string{name, values[0]})
		}
	}
	slices.SortFunc(p.Hidden, func(a, b [2]string) int { return cmp.Compare(a[0], b[0]) })
}

// inForm are what the form of the page asks for, and what another choice ends.
var inForm = []string{"column", "different", "group", "status", "verdict", "where", "in", "open", "of", "by", "fall", "inline"}
