// Package parquet reads the tables that clients send as Parquet, each in a
// process of its own with a limit on its memory: the library allocates whatever
// a file claims to hold, so a kilobyte from a stranger could end the scorer.
//
// What the columns mean for a model is package tensor's part.
package parquet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

// Command is the argument with which this program is started again to read a
// file; its main has to call Main then.
const Command = "parquet"

const (
	memory  = 2 << 30 // bytes of address space of the process that reads
	seconds = 30      // that it may take, on a processor and by the clock
	answer  = 1 << 30 // bytes of its answer
)

// A Reader reads a few files at a time.
type Reader struct{ turns chan struct{} }

// NewReader makes a Reader of two files at a time.
func NewReader() Reader { return Reader{make(chan struct{}, 2)} }

// described is the first line of what the process writes: the columns, whose
// blocks follow, or what is wrong with the file.
type described struct {
	Error   string  `json:"error,omitempty"`
	Columns []about `json:"columns,omitempty"`
}

type about struct {
	Name string `json:"name"`
	Type string `json:"type"` // empty: no column of single values
	Rows int    `json:"rows"`
}

// Read returns a file's columns; one that is not of single values has no type.
// What is wrong with the file is a *tensor.Mismatch.
func (r Reader) Read(ctx context.Context, file []byte) ([]tensor.Tensor, error) {
	if len(file) == 0 {
		return nil, &tensor.Mismatch{Message: "The body is empty: expected a Parquet file."}
	}
	select {
	case r.turns <- struct{}{}:
		defer func() { <-r.turns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the program that reads Parquet: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, seconds*time.Second)
	defer cancel()
	var out bytes.Buffer
	c := exec.CommandContext(ctx, self, Command)
	c.Env = []string{"GOTRACEBACK=none", "GOMAXPROCS=1"}
	c.Stdin = bytes.NewReader(file)
	pipe, err := c.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the program that reads Parquet: %w", err)
	}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start the program that reads Parquet: %w", err)
	}
	_, copied := out.ReadFrom(io.LimitReader(pipe, answer))
	err = c.Wait()
	if err != nil || copied != nil {
		if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, &tensor.Mismatch{Message: fmt.Sprintf("The body is not valid Parquet, or reading it takes more than %d MB or %d s.", memory>>20, seconds)}
		}
		return nil, ctx.Err()
	}
	return decode(out.Bytes())
}

func decode(out []byte) ([]tensor.Tensor, error) {
	line, blocks, _ := bytes.Cut(out, []byte("\n"))
	var d described
	if err := json.Unmarshal(line, &d); err != nil {
		return nil, fmt.Errorf("the program that reads Parquet answered %.100q", line)
	}
	if d.Error != "" {
		return nil, &tensor.Mismatch{Message: "The body is not valid Parquet: " + d.Error + "."}
	}
	read := make([]tensor.Tensor, len(d.Columns))
	for i, c := range d.Columns {
		if c.Type == "" {
			read[i] = tensor.Tensor{Name: c.Name, Shape: []int{c.Rows}}
			continue
		}
		var t tensor.Type
		if err := t.UnmarshalText([]byte(c.Type)); err != nil {
			return nil, fmt.Errorf("the program that reads Parquet: %w", err)
		}
		n, err := read[i].Take(c.Name, t, []int{c.Rows}, blocks)
		if err != nil {
			return nil, fmt.Errorf("the program that reads Parquet: %w", err)
		}
		blocks = blocks[n:]
	}
	return read, nil
}

// Main is that process: it reads a file from in and writes its columns to out.
// It returns the exit code.
func Main(in io.Reader, out io.Writer) int {
	limit := syscall.Rlimit{Cur: memory, Max: memory}
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		fmt.Fprintln(os.Stderr, "limit the memory:", err)
		return 1
	}
	limit = syscall.Rlimit{Cur: seconds, Max: seconds}
	_ = syscall.Setrlimit(syscall.RLIMIT_CPU, &limit) // the clock stops it, too
	file, err := io.ReadAll(in)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	read, err := columns(file)
	var d described
	if err != nil {
		d.Error = strings.ToValidUTF8(fmt.Sprintf("%.300v", err), "")
		read = nil
	}
	for _, t := range read {
		c := about{Name: t.Name, Rows: t.Shape[0]}
		if t.Type != 0 {
			c.Type = t.Type.String()
		}
		d.Columns = append(d.Columns, c)
	}
	w := bufio.NewWriter(out)
	_ = json.NewEncoder(w).Encode(d) // an error shows in Flush
	for _, t := range read {
		_, _ = w.Write(t.Data)
	}
	if err := w.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
