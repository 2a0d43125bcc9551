package data

import "fmt"

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
	col := fmt.Sprintf("c%d", i)
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

// present is x where the column has a value, else NULL.
func (s subject) present(x string) string { return "CASE WHEN NOT (" + s.null + ") THEN " + x + " END" }

// finite is the number of a value that is a finite one, else NULL.
func (s subject) finite() string {
	return fmt.Sprintf("CASE WHEN NOT (%s) AND isfinite(%s) THEN %s END", s.null, s.number, s.number)
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
