package ui

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// A stepGraph is all steps of a run or a pipeline, and what they need, of which
// a page draws as much as it has room for.
type stepGraph struct {
	label string
	nodes []components.GraphNode // each after what it needs
	stand []ridgeline.Status     // of each node; nil: it is a pipeline's
	at    func(pairs ...string) string

	layers        []int // of each node, from 0
	needs, needed [][]int
}

// A graphView is what a page shows of a stepGraph: all of it or, where that is
// too much, its layers, and one step amid what it needs and what needs it.
type graphView struct {
	Graph  *components.Graph
	Around *components.Graph // nil: Graph has all steps, or there is no such step
	Centre string
	Below  string // where on the page the centre's log is; empty: nowhere
	Large  bool
}

// mostBoxes is how many boxes of layers a graph has, and mostBeside how many
// steps stand on each side of the one in the middle, at each of two distances.
const (
	mostBoxes  = 24
	mostBeside = 8
)

func newStepGraph(label string, nodes []components.GraphNode, stand []ridgeline.Status, at func(pairs ...string) string) *stepGraph {
	g := &stepGraph{label: label, nodes: nodes, stand: stand, at: at, layers: components.Columns(nodes), needs: components.Needs(nodes), needed: make([][]int, len(nodes))}
	for i, needs := range g.needs {
		for _, j := range needs {
			g.needed[j] = append(g.needed[j], i)
		}
	}
	return g
}

// view draws what fits on a page, around the named step.
func (g *stepGraph) view(centre string, q url.Values) (v graphView) {
	if v.Graph = components.NewGraph(g.label, g.nodes); v.Graph != nil || len(g.nodes) == 0 {
		return v
	}
	i := slices.IndexFunc(g.nodes, func(n components.GraphNode) bool { return n.Name == centre })
	v.Large, v.Graph = true, g.overview(i, q.Get("layer"))
	if i >= 0 && (q.Has("step") || !asked(q)) {
		v.Centre, v.Around = centre, g.around(i)
	}
	return v
}

// overview has a box for each layer: the steps of one depth, or of several where
// there are many depths. A layer of one step is that step.
func (g *stepGraph) overview(centre int, chosen string) *components.Graph {
	deep := slices.Max(g.layers) + 1
	band := (deep + mostBoxes - 1) / mostBoxes
	members := make([][]int, (deep+band-1)/band)
	for i, l := range g.layers {
		members[l/band] = append(members[l/band], i)
	}
	boxes, columns, needs := make([]components.GraphNode, len(members)), make([]int, len(members)), make([][]int, len(members))
	from, _, layer := layersOf(chosen)
	for b, steps := range members {
		columns[b] = b
		if len(steps) == 1 {
			boxes[b] = g.step(steps[0])
		} else {
			boxes[b] = g.layer(b*band, min((b+1)*band, deep), steps)
		}
		boxes[b].Now = layer && from/band == b || !layer && slices.Contains(steps, centre)
		joined := make([]bool, b+1)
		for _, i := range steps {
			for _, j := range g.needs[i] {
				joined[g.layers[j]/band] = true
			}
		}
		for j := range b {
			if joined[j] {
				needs[b] = append(needs[b], j)
			}
		}
	}
	return components.DrawGraph(g.label+", by layers", boxes, columns, needs)
}

// layer is the box of the layers from one up to another, from 0.
func (g *stepGraph) layer(from, to int, steps []int) components.GraphNode {
	which := strconv.Itoa(from + 1)
	if to > from+1 {
		which += "-" + strconv.Itoa(to)
	}
	return g.sum(components.GraphNode{Name: layerName(from, to), URL: g.at("layer", which) + "#steps"}, steps)
}

func layerName(from, to int) string {
	if to > from+1 {
		return fmt.Sprintf("Layers %d–%d", from+1, to)
	}
	return "Layer " + strconv.Itoa(from+1)
}

// layersOf reads which layers an address asks for, such as 3 or 13-24.
func layersOf(text string) (from, to int, ok bool) {
	first, last, several := strings.Cut(text, "-")
	from, err := strconv.Atoi(first)
	if to = from; several && err == nil {
		to, err = strconv.Atoi(last)
	}
	return from - 1, to, err == nil && from > 0
}

// sum makes a box one of several steps.
func (g *stepGraph) sum(n components.GraphNode, steps []int) components.GraphNode {
	n.Note, n.Tone = components.Plural(len(steps), "step", "steps"), "quiet"
	n.Title = n.Name + ": " + n.Note
	if g.stand != nil {
		p := parts{}
		for _, i := range steps {
			p[g.stand[i]]++
		}
		n.Title += ", " + p.words()
		n.Note, n.Tone, n.Shares = p.note(), p.tone(), p.shares()
	}
	return n
}

// step is the box of one step, by which one walks through the graph.
func (g *stepGraph) step(i int) components.GraphNode {
	n := g.nodes[i]
	if !strings.HasSuffix(n.URL, "#steps") { // that leads to the list of its instances
		n.URL = g.at("step", n.Name) + "#around"
	}
	return n
}

// An amid is a box around a step: of one step, or of several others that are as
// near, or farther away.
type amid struct {
	components.GraphNode
	steps     []int
	near, far bool
}

