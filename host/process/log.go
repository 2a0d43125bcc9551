package process

import (
	"fmt"
	"os"
	"path/filepath"
)

// kept is how much of the end of an over-long log is saved: the last lines say
// why a step failed.
const kept = 64 << 10

// A logbook is where a supervisor writes what its command says. It never
// fails and never makes the command wait for more than the disk: what is
// beyond the limit, or does not fit on the disk, is dropped.
type logbook struct {
	dir     string
	f       *os.File
	size    int64
	max     int64
	rotate  bool // of a service: begin anew instead of dropping
	dropped int64
	tail    []byte // the last of what was dropped
}

func openLog(dir string, max int64, rotate bool) (*logbook, error) {
	l := &logbook{dir: dir, max: max, rotate: rotate}
	if rotate {
		l.max = max / 2 // the old file and the new one
	}
	return l, l.open()
}

func (l *logbook) open() error {
	f, err := os.OpenFile(filepath.Join(l.dir, logFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	l.f, l.size = f, st.Size()
	return nil
}

// Write takes all of p, whatever becomes of it.
func (l *logbook) Write(p []byte) (int, error) {
	if l.rotate && l.size > 0 && l.size+int64(len(p)) > l.max {
		l.turn()
	}
	rest := p
	if l.dropped == 0 {
		n := min(int64(len(p)), max(l.max-l.size, 0))
		w, err := l.f.Write(p[:n])
		l.size += int64(w)
		rest = p[w:]
		if len(rest) > 0 && !l.rotate && err == nil {
			fmt.Fprintf(l.f, "\nridgeline: the log has reached its limit of %s; only the last %s of the rest follow, at the end\n", size(l.max), size(kept))
		}
	}
	if len(rest) > 0 && !l.rotate {
		l.dropped += int64(len(rest))
		l.tail = append(l.tail, rest...)
		if over := len(l.tail) - kept; over > 1<<20 { // seldom enough to cost nothing
			l.tail = append(l.tail[:0], l.tail[over:]...)
		}
	}
	return len(p), nil
}

// turn begins a new file and keeps one old one.
func (l *logbook) turn() {
	path := filepath.Join(l.dir, logFile)
	if os.Rename(path, filepath.Join(l.dir, oldLogFile)) != nil {
		return
	}
	old := l.f
	if l.open() == nil {
		old.Close()
	}
}

func (l *logbook) Close() error {
	if l.dropped > 0 {
		tail := l.tail[max(0, len(l.tail)-kept):]
		if out := l.dropped - int64(len(tail)); out > 0 {
			fmt.Fprintf(l.f, "ridgeline: %s (%d bytes) were left out here\n", size(out), out)
		}
		_, _ = l.f.Write(tail)
	}
	return l.f.Close()
}
