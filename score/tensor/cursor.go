package tensor

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// deepest is how many lists and objects may lie in each other.
const deepest = 512

// A cursor reads JSON (RFC 8259) from front to back, without a copy of
// anything but strings with escapes. Its input is valid UTF-8. Of what the RFC
// leaves open: numbers keep their text; NaN, Infinity and -Infinity are read
// where a floating-point number may stand, as Python writes and reads them; a
// lone surrogate is an error.
//
// It exists because most of a small request's time would go into a general
// decoder; docs/decisions/0035 has the figures. The fuzz tests hold it against
// encoding/json.
type cursor struct {
	in []byte
	at int
}

// next skips white space and returns the byte that follows, 0 at the end.
func (c *cursor) next() byte {
	for c.at < len(c.in) {
		b := c.in[c.at]
		if b > ' ' || b != ' ' && b != '\n' && b != '\t' && b != '\r' {
			return b
		}
		c.at++
	}
	return 0
}

// eat consumes the byte that follows when it is b.
func (c *cursor) eat(b byte) bool {
	if c.next() != b {
		return false
	}
	c.at++
	return true
}

// syntax says what was expected instead of what follows.
func (c *cursor) syntax(expected string) error {
	if c.next() == 0 && c.at >= len(c.in) {
		return malformed("The body is not valid JSON: it ends at byte %d, where %s was expected.", c.at, expected)
	}
	r, _ := utf8.DecodeRune(c.in[c.at:])
	return malformed("The body is not valid JSON: expected %s at byte %d, found %q.", expected, c.at, r)
}

// end is after the last value.
func (c *cursor) end() error {
	if c.next(); c.at < len(c.in) {
		return c.syntax("the end of the body")
	}
	return nil
}

// more is between the elements of a list or object: true after a comma, false
// after the closing byte.
func (c *cursor) more(closing byte) (bool, error) {
	switch c.next() {
	case ',':
		c.at++
		return true, nil
	case closing:
		c.at++
		return false, nil
	}
	return false, c.syntax("',' or '" + string(closing) + "'")
}

// key reads a member's name and the colon.
func (c *cursor) key() ([]byte, error) {
	if c.next() != '"' {
		return nil, c.syntax("a name in quotation marks")
	}
	name, err := c.text()
	if err != nil {
		return nil, err
	}
	if !c.eat(':') {
		return nil, c.syntax("':'")
	}
	return name, nil
}

// object calls member for each member of an object, which has to read its
// value.
func (c *cursor) object(member func(name []byte) error) error {
	if !c.eat('{') {
		return c.syntax("an object")
	}
	if c.eat('}') {
		return nil
	}
	for {
		name, err := c.key()
		if err != nil {
			return err
		}
		if err := member(name); err != nil {
			return err
		}
		if more, err := c.more('}'); err != nil || !more {
			return err
		}
	}
}

// list calls element for each element of a list, which has to read it.
func (c *cursor) list(element func(i int) error) error {
	if !c.eat('[') {
		return c.syntax("a list")
	}
	if c.eat(']') {
		return nil
	}
	for i := 0; ; i++ {
		if err := element(i); err != nil {
			return err
		}
		if more, err := c.more(']'); err != nil || !more {
			return err
		}
	}
}

// text reads a string. The result is part of the input unless it has escapes.
func (c *cursor) text() ([]byte, error) {
	c.at++ // the quotation mark that the caller saw
	start := c.at
	for ; c.at < len(c.in); c.at++ {
		switch b := c.in[c.at]; {
		case b == '"':
			c.at++
			return c.in[start : c.at-1], nil
		case b == '\\':
			return c.escaped(append([]byte(nil), c.in[start:c.at]...))
		case b < ' ':
			return nil, malformed("The body is not valid JSON: a control character at byte %d has to be escaped.", c.at)
		}
	}
	return nil, c.syntax("the end of a string")
}

