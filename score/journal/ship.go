package journal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// Run finishes segments that are old enough and brings finished ones to their
// storage, until ctx is done. While the storage is away it tries again, with
// pauses from 1 s to 1 min; the folder stays within its bound meanwhile.
func (j *Journal) Run(ctx context.Context) {
	const shortest, longest = time.Second, time.Minute
	pause := shortest
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var next time.Time
	for {
		j.mu.Lock()
		if now := time.Now(); j.file != nil && (now.Sub(j.began) > j.c.MaxAge || now.Unix()/3600 != j.hour) {
			j.finish()
		}
		j.mu.Unlock()
		if time.Now().After(next) {
			if err := j.ship(ctx); err != nil && ctx.Err() == nil {
				j.c.Log.Warn("the inference log's storage is away; requests are kept here meanwhile", "error", err, "pending_bytes", j.Stats().PendingBytes, "next_try", pause)
				next, pause = time.Now().Add(pause), min(2*pause, longest)
			} else {
				pause = shortest
			}
		}
		if err := j.bound(); err != nil && ctx.Err() == nil {
			j.c.Log.Error("keep the inference log within its disk space", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-j.rolled:
		}
	}
}

// finished lists the segments that are not written to any more, oldest first.
func (j *Journal) finished() ([]string, error) {
	list, err := segments(j.c.Dir) // before the look: one that is begun after it is not in the list
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != nil {
		current := strings.TrimSuffix(j.file.Name(), ".new")
		list = slices.DeleteFunc(list, func(s string) bool { return s == current })
	}
	return list, err
}

// ship brings finished segments to the storage, the oldest first.
func (j *Journal) ship(ctx context.Context) error {
	list, err := j.finished()
	if err == nil {
		err = shipAll(ctx, list, j.c.Store, func() {
			j.mu.Lock()
			j.stats.Files++
			j.mu.Unlock()
		})
	}
	j.mu.Lock()
	j.stats.Problem = ""
	if err != nil {
		j.stats.Problem = err.Error()
	}
	j.mu.Unlock()
	return errors.Join(err, j.measure())
}

// shipAll goes on with the next segment when one cannot be converted, which
// only concerns that one; not when the storage does not take it.
func shipAll(ctx context.Context, list []string, store Store, shipped func()) error {
	var failed error
	for _, path := range list {
		err := shipSegment(ctx, path, store)
		if away := (*awayError)(nil); errors.As(err, &away) {
			return errors.Join(failed, err)
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		shipped()
	}
	return failed
}

// awayError is an error of the storage.
type awayError struct{ err error }

func (e *awayError) Error() string { return e.err.Error() }
func (e *awayError) Unwrap() error { return e.err }

// shipSegment makes a finished segment's Parquet file, brings it to the
// storage, and removes the segment once it is there. The file's name and
// content are the segment's alone, so doing it twice, after a crash between
// the two, replaces it by itself.
func shipSegment(ctx context.Context, path string, store Store) error {
	out, err := os.CreateTemp(filepath.Dir(path), "parquet-*")
	if err != nil {
		return fmt.Errorf("make a Parquet file of the inference log: %w", err)
	}
	defer func() {
		out.Close()
		os.Remove(out.Name())
	}()
	h, rows, err := convertFile(path, out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // somebody else has done it
	case errors.Is(err, errNoSegment):
		return os.Rename(path, path+".damaged")
	case err != nil:
		return fmt.Errorf("make a Parquet file of %s: %w", filepath.Base(path), err)
	}
	if rows > 0 {
		name := h.hour() + "/" + FileName(path)
		if err := store.Put(ctx, name, out); err != nil {
			return &awayError{err}
		}
	}
	return os.Remove(path)
}

// convertFile writes the Parquet file of the segment at path.
func convertFile(path string, out *os.File) (head, int64, error) {
	in, err := os.Open(path)
	if err != nil {
		return head{}, 0, err
	}
	defer in.Close()
	w := bufio.NewWriterSize(out, 256<<10)
	h, rows, err := convert(in, w)
	return h, rows, errors.Join(err, w.Flush())
}

// bound drops the oldest finished segments until the folder is within its
// bound again.
func (j *Journal) bound() error {
	if j.Stats().PendingBytes <= j.c.Disk {
		return nil
	}
	list, err := j.finished()
	if err != nil {
		return err
	}
	for _, path := range list {
		n, err := countRecords(path)
		if err != nil {
			return err
		}
		j.mu.Lock()
		j.stats.Dropped += n
		dropped := j.stats.Dropped
		j.mu.Unlock()
		// Written first: a kill between the two counts a segment twice rather than never.
		if err := writeDropped(j.c.Dir, dropped); err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		j.c.Log.Error("the inference log's disk space is full; its oldest segment is dropped", "segment", filepath.Base(path), "requests", n, "limit_bytes", j.c.Disk)
		if err := j.measure(); err != nil || j.Stats().PendingBytes <= j.c.Disk {
			return err
		}
	}
	return nil
}

// measure looks how much waits in the folder, and since when.
func (j *Journal) measure() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	p, err := pending(j.c.Dir)
	j.stats.PendingBytes, j.stats.PendingSince = p.Bytes, p.Since
	return err
}

// Pending is what waits in a folder of segments to be brought to its storage.
type Pending struct {
	Bytes   int64
	Since   time.Time // when the oldest segment began; zero: there is none
	Dropped int64     // see Stats
}

// Look tells what waits in a journal's folder, whoever writes to it. A folder
// that is not there is empty.
func Look(dir string) (Pending, error) {
	p, err := pending(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Pending{}, nil
	}
	p.Dropped = readDropped(dir)
	return p, err
}

func pending(dir string) (p Pending, err error) {
	list, err := segments(dir)
	if err != nil {
		return p, err
	}
	for _, path := range list {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return p, err
		}
		p.Bytes += info.Size()
		if p.Since.IsZero() {
			p.Since = beganAt(path)
		}
	}
	return p, nil
}

