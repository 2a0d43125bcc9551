package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// The journal is one file: how far it is delivered, as 20 digits and a line's
// end, then one line of JSON for each write. It is written in place, because
// what a kill leaves half written was never acknowledged: a last line without
// its end is cut off when the file is opened again.
const (
	journalFile = "journal"
	headerSize  = 21
)

// entry is one write of a script.
type entry struct {
	Method string `json:"method"`
	Path   string `json:"path"` // with its query, escaped as it came
	Type   string `json:"type,omitempty"`
	Body   []byte `json:"body,omitempty"`
	File   string `json:"file,omitempty"` // in the journal's folder: holds the body instead
}

// A journal keeps writes in their order. Its methods may be called at any time.
type journal struct {
	dir string

	mu        sync.Mutex // of what follows
	file      *os.File   // nil: nothing was ever kept
	delivered int64      // offset of the first line that is not delivered
	size      int64      // offset of the next line
	count     int        // lines that are not delivered
	written   int64      // lines since it was opened

	flush  sync.Mutex // held while flushing: those who wait for it are flushed together
	synced int64      // how many of written are on the disk
}

// openJournal opens what is in the folder, which need not exist.
func openJournal(dir string) (*journal, error) {
	j := &journal{dir: dir, delivered: headerSize, size: headerSize}
	f, err := os.OpenFile(filepath.Join(dir, journalFile), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the spool: %w", err)
	}
	j.file = f
	header := make([]byte, headerSize)
	if _, err := f.ReadAt(header, 0); errors.Is(err, io.EOF) {
		return j, nil // killed before the first line
	} else if err != nil {
		return nil, fmt.Errorf("read the spool: %w", err)
	}
	if j.delivered, err = strconv.ParseInt(string(header[:headerSize-1]), 10, 64); err != nil {
		return nil, fmt.Errorf("read the spool: its first line is %q, not an offset", header)
	}
	stat, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if j.delivered < headerSize || j.delivered > stat.Size() {
		j.delivered = headerSize // killed while it was being emptied
	}
	rest := io.NewSectionReader(f, j.delivered, stat.Size()-j.delivered)
	j.size = j.delivered
	for buf := make([]byte, 1<<20); ; {
		n, err := rest.Read(buf)
		if last := bytes.LastIndexByte(buf[:n], '\n'); last >= 0 {
			j.count += bytes.Count(buf[:n], []byte{'\n'})
			at, _ := rest.Seek(0, io.SeekCurrent) // cannot fail
			j.size = j.delivered + at - int64(n) + int64(last) + 1
		}
		if errors.Is(err, io.EOF) {
			return j, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the spool: %w", err)
		}
	}
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}

// waiting is how many writes are not delivered.
func (j *journal) waiting() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.count
}

// append keeps a write behind all others. When it returns nil, the write has
// survived whatever comes.
func (j *journal) append(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	j.mu.Lock()
	err = j.write(append(line, '\n'))
	mine := j.written
	j.mu.Unlock()
	if err != nil {
		return fmt.Errorf("keep a write in the spool: %w", err)
	}
	j.flush.Lock()
	defer j.flush.Unlock()
	if j.synced >= mine {
		return nil
	}
	j.mu.Lock()
	all := j.written
	j.mu.Unlock()
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("keep a write in the spool: %w", err)
	}
	j.synced = all
	return nil
}

func (j *journal) write(line []byte) (err error) {
	if j.file == nil {
		if err := os.MkdirAll(j.dir, 0o700); err != nil {
			return err
		}
		if j.file, err = os.OpenFile(filepath.Join(j.dir, journalFile), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
			return err
		}
	}
	if j.size == headerSize {
		if err := j.mark(headerSize); err != nil {
			return err
		}
	}
	if _, err := j.file.WriteAt(line, j.size); err != nil {
		_ = j.file.Truncate(j.size) // a full disk; half a line would be cut off later, too
		return err
	}
	j.size += int64(len(line))
	j.count++
	j.written++
	return nil
}

// mark writes down how far the journal is delivered. It is not flushed: what is
// delivered twice after a power cut is the same.
func (j *journal) mark(at int64) error {
	_, err := j.file.WriteAt(fmt.Appendf(nil, "%020d\n", at), 0)
	return err
}

// next returns the first write that is not delivered, and where the one behind
// it begins. There is one who delivers.
func (j *journal) next() (e entry, end int64, ok bool, err error) {
	j.mu.Lock()
	at, size := j.delivered, j.size
	j.mu.Unlock()
	if at == size {
		return e, 0, false, nil
	}
	line, err := readLine(io.NewSectionReader(j.file, at, size-at))
	if err != nil {
		return e, 0, false, fmt.Errorf("read the spool: %w", err)
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return e, 0, false, fmt.Errorf("read the spool at offset %d: %w", at, err)
	}
	return e, at + int64(len(line)), true, nil
}

// readLine reads up to the line's end, which is there.
func readLine(r io.Reader) ([]byte, error) {
	line := make([]byte, 0, 4096)
	for {
		n, err := r.Read(line[len(line):cap(line)])
		if i := bytes.IndexByte(line[len(line):len(line)+n], '\n'); i >= 0 {
			return line[:len(line)+i+1], nil
		}
		line = line[:len(line)+n]
		if err != nil {
			return nil, io.ErrUnexpectedEOF
		}
		if len(line) == cap(line) {
			line = append(make([]byte, 0, 4*cap(line)), line...)
		}
	}
}

// done says that the write before end is delivered. When it was the last one,
// the file is emptied, so that nothing old is delivered after something new.
func (j *journal) done(e entry, end int64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.delivered = end
	j.count--
	if j.delivered == j.size {
		j.delivered, j.size = headerSize, headerSize
		if err := j.file.Truncate(headerSize); err != nil {
			return err
		}
	}
	if err := j.mark(j.delivered); err != nil {
		return err
	}
	if e.File != "" {
		os.Remove(filepath.Join(j.dir, e.File)) // the folder goes with the attempt
	}
	return nil
}

// body opens what the write carries.
func (j *journal) body(e entry) (io.ReadCloser, int64, error) {
	if e.File == "" {
		return io.NopCloser(bytes.NewReader(e.Body)), int64(len(e.Body)), nil
	}
	f, err := os.Open(filepath.Join(j.dir, e.File))
	if err != nil {
		return nil, 0, err
	}
	stat, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, stat.Size(), nil
}

// store writes a long body to a file of its own, and returns the file's name.
func (j *journal) store(body io.Reader) (string, error) {
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(j.dir, "body-")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, body)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		os.Remove(f.Name())
		return "", fmt.Errorf("keep a file in the spool: %w", err)
	}
	return filepath.Base(f.Name()), nil
}
