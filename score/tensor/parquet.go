package tensor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// parquetMost bounds the values of one request: a small file can claim any
// number of equal ones.
const parquetMost = 1 << 25

// Parquet reads a table in Parquet, of columns of single values. The index
// that pandas writes along is no column.
func (r *Reader) Parquet(body []byte) (b Batch, err error) {
	defer func() { // the library reads files, not what strangers send
		if broken := recover(); broken != nil {
			b, err = Batch{}, malformed("The body is not valid Parquet: %v.", broken)
		}
	}()
	if len(body) == 0 {
		return Batch{}, malformed("The body is empty: expected a Parquet file.")
	}
	file, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return Batch{}, malformed("The body is not valid Parquet: %v.", err)
	}
	var columns []*parquet.Column
	var names []string
	for _, c := range file.Root().Columns() {
		if !strings.HasPrefix(c.Name(), "__index_level_") {
			columns, names = append(columns, c), append(names, c.Name())
		}
	}
	rows := file.NumRows()
	if rows < 0 || rows > parquetMost/int64(max(1, len(columns))) {
		return Batch{}, malformed("The Parquet file has %d rows of %d columns: at most %d values are taken in one request.", rows, len(columns), parquetMost)
	}
	if r.s != nil {
		if r, err = r.forTable(names); err != nil {
			return Batch{}, err
		}
	}
	given := make([]Tensor, 0, len(columns))
	for i, c := range columns {
		if r.s != nil && (r.named && r.find([]byte(c.Name()), i) < 0 || !r.named && i >= len(r.s.Inputs)) {
			given = append(given, Tensor{Name: c.Name()}) // to be told of, if another is missing
			continue
		}
		t, err := parquetColumn(c, int(rows))
		if err != nil {
			return Batch{}, err
		}
		given = append(given, t)
	}
	if r.s == nil && len(given) > 0 {
		s := &Signature{Form: Table}
		for _, t := range given {
			s.Inputs = append(s.Inputs, Field{Name: t.Name, Type: t.Type})
		}
		r = NewReader(s)
	}
	return r.Tensors(given)
}

// parquetColumn reads all values of a column.
func parquetColumn(c *parquet.Column, rows int) (Tensor, error) {
	t := Tensor{Name: c.Name(), Shape: []int{rows}}
	read, ok := parquetType(c)
	if !ok {
		return t, unfit(t.Name, "Input '%s': a Parquet column of type %s cannot be read. Send JSON.", short(t.Name), c.String())
	}
	t.Type = read.as
	t.Data = make([]byte, 0, rows*max(4, t.Type.Size()))
	pages := c.Pages()
	defer pages.Close()
	values := make([]parquet.Value, min(1024, max(1, rows)))
	n := 0
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return t, malformed("The body is not valid Parquet: column '%s': %v.", short(t.Name), err)
		}
		for in := page.Values(); ; {
			got, err := in.ReadValues(values)
			if n += got; n > rows {
				return t, malformed("The body is not valid Parquet: column '%s' has more values than there are rows.", short(t.Name))
			}
			for i := range values[:got] {
				if err := t.parquetValue(&values[i], read); err != nil {
					return t, err
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return t, malformed("The body is not valid Parquet: column '%s': %v.", short(t.Name), err)
			}
		}
		parquet.Release(page)
	}
	if n != rows {
		return t, malformed("The body is not valid Parquet: column '%s' has %d values of %d rows.", short(t.Name), n, rows)
	}
	return t, nil
}

// parquetAs says how a column is read: numbers times scale, which is
// nanoseconds for times.
type parquetAs struct {
	as    Type
	scale int64
}

func parquetType(c *parquet.Column) (parquetAs, bool) {
	if !c.Leaf() || c.MaxRepetitionLevel() > 0 {
		return parquetAs{}, false
	}
	is := func(t Type) (parquetAs, bool) { return parquetAs{t, 1}, true }
	var logical format.LogicalTypeValue
	if l := c.Type().LogicalType(); l != nil {
		logical = l.Value
	}
	switch l := logical.(type) {
	case *format.IntType:
		for _, t := range Types() {
			if n, signed := bits(t); n == int(l.BitWidth) && signed == l.IsSigned {
				return is(t)
			}
		}
	case *format.TimestampType:
		switch l.Unit.Value.(type) {
		case *format.MilliSeconds:
			return parquetAs{Datetime, 1e6}, true
		case *format.MicroSeconds:
			return parquetAs{Datetime, 1e3}, true
		}
		return parquetAs{Datetime, 1}, true
	case *format.DateType:
		return parquetAs{Datetime, 86_400e9}, true
	case *format.StringType, *format.EnumType:
		return is(Text)
	case *format.JsonType:
		return is(JSON)
	case nil:
		switch c.Type().Kind() {
		case parquet.Boolean:
			return is(Bool)
		case parquet.Int32:
			return is(Int32)
		case parquet.Int64:
			return is(Int64)
		case parquet.Float:
			return is(Float32)
		case parquet.Double:
			return is(Float64)
		case parquet.ByteArray, parquet.FixedLenByteArray:
			return is(Binary)
		}
	}
	return parquetAs{}, false
}

// parquetValue appends a value. Whole numbers become doubles at the first that
// is missing, as in pandas.
func (t *Tensor) parquetValue(v *parquet.Value, read parquetAs) error {
	p := place{t.Name, 0}
	if v.IsNull() {
		if n, _ := bits(t.Type); n > 0 {
			data, err := convert(*t, Float64, p, 1)
			if err != nil {
				return err
			}
			t.Type, t.Data = Float64, data
		}
		var err error
		t.Data, err = appendMissing(t.Data, t.Type, p)
		return err
	}
	switch size := t.Type.Size(); {
	case size == 0:
		t.Data = appendFrame(t.Data, v.ByteArray())
	case t.Type == Bool:
		t.Data = append(t.Data, 0)
		if v.Boolean() {
			t.Data[len(t.Data)-1] = 1
		}
	case v.Kind() == parquet.Double:
		t.Data = binary.LittleEndian.AppendUint64(t.Data, math.Float64bits(v.Double()))
	case v.Kind() == parquet.Float:
		t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(v.Float()))
	default:
		whole := int64(v.Int32())
		if v.Kind() == parquet.Int64 {
			whole = v.Int64()
		}
		if t.Type == Float64 { // since one was missing
			t.Data = binary.LittleEndian.AppendUint64(t.Data, math.Float64bits(float64(whole)))
			break
		}
		if read.scale > 1 && (whole > math.MaxInt64/read.scale || whole < math.MinInt64/read.scale) {
			return unfit(t.Name, "Input '%s': a time is beyond 1678 to 2262.", short(t.Name))
		}
		t.Data = extend(t.Data, size)
		putUint(t.Data[len(t.Data)-size:], size, uint64(whole*read.scale))
	}
	return nil
}
