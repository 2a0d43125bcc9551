package tensor

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"time"
)

func floating(t Type) bool { return t == Float16 || t == Float32 || t == Float64 }

// bits of an integer type, and whether it has a sign; 0 when it is none.
func bits(t Type) (n int, signed bool) {
	switch t {
	case Uint8, Uint16, Uint32, Uint64:
		return 8 * t.Size(), false
	case Int8, Int16, Int32, Int64:
		return 8 * t.Size(), true
	}
	return 0, false
}

const noTime = math.MinInt64 // numpy's NaT

func appendFrame(dst, element []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(element)))
	return append(dst, element...)
}

func appendNull(dst []byte) []byte { return binary.LittleEndian.AppendUint32(dst, null) }

// nextFrame takes an element of a framed type from the front of data; nil is
// null. The data is well-formed.
func nextFrame(data []byte) (element, rest []byte) {
	n := binary.LittleEndian.Uint32(data)
	if n == null {
		return nil, data[4:]
	}
	return data[4 : 4+n : 4+n], data[4+n:]
}

// Cut takes a block of n elements apart, each as it is in the block; nil when
// there are fewer. What follows them is not looked at.
func (t Type) Cut(block []byte, n int) [][]byte {
	elements := make([][]byte, 0, max(n, 0))
	for range n {
		size := t.Size()
		if t.Framed() {
			size = framed(block, 1)
		}
		if size <= 0 || size > len(block) {
			return nil
		}
		elements = append(elements, block[:size:size])
		block = block[size:]
	}
	return elements
}

// putUint writes the low bytes of v.
func putUint(dst []byte, size int, v uint64) {
	switch size {
	case 1:
		dst[0] = byte(v)
	case 2:
		binary.LittleEndian.PutUint16(dst, uint16(v))
	case 4:
		binary.LittleEndian.PutUint32(dst, uint32(v))
	default:
		binary.LittleEndian.PutUint64(dst, v)
	}
}

// putFloat reports false when v is finite and t's nearest value is not.
func putFloat(dst []byte, t Type, v float64) bool {
	switch t {
	case Float64:
		binary.LittleEndian.PutUint64(dst, math.Float64bits(v))
		return true
	case Float32:
		f := float32(v)
		binary.LittleEndian.PutUint32(dst, math.Float32bits(f))
		return !math.IsInf(float64(f), 0) || math.IsInf(v, 0)
	}
	h := toHalf(v)
	binary.LittleEndian.PutUint16(dst, h)
	return h&0x7fff != 0x7c00 || math.IsInf(v, 0)
}

// putNull writes what stands for a missing value; false when the type has
// nothing for it.
func putNull(dst []byte, t Type) bool {
	switch {
	case floating(t):
		return putFloat(dst, t, math.NaN())
	case t == Datetime:
		v := int64(noTime)
		putUint(dst, 8, uint64(v))
		return true
	}
	return false
}

// A place is where an element goes, for messages.
type place struct {
	field string
	row   int
}

func (p place) wants(t Type, c *cursor) error {
	return unfit(p.field, "%s: expected %s, found %s.", in(p.field, p.row), t.words(), c.kind())
}

// words is a type as a message names it to a client.
func (t Type) words() string {
	name := "(" + t.String() + ")"
	switch {
	case t == Bool:
		return "true or false"
	case floating(t):
		return "a number " + name
	case t == Datetime:
		return "a date and time as ISO 8601 has it"
	case t == Text:
		return "a text"
	case t == Binary:
		return "a text in base64"
	case t == JSON:
		return "a JSON value"
	}
	return "a whole number " + name
}

// fixed reads an element of a type of fixed width into dst.
func (c *cursor) fixed(dst []byte, t Type, p place) error {
	b := c.next()
	if b == '-' || b-'0' <= 9 {
		if b == '-' && floating(t) && c.literal("-Infinity") {
			putFloat(dst, t, math.Inf(-1))
			return nil
		}
		before := *c
		n, err := c.number()
		if err != nil {
			return err
		}
		switch {
		case floating(t):
			if f, ok := n.float(); ok && putFloat(dst, t, f) {
				return nil
			}
			return unfit(p.field, "%s: the number %s is beyond what %s holds.", in(p.field, p.row), short(string(n.text)), t.String())
		case t == Bool:
			return p.wants(t, &before)
		}
		v, whole := n.integer()
		if !whole {
			return p.wants(t, &before)
		}
		if !putInteger(dst, t, n.negative, v) {
			return unfit(p.field, "%s: the number %s is beyond what %s holds.", in(p.field, p.row), short(string(n.text)), t.String())
		}
		return nil
	}
	switch {
	case t == Bool && c.literal("true"):
		dst[0] = 1
		return nil
	case t == Bool && c.literal("false"):
		dst[0] = 0
		return nil
	case b == '"' && t == Datetime:
		before := *c
		text, err := c.text()
		if err != nil {
			return err
		}
		ns, ok := parseTime(string(text))
		if !ok {
			return p.wants(t, &before)
		}
		putUint(dst, 8, uint64(ns))
		return nil
	case b == 'n' && putNull(dst, t) && c.literal("null"):
		return nil
	case floating(t) && c.literal("NaN"):
		putFloat(dst, t, math.NaN())
		return nil
	case floating(t) && c.literal("Infinity"):
		putFloat(dst, t, math.Inf(1))
		return nil
	case b == 0, b == ']', b == '}', b == ',', b == ':':
		return c.syntax("a value")
	}
	return p.wants(t, c)
}

