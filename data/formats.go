package data

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxJSONLine bounds one JSON object, as the query in source.reader does.
const maxJSONLine = 16 << 20

// A jsonReader reads one object a line and keeps the line's bytes.
type jsonReader struct {
	scan *bufio.Scanner
	name string
	line int
	raw  []byte // without line end
}

func newJSONReader(in io.Reader, name string) *jsonReader {
	scan := bufio.NewScanner(in)
	scan.Buffer(make([]byte, 1<<16), maxJSONLine)
	return &jsonReader{scan: scan, name: name}
}

// next reads the next object; io.EOF after the last. Blank lines are passed over.
func (r *jsonReader) next() (map[string]any, error) {
	for r.scan.Scan() {
		r.line++
		r.raw = r.scan.Bytes()
		if r.line == 1 {
			r.raw = bytes.TrimPrefix(r.raw, []byte("\xef\xbb\xbf"))
		}
		if len(bytes.TrimSpace(r.raw)) == 0 {
			continue
		}
		dec := json.NewDecoder(bytes.NewReader(r.raw))
		dec.UseNumber()
		var object map[string]any
		if err := dec.Decode(&object); err != nil {
			return nil, invalid("%s:%d: expected one JSON object, found %q: %v", r.name, r.line, firstBytes(r.raw), err)
		}
		if _, err := dec.Token(); err != io.EOF || object == nil {
			return nil, invalid("%s:%d: expected one JSON object and nothing after it, found %q", r.name, r.line, firstBytes(r.raw))
		}
		return object, nil
	}
	if err := r.scan.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, invalid("%s:%d: the line is longer than %d bytes", r.name, r.line+1, maxJSONLine)
	} else if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.name, err)
	}
	return nil, io.EOF
}

// diagnoseJSON finds the first line that is no JSON object.
func diagnoseJSON(path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := newJSONReader(f, name)
	for {
		if _, err := r.next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// diagnoseParquet tells a file that was not written or copied to its end.
// Layout: https://parquet.apache.org/docs/file-format/ (footer, its length in
// 4 bytes, little endian, then PAR1).
func diagnoseParquet(path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var tail [8]byte
	if info.Size() >= 12 {
		if _, err := f.ReadAt(tail[:], info.Size()-8); err != nil {
			return err
		}
	}
	if string(tail[4:]) != "PAR1" || int64(binary.LittleEndian.Uint32(tail[:4])) > info.Size()-12 {
		return invalid("%s is not a whole Parquet file: it ends (at %d bytes) without a footer; write or copy it again", name, info.Size())
	}
	return nil
}
