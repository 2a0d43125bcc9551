package project

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxText is more than anybody writes by hand, and little enough to parse in
// no time.
const maxText = 1 << 20

// document parses YAML text into its only document's root, or reports why it
// cannot and returns nil.
func (r *reader) document(text []byte) *yaml.Node {
	start := &yaml.Node{Line: 1, Column: 1}
	switch {
	case len(text) > maxText:
		r.at(start, "the file has %d bytes, more than the %d that a configuration may have", len(text), maxText)
		return nil
	case bytes.HasPrefix(text, []byte{0xff, 0xfe}), bytes.HasPrefix(text, []byte{0xfe, 0xff}):
		r.at(start, "the file is UTF-16: save it as UTF-8")
		return nil
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // editors on Windows write it; harmless
	if !utf8.Valid(text) {
		r.at(invalidUTF8(text), "this is not UTF-8: save the file as UTF-8")
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	err := decoder.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF):
		r.at(start, "the file is empty: start with `project: NAME`, `python: requirements.txt` and `pipeline:`")
		return nil
	case err != nil:
		r.syntax(text, err)
		return nil
	}
	switch err := decoder.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		r.syntax(text, err)
		return nil
	default:
		r.at(&second, "a second document begins here: expected one, remove the line with ---")
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		r.at(start, "expected a YAML document")
		return nil
	}
	return follow(doc.Content[0])
}

var yamlLineRE = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)

// syntax reports what the parser says. A tab that indents is the usual cause,
// and the parser's words for it help nobody.
func (r *reader) syntax(text []byte, err error) {
	for i, line := range strings.Split(string(text), "\n") {
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if tab := strings.IndexByte(indent, '\t'); tab >= 0 && len(indent) < len(strings.TrimRight(line, "\r")) {
			r.at(&yaml.Node{Line: i + 1, Column: tab + 1}, "a tab indents this line: YAML wants spaces")
			return
		}
	}
	line, message := 1, err.Error()
	if m := yamlLineRE.FindStringSubmatch(message); m != nil {
		message = m[2]
		if m[1] != "" {
			line, _ = strconv.Atoi(m[1])
		}
	}
	r.at(&yaml.Node{Line: line, Column: 1}, "not YAML: %s", message)
}

func invalidUTF8(text []byte) *yaml.Node {
	n := &yaml.Node{Line: 1, Column: 1}
	for len(text) > 0 {
		c, size := utf8.DecodeRune(text)
		if c == utf8.RuneError && size <= 1 {
			break
		}
		n.Column++
		if c == '\n' {
			n.Line, n.Column = n.Line+1, 1
		}
		text = text[size:]
	}
	return n
}
