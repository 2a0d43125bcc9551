package worker

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
)

const (
	tailLines = 40
	tailWidth = 500 // bytes of a line that are kept
)

// output passes on what the model writes and remembers its last lines, for
// whoever has to say why the process is gone.
type output struct {
	to   io.Writer
	done chan struct{} // closed when everything has been read

	mu   sync.Mutex
	kept []string
	line []byte // the line under way, at most tailWidth bytes
}

// copyFrom reads until the pipe's last writer is gone. It never stops reading
// early: a model whose output nobody takes would hang in print().
func (o *output) copyFrom(r *os.File) {
	defer close(o.done)
	defer r.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := r.Read(buffer)
		if n > 0 {
			o.remember(buffer[:n])
			_, _ = o.to.Write(buffer[:n]) // a log that cannot be written must not end the model
		}
		if err != nil {
			return
		}
	}
}

func (o *output) remember(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(b) > 0 {
		part, rest, ended := bytes.Cut(b, []byte{'\n'})
		o.line = append(o.line, part[:min(len(part), tailWidth-len(o.line))]...)
		if ended {
			o.keep()
		}
		b = rest
	}
}

func (o *output) keep() {
	if len(o.line) == 0 {
		return
	}
	if len(o.kept) == tailLines {
		o.kept = append(o.kept[:0], o.kept[1:]...)
	}
	o.kept = append(o.kept, strings.ToValidUTF8(strings.TrimRight(string(o.line), "\r"), "?"))
	o.line = o.line[:0]
}

// tail is the last lines, the unfinished one included.
func (o *output) tail() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keep()
	return append([]string(nil), o.kept...)
}

func lines(s string) []string {
	return strings.Split(strings.TrimRight(s, "\n"), "\n")
}
