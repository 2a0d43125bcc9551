package tensor

import (
	"fmt"
	"strings"
)

// nested reads lists in lists of the shape, row-major, and appends their
// elements. A length of -1 is set to the first one that comes. Where all
// lengths are known the elements may come as one flat list. A place of row -1
// has its rows counted by the first dimension.
func (c *cursor) nested(dst []byte, t Type, shape []int, p place) ([]byte, error) {
	if len(shape) == 0 {
		return c.element(dst, t, p)
	}
	if c.next() != '[' {
		return dst, p.list(shape, c)
	}
	if flat := volume(shape); len(shape) > 1 && flat > 0 && c.first() != '[' {
		return c.flat(dst, t, flat, max(1, flat/max(1, shape[0])), p)
	}
	n, inner := 0, p
	var err error
	err = c.list(func(i int) error {
		if p.row < 0 {
			inner.row = i
		}
		n++
		if shape[0] >= 0 && n > shape[0] {
			return unfit(p.field, "%s: expected a list of %d, found more.", in(p.field, max(p.row, 0)), shape[0])
		}
		dst, err = c.nested(dst, t, shape[1:], inner)
		return err
	})
	switch {
	case err != nil:
		return dst, err
	case shape[0] < 0:
		shape[0] = n
	case shape[0] != n:
		return dst, unfit(p.field, "%s: expected a list of %d, found one of %d.", in(p.field, max(p.row, 0)), shape[0], n)
	}
	for i, d := range shape { // of an empty list nothing is known
		if d < 0 {
			shape[i] = 0
		}
	}
	return dst, nil
}

// flat reads a list of n elements, of which each belong to one row.
func (c *cursor) flat(dst []byte, t Type, n, each int, p place) ([]byte, error) {
	found, at := 0, p
	err := c.list(func(i int) (err error) {
		if found++; found > n {
			return unfit(p.field, "%s: expected a list of %d, found more.", in(p.field, max(p.row, 0)), n)
		}
		if p.row < 0 {
			at.row = i / each
		}
		dst, err = c.element(dst, t, at)
		return err
	})
	if err == nil && found < n {
		err = unfit(p.field, "%s: expected a list of %d, found one of %d.", in(p.field, max(p.row, 0)), n, found)
	}
	return dst, err
}

func (p place) list(shape []int, c *cursor) error {
	if b := c.next(); b == 0 || b == ']' || b == '}' || b == ',' || b == ':' {
		return c.syntax("a value")
	}
	where := in(p.field, p.row)
	if p.row < 0 {
		where = strings.TrimSuffix(in(p.field, 0), ", row 0")
	}
	if shape[0] < 0 {
		return unfit(p.field, "%s: expected a list, found %s.", where, c.kind())
	}
	return unfit(p.field, "%s: expected a list of %d, found %s.", where, shape[0], c.kind())
}

// volume is the number of elements; -1 when it is not known.
func volume(shape []int) int {
	n := 1
	for _, d := range shape {
		if d < 0 {
			return -1
		}
		n *= d
	}
	return n
}

// shape is the shape of a batch whose rows have that one.
func shape(row []int) string {
	text := "(-1"
	for _, d := range row {
		text += fmt.Sprintf(", %d", d)
	}
	return text + ")"
}
