package data

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// maxRecord bounds one CSV record, so that a quote that is never closed does
// not read a whole file into memory. DuckDB has the same bound.
const maxRecord = 2 << 20

// missing are the texts that stand for no value in a CSV file: those that
// pandas.read_csv takes for it, so that both sides agree.
var missing = []string{"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}

// A csvReader reads records as RFC 4180 has them, keeping each record's bytes
// and the line it starts on. A quote inside an unquoted field is itself.
// Records with nothing in them are passed over.
type csvReader struct {
	in    *bufio.Reader
	name  string // for messages
	delim byte
	lines int // lines read

	line int    // of the record's start, from 1
	raw  []byte // the record with its line ending
	text []byte // all fields' text, unquoted
	ends []int  // where each field ends in text
}

func newCSVReader(in io.Reader, name string, delim byte) *csvReader {
	r := &csvReader{in: bufio.NewReaderSize(in, 1<<16), name: name, delim: delim}
	if bom, _ := r.in.Peek(3); bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		_, _ = r.in.Discard(3)
	}
	return r
}

// field is the text of field i of the current record; valid until next.
func (r *csvReader) field(i int) []byte {
	start := 0
	if i > 0 {
		start = r.ends[i-1]
	}
	return r.text[start:r.ends[i]]
}

// next reads a record; io.EOF after the last.
func (r *csvReader) next() error {
	for {
		if err := r.record(); err != nil {
			return err
		}
		if len(bytes.TrimRight(r.raw, "\r\n")) > 0 {
			return nil
		}
	}
}

const (
	fieldStart = iota
	unquoted
	quoted
	quoteSeen // in a quoted field, after a quote: its end, or half of an escaped one
)

func (r *csvReader) record() error {
	r.raw, r.text, r.ends = r.raw[:0], r.text[:0], r.ends[:0]
	r.line = r.lines + 1
	state := fieldStart
	for {
		chunk, err := r.in.ReadSlice('\n')
		full := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !full && err != io.EOF {
			return fmt.Errorf("read %s: %w", r.name, err)
		}
		if len(chunk) == 0 && len(r.raw) == 0 {
			return io.EOF
		}
		r.raw = append(r.raw, chunk...)
		ended := len(chunk) > 0 && chunk[len(chunk)-1] == '\n'
		if ended {
			r.lines++
		}
		for _, c := range chunk {
			switch state {
			case quoted:
				if c == '"' {
					state = quoteSeen
				} else {
					r.text = append(r.text, c)
				}
				continue
			case quoteSeen:
				if c == '"' {
					r.text = append(r.text, c)
					state = quoted
					continue
				}
				if c != r.delim && c != '\r' && c != '\n' {
					return invalid("%s:%d: text follows a closing quote; a quote inside a quoted field is written twice", r.name, r.lines)
				}
			case fieldStart:
				if c == '"' {
					state = quoted
					continue
				}
			}
			switch c {
			case r.delim:
				r.ends = append(r.ends, len(r.text))
				state = fieldStart
			case '\n':
			default:
				r.text = append(r.text, c)
				state = unquoted
			}
		}
		atEnd := err == io.EOF
		if state == quoted && (atEnd || len(r.raw) > maxRecord) {
			return invalid("%s:%d: a quote opens in the record that starts here and is not closed; close it, or write a quote inside a field twice", r.name, r.line)
		}
		if len(r.raw) > maxRecord {
			return invalid("%s:%d: the record that starts here is longer than %d bytes", r.name, r.line, maxRecord)
		}
		if state != quoted && (ended || atEnd) {
			// The \r of a CRLF was taken for text of the last field.
			if n := len(r.text); n > 0 && r.text[n-1] == '\r' && bytes.HasSuffix(r.raw, []byte("\r\n")) {
				r.text = r.text[:n-1]
			}
			r.ends = append(r.ends, len(r.text))
			return nil
		}
	}
}

// fields copies the current record's texts.
func (r *csvReader) fields() []string {
	out := make([]string, len(r.ends))
	for i := range out {
		out[i] = string(r.field(i))
	}
	return out
}

// width complains unless the record has want fields.
func (r *csvReader) width(want int) error {
	if len(r.ends) == want {
		return nil
	}
	return invalid("%s:%d: %s where the header has %d; quote fields that contain the delimiter %q, and leave none out", r.name, r.line, count(int64(len(r.ends)), "field"), want, string(r.delim))
}

