package track

import (
	"cmp"
	"context"
	"slices"
)

// Tagged returns the active runs of experiments that have one of the values in
// that tag, with all they logged but the histories, later started ones first: of
// each value so many at most. It is one search for many values.
func (s *Store) Tagged(ctx context.Context, experiments []int64, key string, values []string, most int) ([]Run, error) {
	if len(experiments) == 0 {
		return nil, nil
	}
	stale, err := s.readable(ctx, s.refreshAll(ctx))
	var all []Run
	for part := range slices.Chunk(values, maxPlaces) {
		if err == nil {
			var runs []Run
			runs, err = s.tagged(ctx, experiments, key, part, most)
			all = append(all, runs...)
		}
	}
	if err == nil {
		err = fill(ctx, s.db.Reader(), all)
	}
	if err == nil && stale {
		err = merge(ctx, s.db.Reader(), all)
	}
	slices.SortFunc(all, func(a, b Run) int { return cmp.Or(cmp.Compare(b.Started, a.Started), cmp.Compare(a.ID, b.ID)) })
	return all, doing(err, "look for runs by the tag %s", key)
}

func (s *Store) tagged(ctx context.Context, experiments []int64, key string, values []string, most int) ([]Run, error) {
	st := s.statement()
	for _, v := range values {
		st.arg(v)
	}
	in := listPlaces(&st.args)
	where := "t.value IN " + in
	if !st.whole { // what the index has to be asked by
		beginnings := make([]any, len(values))
		for i, v := range values {
			beginnings[i] = prefix(v)
		}
		before := len(st.args)
		listPlaces(&beginnings)
		st.args = append(st.args, beginnings...)
		where += " AND substr(t.value, 1, 64) IN (" + places(before+1, len(beginnings)) + ")"
	}
	where += " AND t.key = " + st.arg(key) + " AND r.number = t.run AND " + st.scope(Search{Experiments: experiments})
	return s.runs(ctx, st, "SELECT "+runColumnsAll+" FROM (SELECT r.*, ROW_NUMBER() OVER (PARTITION BY t.value ORDER BY r.started DESC, r.id) AS place FROM tags t CROSS JOIN runs r WHERE "+where+
		") r WHERE r.place <= "+st.arg(int64(most)))
}

// Tag is the value of a run's tag; empty, when it has none of that key.
func (r Run) Tag(key string) string {
	for _, t := range r.Tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}
