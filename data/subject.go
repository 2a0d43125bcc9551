package data

import (
	"fmt"
	"strings"
)

// A subject is one column as rules see it in SQL.
type subject struct {
	class  typeClass
	value  string // of the column's type
	text   string
	number string // NULL when the value is no number
	time   string // NULL when the value is no time
	null   string // predicate: there is no value
}

// subject is column i as a column of typ: the file's own type, or the one
// that all texts of a CSV column fit.
func (s *source) subject(i int, typ string) subject {
	return s.subjectOf(fmt.Sprintf("c%d", i), typ)
}

// subjectOf is a column of typ by the name that SQL knows it by.
func (s *source) subjectOf(col, typ string) subject {
	out := subject{class: class(typ), value: col, null: col + " IS NULL", text: "CAST(" + col + " AS VARCHAR)"}
	out.number, out.time = "CAST(NULL AS DOUBLE)", "CAST(NULL AS TIMESTAMP)"
	if s.format == csvFormat && class(typ) != classText {
		out.value = readable(col, typ, true)
		if class(typ) == classDate || class(typ) == classTimestamp {
			out.value = "CAST(" + col + " AS TIMESTAMP)"
		}
	}
	switch out.class {
	case classText:
		out.number = fmt.Sprintf("CASE WHEN contains(%[1]s, '_') THEN NULL ELSE TRY_CAST(%[1]s AS DOUBLE) END", out.text)
		out.time = fmt.Sprintf("CASE WHEN regexp_matches(%[1]s, '^\\s*[0-9]{4}-') THEN TRY_CAST(%[1]s AS TIMESTAMP) END", out.text)
	case classInteger, classNumber:
		out.number = "CAST(" + col + " AS DOUBLE)"
		if typ == "DOUBLE" || typ == "FLOAT" {
			out.null = "(" + col + " IS NULL OR isnan(" + out.number + "))"
		}
	case classDate, classTimestamp:
		out.time = "CAST(" + col + " AS TIMESTAMP)"
	}
	return out
}

func (s subject) isNumber() bool { return s.class == classInteger || s.class == classNumber }
func (s subject) isTime() bool   { return s.class == classDate || s.class == classTimestamp }

// present is x where the column has a value, else NULL. What is made of a
// missing value is missing, so only a NaN needs a word.
func (s subject) present(x string) string {
	if !s.mayBeNaN() {
		return x
	}
	return "CASE WHEN NOT (" + s.null + ") THEN " + x + " END"
}

func (s subject) mayBeNaN() bool { return strings.Contains(s.null, "isnan") }

// native is the value as it is cheapest to compare: not its text, unless it is one.
func (s subject) native() string {
	if s.class == classText || s.class == classOther {
		return s.text
	}
	return s.value
}

// finite is the number of a value that is a finite one, else NULL.
func (s subject) finite() string {
	if s.class == classInteger {
		return s.number
	}
	return fmt.Sprintf("CASE WHEN isfinite(%s) THEN %[1]s END", s.number)
}

// beyond is the predicate for a value that is on the wrong side of edge. Text
// that is neither number nor time is; a NaN, which DuckDB has above all
// numbers, is missing.
func (s subject) beyond(value, compare, edge string) string {
	bad := "(" + value + ") " + compare + " " + edge
	switch {
	case !s.isNumber() && !s.isTime() || s.isNumber() != (value == s.number):
		return "NOT (" + s.null + ") AND coalesce(" + bad + ", true)"
	case compare == ">" && s.mayBeNaN():
		return bad + " AND NOT isnan(" + s.number + ")"
	}
	return bad
}

// misfit is the predicate for a value that is not of a rule's type.
func (s subject) misfit(typ string) string {
	fits := map[string]string{"boolean": isBoolean, "integer": isInteger, "number": isNumber, "date": isDate, "timestamp": isTimestamp}
	ok := false
	switch typ {
	case "string":
		ok = s.class == classText
	case "number":
		ok = s.class == classInteger || s.class == classNumber
	case "integer":
		if ok = s.class == classInteger; s.class == classNumber {
			return s.number + " <> trunc(" + s.number + ")"
		}
	case "boolean":
		ok = s.class == classBoolean
	case "date":
		ok = s.class == classDate
	case "timestamp":
		ok = s.class == classTimestamp || s.class == classDate
	}
	switch {
	case ok:
		return "false"
	case s.class == classText:
		return "NOT " + fmt.Sprintf(fits[typ], s.text)
	}
	return "true"
}
