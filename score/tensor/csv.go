package tensor

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// CSV reads a table in CSV (RFC 4180) whose first line has the columns' names.
// What is missing, and how truth values are spelled, is as in pandas.read_csv.
func (r *Reader) CSV(body []byte) (Batch, error) {
	if !utf8.Valid(body) {
		return Batch{}, malformed("The body is not UTF-8.")
	}
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	if csvWide(body) {
		return Batch{}, errWide
	}
	names, rows, err := csvRows(body)
	if err != nil {
		return Batch{}, err
	}
	if r.s == nil {
		s := &Signature{Form: Table}
		saw := make([]int, len(names))
		if err := rows(func(_ int, cells []string) error {
			for i, cell := range cells {
				saw[i] |= seeText(cell)
			}
			return nil
		}); err != nil {
			return Batch{}, err
		}
		for i, name := range names {
			s.Inputs = append(s.Inputs, Field{Name: name, Type: guess(saw[i])})
			if saw[i] == sawNull { // pandas makes NaN of a column without any value
				s.Inputs[i].Type = Float64
			}
		}
		r = NewReader(s)
	}
	if r, err = r.forTable(names); err != nil {
		return Batch{}, err
	}
	t := r.table()
	if err := t.header(names); err != nil {
		return Batch{}, err
	}
	err = rows(func(_ int, cells []string) error {
		t.begin()
		for i, cell := range cells {
			if err := t.csvCell(t.order[i], cell); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Batch{}, err
	}
	return t.batch()
}

// csvWide reports whether a line has too many values: encoding/csv reads a line
// whole before it counts them.
func csvWide(body []byte) bool {
	commas, quoted := 0, false
	for _, b := range body {
		switch {
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '\n':
			commas = 0
		case b == ',':
			if commas++; commas >= widest {
				return true
			}
		}
	}
	return false
}

// csvRows reads the header, and returns what goes through the rows.
func csvRows(body []byte) (names []string, each func(func(row int, cells []string) error) error, err error) {
	open := func() *csv.Reader {
		in := csv.NewReader(bytes.NewReader(body))
		in.ReuseRecord = true
		return in
	}
	wrong := func(err error) error {
		if short := new(csv.ParseError); errors.As(err, &short) && errors.Is(err, csv.ErrFieldCount) {
			return malformed("The body is not valid CSV: line %d has another number of values than there are columns.", short.Line)
		}
		return malformed("The body is not valid CSV: %v.", err)
	}
	header, err := open().Read()
	if errors.Is(err, io.EOF) {
		return nil, nil, malformed("The body is empty: expected CSV with the columns' names in its first line.")
	} else if err != nil {
		return nil, nil, wrong(err)
	}
	for _, name := range header {
		names = append(names, strings.Clone(name))
	}
	return names, func(row func(int, []string) error) error {
		in := open()
		if _, err := in.Read(); err != nil {
			return wrong(err)
		}
		for i := 0; ; i++ {
			cells, err := in.Read()
			switch {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return wrong(err)
			}
			if err := row(i, cells); err != nil {
				return err
			}
		}
	}, nil
}

// csvNull lists what pandas.read_csv takes for a missing value.
func csvNull(cell string) bool {
	switch cell {
	case "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null":
		return true
	}
	return false
}

// csvTruth is a cell as a truth value.
func csvTruth(cell string) (value, ok bool) {
	switch cell {
	case "True", "true", "TRUE":
		return true, true
	case "False", "false", "FALSE":
		return false, true
	}
	return false, false
}

func seeText(cell string) int {
	if csvNull(cell) {
		return sawNull
	}
	if _, ok := csvTruth(cell); ok {
		return sawBool
	}
	if _, err := strconv.ParseInt(cell, 10, 64); err == nil {
		return sawWhole
	}
	if _, ok := csvFloat(cell); ok {
		return sawFloat
	}
	return sawText
}

// csvFloat is a cell as a number; hexadecimal and underscores, which Go would
// take, are none.
func csvFloat(cell string) (float64, bool) {
	cell = strings.TrimSpace(cell)
	if strings.ContainsAny(cell, "xXpP_") {
		return 0, false
	}
	f, err := strconv.ParseFloat(cell, 64)
	return f, err == nil
}

// csvCell takes the value of a column of the row that was begun.
func (t *table) csvCell(to int, cell string) error {
	if to < 0 {
		return nil
	}
	col := &t.cols[to]
	col.filled = t.rows
	p := place{col.Name, t.rows - 1}
	if col.Shape != nil {
		return unfit(col.Name, "Input '%s' is an array of shape %s, which CSV has no form for. Send JSON.", short(col.Name), shape(col.Shape))
	}
	refuse := func() error {
		return unfit(p.field, "%s: expected %s, found %q.", in(p.field, p.row), col.Type.words(), short(cell))
	}
	if size := col.Type.Size(); size > 0 {
		var dst []byte
		if t.matrix != 0 {
			at := (t.rows-1)*len(t.cols)*col.size + col.at
			dst = t.block[at : at+col.size]
		} else {
			col.data = extend(col.data, size)
			dst = col.data[len(col.data)-size:]
		}
		if !putCSV(dst, col.Type, cell) {
			return refuse()
		}
		return nil
	}
	if csvNull(cell) {
		col.data = appendNull(col.data)
		return nil
	}
	if col.Type == Text {
		col.data = appendFrame(col.data, []byte(cell))
		return nil
	}
	c := cursor{in: []byte(cell)}
	if col.Type == Binary {
		c.in = appendText(nil, cell)
	}
	var err error
	if col.data, err = c.framed(col.data, col.Type, p); err == nil && c.end() == nil {
		return nil
	}
	return refuse()
}

// putCSV writes a cell as an element of fixed width; false when it is none.
func putCSV(dst []byte, t Type, cell string) bool {
	if csvNull(cell) {
		return putNull(dst, t)
	}
	switch {
	case t == Bool:
		value, ok := csvTruth(cell)
		dst[0] = 0
		if value {
			dst[0] = 1
		}
		return ok
	case t == Datetime:
		ns, ok := parseTime(cell)
		putUint(dst, 8, uint64(ns))
		return ok
	case floating(t):
		f, ok := csvFloat(cell)
		return ok && putFloat(dst, t, f)
	}
	cell = strings.TrimPrefix(strings.TrimSpace(cell), "+")
	negative := strings.HasPrefix(cell, "-")
	magnitude, err := strconv.ParseUint(strings.TrimPrefix(cell, "-"), 10, 64)
	if err != nil { // 3.0, as pandas writes a column with holes
		f, ok := csvFloat(cell)
		if f = math.Abs(f); !ok || f != math.Trunc(f) || f >= 1<<53 {
			return false
		}
		magnitude = uint64(f)
	}
	return putInteger(dst, t, negative, magnitude)
}
