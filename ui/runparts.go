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

// parts is how many of several steps stand how: of a step's instances, or of a
// layer.
type parts map[ridgeline.Status]int

// partsOf counts the instances of each step that has any.
func partsOf(rows []stepRow) map[string]parts {
	all := map[string]parts{}
	for _, s := range rows {
		if s.Parent == "" {
			continue
		}
		if all[s.Parent] == nil {
			all[s.Parent] = parts{}
		}
		all[s.Parent][s.Status]++
	}
	return all
}

func (p parts) all() (n int) {
	for _, count := range p {
		n += count
	}
	return n
}

// note says how many have ended, and how many of them failed.
func (p parts) note() string {
	done := 0
	for status, n := range p {
		if status.Terminal() {
			done += n
		}
	}
	note := components.Count(done) + "/" + components.Count(p.all())
	if n := p[ridgeline.Failed]; n > 0 {
		note += " · " + components.Count(n) + " failed"
	}
	return note
}

// worstFirst is the statuses of steps, as they are told.
var worstFirst = []ridgeline.Status{ridgeline.Failed, ridgeline.Running, ridgeline.Waiting, ridgeline.Queued, ridgeline.Cancelled, ridgeline.Skipped, ridgeline.Succeeded}

// words says how many stand how.
func (p parts) words() string {
	var words []string
	for _, s := range worstFirst {
		if p[s] > 0 {
			words = append(words, components.Count(p[s])+" "+string(s))
		}
	}
	return strings.Join(words, ", ")
}

// tone is that of the worst; a step that was skipped is no worse than one that
// succeeded.
func (p parts) tone() string {
	for _, s := range worstFirst {
		if p[s] > 0 && (s != ridgeline.Skipped || p[ridgeline.Succeeded] == 0) {
			return components.NewStatus(s).Tone
		}
	}
	return "quiet"
}

func (p parts) shares() []components.Share {
	return components.NewShares(p.all(), []string{"ok", "bad", "busy"}, []int{p[ridgeline.Succeeded], p[ridgeline.Failed], p[ridgeline.Running]})
}

// fill makes the box of a step one for all its instances: it counts them, and
// leads to the list of them.
func (p parts) fill(n *components.GraphNode, s stepRow) {
	n.Note, n.Shares = p.note(), p.shares()
	if p[ridgeline.Failed] > 0 && !s.Status.Terminal() {
		n.Tone = "warn"
	}
	n.Title = s.Name + ": " + p.words()
	n.URL = runURL(s.Run, "of", s.Name) + "#steps"
}

// A partList is which steps are listed where there are many: those that were
// asked for, the failed ones first, page by page.
type partList struct {
	URL            string // of the page
	Many           bool   // there are enough to look for some
	Title          string // what is asked for, but for the names
	Find           string // what their names have in them
	Asked          bool
	Hidden         [][2]string // what a search keeps of the address
	Found          int
	Ranked         bool   // the failed ones come first
	Earlier, Later string // addresses of the other pages; empty: there is none
}

// asks are the parameters by which an address asks for some steps.
var asks = []string{"of", "layer", "before", "after", "find"}

func asked(q url.Values) bool {
	return slices.ContainsFunc(asks, func(name string) bool { return q.Get(name) != "" })
}

// newPartList is what an address asks for; of what is asked for by its place in
// the graph, the names.
func newPartList(q url.Values, g *stepGraph) (l partList, names map[string]bool) {
	l = partList{Title: "Steps", Find: strings.TrimSpace(q.Get("find")), Asked: asked(q)}
	for _, name := range asks {
		if v := q.Get(name); v != "" && name != "find" {
			l.Hidden = append(l.Hidden, [2]string{name, v})
		}
	}
	if of := q.Get("of"); of != "" {
		l.Title = "Instances of " + components.Cut(of, 40)
	}
	if g != nil {
		if some, title, ok := g.among(q); ok {
			l.Title, names = components.Cut(title, 60), some
		}
	}
	return l, names
}

// page notes how many there are, and is which of them are listed here.
func (l *partList) page(found int, q url.Values, at func(pairs ...string) string) (from, to int) {
	from, _ = strconv.Atoi(q.Get("from"))
	from = min(max(from, 0), found)
	to = min(from+mostInstances, found)
	address := func(n int) string {
		pairs := []string{"find", l.Find, "from", strconv.Itoa(n)}
		if n == 0 {
			pairs[3] = ""
		}
		for _, h := range l.Hidden {
			pairs = append(pairs, h[0], h[1])
		}
		return at(pairs...) + "#steps"
	}
	if from > 0 {
		l.Earlier = address(max(from-mostInstances, 0))
	}
	if to < found {
		l.Later = address(to)
	}
	l.Found = found
	return from, to
}

// list chooses the steps that the page lists: where there are many, what was
// declared before its instances.
func (p *runPage) list(all []stepRow, q url.Values, g *stepGraph) {
	l, names := newPartList(q, g)
	l.URL, l.Many = runURL(p.ID), len(all) > mostInstances || p.Large
	if l.Ranked = l.Asked || len(all) > mostInstances; !l.Ranked {
		p.Parts, p.Steps = l, all
		return
	}
	of := q.Get("of")
	var places []int
	for i := range all {
		if s := &all[i]; (of == "" || s.Parent == of || s.Name == of) && (names == nil || names[s.Name]) && strings.Contains(s.Name, l.Find) {
			places = append(places, i)
		}
	}
	rank := func(s *stepRow) int {
		if s.Name == of {
			return -1
		}
		if rank := worth(s.Status); rank < worth(ridgeline.Queued) || s.Parent == "" {
			return rank
		}
		return worth(ridgeline.Queued) + 1
	}
	slices.SortStableFunc(places, func(a, b int) int { return cmp.Compare(rank(&all[a]), rank(&all[b])) })
	from, to := l.page(len(places), q, func(pairs ...string) string { return runURL(p.ID, pairs...) })
	p.Parts, p.Steps = l, nil
	for _, i := range places[from:to] {
		p.Steps = append(p.Steps, all[i])
	}
}

// worth puts what failed first, then what is at work.
func worth(s ridgeline.Status) int {
	switch s {
	case ridgeline.Failed:
		return 0
	case ridgeline.Running:
		return 1
	}
	return 2
}
