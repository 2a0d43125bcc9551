package track

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Points are kept in two shapes, both begin with a byte that names the shape.
// An arrived row has the points of one request, each: the length of its key and
// the key (length 0: the key before), step and time as differences from the
// point before, and the value. A row of points has one metric's, without keys.
// Lengths are unsigned varints, differences zigzag varints as encoding/binary
// has them, a value is the 8 bytes of its float64, little-endian, so that NaN
// and infinities are values like any other.
const (
	shapeArrived = 1
	shapePoints  = 2
)

func encodeArrived(metrics []Metric) []byte {
	if len(metrics) == 0 {
		return nil
	}
	b := make([]byte, 1, 1+len(metrics)*28)
	b[0] = shapeArrived
	var last Metric
	for i, m := range metrics {
		if i > 0 && m.Key == last.Key {
			b = append(b, 0)
		} else {
			b = binary.AppendUvarint(b, uint64(len(m.Key)))
			b = append(b, m.Key...)
		}
		b = appendPoint(b, m, last)
		last = m
	}
	return b
}

func encodePoints(metrics []Metric) []byte {
	b := make([]byte, 1, 1+len(metrics)*12)
	b[0] = shapePoints
	var last Metric
	for _, m := range metrics {
		b = appendPoint(b, m, last)
		last = m
	}
	return b
}

func appendPoint(b []byte, m, last Metric) []byte {
	// The difference may wrap around; so does adding it again.
	b = binary.AppendVarint(b, m.Step-last.Step)
	b = binary.AppendVarint(b, m.Time-last.Time)
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(m.Value))
}

// eachPoint calls fn for every point of a row. key is the metric's, of a row of
// points.
func eachPoint(b []byte, key string, fn func(Metric)) error {
	if len(b) == 0 || b[0] != shapeArrived && b[0] != shapePoints {
		return fmt.Errorf("points of a shape that this program does not know")
	}
	r := reader{b: b[1:]}
	m := Metric{Key: key}
	for len(r.b) > 0 && !r.bad {
		if b[0] == shapeArrived {
			if n := r.uvarint(); n > 0 {
				m.Key = string(r.take(n))
			}
		}
		m.Step += r.varint()
		m.Time += r.varint()
		if v := r.take(8); v != nil {
			m.Value = math.Float64frombits(binary.LittleEndian.Uint64(v))
			fn(m)
		}
	}
	if r.bad {
		return fmt.Errorf("points that end half way")
	}
	return nil
}

// A reader takes values off the front of bytes.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) take(n uint64) []byte {
	if r.bad || uint64(len(r.b)) < n {
		r.bad = true
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

// series makes of one metric's points the set of them, by time, step and value.
func series(points []Metric) []Metric {
	compare := func(a, b Metric) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Step, b.Step), cmp.Compare(a.Value, b.Value)) // NaN is below all, and equals itself
	}
	if !slices.IsSortedFunc(points, compare) {
		slices.SortFunc(points, compare)
	}
	return slices.CompactFunc(points, func(a, b Metric) bool { return compare(a, b) == 0 })
}
