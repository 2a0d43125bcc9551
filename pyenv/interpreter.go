package pyenv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// The oldest and the newest Python that environments are made for.
const (
	oldestMinor = 9
	newestMinor = 15
)

// An interpreter is a Python of this machine, not one of a virtual environment.
type interpreter struct {
	path    string
	version [3]int
}

// minor is the version as a lock has it: 3.11.
func (i interpreter) minor() string { return fmt.Sprintf("%d.%d", i.version[0], i.version[1]) }

func (i interpreter) String() string {
	return fmt.Sprintf("Python %d.%d.%d (%s)", i.version[0], i.version[1], i.version[2], i.path)
}

// Interpreter is the Python that environments are made from unless a project
// asks for another: the python3 on PATH, or else the newest of 3.9 and later. The
// path leads to the real binary, not to a shim or a virtual environment; the
// version is such as 3.11.
func (m *Manager) Interpreter(ctx context.Context) (path, version string, err error) {
	i, err := m.defaultInterpreter(ctx)
	return i.path, i.minor(), err
}

func (m *Manager) defaultInterpreter(ctx context.Context) (interpreter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.interpreter != nil {
		if _, err := os.Stat(m.interpreter.path); err == nil {
			return *m.interpreter, nil
		}
	}
	var seen []string
	for _, name := range append([]string{"python3"}, minorNames()...) {
		i, err := m.ask(ctx, name)
		if ctx.Err() != nil {
			return i, ctx.Err()
		}
		if err != nil {
			continue
		}
		if i.version[0] == 3 && i.version[1] >= oldestMinor {
			m.interpreter = &i
			return i, nil
		}
		seen = append(seen, i.String())
	}
	found := "found none on PATH"
	if seen != nil {
		found = "found only " + strings.Join(seen, ", ")
	}
	return interpreter{}, ridgeline.Errorf(ridgeline.Unavailable, "expected Python 3.%d or later, %s: install Python and see that `python3` starts it", oldestMinor, found)
}

func minorNames() []string {
	var names []string
	for v := newestMinor; v >= oldestMinor; v-- {
		names = append(names, "python3."+strconv.Itoa(v))
	}
	return names
}

// ask starts a Python and lets it say what it really is. It runs in the
// manager's folder: version managers look for a file with their wish in the
// working folder, and a project's must not decide what stands for python3.
func (m *Manager) ask(ctx context.Context, name string) (interpreter, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return interpreter{}, err
	}
	cmd := exec.CommandContext(ctx, path, "-I", "-c",
		`import json, sys; print(json.dumps([getattr(sys, "_base_executable", None) or sys.executable, list(sys.version_info[:3])]))`)
	cmd.Dir, cmd.Env = m.dir, minimalEnv(os.Environ())
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		return interpreter{}, fmt.Errorf("%s: %w", path, err)
	}
	var i interpreter
	if err := json.Unmarshal(out.Bytes(), &[]any{&i.path, &i.version}); err != nil {
		return interpreter{}, fmt.Errorf("%s: %w", path, err)
	}
	if _, err := os.Stat(i.path); err != nil {
		i.path = path
	}
	return i, nil
}

// interpreterFor finds a Python of a version such as 3.11.
func (m *Manager) interpreterFor(ctx context.Context, minor string) (interpreter, error) {
	i, err := m.defaultInterpreter(ctx)
	if err == nil && i.minor() == minor {
		return i, nil
	}
	if others := m.installed(ctx, minor); len(others) > 0 {
		return others[0], nil
	}
	if ctx.Err() != nil {
		return interpreter{}, ctx.Err()
	}
	have := "none"
	if err == nil {
		have = i.String()
	}
	return interpreter{}, ridgeline.Errorf(ridgeline.Unavailable, "expected Python %s, which the environment is locked for, found %s: install it, for example with `uv python install %s`, or push again to lock for another", minor, have, minor)
}

// installed lists the Pythons of one minor version, those on PATH first, then
// where the common version managers keep theirs.
func (m *Manager) installed(ctx context.Context, minor string) []interpreter {
	home, _ := os.UserHomeDir()
	names := []string{"python" + minor}
	for _, pattern := range []string{
		filepath.Join(home, ".pyenv", "versions", minor+".*", "bin", "python"+minor),
		filepath.Join(home, ".local", "share", "uv", "python", "cpython-"+minor+".*", "bin", "python"+minor),
		filepath.Join("/opt", "python", "*", "bin", "python"+minor),
		filepath.Join("/usr", "local", "bin", "python"+minor),
		filepath.Join("/opt", "homebrew", "bin", "python"+minor),
	} {
		found, _ := filepath.Glob(pattern)
		slices.Reverse(found)
		names = append(names, found...)
	}
	var list []interpreter
	for _, name := range names {
		if i, err := m.ask(ctx, name); err == nil && i.minor() == minor {
			list = append(list, i)
		}
	}
	return list
}

// interpreterOf chooses the Python for a uv project: what .python-version
// asks for, else the default, else the newest that requires-python allows.
func (m *Manager) interpreterOf(ctx context.Context, dir string, pyproject []byte) (interpreter, error) {
	requires := requiresPython(pyproject)
	if wish, err := os.ReadFile(filepath.Join(dir, ".python-version")); err == nil {
		parts := strings.Split(strings.TrimSpace(string(wish)), ".")
		if len(parts) >= 2 && parts[0] == "3" {
			if i, err := m.interpreterFor(ctx, "3."+parts[1]); err == nil && satisfies(i.version, requires) {
				return i, nil
			}
		}
	}
	i, err := m.defaultInterpreter(ctx)
	if err == nil && satisfies(i.version, requires) {
		return i, nil
	}
	for v := newestMinor; v >= oldestMinor; v-- {
		for _, c := range m.installed(ctx, "3."+strconv.Itoa(v)) {
			if satisfies(c.version, requires) {
				return c, nil
			}
		}
	}
	if err != nil {
		return i, err
	}
	return i, ridgeline.Errorf(ridgeline.Invalid, "pyproject.toml requires Python %s, this machine has %s: widen requires-python and run `uv lock`, or install such a Python", requires, i)
}
