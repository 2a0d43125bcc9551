package ui

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// parts is how the instances of a step stand.
type parts struct{ All, Done, Failed int }

// partsOf counts the instances of each step that has any.
func partsOf(rows []stepRow) map[string]parts {
	all := map[string]parts{}
	for _, s := range rows {
		if s.Parent == "" {
			continue
		}
		p := all[s.Parent]
		p.All++
		if s.Status.Terminal() {
			p.Done++
		}
		if s.Status == ridgeline.Failed {
			p.Failed++
		}
		all[s.Parent] = p
	}
	return all
}

// fill makes the box of a step one for all its instances: it counts them, and
// leads to the list of them.
func (p parts) fill(n *components.GraphNode, s stepRow) {
	n.Note = components.Count(p.Done) + "/" + components.Count(p.All)
	if p.Failed > 0 {
		n.Note += " · " + components.Count(p.Failed) + " failed"
		if !s.Status.Terminal() {
			n.Tone = "warn"
		}
	}
	n.URL = runURL(s.Run, "of", s.Name) + "#steps"
}

// A partList is which steps of a run that has many are listed: those that were
// looked for, the failed ones first, page by page.
type partList struct {
	Many           bool   // there are enough to look for some
	Of             string // only this step and its instances; empty: all
	Find           string // what their names have in them
	Asked          bool
	Found          int
	Earlier, Later string // addresses of the other pages; empty: there is none
}

// list chooses the steps that the page lists.
func (p *runPage) list(all []stepRow, q url.Values) {
	l := partList{Many: len(all) > mostInstances, Of: q.Get("of"), Find: strings.TrimSpace(q.Get("find"))}
	if l.Asked = l.Of != "" || l.Find != ""; !l.Asked {
		p.Parts = l
		p.Steps, p.Hidden = fewer(all, q.Has("all"))
		return
	}
	var rows []stepRow
	for _, s := range all {
		if (l.Of == "" || s.Parent == l.Of || s.Name == l.Of) && strings.Contains(s.Name, l.Find) {
			rows = append(rows, s)
		}
	}
	rank := func(s stepRow) int {
		switch {
		case s.Name == l.Of:
			return 0
		case s.Status == ridgeline.Failed:
			return 1
		case s.Status == ridgeline.Running:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(rows, func(a, b stepRow) int { return cmp.Compare(rank(a), rank(b)) })
	from, _ := strconv.Atoi(q.Get("from"))
	from = min(max(from, 0), len(rows))
	to := min(from+mostInstances, len(rows))
	at := func(n int) string {
		place := ""
		if n > 0 {
			place = strconv.Itoa(n)
		}
		return runURL(p.ID, "of", l.Of, "find", l.Find, "from", place) + "#steps"
	}
	if from > 0 {
		l.Earlier = at(max(from-mostInstances, 0))
	}
	if to < len(rows) {
		l.Later = at(to)
	}
	l.Found = len(rows)
	p.Parts, p.Steps = l, rows[from:to]
}
