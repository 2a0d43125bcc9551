package ui

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// runGroups are all runs that are chosen, by what they have in common. To group
// a hundred thousand takes a second, so a script fetches them into the page;
// without one, a link does.
type runGroups struct {
	Of     string // the metric that is summed up, m.NAME; empty: none
	Heads  []groupHead
	Lines  []groupLine
	Cut    bool   // there are more groups
	Parts  string // query that asks for the groups
	Inline string // address of the page with the groups in it; empty when they are
}

// A groupHead is a column of the groups.
type groupHead struct {
	Text, Sort, Now string
	Num             bool
}

// A groupLine is a group and, when it is open, its first runs.
type groupLine struct {
	store.RunGroup
	Name     string
	Statuses []components.Status // how many are where
	Table    string              // address of all of its runs
	Toggle   string              // address of the page with this group opened, or closed
	Rows     string              // query that asks for its first runs
	Open     bool
	Runs     []runLine
}

// Most groups on a page, and runs of one that is open.
const (
	mostGroups = 200
	mostOpen   = 20
)

// addGroups has the groups fetched, or puts them into the page itself.
func (u *UI) addGroups(ctx context.Context, out *runsPage, want store.RunFilter, q url.Values) error {
	g := &runGroups{Of: q.Get("of")}
	if g.Of == "" && strings.HasPrefix(out.Chosen.Sort, "m.") {
		g.Of = out.Chosen.Sort
	}
	for _, c := range out.All {
		if g.Of == "" && c.Key[0] == 'm' {
			g.Of = c.Key
		}
	}
	out.Groups = g
	next := maps.Clone(q)
	next.Del(liveParam)
	next.Set("of", g.Of)
	next.Set("inline", "1")
	g.Parts, g.Inline = next.Encode(), with(next, "/runs", "inline", "1")
	if !q.Has("inline") {
		return nil
	}
	g.Inline = ""
	return u.fillGroups(ctx, out, want, q)
}

func (u *UI) fillGroups(ctx context.Context, out *runsPage, want store.RunFilter, q url.Values) error {
	g, order, down := out.Groups, q.Get("by"), q.Get("fall") != ""
	groups, err := u.Store.GroupRuns(ctx, want, store.RunGrouping{By: out.Chosen.Group, Metric: g.Of, Order: order, Down: down, Limit: mostGroups + 1})
	if err != nil {
		return err
	}
	if g.Cut = len(groups) > mostGroups; g.Cut {
		groups = groups[:mostGroups]
	}
	shown := maps.Clone(q)
	shown.Del(liveParam)
	g.head(shown, out.Chosen.Group)
	for _, one := range groups {
		line := groupLine{RunGroup: one, Name: one.Value, Open: slices.Contains(q["open"], one.Value)}
		if line.Name == "" {
			line.Name = "none"
		}
		for _, s := range []string{"queued", "running", "waiting", "succeeded", "failed", "cancelled"} {
			if n := one.Statuses[ridgeline.Status(s)]; n > 0 {
				line.Statuses = append(line.Statuses, components.Status{Word: components.Number(n) + " " + s, Tone: components.NewStatus(s).Tone})
			}
		}
		inside := maps.Clone(shown)
		for _, name := range []string{"open", "of", "by", "fall", "inline"} {
			inside.Del(name)
		}
		inside.Set("in", one.Value)
		line.Table = with(inside, "/runs", "", "")
		inside.Set("of", g.Of)
		line.Rows = inside.Encode()
		toggled := maps.Clone(shown)
		if toggled["open"] = append(slices.Clone(q["open"]), one.Value); line.Open {
			toggled["open"] = slices.DeleteFunc(slices.Clone(q["open"]), func(v string) bool { return v == one.Value })
			if line.Runs, err = u.firstOf(ctx, inside); err != nil {
				return err
			}
		}
		line.Toggle = with(toggled, "/runs", "", "")
		g.Lines = append(g.Lines, line)
	}
	return nil
}

// head makes the columns, each with the address that sorts by it.
func (g *runGroups) head(q url.Values, group string) {
	add := func(text, by string, fall, num bool) {
		next, h := maps.Clone(q), groupHead{Text: text, Num: num}
		now := q.Get("by") == by || q.Get("by") == "" && by == "count"
		next.Set("by", by)
		next.Del("fall")
		if now {
			if h.Now = "ascending"; fall != (q.Get("fall") != "") {
				h.Now = "descending"
			}
			if q.Get("fall") == "" {
				next.Set("fall", "1")
			}
		}
		h.Sort = with(next, "/runs", "", "")
		g.Heads = append(g.Heads, h)
	}
	name := group
	if _, of, ok := strings.Cut(group, "."); ok {
		name = of
	}
	add(name, "value", false, false)
	add("Runs", "count", true, true)
	g.Heads = append(g.Heads, groupHead{Text: "Where they stand"})
	if g.Of != "" {
		of := " " + components.Cut(strings.TrimPrefix(g.Of, "m."), 24)
		add("Least"+of, "least", false, true)
		add("Mean", "mean", false, true)
		add("± std", "deviation", false, true)
		add("Greatest", "greatest", false, true)
		g.Heads = append(g.Heads, groupHead{Text: "Newest", Num: true})
	}
}

// firstOf are the first runs of a group, in the order that the address says.
func (u *UI) firstOf(ctx context.Context, q url.Values) ([]runLine, error) {
	body := newRunsPage(q)
	want, err := body.Chosen.filter()
	if err != nil {
		return nil, err
	}
	want.Limit = mostOpen
	rows, err := u.inOrder(ctx, body.Chosen, want)
	if err != nil {
		return nil, err
	}
	lines, err := u.runLines(ctx, rows, 0)
	for i, l := range lines {
		lines[i].Cells = []cell{l.value(q.Get("of"))}
	}
	return lines, err
}

// runGroups are the groups by themselves.
func (u *UI) runGroups(ctx context.Context, q url.Values) ([]byte, string, error) {
	q.Del("inline")
	body := newRunsPage(q)
	want, err := body.Chosen.filter()
	if err != nil {
		return nil, "", err
	}
	body.Groups = &runGroups{Of: q.Get("of")}
	if err := u.fillGroups(ctx, &body, want, q); err != nil {
		return nil, "", err
	}
	text, err := u.renderPart("runs", "run-groups", body.Groups)
	return text, "text/html; charset=utf-8", err
}

// runsOfGroup are the first runs of one group.
func (u *UI) runsOfGroup(ctx context.Context, q url.Values) ([]byte, string, error) {
	runs, err := u.firstOf(ctx, q)
	if err != nil {
		return nil, "", err
	}
	line := groupLine{Runs: runs}
	q.Del("of")
	line.Table = with(q, "/runs", "", "")
	text, err := u.renderPart("runs", "group-rows", line)
	return text, "text/html; charset=utf-8", err
}
