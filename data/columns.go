package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Columns are some of a dataset's columns, each as one slice. Read boxes every
// value; for millions of rows of which a few columns count, this is the way.
type Columns struct {
	Names   []string // of all the dataset's columns
	Rows    int
	Numbers map[string][]float64 // a missing value is NaN; truths are 0 and 1
	Texts   map[string][]string  // a missing value is empty
}

// Columns reads the columns named in numbers and texts of the dataset at path,
// rows in order; a name that the dataset lacks is passed over. A column of
// numbers in which a value is no number is given in Texts instead.
func (d *DB) Columns(ctx context.Context, path string, numbers, texts []string) (Columns, error) {
	s, err := d.source(ctx, path)
	if err != nil {
		return Columns{}, err
	}
	c := Columns{Names: s.column, Numbers: map[string][]float64{}, Texts: map[string][]string{}}
	has := func(name string) bool { return slices.Contains(s.column, name) }
	if s.format != csvFormat {
		return c, d.queryColumns(ctx, &s, &c, filter(numbers, has), filter(texts, has))
	}
	isText, err := s.readColumns(ctx, &c, filter(numbers, has), filter(texts, has))
	if err != nil || len(isText) == 0 {
		return c, err
	}
	for _, name := range isText {
		delete(c.Numbers, name)
	}
	_, err = s.readColumns(ctx, &c, nil, isText)
	return c, err
}

func filter(names []string, keep func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !keep(name) })
}

// readColumns reads CSV by itself: DuckDB's rows cost more on their way
// through database/sql than parsing them here. It stops taking a column of
// numbers at a value that is none, and returns the names of those.
func (s *source) readColumns(ctx context.Context, c *Columns, numbers, texts []string) (isText []string, err error) {
	type column struct {
		at      int
		name    string
		numbers []float64
		texts   []string
		text    bool
		none    bool
	}
	var columns []*column
	for _, name := range numbers {
		columns = append(columns, &column{at: slices.Index(s.column, name), name: name})
	}
	for _, name := range texts {
		columns = append(columns, &column{at: slices.Index(s.column, name), name: name, text: true})
	}
	known := map[string]string{} // few distinct texts are kept once each
	rows := 0
	for i, path := range s.files {
		err := func() error {
			f, err := os.Open(path)
			if err != nil {
				return fmt.Errorf("data: %w", err)
			}
			defer f.Close()
			r := newCSVReader(f, s.names[i], s.delim)
			if err := r.next(); err != nil {
				return err
			}
			read := 0
			for ; ; rows++ {
				if rows%10000 == 0 && ctx.Err() != nil {
					return ctx.Err()
				}
				if rows == sampleRows { // room for about all of this file, so that it need not be copied again and again
					if info, err := f.Stat(); err == nil {
						more := int(info.Size() / int64(max(read/sampleRows, 1)))
						for _, col := range columns {
							if col.text {
								col.texts = slices.Grow(col.texts, more)
							} else {
								col.numbers = slices.Grow(col.numbers, more)
							}
						}
					}
				}
				if err := r.next(); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if err := r.width(len(s.column)); err != nil {
					return err
				}
				read += len(r.raw)
				for _, col := range columns {
					field := r.field(col.at)
					switch {
					case col.none:
					case col.text:
						col.texts = append(col.texts, interned(known, field))
					default:
						v, ok := parseNumber(field)
						col.none = !ok
						col.numbers = append(col.numbers, v)
					}
				}
			}
		}()
		if err != nil {
			return nil, err
		}
	}
	c.Rows = rows
	for _, col := range columns {
		switch {
		case col.text:
			c.Texts[col.name] = col.texts
		case col.none:
			isText = append(isText, col.name)
		default:
			c.Numbers[col.name] = col.numbers
		}
	}
	return isText, nil
}

// interned is the text of a field, empty when it stands for no value.
func interned(known map[string]string, field []byte) string {
	if s, ok := known[string(field)]; ok {
		return s
	}
	s := string(field)
	if slices.Contains(missing, s) {
		s = ""
	}
	if len(known) < 1000 {
		known[string(field)] = s
	}
	return s
}

// parseNumber reads what Describe would call a number or a truth.
func parseNumber(field []byte) (float64, bool) {
	text := strings.TrimSpace(string(field))
	if v, err := strconv.ParseFloat(text, 64); err == nil && !hexadecimal(text) {
		return v, true
	}
	switch {
	case slices.Contains(missing, string(field)):
		return math.NaN(), true
	case strings.EqualFold(text, "true"):
		return 1, true
	case strings.EqualFold(text, "false"):
		return 0, true
	}
	return 0, false
}

// hexadecimal numbers are Go's, not a data file's.
func hexadecimal(text string) bool {
	return len(text) > 2 && (text[1]|0x20 == 'x' || text[2]|0x20 == 'x')
}

func (d *DB) queryColumns(ctx context.Context, s *source, c *Columns, numbers, texts []string) error {
	var list []string
	for _, name := range numbers {
		i := slices.Index(s.column, name)
		switch class(s.types[i]) {
		case classBoolean, classInteger, classNumber:
			list = append(list, fmt.Sprintf("coalesce(CAST(c%d AS DOUBLE), 'nan'::DOUBLE)", i))
			c.Numbers[name] = []float64{}
		default:
			texts = append(texts, name)
		}
	}
	numbers = filter(numbers, func(name string) bool { return c.Numbers[name] != nil })
	for _, name := range texts {
		list = append(list, fmt.Sprintf("coalesce(CAST(c%d AS VARCHAR), '')", slices.Index(s.column, name)))
	}
	query := "SELECT " + strings.Join(append(list, "1"), ", ") + " FROM " + s.relation()
	rows, err := d.db.QueryContext(ctx, query)
	if err != nil {
		return s.explain(ctx, err)
	}
	defer rows.Close()
	floats, strs := make([]float64, len(numbers)), make([]string, len(texts))
	into := make([]any, 0, len(list)+1)
	for i := range floats {
		into = append(into, &floats[i])
	}
	for i := range strs {
		into = append(into, &strs[i])
	}
	var one any
	into = append(into, &one)
	columnsOf := make([][]float64, len(numbers))
	textsOf := make([][]string, len(texts))
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, v := range floats {
			columnsOf[i] = append(columnsOf[i], v)
		}
		for i, v := range strs {
			textsOf[i] = append(textsOf[i], v)
		}
		c.Rows++
	}
	if err := rows.Err(); err != nil {
		return s.explain(ctx, err)
	}
	for i, name := range numbers {
		c.Numbers[name] = columnsOf[i]
	}
	for i, name := range texts {
		c.Texts[name] = textsOf[i]
	}
	return nil
}
