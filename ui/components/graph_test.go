package components

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func named(n int) []GraphNode {
	nodes := make([]GraphNode, n)
	for i := range nodes {
		nodes[i].Name = fmt.Sprint("step ", i)
	}
	return nodes
}

// In any graph, what a box needs stands to its left, nothing in a column is
// nearer to the next than it may be, and nothing is cut off.
func TestDrawGraph_keeps_apart(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		nodes := named(1 + random.IntN(GraphMost))
		for i := range nodes {
			for j := range i {
				if random.IntN(len(nodes)) < 2 {
					nodes[i].Needs = append(nodes[i].Needs, nodes[j].Name)
				}
			}
		}
		needs := Needs(nodes)
		l := newLayout(Columns(nodes), needs)
		lines := l.crossings()
		l.order()
		l.level()
		if l.crossings() > lines {
			t.Errorf("%d lines cross, %d did before", l.crossings(), lines)
		}
		for _, column := range l.columns {
			for i := 1; i < len(column); i++ {
				if a, b := column[i-1], column[i]; l.spots[b].y-l.spots[a].y < l.apart(a, b)-0.001 {
					t.Fatalf("%v stands on %v", l.spots[b], l.spots[a])
				}
			}
		}
		g := DrawGraph("", nodes, Columns(nodes), needs)
		for i, n := range g.Nodes {
			if n.X < 2 || n.Y < 1 || n.X+boxWidth > g.Width || n.Y+boxHeight > g.Height {
				t.Errorf("%s at %d, %d is not within %d × %d", n.Name, n.X, n.Y, g.Width, g.Height)
			}
			for _, j := range needs[i] {
				if g.Nodes[j].X+boxWidth+boxRight > n.X {
					t.Errorf("%s does not stand before %s", g.Nodes[j].Name, n.Name)
				}
			}
		}
	}
}

// Pairs that were declared crosswise are drawn side by side.
func TestDrawGraph_uncrosses(t *testing.T) {
	nodes := named(20)
	for i := range 10 {
		nodes[10+i].Needs = []string{nodes[9-i].Name}
	}
	l := newLayout(Columns(nodes), Needs(nodes))
	if n := l.crossings(); n != 45 {
		t.Errorf("%d lines cross as they were given", n)
	}
	if l.order(); l.crossings() != 0 {
		t.Errorf("%d lines cross", l.crossings())
	}
	g := NewGraph("", nodes)
	for i := range 10 {
		if a, b := g.Nodes[9-i], g.Nodes[10+i]; a.Y != b.Y {
			t.Errorf("%s is at %d, %s at %d", a.Name, a.Y, b.Name, b.Y)
		}
	}
}

// A chain is a straight line, though some of it needs what was long before; one
// amid several is in the middle of them.
func TestDrawGraph_levels(t *testing.T) {
	nodes := named(6)
	for i := 1; i < len(nodes); i++ {
		nodes[i].Needs = []string{nodes[i-1].Name}
	}
	nodes[5].Needs = append(nodes[5].Needs, nodes[0].Name, nodes[2].Name)
	for _, n := range NewGraph("", nodes).Nodes {
		if n.Y != 2 {
			t.Errorf("%s is at %d", n.Name, n.Y)
		}
	}
	nodes = named(7)
	for i := 1; i < 6; i++ {
		nodes[i].Needs = []string{nodes[0].Name}
		nodes[6].Needs = append(nodes[6].Needs, nodes[i].Name)
	}
	if g := NewGraph("", nodes); g.Nodes[0].Y != g.Nodes[3].Y || g.Nodes[6].Y != g.Nodes[3].Y {
		t.Errorf("%+v", g.Nodes)
	}
}

func TestNewGraph_draws_what_is_of_use(t *testing.T) {
	chain := named(GraphMost + 1)
	for i := 1; i < len(chain); i++ {
		chain[i].Needs = []string{chain[i-1].Name}
	}
	for n, nodes := range map[string][]GraphNode{"none": nil, "many": chain, "high": named(GraphTall + 1)} {
		if NewGraph("", nodes) != nil {
			t.Errorf("%s: there is a graph", n)
		}
	}
	if NewGraph("", chain[:GraphMost]) == nil || NewGraph("", named(GraphTall)) == nil {
		t.Error("there is no graph")
	}
}

func TestNewShares(t *testing.T) {
	got := NewShares(5000, []string{"ok", "bad", "busy"}, []int{4998, 1, 0})
	if len(got) != 2 || got[0].Tone != "ok" || got[1].Tone != "bad" || got[1].Length <= 0 || got[1].From+got[1].Length > boxWidth {
		t.Errorf("%+v", got)
	}
}
