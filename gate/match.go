package gate

import (
	"fmt"
	"strings"
)

// Match pairs rows by id: row i of the champion is row at[i] of the
// challenger. Both must have the same ids, each once.
func Match[K comparable](champion, challenger []K) (at []int, err error) {
	where := make(map[K]int, len(challenger))
	for i, id := range challenger {
		if first, twice := where[id]; twice {
			return nil, invalid("the challenger has the id %v twice, in rows %d and %d; expected each once", id, first+1, i+1)
		}
		where[id] = i
	}
	at = make([]int, len(champion))
	used := make([]bool, len(challenger))
	var missing, extra []K
	for i, id := range champion {
		j, ok := where[id]
		switch {
		case !ok:
			missing = append(missing, id)
			continue
		case used[j]:
			return nil, invalid("the champion has the id %v twice, the second time in row %d; expected each once", id, i+1)
		}
		at[i], used[j] = j, true
	}
	for j, id := range challenger {
		if !used[j] {
			extra = append(extra, id)
		}
	}
	if len(missing) == 0 && len(extra) == 0 {
		return at, nil
	}
	var parts []string
	for _, p := range []struct {
		ids []K
		who string
	}{{missing, "only the champion has"}, {extra, "only the challenger has"}} {
		if n := len(p.ids); n > 0 {
			var names []string
			for _, id := range p.ids[:min(n, 3)] {
				names = append(names, fmt.Sprint(id))
			}
			if n > 3 {
				names = append(names, "…")
			}
			parts = append(parts, fmt.Sprintf("%s %s (%s)", p.who, count(n, "id"), strings.Join(names, ", ")))
		}
	}
	return nil, invalid("the ids of the rows do not match: %s; both must answer the same holdout rows", strings.Join(parts, ", "))
}