// beganAt is when a segment began, as its name says.
func beganAt(path string) time.Time {
	parts := strings.Split(filepath.Base(path), "-")
	at, err := time.Parse("20060102T150405", parts[max(0, len(parts)-2)])
	if err != nil {
		return time.Time{}
	}
	return at
}

func countRecords(path string) (n int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	s, err := readSegment(f)
	if err != nil {
		return 0, nil // no segment: nothing is lost with it
	}
	for {
		if _, err := s.next(); errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil {
			return n, err
		}
		n++
	}
}

const droppedFile = "dropped"

func readDropped(dir string) int64 {
	text, err := os.ReadFile(filepath.Join(dir, droppedFile))
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return max(0, n)
}

func writeDropped(dir string, n int64) error {
	path := filepath.Join(dir, droppedFile)
	if err := os.WriteFile(path+".new", []byte(strconv.FormatInt(n, 10)+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Adopt brings all segments of a journal's folder to the storage when nobody
// writes there any more, and reports whether the folder is then empty. While
// somebody does, it does nothing.
func Adopt(ctx context.Context, dir string, store Store) (empty bool, err error) {
	lock, err := lockDir(dir)
	if ridgeline.CodeOf(err) == ridgeline.Conflict {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer lock.Close()
	tidy(dir)
	list, err := segments(dir)
	if err != nil {
		return false, err
	}
	if err := shipAll(ctx, list, store, func() {}); err != nil {
		return false, err
	}
	return true, nil
}

// tidy removes what a process that was killed had half made.
func tidy(dir string) {
	for _, pattern := range []string{"parquet-*", "*.new"} {
		left, _ := filepath.Glob(filepath.Join(dir, pattern)) // the patterns are right
		for _, path := range left {
			_ = os.Remove(path)
		}
	}
}

// Remove removes a journal's folder that Adopt found empty.
func Remove(dir string) error {
	lock, err := lockDir(dir)
	if ridgeline.CodeOf(err) == ridgeline.Conflict {
		return nil // somebody came back
	} else if err != nil {
		return err
	}
	defer lock.Close()
	if list, err := segments(dir); err != nil || len(list) > 0 {
		return err
	}
	return os.RemoveAll(dir)
}

// Segments lists the segments in a folder, oldest first, whoever writes there.
func Segments(dir string) ([]string, error) { return segments(dir) }

// FileName is the name of a segment's Parquet file, without its folders.
func FileName(segment string) string {
	return strings.TrimSuffix(filepath.Base(segment), segmentSuffix) + ".parquet"
}

// OriginOf reads whose requests a segment holds.
func OriginOf(segment io.Reader) (Origin, error) {
	s, err := readSegment(segment)
	if err != nil {
		return Origin{}, err
	}
	return s.head.Origin, nil
}
