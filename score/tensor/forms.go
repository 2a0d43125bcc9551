package tensor

import "slices"

// split reads {"columns": […], "index": […], "data": [[…]]}. The index is for
// the client: no model gets it.
func (r *Reader) split(c *cursor) (Batch, error) {
	if c.next() != '{' {
		return Batch{}, malformed("Dataframe split format must be an object with the field 'data', found %s.", c.kind())
	}
	var columns []string
	var t *table
	var known bool // the columns
	data := -1     // where it is, when the columns come after it
	err := c.object(func(name []byte) (err error) {
		switch string(name) {
		case "columns":
			if known {
				return malformed("Dataframe split format: 'columns' is there twice.")
			}
			known = true
			if c.next() == 'n' && c.literal("null") {
				return nil
			}
			columns, err = c.names(r.s.Inputs)
			return err
		case "index":
			_, err = c.skip()
			return err
		case "data":
			if t != nil || data >= 0 {
				return malformed("Dataframe split format: 'data' is there twice.")
			}
			if !known {
				c.next()
				data = c.at
				_, err = c.skip()
				return err
			}
			t, err = r.rows(c, columns)
			return err
		}
		return malformed("Dataframe split format must have 'data' field and optionally 'columns' and 'index' fields. Got '%s'.", short(string(name)))
	})
	if err == nil && data >= 0 {
		t, err = r.rows(&cursor{in: c.in, at: data}, columns)
	}
	switch {
	case err != nil:
		return Batch{}, err
	case t == nil:
		return Batch{}, malformed("Dataframe split format must have 'data' field and optionally 'columns' and 'index' fields.")
	}
	return t.batch()
}

// widest is the columns of a request. Each takes more room than its name in
// the body, and a hundred megabytes hold millions of names.
const widest = 1 << 16

var errWide = malformed("The table has more than %d columns.", widest)

// names reads a list of columns' names, most often those of the inputs. A
// number is the name of a column that has none, as in pandas.
func (c *cursor) names(inputs []Field) ([]string, error) {
	if c.next() != '[' {
		return nil, malformed("Expected a list of columns' names, found %s.", c.kind())
	}
	names := make([]string, 0, len(inputs))
	err := c.list(func(i int) error {
		if i >= widest {
			return errWide
		}
		if b := c.next(); b-'0' <= 9 {
			n, err := c.number()
			names = append(names, string(n.text))
			return err
		} else if b != '"' {
			return malformed("Column %d: expected a name, found %s.", i, c.kind())
		}
		name, err := c.text()
		if i < len(inputs) && inputs[i].Name == string(name) {
			names = append(names, inputs[i].Name) // no copy
		} else {
			names = append(names, string(name))
		}
		return err
	})
	return names, err
}

// rows reads lists of cells under names; without any, the first row's cells
// are numbered as in pandas.
func (r *Reader) rows(c *cursor, names []string) (*table, error) {
	if c.next() != '[' {
		return nil, malformed("Expected a list of rows, found %s.", c.kind())
	}
	if names == nil {
		n, err := c.width()
		if err != nil {
			return nil, err
		}
		names = numbers(n)
	}
	r, err := r.forTable(names)
	if err != nil {
		return nil, err
	}
	t := r.table()
	if err := t.header(names); err != nil {
		return nil, err
	}
	t.room = (len(c.in) - c.at) / 2
	return t, c.list(func(int) error { return t.cells(c) })
}

// width counts the cells of the first row of the list that follows.
func (c *cursor) width() (n int, err error) {
	ahead := *c
	ahead.at++
	if ahead.next() != '[' {
		return 0, nil
	}
	err = ahead.list(func(int) error {
		n++
		_, err := ahead.skip()
		return err
	})
	return n, err
}

// forTable is a reader of a table with these columns for a model that takes
// one array: all of them are its second dimension, or the single one is all of
// it.
func (r *Reader) forTable(names []string) (*Reader, error) {
	if r.s.Form != Array {
		return r, nil
	}
	f := r.s.Inputs[0]
	if len(names) == 1 && len(f.Shape) != 1 || len(names) == 1 && len(f.Shape) == 1 && f.Shape[0] != 1 {
		return NewReader(&Signature{Form: Array, Inputs: []Field{f}}), nil
	}
	if len(f.Shape) != 1 || f.Shape[0] != -1 && f.Shape[0] != len(names) {
		return nil, unfit(f.Name, "The model takes one array of shape %s, and there are %d columns.", shape(f.Shape), len(names))
	}
	s := &Signature{Form: Array}
	for range names {
		s.Inputs = append(s.Inputs, Field{Type: f.Type})
	}
	wide := NewReader(s)
	if !f.Type.Framed() {
		wide.matrix = f.Type
	}
	return wide, nil
}