// around draws a step, what it needs and what needs it, two steps each way. Of
// too many, one box leads to the other nearest, and one to all farther away. The
// graph's own order is that of its boxes, so that lines only go to later ones.
func (g *stepGraph) around(centre int) *components.Graph {
	before, near, far := g.pick(centre, g.needs)
	var boxes []amid
	boxes = g.others(boxes, "before", centre, amid{steps: far, far: true})
	for _, i := range before {
		boxes = append(boxes, amid{GraphNode: g.step(i), steps: []int{i}})
	}
	boxes = g.others(boxes, "before", centre, amid{steps: near, near: true})
	middle := len(boxes)
	boxes = append(boxes, amid{GraphNode: g.step(centre), steps: []int{centre}})
	boxes[middle].Now = true
	after, near, far := g.pick(centre, g.needed)
	for _, i := range after {
		boxes = append(boxes, amid{GraphNode: g.step(i), steps: []int{i}})
	}
	boxes = g.others(boxes, "after", centre, amid{steps: near, near: true})
	boxes = g.others(boxes, "after", centre, amid{steps: far, far: true})
	needs, nodes := g.between(boxes, middle), make([]components.GraphNode, len(boxes))
	for b := range boxes {
		nodes[b] = boxes[b].GraphNode
	}
	return components.DrawGraph("what "+g.nodes[centre].Name+" needs, and what needs it", nodes, beside(needs, middle), needs)
}

// others adds the box of those that are not shown, which leads to all on the way
// from the step in the middle; where it is one, its own.
func (g *stepGraph) others(boxes []amid, way string, centre int, b amid) []amid {
	switch len(b.steps) {
	case 0:
		return boxes
	case 1:
		return append(boxes, amid{GraphNode: g.step(b.steps[0]), steps: b.steps})
	}
	b.GraphNode = g.sum(components.GraphNode{Name: "and " + components.Count(len(b.steps)) + " more", URL: g.at(way, g.nodes[centre].Name) + "#steps"}, b.steps)
	return append(boxes, b)
}

// reach is how far every step is from one on a way, and 0 of those that are not
// on it.
func (g *stepGraph) reach(from int, ways [][]int) []int {
	far := make([]int, len(g.nodes))
	for queue := []int{from}; len(queue) > 0; queue = queue[1:] {
		for _, i := range ways[queue[0]] {
			if far[i] == 0 {
				far[i] = far[queue[0]] + 1
				queue = append(queue, i)
			}
		}
	}
	return far
}

// pick chooses those that are shown of the nearest, and of what these lead to: the
// failed ones first, then those at work. The others are the near or the far ones.
func (g *stepGraph) pick(centre int, ways [][]int) (shown, near, far []int) {
	distance := g.reach(centre, ways)
	first := func(steps []int) (some, others []int) {
		if g.stand != nil {
			slices.SortStableFunc(steps, func(a, b int) int { return cmp.Compare(worth(g.stand[a]), worth(g.stand[b])) })
		}
		most := min(mostBeside, len(steps))
		if len(steps) == mostBeside+1 {
			most++ // rather than a box that says there is one more
		}
		return steps[:most:most], steps[most:]
	}
	for i, d := range distance {
		if d == 1 {
			near = append(near, i)
		}
	}
	shown, near = first(near)
	var next []int
	for _, i := range shown {
		next = append(next, ways[i]...)
	}
	slices.Sort(next)
	next = slices.DeleteFunc(slices.Compact(next), func(i int) bool { return distance[i] != 2 })
	next, _ = first(next)
	shown = append(shown, next...)
	slices.Sort(shown)
	for i, d := range distance {
		if _, ok := slices.BinarySearch(shown, i); d > 1 && !ok {
			far = append(far, i)
		}
	}
	return shown, near, far
}

// between is which boxes need which earlier ones on the same side of the middle.
// The others that are near are joined to the middle and to what is far alone.
func (g *stepGraph) between(boxes []amid, middle int) [][]int {
	box := map[int]int{}
	for b := range boxes {
		for _, i := range boxes[b].steps {
			box[i] = b
		}
	}
	needs := make([][]int, len(boxes))
	for b, to := range boxes {
		for _, i := range to.steps {
			for _, j := range g.needs[i] {
				from, ok := box[j]
				if !ok || from >= b || b > middle && from < middle || to.near && !boxes[from].far && from != middle || slices.Contains(needs[b], from) {
					continue
				}
				needs[b] = append(needs[b], from)
			}
		}
	}
	return needs
}

// beside is the column of each box: as near as may be to the middle.
func beside(needs [][]int, middle int) []int {
	columns := make([]int, len(needs))
	for b := middle; b >= 0; b-- {
		for _, from := range needs[b] {
			columns[from] = min(columns[from], columns[b]-1)
		}
	}
	first := slices.Min(columns)
	for b := range columns {
		if columns[b] -= first; b > middle {
			columns[b] = columns[middle]
			for _, from := range needs[b] {
				columns[b] = max(columns[b], columns[from]+1)
			}
		}
	}
	return columns
}

// among is the names of the steps that an address asks for by their place in the
// graph, and what these are called; false: it asks for none.
func (g *stepGraph) among(q url.Values) (names map[string]bool, title string, ok bool) {
	in := func(int) bool { return false }
	way := func(name string, ways [][]int) {
		if i := slices.IndexFunc(g.nodes, func(n components.GraphNode) bool { return n.Name == name }); i >= 0 {
			far := g.reach(i, ways)
			in = func(i int) bool { return far[i] > 0 }
		}
	}
	switch {
	case q.Get("layer") != "":
		from, to, known := layersOf(q.Get("layer"))
		title = "Steps of layer " + q.Get("layer")
		in = func(i int) bool { return known && g.layers[i] >= from && g.layers[i] < to }
	case q.Get("before") != "":
		title = "Steps before " + q.Get("before")
		way(q.Get("before"), g.needs)
	case q.Get("after") != "":
		title = "Steps after " + q.Get("after")
		way(q.Get("after"), g.needed)
	default:
		return nil, "", false
	}
	names = map[string]bool{}
	for i, n := range g.nodes {
		if in(i) {
			names[n.Name] = true
		}
	}
	return names, title, true
}
