package tensor

import "slices"

// A table takes values row by row and makes a batch of them: one matrix where
// the columns are numbers of one type, else a tensor for each.
type table struct {
	*Reader
	block []byte // the matrix, row-major
	room  int    // a guess of its bytes: a number takes twice as many in JSON
	cols  []column
	rows  int
	order []int    // of the cells of a row: the column each belongs to, -1 when none wants it
	extra []string // what no column wants
}

type column struct {
	*Field
	at      int    // in a row of the matrix
	size    int    // of an element of it
	data    []byte // unless there is a matrix
	shape   []int  // of one element, its -1 filled in by the first row
	present bool   // in this request
	filled  int    // 1 + the last row that has it
}

func (r *Reader) table() *table {
	t := &table{Reader: r, cols: make([]column, len(r.s.Inputs))}
	size := r.matrix.Size()
	for i := range r.s.Inputs {
		f := &r.s.Inputs[i]
		t.cols[i] = column{Field: f, at: i * size, size: size}
		if f.Shape != nil {
			t.cols[i].shape = slices.Clone(f.Shape)
		}
	}
	return t
}

// header fixes which column each cell of a row belongs to.
func (t *table) header(names []string) error {
	t.order = make([]int, len(names))
	for i, name := range names {
		to := t.find([]byte(name), i)
		if !t.named {
			to = i
			if i >= len(t.cols) {
				to = -1
			}
		}
		t.order[i] = to
		if to < 0 {
			t.extra = append(t.extra, name)
			continue
		}
		if t.cols[to].present {
			return unfit(name, "The column '%s' is there twice.", short(name))
		}
		t.cols[to].present = true
	}
	return t.complete()
}

// positions is a header for rows without one, of as many cells as there are
// columns.
func (t *table) positions() {
	t.order = make([]int, len(t.cols))
	for i := range t.cols {
		t.order[i], t.cols[i].present = i, true
	}
}

// complete checks that no required column is missing.
func (t *table) complete() error {
	var lacking []string
	for i := range t.cols {
		if f := &t.cols[i]; !f.present && !f.Optional {
			lacking = append(lacking, f.Name)
		}
	}
	switch {
	case lacking == nil:
		return nil
	case !t.named:
		return unfit("", "Model inference is missing inputs. The model signature declares %d inputs but the provided value only has %d inputs. "+
			"Note: the inputs were not named in the signature so we can only verify their count.", len(t.cols), len(t.cols)-len(lacking))
	}
	return missing(lacking, t.extra)
}

// begin starts a row.
func (t *table) begin() {
	if t.matrix != 0 {
		row := len(t.cols) * t.matrix.Size()
		if t.block == nil {
			t.block = make([]byte, 0, max(row, t.room))
		}
		t.block = extend(t.block, row)
	}
	t.rows++
}

// cell reads the value of a column of the row that was begun.
func (t *table) cell(c *cursor, to int) error {
	if to < 0 {
		_, err := c.skip()
		return err
	}
	col := &t.cols[to]
	row := t.rows - 1
	col.filled = t.rows
	p := place{col.Name, row}
	if t.matrix != 0 {
		at := row*len(t.cols)*col.size + col.at
		return c.fixed(t.block[at:at+col.size], t.matrix, p)
	}
	var err error
	if col.Shape != nil {
		col.data, err = c.nested(col.data, col.Type, col.shape, p)
	} else {
		col.data, err = c.element(col.data, col.Type, p)
	}
	return err
}

// cells reads a row that is a list, in the order of the header.
func (t *table) cells(c *cursor) error {
	t.begin()
	if !c.eat('[') {
		return malformed("Row %d: expected a list of %d values, found %s.", t.rows-1, len(t.order), c.kind())
	}
	if c.eat(']') {
		if len(t.order) == 0 {
			return nil
		}
		return t.wrong(0)
	}
	for i := 0; ; i++ {
		if i >= len(t.order) {
			return t.wrong(i + 1)
		}
		if err := t.cell(c, t.order[i]); err != nil {
			return err
		}
		more, err := c.more(']')
		switch {
		case err != nil:
			return err
		case more:
		case i+1 < len(t.order):
			return t.wrong(i + 1)
		default:
			return nil
		}
	}
}

// wrong is about a row with too few or too many cells.
func (t *table) wrong(found int) error {
	if found > len(t.order) {
		return unfit("", "Row %d: expected %d values, found more.", t.rows-1, len(t.order))
	}
	return unfit("", "Row %d: expected %d values, found %d.", t.rows-1, len(t.order), found)
}

// record reads a row that is an object.
func (t *table) record(c *cursor) error {
	t.begin()
	if c.next() != '{' {
		return malformed("Row %d: expected an object of columns and values, found %s.", t.rows-1, c.kind())
	}
	guess := 0
	err := c.object(func(name []byte) error {
		to := t.find(name, guess)
		guess++
		if to < 0 {
			if len(t.extra) < few {
				t.extra = append(t.extra, string(name))
			}
			return t.cell(c, -1)
		}
		col := &t.cols[to]
		if col.filled == t.rows {
			return unfit(col.Name, "Row %d: '%s' is there twice.", t.rows-1, short(col.Name))
		}
		if !col.present { // from here on; rows before this one lack it
			col.present = true
			for row := range t.rows - 1 {
				if err := t.fill(col, row); err != nil {
					return err
				}
			}
		}
		return t.cell(c, to)
	})
	if err != nil {
		return err
	}
	for i := range t.cols {
		if col := &t.cols[i]; col.present && col.filled != t.rows {
			if err := t.fill(col, t.rows-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// fill is a column's value in a row that does not have it, although others do.
func (t *table) fill(col *column, row int) (err error) {
	p := place{col.Name, row}
	switch {
	case t.matrix != 0:
		at := row*len(t.cols)*col.size + col.at
		if !putNull(t.block[at:at+col.size], t.matrix) {
			err = unfit(col.Name, "%s: expected %s, found nothing.", in(p.field, p.row), t.matrix.words())
		}
	case col.Shape != nil:
		err = unfit(col.Name, "%s: expected a list, found nothing.", in(p.field, p.row))
	default:
		col.data, err = appendMissing(col.data, col.Type, p)
	}
	return err
}

// batch is what the rows make.
func (t *table) batch() (Batch, error) {
	if t.rows == 0 {
		return Batch{}, unfit("", "There are no rows.")
	}
	b := Batch{Form: t.s.Form, Rows: t.rows}
	if t.matrix != 0 {
		b.Tensors, b.Columns = []Tensor{{Type: t.matrix, Shape: []int{t.rows, len(t.cols)}, Data: t.block}}, t.columns
		return b, nil
	}
	b.Tensors = make([]Tensor, 0, len(t.cols))
	for i := range t.cols {
		if col := &t.cols[i]; col.present {
			b.Tensors = append(b.Tensors, Tensor{Name: col.Name, Type: col.Type, Shape: append([]int{t.rows}, col.shape...), Data: col.data})
		}
	}
	return b, nil
}
