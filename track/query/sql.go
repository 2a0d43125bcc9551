package query

import (
	"math"
	"strings"
)

// SQL writes the comparison of a text column. arg takes an argument and returns
// its placeholder. Both databases read it alike, if LIKE minds the case.
func (t Term) SQL(column string, arg func(any) string) string {
	switch t.Op {
	case In, NotIn:
		all := make([]string, len(t.List))
		for i, v := range t.List {
			all[i] = arg(v)
		}
		return column + " " + t.Op + " (" + strings.Join(all, ", ") + ")"
	case Like, ILike:
		// Neither database's own idea of an escape counts: a backslash is itself.
		pattern := strings.ReplaceAll(t.Text, `\`, `\\`)
		if t.Op == ILike {
			column, pattern = "lower("+column+")", strings.ToLower(pattern)
		}
		return column + " LIKE " + arg(pattern) + ` ESCAPE '\'`
	}
	return column + " " + t.Op + " " + arg(t.Text)
}

// NumberSQL writes the comparison of a column of whole numbers.
func (t Term) NumberSQL(column string, arg func(any) string) string {
	if t.Number == math.Trunc(t.Number) && math.Abs(t.Number) < 1<<53 {
		return column + " " + t.Op + " " + arg(int64(t.Number))
	}
	return column + " " + t.Op + " CAST(" + arg(t.Number) + " AS DOUBLE PRECISION)"
}
