package ui

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
)

// A tableAt is the address of a table of runs, of pipelines' or of what scripts
// logged: both are arranged in the same words.
type tableAt struct {
	path string
	q    url.Values
	sort string // the column by which it is sorted; empty: by time
	down bool
}

// inWindow say where in the table the page is.
var inWindow = []string{"before", "skip", "upto"}

// tableWindow is which rows of a table the address asks for: the number of the first
// one, from 0, and how many.
func tableWindow(q url.Values) (first, size int) {
	size = windowUsual
	if n, err := strconv.Atoi(q.Get("window")); err == nil {
		size = min(max(n, 1), windowMost)
	}
	first, _ = strconv.Atoi(q.Get("skip"))
	return max(first, 0), size
}

// whole is the query of the table from its beginning, by time.
func (t tableAt) whole() url.Values {
	next := maps.Clone(t.q)
	for _, name := range append([]string{"sort", "down"}, inWindow...) {
		next.Del(name)
	}
	return next
}

// unsorted is the address of the same, latest first.
func (t tableAt) unsorted() string { return with(t.whole(), t.path, "", "") }

// sorted is the address that sorts by a column, the other way round when it
// does already, and which way it does now.
func (t tableAt) sorted(key string) (address, way string) {
	next := t.whole()
	if t.sort == key {
		way = "ascending"
		if t.down {
			way = "descending"
		} else {
			next.Set("down", "1")
		}
	}
	return with(next, t.path, "sort", key), way
}

// columns makes columns of what could be shown. Shown are those that the address
// asks for or, when it asks for none, the first of each kind.
func (t tableAt) columns(keys []string) (all, shown []column) {
	asked, own := t.q["column"], map[byte]int{}
	for _, key := range keys {
		c := column{Key: key, Name: key[2:]}
		own[key[0]]++
		c.Shown = slices.Contains(asked, key) || len(asked) == 0 && own[key[0]] <= columnsOwn
		c.Sort, c.Now = t.sorted(key)
		if all = append(all, c); c.Shown {
			shown = append(shown, c)
		}
	}
	return all, shown
}

// parts is the query that chooses what this table does and shows these columns,
// wherever the window is.
func (t tableAt) parts(shown []column) string {
	next := maps.Clone(t.q)
	for _, name := range []string{liveParam, "column", "different", "open", "skip", "upto"} {
		next.Del(name)
	}
	for _, c := range shown {
		next.Add("column", c.Key)
	}
	return "?" + next.Encode()
}

// fillCells puts into each row what the columns show.
func fillCells(rows []runLine, columns []column) {
	for i, r := range rows {
		rows[i].Cells = make([]cell, len(columns))
		for j, c := range columns {
			rows[i].Cells[j] = r.value(c.Key)
		}
	}
}