// escaped goes on with a string that began with out, from its first escape.
func (c *cursor) escaped(out []byte) ([]byte, error) {
	for c.at < len(c.in) {
		b := c.in[c.at]
		c.at++
		switch {
		case b == '"':
			return out, nil
		case b < ' ':
			return nil, malformed("The body is not valid JSON: a control character at byte %d has to be escaped.", c.at-1)
		case b != '\\':
			out = append(out, b)
			continue
		}
		if c.at >= len(c.in) {
			break
		}
		b = c.in[c.at]
		c.at++
		switch b {
		case '"', '\\', '/':
			out = append(out, b)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, err := c.unit()
			if err != nil {
				return nil, err
			}
			if utf16.IsSurrogate(r) {
				second := rune(0)
				if c.at+1 < len(c.in) && c.in[c.at] == '\\' && c.in[c.at+1] == 'u' {
					c.at += 2
					if second, err = c.unit(); err != nil {
						return nil, err
					}
				}
				if r = utf16.DecodeRune(r, second); r == utf8.RuneError {
					return nil, malformed("The body is not valid JSON: the string that goes on at byte %d has one half of a surrogate pair.", c.at)
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			c.at--
			return nil, c.syntax(`one of "\/bfnrtu after a backslash`)
		}
	}
	return nil, c.syntax("the end of a string")
}

// unit reads the four digits of a \u.
func (c *cursor) unit() (rune, error) {
	if c.at+4 <= len(c.in) {
		if v, err := strconv.ParseUint(view(c.in[c.at:c.at+4]), 16, 16); err == nil {
			c.at += 4
			return rune(v), nil
		}
	}
	return 0, malformed("The body is not valid JSON: expected four hexadecimal digits at byte %d.", c.at)
}

// literal consumes word when it is what follows.
func (c *cursor) literal(word string) bool {
	if len(c.in)-c.at < len(word) || view(c.in[c.at:c.at+len(word)]) != word {
		return false
	}
	c.at += len(word)
	return true
}

// A number is what a JSON number says.
type number struct {
	text     []byte
	digits   uint64 // all of them, sign and point aside, when exact
	exponent int    // of ten; when exact
	negative bool
	exact    bool
	whole    bool // without point and exponent
}

// number reads a number. The caller saw a digit or a minus sign.
func (c *cursor) number() (n number, err error) {
	in, i := c.in, c.at
	if in[i] == '-' {
		n.negative = true
		i++
	}
	first := i
	var m uint64
	for i < len(in) && in[i]-'0' <= 9 {
		m = m*10 + uint64(in[i]-'0')
		i++
	}
	count := i - first
	if count == 0 || count > 1 && in[first] == '0' {
		c.at = first
		return n, c.syntax("a number")
	}
	n.whole = true
	if i < len(in) && in[i] == '.' {
		i++
		point := i
		for i < len(in) && in[i]-'0' <= 9 {
			m = m*10 + uint64(in[i]-'0')
			i++
		}
		if i == point {
			c.at = i
			return n, c.syntax("a digit")
		}
		n.whole, n.exponent = false, point-i
		count += i - point
	}
	if i < len(in) && in[i]|0x20 == 'e' {
		n.whole = false
		i++
		sign := 1
		if i < len(in) && (in[i] == '+' || in[i] == '-') {
			if in[i] == '-' {
				sign = -1
			}
			i++
		}
		start, e := i, 0
		for i < len(in) && in[i]-'0' <= 9 {
			e = min(e*10+int(in[i]-'0'), 1<<20)
			i++
		}
		if i == start {
			c.at = i
			return n, c.syntax("a digit")
		}
		n.exponent += sign * e
	}
	n.text, n.digits, n.exact = in[c.at:i], m, count <= 19
	c.at = i
	return n, nil
}

var powers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// float is the nearest double; false when the number is beyond all of them.
// Few digits and a small power of ten make an exact product (Clinger 1990).
func (n number) float() (float64, bool) {
	if n.exact && n.digits < 1<<53 && n.exponent >= -22 && n.exponent <= 22 {
		f := float64(n.digits)
		if n.negative {
			f = -f
		}
		if n.exponent < 0 {
			return f / powers[-n.exponent], true
		}
		return f * powers[n.exponent], true
	}
	f, err := strconv.ParseFloat(view(n.text), 64)
	return f, err == nil
}

// integer is the number as sign and magnitude when it is a whole one, written
// with a point or not.
func (n number) integer() (magnitude uint64, ok bool) {
	digits, exponent := n.digits, n.exponent
	if !n.exact {
		if n.whole {
			text := n.text
			if n.negative {
				text = text[1:]
			}
			magnitude, err := strconv.ParseUint(view(text), 10, 64)
			return magnitude, err == nil
		}
		// More digits than 64 bits hold, a point or an exponent: whole only
		// when the digits beyond are zeros, which a double then shows.
		f, ok := n.float()
		if f = max(f, -f); !ok || f >= 1<<53 || f != float64(uint64(f)) {
			return 0, false
		}
		return uint64(f), exactly(n.text, uint64(f))
	}
	for ; exponent < 0 && digits%10 == 0 && digits > 0; exponent++ {
		digits /= 10
	}
	if digits == 0 {
		return 0, true
	}
	for ; exponent > 0; exponent-- {
		if digits > (1<<64-1)/10 {
			return 0, false
		}
		digits *= 10
	}
	return digits, exponent == 0
}

// exactly tells 5.0000000000000000000 from 5.0000000000000000001.
func exactly(text []byte, whole uint64) bool {
	var significant []byte
	for _, b := range text {
		if b|0x20 == 'e' {
			break
		}
		if b-'0' <= 9 && (b != '0' || len(significant) > 0) {
			significant = append(significant, b)
		}
	}
	for n := len(significant); n > 0 && significant[n-1] == '0'; n-- {
		significant = significant[:n-1]
	}
	for whole > 0 && whole%10 == 0 {
		whole /= 10
	}
	return string(significant) == strconv.FormatUint(whole, 10) || len(significant) == 0 && whole == 0
}

// skip reads a value of any kind and returns its text.
func (c *cursor) skip() ([]byte, error) { return c.skipAt(0) }

func (c *cursor) skipAt(depth int) ([]byte, error) {
	b := c.next()
	start := c.at
	var err error
	switch {
	case b == '"':
		_, err = c.text()
	case b == '{' || b == '[':
		if depth >= deepest {
			return nil, malformed("The body has lists and objects in each other deeper than %d.", deepest)
		}
		inner := func() error { _, err := c.skipAt(depth + 1); return err }
		if b == '{' {
			err = c.object(func([]byte) error { return inner() })
		} else {
			err = c.list(func(int) error { return inner() })
		}
	case b == '-' || b-'0' <= 9:
		if b == '-' && c.literal("-Infinity") {
			break
		}
		_, err = c.number()
	default:
		if !c.literal("true") && !c.literal("false") && !c.literal("null") && !c.literal("NaN") && !c.literal("Infinity") {
			return nil, c.syntax("a value")
		}
	}
	return c.in[start:c.at], err
}

// kind is the value that follows, in words.
func (c *cursor) kind() string {
	switch b := c.next(); {
	case b == '"':
		at := *c
		if text, err := at.text(); err == nil {
			return "the text " + strconv.Quote(short(string(text)))
		}
		return "a text"
	case b == '{':
		return "an object"
	case b == '[':
		return "a list"
	case b == 't', b == 'f':
		return "a truth value"
	case b == 'n':
		return "null"
	case b == '-' || b-'0' <= 9:
		at := *c
		if n, err := at.number(); err == nil {
			return "the number " + short(string(n.text))
		}
		return "a number"
	case b == 'N', b == 'I':
		return "no finite number"
	}
	return "no JSON value"
}

// view is bytes as a string that is not kept.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