// putInteger writes a whole number, and reports false when the type does not
// hold it.
func putInteger(dst []byte, t Type, negative bool, magnitude uint64) bool {
	n, signed := bits(t)
	if t == Datetime {
		n, signed = 64, true
	}
	limit := uint64(1)<<n - 1 // all ones when n is 64
	if signed {
		limit >>= 1
		if negative {
			limit++
		}
	} else if negative && magnitude > 0 {
		return false
	}
	if magnitude > limit {
		return false
	}
	if negative {
		magnitude = -magnitude
	}
	putUint(dst, n/8, magnitude)
	return true
}

// framed reads an element of a framed type and appends it.
func (c *cursor) framed(dst []byte, t Type, p place) ([]byte, error) {
	b := c.next()
	if b == 'n' && c.literal("null") {
		return appendNull(dst), nil
	}
	if t == JSON {
		raw, err := c.skip()
		if err != nil {
			return dst, err
		}
		if !json.Valid(raw) {
			return dst, unfit(p.field, "%s: NaN and Infinity are no JSON values. Send null.", in(p.field, p.row))
		}
		return appendFrame(dst, raw), nil
	}
	if b != '"' {
		if b == 0 || b == ']' || b == '}' || b == ',' || b == ':' {
			return dst, c.syntax("a value")
		}
		return dst, p.wants(t, c)
	}
	before := *c
	text, err := c.text()
	if err != nil {
		return dst, err
	}
	if t == Text {
		return appendFrame(dst, text), nil
	}
	at := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	if dst, err = base64.StdEncoding.AppendDecode(dst, text); err != nil {
		return dst, p.wants(t, &before)
	}
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst, nil
}

// element reads one element of any type and appends it.
func (c *cursor) element(dst []byte, t Type, p place) ([]byte, error) {
	size := t.Size()
	if size == 0 {
		return c.framed(dst, t, p)
	}
	dst = extend(dst, size)
	return dst, c.fixed(dst[len(dst)-size:], t, p)
}

// extend lengthens dst by n bytes that the caller writes, doubling its room
// when there is none.
func extend(dst []byte, n int) []byte {
	if need := len(dst) + n; need > cap(dst) {
		bigger := make([]byte, len(dst), max(2*cap(dst), need))
		copy(bigger, dst)
		dst = bigger
	}
	return dst[:len(dst)+n]
}

// appendMissing appends what stands for a value that is not there.
func appendMissing(dst []byte, t Type, p place) ([]byte, error) {
	size := t.Size()
	if size == 0 {
		return appendNull(dst), nil
	}
	dst = extend(dst, size)
	if !putNull(dst[len(dst)-size:], t) {
		return dst, unfit(p.field, "%s: expected %s, found nothing.", in(p.field, p.row), t.words())
	}
	return dst, nil
}

// The forms of ISO 8601 that pandas writes and people type.
var timeForms = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02",
	"2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15:04:05.999999999Z0700",
}

// parseTime is nanoseconds since 1970 in UTC, which a text without a zone is
// in. False when it is no time or beyond 1678 to 2262.
func parseTime(text string) (int64, bool) {
	for _, form := range timeForms {
		t, err := time.Parse(form, text)
		if err != nil {
			continue
		}
		seconds := t.Unix()
		if seconds < -9_223_372_036 || seconds > 9_223_372_035 {
			return 0, false
		}
		return t.UnixNano(), true
	}
	return noTime, text == "NaT" || text == ""
}

// toHalf is the nearest half-precision number, ties to even (IEEE 754).
func toHalf(v float64) uint16 {
	b := math.Float64bits(v)
	sign := uint16(b >> 48 & 0x8000)
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return sign | 0x7e00
	case a >= 65520: // half-way to 2^16
		return sign | 0x7c00
	case a < 0x1p-14: // subnormal: multiples of 2^-24
		return sign | uint16(math.RoundToEven(a*0x1p24))
	default:
		fraction, exponent := math.Frexp(a) // in [0.5, 1)
		m := uint16(math.RoundToEven(fraction * 2048))
		return sign | (uint16(exponent+13)<<10 + m) // m's top bit carries one into the exponent
	}
}

// fromHalf is a half-precision number as a double, which holds each.
func fromHalf(h uint16) float64 {
	sign := 1.0
	if h&0x8000 != 0 {
		sign = -1
	}
	exponent, fraction := int(h>>10&0x1f), float64(h&0x3ff)
	switch exponent {
	case 0x1f:
		if fraction != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	case 0:
		return sign * fraction * 0x1p-24
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}
