package track

import (
	"context"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
	"github.com/ridgeline-mlops/ridgeline/track/query"
)

// Runs of one value of the first order are worth searching by themselves from so
// many pages of them on; and so many values are asked for one after the other.
const (
	groupPages = 5
	maxGroups  = 20
)

// byGroup is for a first order, by a param or a tag, whose first value many runs
// have in common: one value after the other, those that have it are a search by
// the other orders, and the last group has no value at all. So ten thousand runs
// of one value are not sorted for the sake of a hundred. It reports false where
// that is not so, or where too many values would have to be asked for.
func (s *Store) byGroup(ctx context.Context, search Search, terms []query.Term, by []query.Order, offset, wanted int) ([]Run, bool, error) {
	if len(by) == 0 {
		return nil, false, nil
	}
	o := orderAsTag(by[0])
	if o.Kind != query.Param && o.Kind != query.Tag {
		return nil, false, nil
	}
	value, found, err := s.nextValue(ctx, o, nil)
	if err != nil || !found {
		return nil, false, err
	}
	term := query.Term{Kind: o.Kind, Key: o.Key, Op: query.Equal, Text: value, At: -1 - len(terms)} // at no place of the filter, and another one for each
	st, bound := s.statement(), int64(groupPages*wanted)
	if n, err := count1(ctx, s.db.Reader(), st, st.found([]query.Term{term}), bound); err != nil || n < bound {
		return nil, false, err
	}
	var all []Run
	for range maxGroups {
		rest := search
		rest.Max = wanted - len(all) - 1
		some, err := s.find(ctx, rest, append(terms[:len(terms):len(terms)], term), usually(by[1:]), pageToken{})
		if err != nil {
			return nil, false, err
		}
		if all = append(all, some...); len(all) >= wanted || term.Op == query.IsNull {
			return all[min(offset, len(all)):], true, nil
		}
		if term.Text, found, err = s.nextValue(ctx, o, &term.Text); err != nil {
			return nil, false, err
		}
		if !found {
			term.Op, term.Text = query.IsNull, ""
		}
	}
	return nil, false, nil
}

// nextValue is the value of a param or a tag that comes behind another one in an
// order, or first of all.
func (s *Store) nextValue(ctx context.Context, o query.Order, behind *string) (value string, found bool, err error) {
	st := s.statement()
	text := "SELECT p.value FROM " + pairTable(o.Kind) + " p WHERE p.key = " + st.arg(o.Key)
	compare := " > "
	if o.Descending {
		compare = " < "
	}
	switch {
	case behind != nil && st.whole:
		text += " AND p.value" + compare + st.arg(*behind)
	case behind != nil:
		text += " AND (substr(p.value, 1, 64), p.value)" + compare + "(" + st.arg(prefix(*behind)) + ", " + st.arg(*behind) + ")"
	}
	for i, column := range st.sortedBy(o, "p") {
		text += map[bool]string{true: " ORDER BY ", false: ", "}[i == 0] + column + direction(o)
	}
	err = each(ctx, s.db.Reader(), func(row sqlq.Row) error {
		found = true
		return row.Scan(&value)
	}, text+" LIMIT 1", st.args...)
	return value, found, err
}
