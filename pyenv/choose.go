package pyenv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/ridgeline-mlops/ridgeline"
)

// choose finds the Python that meets all demands: the machine's own when it
// does, else the newest that does. The own goes first because a Python that
// somebody installs beside it must not change what a project gets, and because
// the newest is the one that packages are last built for.
func (m *Manager) choose(ctx context.Context, wants []want) (interpreter, error) {
	meetsAll := func(v [3]int) bool {
		return !slices.ContainsFunc(wants, func(w want) bool { return !satisfies(v, w.spec) })
	}
	own, ownErr := m.defaultInterpreter(ctx)
	if ownErr == nil && meetsAll(own.version) {
		return own, nil
	}
	all := m.interpreters(ctx)
	if ctx.Err() != nil {
		return interpreter{}, ctx.Err()
	}
	for _, i := range all {
		if i.usable() && meetsAll(i.version) {
			return i, nil
		}
	}
	return interpreter{}, unmet(wants, all, meetsAll)
}

// unmet says what was wanted and what there is, and what to do.
func unmet(wants []want, all []interpreter, meetsAll func([3]int) bool) error {
	var asked, found []string
	for _, w := range wants {
		if w.spec != "" {
			asked = append(asked, w.String())
		}
	}
	for _, i := range all {
		found = append(found, i.String())
	}
	if asked == nil {
		asked = []string{fmt.Sprintf(">=3.%d", oldestMinor)}
	}
	if found == nil {
		found = []string{"none"}
	}
	wanted := "the project wants Python " + strings.Join(asked, " and ")
	for minor := newestMinor; minor >= oldestMinor; minor-- {
		for micro := 40; micro >= 0; micro-- {
			if meetsAll([3]int{3, minor, micro}) {
				return ridgeline.Errorf(ridgeline.Invalid, "%s, this machine has %s: install such a Python, for example with `uv python install 3.%d`, or ask for one that is here by python.version in ridgeline.yaml", wanted, strings.Join(found, ", "), minor)
			}
		}
	}
	if len(asked) > 1 {
		return ridgeline.Errorf(ridgeline.Invalid, "%s: no Python from 3.%d to 3.%d is all of that: change one of them", wanted, oldestMinor, newestMinor)
	}
	return ridgeline.Errorf(ridgeline.Invalid, "%s, environments are made for Python 3.%d to 3.%d: raise it, or set python.version in ridgeline.yaml; this machine has %s", wanted, oldestMinor, newestMinor, strings.Join(found, ", "))
}

var pythonNameRE = regexp.MustCompile(`^python3(\.\d+)?$`)

// interpreters lists the Pythons of this machine, the newest first; of two of
// the same version, the one that is looked for first. They are on PATH, or
// where systems and the common version managers keep theirs.
func (m *Manager) interpreters(ctx context.Context) []interpreter {
	home, _ := os.UserHomeDir()
	or := func(name, otherwise string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		return otherwise
	}
	data := or("XDG_DATA_HOME", filepath.Join(home, ".local", "share"))
	folders := filepath.SplitList(os.Getenv("PATH"))
	for _, pattern := range []string{
		"/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/python/*/bin",
		filepath.Join(or("UV_PYTHON_INSTALL_DIR", filepath.Join(data, "uv", "python")), "cpython-*", "bin"),
		filepath.Join(or("PYENV_ROOT", filepath.Join(home, ".pyenv")), "versions", "*", "bin"),
		filepath.Join(or("ASDF_DATA_DIR", filepath.Join(home, ".asdf")), "installs", "python", "*", "bin"),
		filepath.Join(or("MISE_DATA_DIR", filepath.Join(data, "mise")), "installs", "python", "*", "bin"),
		filepath.Join(home, "*conda3", "bin"), filepath.Join(home, "*conda3", "envs", "*", "bin"),
		filepath.Join(home, "miniforge3", "bin"), filepath.Join(home, "miniforge3", "envs", "*", "bin"),
		"/opt/*conda*/bin", "/opt/*conda*/envs/*/bin", "/opt/miniforge3/bin",
		"/Library/Frameworks/Python.framework/Versions/*/bin",
	} {
		found, _ := filepath.Glob(pattern)
		folders = append(folders, found...)
	}
	return m.askAll(ctx, programs(folders))
}

// programs are the Pythons in folders, each binary once, however it is named.
func programs(folders []string) []string {
	var paths []string
	seen := map[string]bool{}
	for _, folder := range folders {
		entries, _ := os.ReadDir(folder)
		for _, e := range entries {
			if !pythonNameRE.MatchString(e.Name()) {
				continue
			}
			path := filepath.Join(folder, e.Name())
			if real, err := filepath.EvalSymlinks(path); err == nil && !seen[real] && !script(real) {
				seen[real] = true
				paths = append(paths, path)
			}
		}
	}
	return paths
}

// script tells a version manager's shim from a program. A shim takes long to
// start, and what it stands for is in the manager's own folder.
func script(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return true
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, 2)
	n, _ := f.Read(head)
	return string(head[:n]) == "#!"
}

// known asks a Python once, until its file changes.
func (m *Manager) known(ctx context.Context, path string) (interpreter, error) {
	info, err := os.Stat(path)
	if err != nil {
		return interpreter{}, err
	}
	key := fmt.Sprint(path, info.Size(), info.ModTime())
	m.mu.Lock()
	i, ok := m.asked[key]
	m.mu.Unlock()
	if ok {
		return i, nil
	}
	if i, err = m.ask(ctx, path); err == nil {
		m.mu.Lock()
		m.asked[key] = i
		m.mu.Unlock()
	}
	return i, err
}

// askAll asks several at once, since each takes a moment to start. What is no
// Python answers nothing.
func (m *Manager) askAll(ctx context.Context, paths []string) []interpreter {
	answers := make([]interpreter, len(paths))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 4)
	for n, path := range paths {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if i, err := m.known(ctx, path); err == nil {
				answers[n] = i
			}
		})
	}
	wg.Wait()
	var list []interpreter
	seen := map[string]bool{}
	for _, i := range answers {
		if i.path != "" && !seen[i.path] && i.version[0] == 3 {
			seen[i.path] = true
			list = append(list, i)
		}
	}
	slices.SortStableFunc(list, func(a, b interpreter) int { return compare(b.version, a.version, 3) })
	return list
}

// interpreterFor finds the Python that a lock was made for.
func (m *Manager) interpreterFor(ctx context.Context, lock Lock, exact string) (interpreter, error) {
	spec := "==" + lock.Python + ".*"
	if exact != "" {
		spec += "," + exact
	}
	i, err := m.choose(ctx, []want{{spec, "the lock"}})
	if err == nil || ctx.Err() != nil {
		return i, err
	}
	var found []string
	for _, i := range m.interpreters(ctx) {
		found = append(found, i.String())
	}
	if found == nil {
		found = []string{"none"}
	}
	want := lock.Python
	if exact != "" {
		want += " (" + exact + ")"
	}
	return i, ridgeline.Errorf(ridgeline.Unavailable, "expected Python %s, which the environment is locked for, found %s: install it, for example with `uv python install %s`, or push again to lock for another", want, strings.Join(found, ", "), lock.Python)
}
