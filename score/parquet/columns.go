package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

// most bounds the values of one file, which can claim any number of equal ones.
const most = 1 << 25

// columns reads a file's columns of single values; one of another kind is a
// tensor without a type. The index that pandas writes along is left out. The
// library is made for files of one's own: it allocates what a page says it
// holds, and panics at what cannot be.
func columns(file []byte) (read []tensor.Tensor, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			read, err = nil, fmt.Errorf("%v", broken)
		}
	}()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	all := f.Root().Columns()
	rows := f.NumRows()
	if rows < 0 || rows > most/int64(max(1, len(all))) {
		return nil, fmt.Errorf("%d rows of %d columns are more than the %d values that are taken in one request", rows, len(all), most)
	}
	for _, c := range all {
		if strings.HasPrefix(c.Name(), "__index_level_") {
			continue
		}
		t, err := column(c, int(rows))
		if err != nil {
			return nil, fmt.Errorf("column '%s': %w", c.Name(), err)
		}
		read = append(read, t)
	}
	return read, nil
}

// column reads all values of a column.
func column(c *parquet.Column, rows int) (tensor.Tensor, error) {
	t := tensor.Tensor{Name: c.Name(), Shape: []int{rows}}
	kind, ok := kindOf(c)
	if !ok {
		return t, nil
	}
	t.Type = kind.as
	t.Data = make([]byte, 0, rows*max(4, t.Type.Size()))
	pages := c.Pages()
	defer pages.Close()
	values := make([]parquet.Value, min(1024, max(1, rows)))
	for n := 0; ; {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			if n != rows {
				err = fmt.Errorf("%d values of %d rows", n, rows)
			} else {
				err = nil
			}
			return t, err
		}
		if err != nil {
			return t, err
		}
		for in := page.Values(); ; {
			got, err := in.ReadValues(values)
			if n += got; n > rows {
				return t, errors.New("more values than there are rows")
			}
			for i := range values[:got] {
				if err := add(&t, &values[i], kind.scale); err != nil {
					return t, err
				}
			}
			if errors.Is(err, io.EOF) || got == 0 && err == nil {
				break
			}
			if err != nil {
				return t, err
			}
		}
		parquet.Release(page)
	}
}

// A kind says how a column is read: whole numbers times scale, which is
// nanoseconds for times.
type kind struct {
	as    tensor.Type
	scale int64
}

func kindOf(c *parquet.Column) (kind, bool) {
	if !c.Leaf() || c.MaxRepetitionLevel() > 0 {
		return kind{}, false
	}
	is := func(t tensor.Type) (kind, bool) { return kind{t, 1}, true }
	var logical format.LogicalTypeValue
	if l := c.Type().LogicalType(); l != nil {
		logical = l.Value
	}
	switch l := logical.(type) {
	case *format.IntType:
		sizes := map[int8][2]tensor.Type{8: {tensor.Uint8, tensor.Int8}, 16: {tensor.Uint16, tensor.Int16}, 32: {tensor.Uint32, tensor.Int32}, 64: {tensor.Uint64, tensor.Int64}}
		if pair, ok := sizes[l.BitWidth]; ok && l.IsSigned {
			return is(pair[1])
		} else if ok {
			return is(pair[0])
		}
	case *format.TimestampType:
		switch l.Unit.Value.(type) {
		case *format.MilliSeconds:
			return kind{tensor.Datetime, 1e6}, true
		case *format.MicroSeconds:
			return kind{tensor.Datetime, 1e3}, true
		}
		return kind{tensor.Datetime, 1}, true
	case *format.DateType:
		return kind{tensor.Datetime, 86_400e9}, true
	case *format.StringType, *format.EnumType:
		return is(tensor.Text)
	case *format.JsonType:
		return is(tensor.JSON)
	case nil:
		switch c.Type().Kind() {
		case parquet.Boolean:
			return is(tensor.Bool)
		case parquet.Int32:
			return is(tensor.Int32)
		case parquet.Int64:
			return is(tensor.Int64)
		case parquet.Float:
			return is(tensor.Float32)
		case parquet.Double:
			return is(tensor.Float64)
		case parquet.ByteArray, parquet.FixedLenByteArray:
			return is(tensor.Binary)
		}
	}
	return kind{}, false
}

// add appends a value. Whole numbers become doubles at the first that is
// missing, as in pandas.
func add(t *tensor.Tensor, v *parquet.Value, scale int64) error {
	le := binary.LittleEndian
	if v.IsNull() {
		switch {
		case t.Type.Framed():
			t.Data = le.AppendUint32(t.Data, math.MaxUint32)
		case t.Type == tensor.Datetime:
			t.Data = le.AppendUint64(t.Data, 1<<63) // NaT
		case t.Type == tensor.Float32:
			t.Data = le.AppendUint32(t.Data, math.Float32bits(float32(math.NaN())))
		case t.Type == tensor.Bool:
			return errors.New("a truth value is missing, and there is nothing that could stand for it")
		default:
			doubles(t)
			t.Data = le.AppendUint64(t.Data, math.Float64bits(math.NaN()))
		}
		return nil
	}
	switch {
	case t.Type.Framed():
		t.Data = tensor.AppendFrame(t.Data, v.ByteArray())
	case t.Type == tensor.Bool && v.Boolean():
		t.Data = append(t.Data, 1)
	case t.Type == tensor.Bool:
		t.Data = append(t.Data, 0)
	case v.Kind() == parquet.Double:
		t.Data = le.AppendUint64(t.Data, math.Float64bits(v.Double()))
	case v.Kind() == parquet.Float:
		t.Data = le.AppendUint32(t.Data, math.Float32bits(v.Float()))
	default:
		whole := int64(v.Int32())
		if v.Kind() == parquet.Int64 {
			whole = v.Int64()
		}
		if whole > math.MaxInt64/scale || whole < math.MinInt64/scale {
			return errors.New("a time is beyond 1678 to 2262")
		}
		whole *= scale
		switch t.Type.Size() {
		case 1:
			t.Data = append(t.Data, byte(whole))
		case 2:
			t.Data = le.AppendUint16(t.Data, uint16(whole))
		case 4:
			t.Data = le.AppendUint32(t.Data, uint32(whole))
		default:
			if t.Type == tensor.Float64 { // since one was missing
				whole = int64(math.Float64bits(float64(whole)))
			}
			t.Data = le.AppendUint64(t.Data, uint64(whole))
		}
	}
	return nil
}

// doubles makes doubles of whole numbers.
func doubles(t *tensor.Tensor) {
	le := binary.LittleEndian
	var out []byte
	for data := t.Data; t.Type != tensor.Float64 && len(data) > 0; data = data[t.Type.Size():] {
		var f float64
		switch t.Type {
		case tensor.Int8:
			f = float64(int8(data[0]))
		case tensor.Uint8:
			f = float64(data[0])
		case tensor.Int16:
			f = float64(int16(le.Uint16(data)))
		case tensor.Uint16:
			f = float64(le.Uint16(data))
		case tensor.Int32:
			f = float64(int32(le.Uint32(data)))
		case tensor.Uint32:
			f = float64(le.Uint32(data))
		case tensor.Uint64:
			f = float64(le.Uint64(data))
		default:
			f = float64(int64(le.Uint64(data)))
		}
		out = le.AppendUint64(out, math.Float64bits(f))
	}
	if t.Type != tensor.Float64 {
		t.Type, t.Data = tensor.Float64, out
	}
}