// csvHeader finds a file's delimiter and column names.
func csvHeader(path, name string, tabs bool) (delim byte, columns []string, err error) {
	head, err := readHead(path, 1<<16)
	if err != nil {
		return 0, nil, err
	}
	switch {
	case len(bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")))) == 0:
		return 0, nil, invalid("%s is empty; expected a header line with column names, then rows", name)
	case bytes.HasPrefix(head, []byte("PAR1")):
		return 0, nil, invalid("%s is a Parquet file; name it .parquet", name)
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return 0, nil, invalid("%s is compressed with gzip; unpack it first", name)
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return 0, nil, invalid("%s is UTF-16; save it as UTF-8", name)
	case bytes.IndexByte(head, 0) >= 0:
		return 0, nil, invalid("%s holds zero bytes, so it is not text; expected CSV in UTF-8", name)
	}
	delim = '\t'
	if !tabs {
		delim = sniff(head)
	}
	f, err := os.Open(path)
	if err != nil {
		return 0, nil, fmt.Errorf("data: %w", err)
	}
	defer f.Close()
	r := newCSVReader(f, name, delim)
	if err := r.next(); err != nil {
		return 0, nil, err
	}
	if bytes.IndexByte(bytes.TrimSuffix(r.raw, []byte("\r\n")), '\r') >= 0 {
		return 0, nil, invalid("%s:1: a carriage return inside the header; if lines end with it alone (old Mac), save the file with LF or CRLF line ends", name)
	}
	columns = r.fields()
	return delim, columns, checkNames(columns, fmt.Sprintf("%s:%d", name, r.line))
}

// checkNames wants every column named, once, in UTF-8.
func checkNames(columns []string, where string) error {
	seen := map[string]int{}
	for i, c := range columns {
		switch {
		case strings.TrimSpace(c) == "":
			return invalid("%s: column %d has no name; name it, or leave it out (pandas writes its index so: use to_csv(…, index=False))", where, i+1)
		case !utf8.ValidString(c):
			return invalid("%s: the name of column %d is not UTF-8; save the file as UTF-8", where, i+1)
		case seen[c] > 0:
			return invalid("%s: columns %d and %d are both named %q; give each its own name", where, seen[c], i+1, c)
		}
		seen[c] = i + 1
	}
	return nil
}

// sniff picks the delimiter under which the first records have the same, and
// the largest, number of fields. Comma wins a tie.
func sniff(head []byte) byte {
	best, bestScore := byte(','), 0
	for _, delim := range []byte(",\t;|") {
		r := newCSVReader(bytes.NewReader(head), "", delim)
		score, width := 0, 0
		for n := 0; n < 20 && r.next() == nil; n++ {
			if n == 0 {
				width = len(r.ends)
				score = 2 * width
			} else if len(r.ends) != width && r.lines > 0 && bytes.HasSuffix(r.raw, []byte("\n")) {
				score = width // a ragged reading loses against an even one
			}
		}
		if width > 1 && score > bestScore {
			best, bestScore = delim, score
		}
	}
	return best
}

// diagnose reads a CSV file to find the first line that cannot be right. It
// runs only after DuckDB has refused the file, to say why in our words.
func diagnose(path, name string, delim byte, width int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := newCSVReader(f, name, delim)
	crlf, first := false, true
	for {
		if err := r.next(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := r.width(width); err != nil {
			return err
		}
		if !utf8.Valid(r.raw) {
			return invalid("%s:%d: not UTF-8; save the file as UTF-8 (a spreadsheet calls it \"CSV UTF-8\")", name, r.line)
		}
		if bytes.IndexByte(r.raw, 0) >= 0 {
			return invalid("%s:%d: a zero byte; the file is damaged or not text", name, r.line)
		}
		if !bytes.HasSuffix(r.raw, []byte("\n")) {
			continue
		}
		now := bytes.HasSuffix(r.raw, []byte("\r\n"))
		if !first && now != crlf {
			return invalid("%s:%d: this line ends differently from those before (CRLF and LF are mixed); convert the file with dos2unix", name, r.line)
		}
		crlf, first = now, false
	}
}

func readHead(path string, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, n))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return head, nil
}
