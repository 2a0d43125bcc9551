package components

import (
	"cmp"
	"slices"
)

// A layout finds where the boxes of a graph stand in their columns, as Sugiyama,
// Tagawa and Toda do (1981): lines to a later column pass those between in a lane
// of their own, so no box hides one; the order within columns has few crossings;
// and what belongs together stands at one height where there is room.
type layout struct {
	spots   []spot // the boxes, then where lines pass
	columns [][]int
}

// A spot is a place in a column: a box, or where lines of one box pass.
type spot struct {
	column, high  int     // high is 0 where lines pass
	before, after []int   // spots in the columns beside it that it is joined to
	y             float64 // of its middle
}

// rounds is how often order and heights are put right from both sides: they
// change little after a few.
const rounds = 8

func newLayout(columns []int, needs [][]int) *layout {
	l := &layout{}
	for _, c := range columns {
		l.add(c, boxHeight)
	}
	lanes := map[[2]int]int{} // by box and column
	for to := range needs {
		for _, from := range needs[to] {
			last := from
			for c := columns[from] + 1; c < columns[to]; c++ {
				lane, ok := lanes[[2]int{from, c}]
				if !ok {
					lane = l.add(c, 0)
					lanes[[2]int{from, c}] = lane
					l.join(last, lane)
				}
				last = lane
			}
			if !slices.Contains(l.spots[to].before, last) {
				l.join(last, to)
			}
		}
	}
	return l
}

func (l *layout) add(column, high int) int {
	for len(l.columns) <= column {
		l.columns = append(l.columns, nil)
	}
	l.columns[column] = append(l.columns[column], len(l.spots))
	l.spots = append(l.spots, spot{column: column, high: high})
	return len(l.spots) - 1
}

func (l *layout) join(from, to int) {
	l.spots[from].after = append(l.spots[from].after, to)
	l.spots[to].before = append(l.spots[to].before, from)
}

// order puts each column in the order of the means of what its spots are joined
// to, from the left and from the right in turn, and keeps the first of the
// orders with the fewest crossings.
func (l *layout) order() {
	best, fewest := l.orders(), l.crossings()
	for round := 0; round < rounds && fewest > 0; round++ {
		place := l.places()
		for i := range l.columns {
			if round%2 == 1 {
				i = len(l.columns) - 1 - i
			}
			column := l.columns[i]
			mean := map[int]float64{}
			for _, s := range column {
				beside := l.spots[s].before
				if round%2 == 1 {
					beside = l.spots[s].after
				}
				mean[s] = float64(place[s])
				if len(beside) > 0 {
					mean[s] = average(beside, func(b int) float64 { return float64(place[b]) })
				}
			}
			slices.SortStableFunc(column, func(a, b int) int { return cmp.Compare(mean[a], mean[b]) })
			for at, s := range column {
				place[s] = at
			}
		}
		if n := l.crossings(); n < fewest {
			best, fewest = l.orders(), n
		}
	}
	l.columns = best
}

func (l *layout) orders() [][]int {
	all := make([][]int, len(l.columns))
	for i, c := range l.columns {
		all[i] = slices.Clone(c)
	}
	return all
}

// places is where each spot stands in its column.
func (l *layout) places() []int {
	place := make([]int, len(l.spots))
	for _, c := range l.columns {
		for at, s := range c {
			place[s] = at
		}
	}
	return place
}

// crossings counts the pairs of lines that cross between two columns.
func (l *layout) crossings() (n int) {
	place := l.places()
	for _, column := range l.columns {
		var ends []int // of the lines so far, from above
		for _, s := range column {
			old := len(ends)
			for _, b := range l.spots[s].before {
				for _, above := range ends[:old] {
					if above > place[b] {
						n++
					}
				}
				ends = append(ends, place[b])
			}
		}
	}
	return n
}

// level gives each spot a height near those that it is joined to, from the left
// and from the right in turn, with the least squares of what it misses and each
// far enough below the one above.
func (l *layout) level() {
	for round := range rounds {
		for i := range l.columns {
			if round%2 == 1 {
				i = len(l.columns) - 1 - i
			}
			l.settle(l.columns[i], round%2 == 1)
		}
	}
	top := 0.0
	for i, s := range l.spots {
		if y := s.y - float64(s.high)/2; i == 0 || y < top {
			top = y
		}
	}
	for i := range l.spots {
		l.spots[i].y -= top - 2
	}
}

// settle is an isotonic regression, by pooling adjacent violators (Ayer et al.,
// 1955): of the wishes less what has to be above each. Lanes make way for boxes.
func (l *layout) settle(column []int, right bool) {
	type pool struct {
		sum, weight float64
		spots       int
	}
	var pools []pool
	above := make([]float64, len(column))
	for i, s := range column {
		if i > 0 {
			above[i] = above[i-1] + l.apart(column[i-1], s)
		}
		weight := 1.0
		if l.spots[s].high > 0 {
			weight = 200
		}
		pools = append(pools, pool{(l.wish(s, right) - above[i]) * weight, weight, 1})
		for n := len(pools); n > 1 && pools[n-2].sum/pools[n-2].weight > pools[n-1].sum/pools[n-1].weight; n-- {
			a, b := pools[n-2], pools[n-1]
			pools[n-2] = pool{a.sum + b.sum, a.weight + b.weight, a.spots + b.spots}
			pools = pools[:n-1]
		}
	}
	i := 0
	for _, p := range pools {
		for range p.spots {
			l.spots[column[i]].y = p.sum/p.weight + above[i]
			i++
		}
	}
}

// wish is the mean height of the boxes that the spot is joined to on one side,
// or else of the lanes.
func (l *layout) wish(s int, right bool) float64 {
	beside := l.spots[s].before
	if right {
		beside = l.spots[s].after
	}
	boxes := slices.DeleteFunc(slices.Clone(beside), func(b int) bool { return l.spots[b].high == 0 })
	switch y := func(b int) float64 { return l.spots[b].y }; {
	case len(boxes) > 0:
		return average(boxes, y)
	case len(beside) > 0:
		return average(beside, y)
	}
	return l.spots[s].y
}

// apart is how far the middles of two spots above each other are from another at
// least.
func (l *layout) apart(a, b int) float64 {
	gap := boxDown
	if l.spots[a].high == 0 || l.spots[b].high == 0 {
		gap = passDown
	}
	return float64(l.spots[a].high+l.spots[b].high)/2 + float64(gap)
}

func (l *layout) middle(s int) int { return int(l.spots[s].y + 0.5) }

func average(of []int, value func(int) float64) float64 {
	sum := 0.0
	for _, i := range of {
		sum += value(i)
	}
	return sum / float64(len(of))
}
