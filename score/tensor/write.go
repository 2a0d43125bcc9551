package tensor

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendJSON appends a batch as MLflow's scoring server spells predictions: an
// array as lists in lists, a table as records, named arrays as an object of
// lists. A missing number or time (NaN, NaT) is null, because JSON has no word
// for it; of an infinity it is an error, because null would be a wrong answer.
func AppendJSON(dst []byte, b Batch) ([]byte, error) {
	switch b.Form {
	case Table:
		return appendRecords(dst, b)
	case Named:
		dst = append(dst, '{')
		for i := range b.Tensors {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendText(dst, b.Tensors[i].Name), ':')
			var err error
			if dst, err = b.Tensors[i].AppendJSON(dst); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	}
	if len(b.Tensors) != 1 {
		return dst, fmt.Errorf("an array of %d tensors", len(b.Tensors))
	}
	return b.Tensors[0].AppendJSON(dst)
}

// AppendJSON appends the tensor's elements as lists in lists.
func (t *Tensor) AppendJSON(dst []byte) ([]byte, error) {
	dst, _, err := t.lists(dst, t.Shape, t.Data)
	return dst, err
}

// AppendFlat appends the tensor's elements as one list, row-major.
func (t *Tensor) AppendFlat(dst []byte) ([]byte, error) {
	dst, _, err := t.lists(dst, []int{elements(t.Shape)}, t.Data)
	return dst, err
}

func (t *Tensor) lists(dst []byte, shape []int, data []byte) ([]byte, []byte, error) {
	if len(shape) == 0 {
		return t.element(dst, data)
	}
	dst = append(dst, '[')
	var err error
	for i := range shape[0] {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, data, err = t.lists(dst, shape[1:], data); err != nil {
			return dst, data, err
		}
	}
	return append(dst, ']'), data, nil
}

// appendRecords appends [{column: value}].
func appendRecords(dst []byte, b Batch) ([]byte, error) {
	names := b.Columns
	rest := make([][]byte, len(b.Tensors))
	for i := range b.Tensors {
		if b.Columns == nil {
			names = append(names, b.Tensors[i].Name)
		}
		rest[i] = b.Tensors[i].Data
	}
	keys := make([][]byte, len(names))
	for i, name := range names {
		keys[i] = append(appendText(nil, name), ':')
	}
	dst = append(dst, '[')
	var err error
	for row := range b.Rows {
		if row > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		for i := range names {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, keys[i]...)
			if b.Columns != nil {
				dst, rest[0], err = b.Tensors[0].element(dst, rest[0])
			} else {
				dst, rest[i], err = b.Tensors[i].lists(dst, b.Tensors[i].Shape[1:], rest[i])
			}
			if err != nil {
				return dst, err
			}
		}
		dst = append(dst, '}')
	}
	return append(dst, ']'), nil
}

// element appends the element that data begins with, and returns what follows.
func (t *Tensor) element(dst, data []byte) ([]byte, []byte, error) {
	if t.Type.Framed() {
		element, rest := nextFrame(data)
		switch {
		case element == nil:
			dst = append(dst, "null"...)
		case t.Type == Text:
			dst = appendText(dst, view(element))
		case t.Type == JSON:
			dst = append(dst, element...)
		default:
			dst = base64.StdEncoding.AppendEncode(append(dst, '"'), element)
			dst = append(dst, '"')
		}
		return dst, rest, nil
	}
	size := t.Type.Size()
	v := getUint(data, size)
	switch width, signed := bits(t.Type); {
	case t.Type == Bool:
		dst = strconv.AppendBool(dst, v != 0)
	case signed:
		dst = strconv.AppendInt(dst, extendSign(v, width), 10)
	case width > 0:
		dst = strconv.AppendUint(dst, v, 10)
	case t.Type == Datetime && int64(v) == noTime:
		dst = append(dst, "null"...)
	case t.Type == Datetime:
		dst = append(dst, '"')
		dst = time.Unix(0, int64(v)).UTC().AppendFormat(dst, "2006-01-02T15:04:05.999999999")
		dst = append(dst, '"')
	default:
		var ok bool
		if dst, ok = appendFloat(dst, toFloat(v, t.Type)); !ok {
			return dst, nil, errInfinite
		}
	}
	return dst, data[size:], nil
}

var errInfinite = errors.New("the model answered with an infinite number, which JSON cannot carry")

// appendFloat writes a number as Python does; false for an infinity.
func appendFloat(dst []byte, f float64) ([]byte, bool) {
	switch a := math.Abs(f); {
	case math.IsNaN(f):
		return append(dst, "null"...), true
	case math.IsInf(f, 0):
		return dst, false
	case a != 0 && (a < 1e-4 || a >= 1e16):
		return strconv.AppendFloat(dst, f, 'e', -1, 64), true
	case a < 1e15 && f == math.Trunc(f):
		dst = strconv.AppendInt(dst, int64(f), 10)
		if f == 0 && math.Signbit(f) {
			dst = append(dst[:len(dst)-1], "-0"...)
		}
		return append(dst, ".0"...), true
	default:
		dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
		if f == math.Trunc(f) {
			dst = append(dst, ".0"...)
		}
		return dst, true
	}
}

const hexadecimal = "0123456789abcdef"

// appendText appends a string in quotation marks. What is not UTF-8 becomes
// U+FFFD.
func appendText(dst []byte, text string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(text); {
		b := text[i]
		if b < utf8.RuneSelf {
			if b >= ' ' && b != '"' && b != '\\' {
				i++
				continue
			}
			dst = append(dst, text[start:i]...)
			switch b {
			case '"', '\\':
				dst = append(dst, '\\', b)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexadecimal[b>>4], hexadecimal[b&15])
			}
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(append(dst, text[start:i]...), "\ufffd"...)
			start = i + 1
		}
		i += n
	}
	return append(append(dst, text[start:]...), '"')
}
