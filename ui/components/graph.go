package components

import (
	"fmt"
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
	Name  string
	Note  string // second line: how long, how many
	URL   string
	Tone  string   // as of a Status
	Needs []string // names of other boxes
	Now   bool     // what is chosen

	X, Y  int
	Shown string // the name, cut to the box
}

// GraphMost is how many boxes a graph may have to be of use to anybody.
const GraphMost = 60

const (
	boxWidth, boxHeight = 150, 44
	boxRight, boxDown   = 50, 14
	boxText             = 19 // runes that fit
)

// NewGraph lays nodes out: each in the first column after all that it needs,
// in the order given. What needs an unknown node does not wait for it. Of
// nothing, and of more than GraphMost, there is no graph.
func NewGraph(label string, nodes []GraphNode) *Graph {
	if len(nodes) == 0 || len(nodes) > GraphMost {
		return nil
	}
	at := make(map[string]int, len(nodes))
	for i, n := range nodes {
		at[n.Name] = i
	}
	columns, rows := make([]int, len(nodes)), map[int]int{}
	for i, n := range nodes {
		for _, need := range n.Needs {
			if j, ok := at[need]; ok && j < i {
				columns[i] = max(columns[i], columns[j]+1)
			}
		}
	}
	g := &Graph{Label: label, Nodes: slices.Clone(nodes)}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		n.X = 2 + columns[i]*(boxWidth+boxRight)
		n.Y = 2 + rows[columns[i]]*(boxHeight+boxDown)
		rows[columns[i]]++
		g.Width, g.Height = max(g.Width, n.X+boxWidth+2), max(g.Height, n.Y+boxHeight+2)
		n.Shown = Cut(n.Name, boxText)
	}
	for i, n := range g.Nodes {
		for _, need := range n.Needs {
			if j, ok := at[need]; ok && j < i {
				g.Edges = append(g.Edges, edge(g.Nodes[j], n))
			}
		}
	}
	return g
}

func edge(from, to GraphNode) string {
	x1, y1, x2, y2 := from.X+boxWidth, from.Y+boxHeight/2, to.X, to.Y+boxHeight/2
	mid := x2 - boxRight/2
	return fmt.Sprintf("M%d %d H%d C%d %d %d %d %d %d", x1, y1, mid-boxRight/2, mid, y1, mid, y2, x2, y2)
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