// records reads a list of objects, each a row.
func (r *Reader) records(c *cursor) (Batch, error) {
	if c.next() != '[' {
		return Batch{}, malformed("Dataframe records format must be a list of records, found %s.", c.kind())
	}
	if r.s.Form == Array {
		return Batch{}, unfit("", "The model takes one array of shape %s, and records have names. Send the rows as lists.", shape(r.s.Inputs[0].Shape))
	}
	if !r.named {
		return Batch{}, unfit("", "The model's inputs have no names, and records have. Send the rows as lists.")
	}
	t := r.table()
	if err := c.list(func(int) error { return t.record(c) }); err != nil {
		return Batch{}, err
	}
	if t.rows > 0 {
		if err := t.complete(); err != nil {
			return Batch{}, err
		}
	}
	return t.batch()
}

// inputs reads a list of rows, of records, or an object of each input's
// values. Rows of a table with names are refused unless byOrder: MLflow does
// not take the order of columns for granted.
func (r *Reader) inputs(c *cursor, byOrder bool) (Batch, error) {
	switch c.next() {
	case '{':
		if r.s.Form == Array {
			return Batch{}, unfit("", "The model takes one array of shape %s: expected a list, found an object.", shape(r.s.Inputs[0].Shape))
		}
		for _, f := range r.s.Inputs {
			if f.Type == JSON { // whose values may be lists themselves: one row, as in MLflow
				t := r.table()
				if err := t.record(c); err != nil {
					return Batch{}, err
				}
				if err := t.complete(); err != nil {
					return Batch{}, err
				}
				return t.batch()
			}
		}
		return r.object(c)
	case '[':
		if c.first() == '{' && r.s.Form != Array && !(len(r.s.Inputs) == 1 && r.s.Inputs[0].Type == JSON && !r.named) {
			return r.records(c)
		}
	}
	switch {
	case r.s.Form == Array || len(r.s.Inputs) == 1 && !(byOrder && r.s.Form == Table && c.first() == '['):
		t, err := r.column(c, &r.s.Inputs[0])
		if err != nil {
			return Batch{}, err
		}
		return r.assemble([]Tensor{t})
	case c.next() != '[':
		return Batch{}, malformed("Expected a list of rows or an object of inputs, found %s.", c.kind())
	case r.s.Form == Table && byOrder:
		t := r.table()
		t.positions()
		t.room = (len(c.in) - c.at) / 2
		if err := c.list(func(int) error { return t.cells(c) }); err != nil {
			return Batch{}, err
		}
		return t.batch()
	case r.s.Form == Table:
		t, err := r.rows(c, nil)
		if err != nil {
			return Batch{}, err
		}
		return t.batch()
	}
	return Batch{}, unfit("", "The model takes %d arrays by name: expected an object with %s, found a list.", len(r.s.Inputs), quoted(r.inputNames()))
}

func (r *Reader) inputNames() []string {
	names := make([]string, len(r.s.Inputs))
	for i := range names {
		names[i] = r.s.Inputs[i].Name
	}
	return names
}

// first is the first byte inside of the list that follows.
func (c *cursor) first() byte {
	ahead := *c
	ahead.at++
	return ahead.next()
}

// object reads an object of inputs, each with the values of all rows.
func (r *Reader) object(c *cursor) (Batch, error) {
	var given []Tensor
	var extra []string
	err := c.object(func(name []byte) error {
		to := r.find(name, len(given))
		if to < 0 {
			if len(extra) < few {
				extra = append(extra, string(name))
			}
			_, err := c.skip()
			return err
		}
		f := &r.s.Inputs[to]
		if slices.ContainsFunc(given, func(t Tensor) bool { return t.Name == f.Name }) {
			return unfit(f.Name, "The input '%s' is there twice.", short(f.Name))
		}
		t, err := r.column(c, f)
		given = append(given, t)
		return err
	})
	if err != nil {
		return Batch{}, err
	}
	return r.assemble(given, extra...)
}

// column reads the values of one input, of all rows. A value that is no list
// is a single row's.
func (r *Reader) column(c *cursor, f *Field) (Tensor, error) {
	t := Tensor{Name: f.Name, Type: f.Type, Shape: append([]int{-1}, f.Shape...)}
	var err error
	if c.next() != '[' && f.Shape == nil {
		t.Shape[0] = 1
		t.Data, err = c.element(nil, f.Type, place{f.Name, 0})
		return t, err
	}
	t.Data, err = c.nested(nil, f.Type, t.Shape, place{f.Name, -1})
	return t, err
}
