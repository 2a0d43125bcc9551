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
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// runsPage is a table of runs: so many of them, newest first or in the order of
// a value, which is looked for among all. They are grouped among themselves. All
// that is chosen is in the address.
type runsPage struct {
	Rows    []runLine
	Groups  []runGroup // in place of rows, when grouped
	Columns []column   // that are shown
	All     []column   // that could be
	Older   string     // address of the window after this; empty at the end
	Newest  string     // address of the first window; empty there
	Took    column     // how long they ran
	Problem string     // why nothing is shown

	Unsorted, Thousand string // addresses of the same, newest first, and of more of it
	Size               int    // of the window
	Chosen             runChoice
	Hidden             [][2]string
}

// A runChoice is what of the address a form on the page shows again.
type runChoice struct {
	Status, Verdict, Sort, Group, Project, Where string
	Different                                    bool
	Down                                         bool
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
}

// A cell is a value of a column; a number, if it can be read as one.
type cell struct {
	Text   string
	Number float64
	IsNum  bool
}

// A runGroup is the runs that have a value in common: of each column, the mean.
type runGroup struct {
	Name  string
	Count int
	Cells []cell
}

// Windows of the table, and how many columns it has by itself.
const (
	windowUsual = 100
	windowMost  = 1000
	columnsOwn  = 6
)

func (u *UI) runs(mux *http.ServeMux) {
	mux.Handle("GET /runs", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		body, busy, err := u.loadRuns(ctx, r.URL.Query())
		return Page{Title: "Runs", Nav: "runs", Project: ridgeline.ProjectName(body.Chosen.Project), Busy: busy, Template: "runs", Body: body}, err
	}))
}

func (u *UI) loadRuns(ctx context.Context, q url.Values) (out runsPage, busy bool, err error) {
	out.Chosen = runChoice{q.Get("status"), q.Get("verdict"), q.Get("sort"), q.Get("group"), q.Get("project"), q.Get("where"), q.Get("different") != "", q.Get("down") != ""}
	out.Size = windowUsual
	if out.Chosen.Group != "" {
		out.Size = windowMost
	}
	if n, err := strconv.Atoi(q.Get("window")); err == nil {
		out.Size = min(max(n, 1), windowMost)
	}
	rows, err := u.chosenRuns(ctx, &out, q)
	if ridgeline.CodeOf(err) == ridgeline.Invalid {
		out.Problem, err = err.Error(), nil
	}
	if err != nil {
		return out, false, err
	}
	if out.Rows, err = u.runLines(ctx, rows); err != nil {
		return out, false, err
	}
	for _, r := range rows {
		busy = busy || !r.Status.Terminal()
	}
	out.arrange(q)
	return out, busy, nil
}

// chosenRuns reads the window that the address asks for.
func (u *UI) chosenRuns(ctx context.Context, out *runsPage, q url.Values) (rows []ridgeline.Run, err error) {
	want := store.RunFilter{
		Project: ridgeline.ProjectName(out.Chosen.Project), Status: ridgeline.Status(out.Chosen.Status), Verdict: ridgeline.Verdict(out.Chosen.Verdict),
		Before: ridgeline.RunID(q.Get("before")), Limit: out.Size + 1,
	}
	if want.Where, err = store.ParseRunConditions(out.Chosen.Where); err != nil {
		return nil, err
	}
	skip, _ := strconv.Atoi(q.Get("skip"))
	skip = max(skip, 0)
	if by := out.Chosen.Sort; by != "" {
		rows, err = u.Store.RunsByValue(ctx, want, by, out.Chosen.Down, skip)
	} else {
		rows, err = u.Store.Runs(ctx, want)
	}
	if len(rows) > out.Size {
		rows = rows[:out.Size]
		out.Older = with(q, "/runs", "before", string(rows[out.Size-1].ID))
		if out.Chosen.Sort != "" {
			out.Older = with(q, "/runs", "skip", strconv.Itoa(skip+out.Size))
		}
	}
	if q.Get("before") != "" || skip > 0 {
		first := maps.Clone(q)
		first.Del("skip")
		out.Newest = with(first, "/runs", "before", "")
	}
	return rows, err
}

