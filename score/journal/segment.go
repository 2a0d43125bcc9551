package journal

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const segmentSuffix = ".segment"

// Origin says whose requests a segment holds. Its names are file names: see
// Config.
type Origin struct {
	Project     string `json:"project"`
	Environment string `json:"environment"`
	Model       string `json:"model"`
	Version     string `json:"version"`
	Deployment  string `json:"deployment"`
	Copy        string `json:"copy"`
}

// head is a segment's first record.
type head struct {
	Origin
	Began  time.Time `json:"began"`
	Sample float64   `json:"sample"` // the share of requests that is kept
}

// hour is the folder of a segment's Parquet file, by the time of its answers.
func (h head) hour() string {
	return strings.Join([]string{h.Project, h.Model, h.Version, h.Began.UTC().Format("2006/01/02/15")}, "/")
}

// createSegment makes a segment with its head, under a name that no other
// segment ever has: its Parquet file will have the same.
func createSegment(dir string, h head) (*os.File, error) {
	var random [4]byte
	rand.Read(random[:])
	name := fmt.Sprintf("%s-%s-%s-%s", h.Deployment, h.Copy, h.Began.UTC().Format("20060102T150405"), hex.EncodeToString(random[:]))
	b, err := appendJSON(nil, recordHead, h)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name+segmentSuffix)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make a segment of the inference log: %w", err)
	}
	if _, err = f.Write(b); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(path + ".new")
		f.Close()
		return nil, fmt.Errorf("make a segment of the inference log: %w", err)
	}
	return f, nil
}

// segments lists the segments of a folder, oldest first.
func segments(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	type aged struct {
		path string
		at   string
	}
	var list []aged
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), segmentSuffix) {
			continue
		}
		// The time is the last part but one; what comes before may hold dashes.
		parts := strings.Split(e.Name(), "-")
		list = append(list, aged{filepath.Join(dir, e.Name()), strings.Join(parts[max(0, len(parts)-2):], "-")})
	}
	slices.SortFunc(list, func(a, b aged) int { return strings.Compare(a.at, b.at) })
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = s.path
	}
	return out, nil
}

// A segmentReader reads records one after the other.
type segmentReader struct {
	in      *bufio.Reader
	head    head
	layouts []layout
	record  []byte
	content []byte // of the record read last, without its kind; good until reuse
	block   []byte // what records are read into
}

var errNoSegment = errors.New("the file does not begin as a segment of the inference log")

func readSegment(r io.Reader) (*segmentReader, error) {
	s := &segmentReader{in: bufio.NewReaderSize(r, 256<<10)}
	kind, err := s.next()
	if err != nil || kind != recordHead {
		return nil, errNoSegment
	}
	if err := json.Unmarshal(s.content, &s.head); err != nil {
		return nil, errNoSegment
	}
	return s, nil
}

// next reads a record that is not a layout and returns its kind. It is io.EOF
// where the segment ends, also where it was cut off.
func (s *segmentReader) next() (byte, error) {
	for {
		var prefix [recordPrefix]byte
		if _, err := io.ReadFull(s.in, prefix[:]); err != nil {
			return 0, ended(err)
		}
		n := binary.LittleEndian.Uint32(prefix[:])
		if n < 1 || n > maxRecord {
			return 0, io.EOF
		}
		s.record = s.room(int(n))
		if _, err := io.ReadFull(s.in, s.record); err != nil {
			return 0, ended(err)
		}
		if crc32.Checksum(s.record, castagnoli) != binary.LittleEndian.Uint32(prefix[4:]) {
			return 0, io.EOF
		}
		kind := s.record[0]
		s.content = s.record[1:]
		if kind != recordLayout {
			return kind, nil
		}
		var l layout
		if err := json.Unmarshal(s.content, &l); err != nil {
			return 0, fmt.Errorf("a layout of a segment of the inference log: %w", err)
		}
		s.layouts = append(s.layouts, l)
	}
}

// room is memory for a record.
func (s *segmentReader) room(n int) []byte {
	if len(s.block)+n > cap(s.block) {
		s.block = make([]byte, 0, max(256<<10, n))
	}
	from := len(s.block)
	s.block = s.block[:from+n]
	return s.block[from : from+n : from+n]
}

// reuse gives up the records that were read so far: their memory is for the
// next ones.
func (s *segmentReader) reuse() { s.block = s.block[:0] }

func ended(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}
