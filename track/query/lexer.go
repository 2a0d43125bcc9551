package query

import (
	"strconv"
	"strings"
	"unicode"
)

// What a token is.
const (
	end    = iota
	name   // a field, or a word
	quoted // text in single or double quotes
	number
	symbol
)

type token struct {
	kind   int
	raw    string  // as it stands in the text
	text   string  // of a field its key; of quoted text what is inside
	prefix string  // of a dotted field what is before the dot
	dotted bool    // of a field: it has a prefix
	number float64 // of a number
	at     int     // in characters from 1
}

type parser struct {
	grammar Grammar
	what    string
	text    []rune
	pos     int // of what follows token
	token   token
}

// word reports whether the token is that keyword, however it is spelt.
func (p *parser) word(keyword string) bool {
	return p.token.kind == name && !p.token.dotted && strings.EqualFold(p.token.raw, keyword)
}

// words takes the tokens that are those keywords, all or none of them.
func (p *parser) words(keywords []string) bool {
	pos, first := p.pos, p.token
	for _, k := range keywords {
		if !p.word(k) {
			p.pos, p.token = pos, first
			return false
		}
		p.next()
	}
	return true
}

func (p *parser) peek(ahead int) rune {
	if p.pos+ahead < len(p.text) {
		return p.text[p.pos+ahead]
	}
	return 0
}

// next reads the next token.
func (p *parser) next() {
	for unicode.IsSpace(p.peek(0)) {
		p.pos++
	}
	start := p.pos
	p.token = token{at: start + 1}
	switch c := p.peek(0); {
	case p.pos >= len(p.text):
		return
	case c == '\'' || c == '"':
		p.token.kind = quoted
		text, ok := p.quote(c)
		if !ok {
			p.token.kind = symbol // an open quote: whoever meets it says what was expected there
		}
		p.token.text = text
	case isDigit(c) || (c == '-' || c == '+' || c == '.') && (isDigit(p.peek(1)) || p.peek(1) == '.' && isDigit(p.peek(2))):
		p.numeral()
	case c == '`' || isWord(c):
		p.identifier()
	default:
		p.token.kind = symbol
		p.pos++
		if (c == '<' || c == '>' || c == '!') && p.peek(0) == '=' || c == '<' && p.peek(0) == '>' {
			p.pos++
		}
	}
	p.token.raw = string(p.text[start:p.pos])
}

// quote reads what stands between two of c; two in a row are one.
func (p *parser) quote(c rune) (string, bool) {
	var b strings.Builder
	for p.pos++; p.pos < len(p.text); p.pos++ {
		if p.text[p.pos] != c {
			b.WriteRune(p.text[p.pos])
			continue
		}
		if p.peek(1) != c {
			p.pos++
			return b.String(), true
		}
		p.pos++
		b.WriteRune(c)
	}
	return b.String(), false
}

func (p *parser) numeral() {
	start := p.pos
	p.pos++
	for c := p.peek(0); isDigit(c) || c == '.' || c == 'e' || c == 'E' || (c == '-' || c == '+') && (p.text[p.pos-1] == 'e' || p.text[p.pos-1] == 'E'); c = p.peek(0) {
		p.pos++
	}
	v, err := strconv.ParseFloat(string(p.text[start:p.pos]), 64)
	p.token.number = v
	p.token.kind = number
	if err != nil && v == 0 { // too large a number is infinity, and compares like it
		p.token.kind = symbol
	}
}

// identifier reads a word, or KIND.KEY whose key may be in quotes or backticks.
// A key without them may have dots.
func (p *parser) identifier() {
	p.token.kind = name
	first, ok := p.part(false)
	if !ok {
		p.token.kind = symbol
		return
	}
	p.token.text = first
	if p.peek(0) != '.' {
		return
	}
	p.pos++
	p.token.prefix, p.token.dotted = first, true
	if p.token.text, ok = p.part(true); !ok || p.token.text == "" {
		p.token.kind = symbol
	}
}

func (p *parser) part(key bool) (string, bool) {
	if c := p.peek(0); c == '`' || key && (c == '"' || c == '\'') {
		return p.quote(c)
	}
	start := p.pos
	for isWord(p.peek(0)) || key && (p.peek(0) == '.' || p.peek(0) == '/' || p.peek(0) == '-') {
		p.pos++
	}
	return string(p.text[start:p.pos]), true
}

func isDigit(c rune) bool { return c >= '0' && c <= '9' }

func isWord(c rune) bool { return c == '_' || unicode.IsLetter(c) || unicode.IsDigit(c) }
