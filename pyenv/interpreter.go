package pyenv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
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
	markers map[string]string // what the conditions in dependencies compare with (PEP 508)
}

// minor is the version as a lock has it: 3.11.
func (i interpreter) minor() string { return fmt.Sprintf("%d.%d", i.version[0], i.version[1]) }

func (i interpreter) String() string {
	return fmt.Sprintf("Python %d.%d.%d (%s)", i.version[0], i.version[1], i.version[2], i.path)
}

// usable says whether environments are made for it. Packages are rarely built
// for anything but CPython with its lock.
func (i interpreter) usable() bool {
	return i.version[0] == 3 && i.version[1] >= oldestMinor && i.markers["platform_python_implementation"] == "CPython" && i.markers["free_threaded"] == ""
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
		if i.usable() {
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

// What a Python says about itself: its real path, its version, and the
// variables of PEP 508.
const introduce = `
import json, os, platform, sys
v = sys.implementation.version
print(json.dumps([getattr(sys, "_base_executable", None) or sys.executable, list(sys.version_info[:3]), {
    "os_name": os.name, "sys_platform": sys.platform, "platform_machine": platform.machine(),
    "platform_python_implementation": platform.python_implementation(), "platform_release": platform.release(),
    "platform_system": platform.system(), "platform_version": platform.version(),
    "python_version": "%d.%d" % sys.version_info[:2], "python_full_version": platform.python_version(),
    "implementation_name": sys.implementation.name, "implementation_version": "%d.%d.%d" % (v.major, v.minor, v.micro),
    "free_threaded": "yes" if "t" in sys.abiflags else "",
}]))`

// ask starts a Python and lets it say what it really is. It runs in the
// manager's folder: version managers look for a file with their wish in the
// working folder, and a project's must not decide what stands for python3.
func (m *Manager) ask(ctx context.Context, name string) (interpreter, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return interpreter{}, err
	}
	cmd := exec.CommandContext(ctx, path, "-I", "-c", introduce)
	cmd.Dir, cmd.Env = m.dir, minimalEnv(os.Environ())
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		return interpreter{}, fmt.Errorf("%s: %w", path, err)
	}
	var i interpreter
	if err := json.Unmarshal(out.Bytes(), &[]any{&i.path, &i.version, &i.markers}); err != nil {
		return interpreter{}, fmt.Errorf("%s: %w", path, err)
	}
	if _, err := os.Stat(i.path); err != nil {
		i.path = path
	}
	return i, nil
}
