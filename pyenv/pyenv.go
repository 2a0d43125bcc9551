// Package pyenv turns a project's list of packages into a lock, and a lock into
// a virtual environment on this machine; it is the one door to uv.
//
// What runs in an environment, and how it gets into an image, is for others.
package pyenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"

	"github.com/ridgeline-mlops/ridgeline"
)

// Options of a Manager.
type Options struct {
	// Dir is the folder that the manager owns: envs/ has one environment per
	// lock hash, locks/ the locks made here, files/ the packages that no index
	// has, uv/ the tool when the machine had none. Several processes may share it. Environments do not survive being
	// moved, so neither does Dir.
	Dir string
	// Files has the packages that no index has, so that other servers can
	// make the same environments. nil: they are kept in Dir alone.
	Files Files
	Log   *slog.Logger // nil: silent
}

// Files keeps contents under the 64 hex digits of their sha256. Putting what
// is there already succeeds; getting what is not is NotFound.
type Files interface {
	Put(ctx context.Context, r io.Reader) (digest string, size int64, err error)
	Get(ctx context.Context, digest string) (io.ReadCloser, error)
}

// A Manager makes locks and environments. All its methods may be called at
// any time from any goroutine; what two callers want at once, also in two
// processes, is made once. It keeps nothing in memory that Dir has not.
type Manager struct {
	dir   string
	files Files
	log   *slog.Logger

	mu          sync.Mutex             // over the three below, all found on first use
	uv          string                 // path of the binary
	interpreter *interpreter           // what Interpreter answers
	asked       map[string]interpreter // what known was told
}

// Progress is told what is going on, a line at a time, from one goroutine. It
// may be nil.
type Progress func(line string)

func (p Progress) say(format string, args ...any) {
	if p != nil {
		p(fmt.Sprintf(format, args...))
	}
}

// A Lock is every package of an environment with its exact version and the
// hashes that its files may have.
type Lock struct {
	Hash   string // names the environment: sha256 over text, Python version and platform, 64 hex digits
	Text   string // a requirements file in which every package has hashes; text.go says which lines stand before it
	Python string // such as 3.11
}

// An Env is a finished virtual environment. All paths are absolute.
type Env struct {
	Hash         string
	Dir          string
	Python       string // bin/python in it
	SitePackages string
	Bin          string
}

// New makes a manager over opts.Dir, which it creates. It starts nothing; uv
// and the interpreter are looked for when first needed.
func New(opts Options) (*Manager, error) {
	if opts.Dir == "" {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "pyenv needs a folder")
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("folder of the environments: %w", err)
	}
	for _, d := range []string{"envs", "locks", "files"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("folder of the environments: %w", err)
		}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Manager{dir: dir, files: opts.Files, log: opts.Log, asked: map[string]interpreter{}}, nil
}

// NewLock makes a lock of a text that somebody else has kept.
func NewLock(text, python string) Lock {
	text = normalise(text)
	sum := sha256.Sum256([]byte("lock 1\n" + python + "\n" + platform() + "\n" + text))
	return Lock{Hash: hex.EncodeToString(sum[:]), Text: text, Python: python}
}

func platform() string { return runtime.GOOS + "/" + runtime.GOARCH }

// normalise drops what does not change which packages get installed: comments,
// blank lines, blanks at the ends of lines.
func normalise(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		if t := strings.TrimSpace(line); t == "" || strings.HasPrefix(t, "#") {
			continue
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}

var hashRE = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (m *Manager) env(lock Lock) Env {
	dir := filepath.Join(m.dir, "envs", lock.Hash)
	return Env{
		Hash: lock.Hash, Dir: dir, Bin: filepath.Join(dir, "bin"), Python: filepath.Join(dir, "bin", "python"),
		SitePackages: filepath.Join(dir, "lib", "python"+lock.Python, "site-packages"),
	}
}
