package image

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"runtime"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

//go:embed compile.py
var compileScript string

// A compiler makes bytecode with one interpreter. Images hold it because their
// file system may be read-only, and because without it a scorer of
// scikit-learn takes several times as long to start.
type compiler struct {
	python interpreter
	tmp    string // folder for the spools
}

// A bytecode is the compilation of a list of sources, under way.
type bytecode struct {
	tag     string
	sources []*entry
	shards  []*shard
	cancel  context.CancelFunc
}

// A shard is one interpreter's share. Its output goes to a file that has no
// name any more, so that compiling never waits for the layer's writer.
type shard struct {
	spool *os.File
	r     *bufio.Reader
	done  chan struct{}
	err   error
}

// start compiles the sources side by side with what the caller does next.
func (c compiler) start(ctx context.Context, sources []*entry) (*bytecode, error) {
	ctx, cancel := context.WithCancel(ctx)
	b := &bytecode{tag: c.python.Tag, sources: sources, cancel: cancel}
	// How the sources are shared out must not depend on the machine: marshal
	// writes a reference for an object that others hold too, so what one
	// interpreter compiled before may show in what it compiles next.
	shards := min(8, 1+len(sources)/64)
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range shards {
		spool, err := os.CreateTemp(c.tmp, "spool-")
		if err != nil {
			b.close()
			return nil, err
		}
		_ = os.Remove(spool.Name())
		s := &shard{spool: spool, done: make(chan struct{})}
		b.shards = append(b.shards, s)
		go func() {
			defer close(s.done)
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			case <-ctx.Done():
				s.err = ctx.Err()
				return
			}
			var mine []*entry
			for j := i; j < len(sources); j += shards {
				mine = append(mine, sources[j])
			}
			s.err = c.run(ctx, mine, spool)
		}()
	}
	return b, nil
}

func (c compiler) run(ctx context.Context, sources []*entry, out *os.File) error {
	cmd := exec.CommandContext(ctx, c.python.Executable, "-S", "-s", "-B", "-W", "ignore", "-c", compileScript)
	cmd.Dir = "/"
	cmd.Env = []string{"PYTHONHASHSEED=0"}
	if libraries, ok := os.LookupEnv("LD_LIBRARY_PATH"); ok {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+libraries)
	}
	cmd.Stdout = out
	var stderr strings.Builder
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("compile to bytecode: %w", err)
	}
	feedErr := feed(in, sources)
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("compile to bytecode with %s: %w: %s", c.python.Executable, err, lastLines(stderr.String()))
	}
	return feedErr
}

func feed(in io.WriteCloser, sources []*entry) error {
	defer in.Close()
	w := bufio.NewWriterSize(in, 1<<16)
	for _, e := range sources {
		name := "/" + e.name
		lengths := binary.LittleEndian.AppendUint32(nil, uint32(len(name)))
		lengths = binary.LittleEndian.AppendUint32(lengths, uint32(e.size))
		_, _ = w.Write(lengths) // a bufio.Writer keeps its first error for Flush
		_, _ = w.WriteString(name)
		if err := e.copy(w); err != nil {
			return err
		}
	}
	return w.Flush()
}

// each calls fn with the .pyc file of every source that compiles, in order.
func (b *bytecode) each(fn func(*entry) error) error {
	for i, source := range b.sources {
		s := b.shards[i%len(b.shards)]
		if s.r == nil {
			<-s.done
			if s.err != nil {
				return s.err
			}
			if _, err := s.spool.Seek(0, io.SeekStart); err != nil {
				return err
			}
			s.r = bufio.NewReaderSize(s.spool, 1<<18)
		}
		var length uint32
		if err := binary.Read(s.r, binary.LittleEndian, &length); err != nil {
			return fmt.Errorf("bytecode of %s: %w", source.name, err)
		}
		if length == 0 {
			continue
		}
		p := make([]byte, length)
		if _, err := io.ReadFull(s.r, p); err != nil {
			return fmt.Errorf("bytecode of %s: %w", source.name, err)
		}
		dir, file := path.Split(source.name)
		name := dir + "__pycache__/" + strings.TrimSuffix(file, ".py") + "." + b.tag + ".pyc"
		if err := fn(&entry{name: name, mode: 0o644, size: int64(length), data: p}); err != nil {
			return err
		}
	}
	return nil
}

// close stops what is still compiling and frees the spools.
func (b *bytecode) close() {
	b.cancel()
	for _, s := range b.shards {
		<-s.done
		_ = s.spool.Close()
	}
}

// compilable says whether a file gets bytecode. Tests that packages ship do
// not: nothing that serves imports them, and they are a third of pandas.
func compilable(e *entry) bool {
	if !e.mode.IsRegular() || !strings.HasSuffix(e.name, ".py") || e.size > 64<<20 {
		return false
	}
	return !strings.Contains(e.name, "/tests/") && !strings.Contains(e.name, "/test/")
}

// An interpreter is a Python on this machine, with the virtual environment it
// may be in looked through.
type interpreter struct {
	Version    string `json:"version"`    // 3.11.7
	Tag        string `json:"tag"`        // cpython-311
	Executable string `json:"executable"` // links resolved
	Prefix     string `json:"prefix"`
	Stdlib     string `json:"stdlib"`
	Dynload    string `json:"dynload"` // the folder of the standard library's shared objects
}

// short is the version as in folder names, 3.11.
func (i interpreter) short() string {
	part := strings.SplitN(i.Version, ".", 3)
	return strings.Join(part[:min(2, len(part))], ".")
}

const askScript = `
import json, os, sys, sysconfig
real = os.path.realpath
print(json.dumps({"version": "%d.%d.%d" % sys.version_info[:3], "tag": sys.implementation.cache_tag,
    "executable": real(getattr(sys, "_base_executable", None) or sys.executable), "prefix": real(sys.base_prefix),
    "stdlib": real(sysconfig.get_path("stdlib")), "dynload": real(next(p for p in sys.path if p.endswith("lib-dynload")))}))
`

// ask runs an interpreter to learn what it is.
func ask(ctx context.Context, python string) (interpreter, error) {
	cmd := exec.CommandContext(ctx, python, "-I", "-c", askScript)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return interpreter{}, ridgeline.Errorf(ridgeline.Invalid, "%s: a CPython interpreter was expected, but it does not run: %w: %s", python, err, lastLines(stderr.String()))
	}
	var i interpreter
	if err := json.Unmarshal(out, &i); err != nil {
		return i, fmt.Errorf("%s describes itself: %w", python, err)
	}
	return i, nil
}

func lastLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], " | ")
}

// checkPython refuses an interpreter of another version than the environment's.
func checkPython(have interpreter, want string) error {
	if have.short() != want {
		return ridgeline.Errorf(ridgeline.Invalid, "the environment is for Python %s and %s is %s; give a base of Python %s", want, have.Executable, have.Version, want)
	}
	return nil
}