func (u *UI) runLines(ctx context.Context, rows []ridgeline.Run) ([]runLine, error) {
	ids := make([]ridgeline.RunID, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	metrics, err := u.Store.RunMetrics(ctx, ids)
	lines := make([]runLine, len(rows))
	for i, r := range rows {
		lines[i] = runLine{Run: r, Metrics: metrics[r.ID]}
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
	for _, key := range slices.SortedFunc(maps.Keys(values), func(a, b string) int { // parameters first
		return cmp.Or(-cmp.Compare(a[0], b[0]), cmp.Compare(a, b))
	}) {
		if echoes(lines, key) {
			continue
		}
		if !different || len(values[key]) > 1 {
			all = append(all, column{Key: key, Name: key[2:]})
		}
	}
	return all
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

// arrange chooses columns, sorts and groups as the address says.
func (p *runsPage) arrange(q url.Values) {
	p.All = columnsOf(p.Rows, p.Chosen.Different)
	asked := q["column"]
	own := map[byte]int{}
	for i := range p.All {
		c := &p.All[i]
		own[c.Key[0]]++
		c.Shown = slices.Contains(asked, c.Key) || len(asked) == 0 && own[c.Key[0]] <= columnsOwn
		c.Sort, c.Now = sorted(q, c.Key, p.Chosen)
		if c.Shown {
			p.Columns = append(p.Columns, *c)
		}
	}
	for i, r := range p.Rows {
		p.Rows[i].Cells = make([]cell, len(p.Columns))
		for j, c := range p.Columns {
			p.Rows[i].Cells[j] = r.value(c.Key)
		}
	}
	unsorted := maps.Clone(q)
	unsorted.Del("skip")
	unsorted.Del("down")
	p.Unsorted, p.Thousand = with(unsorted, "/runs", "sort", ""), with(q, "/runs", "window", strconv.Itoa(windowMost))
	p.Took.Sort, p.Took.Now = sorted(q, store.Took, p.Chosen)
	for name, values := range q {
		if !slices.Contains(inForm, name) && name != liveParam {
			p.Hidden = append(p.Hidden, [2]string{name, values[0]})
		}
	}
	slices.SortFunc(p.Hidden, func(a, b [2]string) int { return cmp.Compare(a[0], b[0]) })
	if p.Chosen.Group != "" {
		p.Groups = grouped(p.Rows, p.Columns, p.Chosen.Group)
	}
}

// inForm are what the form of the page asks for, or what another choice ends.
var inForm = []string{"column", "different", "group", "status", "verdict", "where", "before", "skip"}

// sorted is the address that sorts by a column, the other way round when it
// does already, and which way it does now.
func sorted(q url.Values, key string, now runChoice) (address, way string) {
	next := maps.Clone(q)
	next.Set("sort", key)
	for _, name := range []string{"down", "before", "skip"} {
		next.Del(name)
	}
	if now.Sort == key {
		way = "ascending"
		if now.Down {
			way = "descending"
		} else {
			next.Set("down", "1")
		}
	}
	return with(next, "/runs", "", ""), way
}

func grouped(rows []runLine, columns []column, by string) (groups []runGroup) {
	at, members := map[string]int{}, [][]runLine{}
	for _, r := range rows {
		name := r.groupName(by)
		i, ok := at[name]
		if !ok {
			i = len(groups)
			at[name] = i
			groups, members = append(groups, runGroup{Name: name}), append(members, nil)
		}
		groups[i].Count++
		members[i] = append(members[i], r)
	}
	for i := range groups {
		for j := range columns {
			groups[i].Cells = append(groups[i].Cells, meanCell(members[i], j))
		}
	}
	return groups
}

func (l runLine) groupName(by string) string {
	switch by {
	case "status":
		return string(l.Status)
	case "verdict":
		return cmp.Or(string(l.Verdict), "no verdict")
	case "project":
		return string(l.Project)
	}
	return cmp.Or(l.value(by).Text, "–")
}

// meanCell is the mean of a column and its standard deviation; of words, how
// many there are.
func meanCell(rows []runLine, column int) cell {
	var numbers []float64
	words := map[string]bool{}
	for _, r := range rows {
		if c := r.Cells[column]; c.IsNum {
			numbers = append(numbers, c.Number)
		} else if c.Text != "" {
			words[c.Text] = true
		}
	}
	if len(numbers) == 0 {
		if len(words) == 0 {
			return cell{}
		}
		return cell{Text: components.Plural(len(words), "value", "values")}
	}
	mean, std := spread(numbers)
	text := components.Number(mean)
	if len(numbers) > 1 {
		text += " ± " + components.Number(std)
	}
	return cell{text, mean, true}
}
