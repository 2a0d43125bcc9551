package data

import (
	"bufio"
	"context"
	"crypto/md5"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
)

// A rowReader gives a file's rows as the bytes to copy and the values that
// decide their side.
type rowReader interface {
	// header returns what every output file starts with; called once, first.
	header() ([]byte, error)
	// next returns a row's bytes and puts what is hashed into *values; io.EOF
	// after the last. Both are valid until the next call.
	next(values *[]byte) ([]byte, error)
}

// A splitter copies each row of line-based files to its side.
type splitter struct {
	below  uint64
	files  [2]*os.File
	w      [2]*bufio.Writer
	n      [2]int64
	values []byte
}

func splitLines(ctx context.Context, s *source, out [2]string, open func(f io.Reader, name string) rowReader, below uint64) (Sides, error) {
	sp := splitter{below: below}
	for i, path := range out {
		f, err := os.Create(path)
		if err != nil {
			return Sides{}, err
		}
		defer f.Close()
		sp.files[i], sp.w[i] = f, bufio.NewWriterSize(f, 1<<18)
	}
	for i, path := range s.files {
		if err := sp.file(ctx, path, func(f io.Reader) rowReader { return open(f, s.names[i]) }, i == 0); err != nil {
			return Sides{}, err
		}
	}
	for i := range sp.w {
		if err := errors.Join(sp.w[i].Flush(), sp.files[i].Close()); err != nil {
			return Sides{}, err
		}
	}
	return Sides{sp.n[0], sp.n[1]}, nil
}

// file copies one file's rows; the header of the first goes to both sides.
func (sp *splitter) file(ctx context.Context, path string, open func(io.Reader) rowReader, first bool) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	r := open(in)
	head, err := r.header()
	if err != nil {
		return err
	}
	if first {
		writeLine(sp.w[0], head)
		writeLine(sp.w[1], head)
	}
	for n := 0; ; n++ {
		if n%10000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		raw, err := r.next(&sp.values)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		side := 0
		if hashOf(sp.values) < sp.below {
			side = 1
		}
		sp.n[side]++
		writeLine(sp.w[side], raw)
	}
}

func hashOf(values []byte) uint64 {
	sum := md5.Sum(values)
	return binary.BigEndian.Uint64(sum[:8])
}

// writeLine writes a record and the line end that the last one of a file may
// lack. The writer remembers its first error for Flush.
func writeLine(w *bufio.Writer, raw []byte) {
	_, _ = w.Write(raw)
	if len(raw) > 0 && raw[len(raw)-1] != '\n' {
		_ = w.WriteByte('\n')
	}
}

// appendText joins values unambiguously: length in bytes, colon, text; a dash
// for no value. splitParquet says the same in SQL.
func appendText(hash, text []byte) []byte {
	hash = strconv.AppendInt(hash, int64(len(text)), 10)
	hash = append(hash, ':')
	return append(hash, text...)
}

type csvLines struct {
	*csvReader
	width int
	key   []int
}

func csvRows(s *source, key []int) func(io.Reader, string) rowReader {
	return func(f io.Reader, name string) rowReader {
		return csvLines{newCSVReader(f, name, s.delim), len(s.column), key}
	}
}

func (c csvLines) header() ([]byte, error) {
	err := c.csvReader.next()
	return c.raw, err
}

func (c csvLines) next(values *[]byte) ([]byte, error) {
	if err := c.csvReader.next(); err != nil {
		return nil, err
	}
	if err := c.csvReader.width(c.width); err != nil {
		return nil, err
	}
	h := (*values)[:0]
	if len(c.key) == 0 {
		for i := range c.ends {
			h = appendText(h, c.field(i))
		}
	}
	for _, i := range c.key {
		h = appendText(h, c.field(i))
	}
	*values = h
	return c.raw, nil
}

type jsonLines struct {
	*jsonReader
	key []string
}

func jsonRows(key []string) func(io.Reader, string) rowReader {
	return func(f io.Reader, name string) rowReader { return jsonLines{newJSONReader(f, name), key} }
}

func (j jsonLines) header() ([]byte, error) { return nil, nil }

// next hashes the object with its keys sorted, so that their order and the
// spaces between them do not matter.
func (j jsonLines) next(values *[]byte) ([]byte, error) {
	object, err := j.jsonReader.next()
	if err != nil {
		return nil, err
	}
	h := (*values)[:0]
	if len(j.key) == 0 {
		text, err := json.Marshal(object)
		if err != nil {
			return nil, err
		}
		h = appendText(h, text)
	}
	for _, name := range j.key {
		switch v := object[name].(type) {
		case nil:
			h = append(h, '-')
		case string:
			h = appendText(h, []byte(v))
		default:
			text, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			h = appendText(h, text)
		}
	}
	*values = h
	return j.raw, nil
}
