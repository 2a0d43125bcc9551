package components

import (
	"fmt"
	"math"
	"slices"
)

// A Graph is boxes from left to right, each after those that it needs, drawn
// as SVG.
type Graph struct {
	Label         string // what is to be seen, for those who do not
	Width, Height int
	Nodes         []GraphNode
	Edges         []string // paths
}

// A GraphNode is a box: what it says, where it leads, and how it stands.
type GraphNode struct {
	Name   string
	Note   string // second line: how long, how many
	Title  string // all of it, for who points at the box; empty: name and note
	URL    string
	Tone   string   // as of a Status
	Shares []Share  // of what it stands for many of
	Needs  []string // names of other boxes
	Now    bool     // what is chosen

	X, Y  int
	Shown string // the name, cut to the box
}

// A Share is a part of a box's lower edge: how many of its things stand so.
type Share struct {
	From, Length float64
	Tone         string
}

// GraphMost is how many boxes a graph may have to be of use to anybody, and
// GraphTall how many of them may stand above each other.
const (
	GraphMost = 60
	GraphTall = 16
)

const (
	boxWidth, boxHeight = 150, 44
	boxRight, boxDown   = 50, 14
	boxText             = 19 // runes that fit
	passDown            = 9  // between lines that pass other boxes
)

// NewGraph draws nodes, each in the first column after all that it needs. What
// needs an unknown node, or a later one, does not wait for it. Of nothing, and
// of more than GraphMost or GraphTall, there is no graph.
func NewGraph(label string, nodes []GraphNode) *Graph {
	if len(nodes) == 0 || len(nodes) > GraphMost {
		return nil
	}
	columns, high := Columns(nodes), map[int]int{}
	for _, c := range columns {
		if high[c]++; high[c] > GraphTall {
			return nil
		}
	}
	return DrawGraph(label, nodes, columns, Needs(nodes))
}

// Columns is the first column for each node, from 0, in which it stands after
// all that it needs.
func Columns(nodes []GraphNode) []int {
	columns := make([]int, len(nodes))
	for i, needs := range Needs(nodes) {
		for _, j := range needs {
			columns[i] = max(columns[i], columns[j]+1)
		}
	}
	return columns
}

// Needs is the places of what each node needs of those before it.
func Needs(nodes []GraphNode) [][]int {
	at, needs := make(map[string]int, len(nodes)), make([][]int, len(nodes))
	for i, n := range nodes {
		for _, need := range n.Needs {
			if j, ok := at[need]; ok {
				needs[i] = append(needs[i], j)
			}
		}
		at[n.Name] = i
	}
	return needs
}

// DrawGraph draws nodes in the columns given, from 0: what a node needs, by its
// place among them, stands in an earlier one.
func DrawGraph(label string, nodes []GraphNode, columns []int, needs [][]int) *Graph {
	g := &Graph{Label: label, Nodes: slices.Clone(nodes)}
	l := newLayout(columns, needs)
	l.order()
	l.level()
	left := func(s int) int { return 2 + l.spots[s].column*(boxWidth+boxRight) }
	for i := range g.Nodes {
		n := &g.Nodes[i]
		n.X, n.Y, n.Shown = left(i), l.middle(i)-boxHeight/2, Cut(n.Name, boxText)
	}
	for s, spot := range l.spots {
		g.Width, g.Height = max(g.Width, left(s)+boxWidth+2), max(g.Height, l.middle(s)+spot.high/2+2)
		for _, b := range spot.before {
			g.Edges = append(g.Edges, edge(left(b)+boxWidth, l.middle(b), left(s), l.middle(s), spot.high == 0))
		}
	}
	return g
}

// edge goes to a box, or past it.
func edge(x1, y1, x2, y2 int, past bool) string {
	path := fmt.Sprintf("M%d %d", x1, y1)
	if y1 != y2 {
		mid := (x1 + x2) / 2
		path += fmt.Sprintf("C%d %d %d %d %d %d", mid, y1, mid, y2, x2, y2)
	}
	if past {
		x2 += boxWidth
	}
	if past || y1 == y2 {
		path += fmt.Sprintf("H%d", x2)
	}
	return path
}

// NewShares are parts of a whole, in order, each with its tone; the rest stays
// as it is.
func NewShares(whole int, tones []string, counts []int) (shares []Share) {
	from := 0.0
	for i, n := range counts {
		if n == 0 || whole == 0 {
			continue
		}
		length := math.Round(float64(n)/float64(whole)*boxWidth*10) / 10
		length = min(max(length, 2), boxWidth-from) // one of 5,000 is to be seen
		shares = append(shares, Share{From: from, Length: length, Tone: tones[i]})
		from += length
	}
	return shares
}

// Cut is the text's first runes, with a sign that there are more.
func Cut(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most-1]) + "…"
}

// A Bar is a part of a line of time, drawn as SVG.
type Bar struct {
	From, Length string // of a thousand
	Tone         string
	Label        string
}

// NewBar is from start to end on a line that goes from zero to whole, all in
// seconds.
func NewBar(start, end, whole float64, tone, label string) Bar {
	if whole <= 0 {
		whole = 1
	}
	from := min(max(start/whole*1000, 0), 997)
	return Bar{From: fmt.Sprintf("%.1f", from), Length: fmt.Sprintf("%.1f", min(max((end-start)/whole*1000, 3), 1000-from)), Tone: tone, Label: label}
}
