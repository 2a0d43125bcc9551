package pyenv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

// anotherPython is a second Python of this machine, of another minor version.
func anotherPython(t *testing.T, m *Manager) interpreter {
	t.Helper()
	own, err := m.defaultInterpreter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range m.interpreters(t.Context()) {
		if i.usable() && i.minor() != own.minor() {
			return i
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("expected a second Python on this machine, of another version than " + own.String())
	}
	t.Skip("this machine has no second Python")
	return interpreter{}
}

func TestChoose(t *testing.T) {
	m := manager(t, t.TempDir())
	other := anotherPython(t, m)
	own, err := m.defaultInterpreter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := m.interpreters(t.Context())
	newest := all[0]
	for _, i := range all {
		if i.usable() {
			newest = i
			break
		}
	}
	choose := func(specs ...string) (interpreter, error) {
		var wants []want
		for _, spec := range specs {
			w, err := wanted(spec, "the test")
			if err != nil {
				return interpreter{}, err
			}
			wants = append(wants, w)
		}
		return m.choose(t.Context(), wants)
	}
	for name, tt := range map[string]struct {
		specs []string
		want  interpreter
	}{
		"nothing":              {nil, own},
		"a range with the own": {[]string{">=3.9"}, own},
		"another":              {[]string{other.minor()}, other},
		"not the own":          {[]string{"!=" + own.minor() + ".*"}, newest},
		"two demands":          {[]string{">=3.9", other.minor()}, other},
	} {
		if name == "not the own" && newest.minor() == own.minor() {
			newest = other
			tt.want = other
		}
		if i, err := choose(tt.specs...); err != nil || i.minor() != tt.want.minor() {
			t.Errorf("%s: got %s (%v), want %s", name, i, err, tt.want)
		}
	}
	for name, tt := range map[string]struct {
		specs []string
		want  []string
	}{
		"too new":       {[]string{">=3.15.30"}, []string{"wants Python >=3.15.30 (the test)", "this machine has Python 3.", own.path, other.path, "uv python install 3.15"}},
		"too old":       {[]string{"3.7"}, []string{"wants Python ==3.7.* (the test)", "environments are made for Python 3.9 to 3.15", "python.version"}},
		"contradiction": {[]string{">=3.12", "<3.11"}, []string{">=3.12 (the test) and <3.11 (the test): no Python", "change one of them"}},
		"no version":    {[]string{"three"}, []string{`the test: expected a version of Python such as 3.11`, `got "three"`}},
	} {
		_, err := choose(tt.specs...)
		if ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: expected %q in: %s", name, want, err)
			}
		}
	}

	t.Run("what a project says", func(t *testing.T) {
		for name, tt := range map[string]struct {
			files map[string]string
			wish  Wish
			want  string
		}{
			"wish":            {map[string]string{"requirements.txt": ""}, Wish{Version: other.minor()}, other.minor()},
			".python-version": {map[string]string{"requirements.txt": "", ".python-version": other.minor() + ".99\n"}, Wish{}, other.minor()},
			"wish before it":  {map[string]string{"requirements.txt": "", ".python-version": other.minor()}, Wish{Version: own.minor()}, own.minor()},
			"beside the file": {map[string]string{"ml/requirements.txt": "", "ml/.python-version": "cpython-" + other.minor()}, Wish{File: "ml/requirements.txt"}, other.minor()},
			"requires-python": {map[string]string{"pyproject.toml": "[project]\nname = \"a\"\nversion = \"1\"\nrequires-python = \"==" + other.minor() + ".*\"\n"}, Wish{File: "pyproject.toml"}, other.minor()},
			"conda":           {map[string]string{"conda.yaml": "dependencies: [python=" + other.minor() + ", pip]\n"}, Wish{File: "conda.yaml"}, other.minor()},
			"wish over conda": {map[string]string{"conda.yaml": "dependencies: [python=3.7]\n"}, Wish{File: "conda.yaml", Version: own.minor()}, own.minor()},
		} {
			if tt.wish.File == "" {
				tt.wish.File = "requirements.txt"
			}
			lock, err := m.Lock(t.Context(), project(t, tt.files), tt.wish, nil)
			if err != nil || lock.Python != tt.want {
				t.Errorf("%s: Python %s (%v), want %s", name, lock.Python, err, tt.want)
			}
		}
	})
	t.Run("an environment has it", func(t *testing.T) {
		exact := strings.TrimPrefix(strings.Fields(other.String())[1], "")
		lock, err := m.Lock(t.Context(), project(t, map[string]string{"requirements.txt": ""}), Wish{File: "requirements.txt", Version: exact}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if lock.Text != "--python =="+exact+"\n" {
			t.Errorf("lock: %q", lock.Text)
		}
		if lock.Hash == NewLock("", other.minor()).Hash {
			t.Error("an exact Python has the same hash as any")
		}
		env, err := m.Ensure(t.Context(), lock, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := python(t, env, `import platform; print(platform.python_version())`); got != exact {
			t.Errorf("got Python %s, want %s", got, exact)
		}
		gone := NewLock("--python ==3."+strings.Split(exact, ".")[1]+".99\n", lock.Python)
		if _, err := m.Ensure(t.Context(), gone, nil); ridgeline.CodeOf(err) != ridgeline.Unavailable || !strings.Contains(err.Error(), "which the environment is locked for") {
			t.Errorf("an absent release: %v", err)
		}
	})
}

func TestWanted(t *testing.T) {
	for text, want := range map[string]string{
		"3.11": "==3.11.*", "3.11.7": "==3.11.7", "3": "==3.*", ">=3.10,<3.13": ">=3.10,<3.13", ">= 3.10, < 3.13": ">=3.10,<3.13", "^3.9": ">=3.9,<4", "~3.9": ">=3.9,<3.10",
		"~=3.10": "~=3.10", "3.11.*": "==3.11.*", "python3.11": "==3.11.*", "cpython@3.12": "==3.12.*", "*": "", "": "", "==3.12.*,!=3.12.1": "==3.12.*,!=3.12.1", ">=3.9,<4.0": ">=3.9,<4.0", ">3.9 <3.12": ">3.9,<3.12", "==3.11": "==3.11.*", "^3.9 || 3.8.*": ">=3.9,<4||==3.8.*", "3.9 || *": "",
	} {
		if got, err := wanted(text, "x"); err != nil || got.spec != want {
			t.Errorf("%q: got %q (%v), want %q", text, got.spec, err, want)
		}
	}
	for _, text := range []string{"pypy3.9", "three", "3.x", ">3.9;<3.12", "=>3.9", "3.11.7.1.2", "^"} {
		if got, err := wanted(text, "x"); ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("%q: got %q, %v", text, got.spec, err)
		}
	}
}

// What stands on PATH need not be a Python that can be used.
func TestInterpreters_of_a_machine(t *testing.T) {
	m := manager(t, t.TempDir())
	own, err := m.defaultInterpreter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	for name, script := range map[string]string{"python3.10": "#!/bin/sh\nexit 1\n", "python3.12": "#!/bin/sh\necho nonsense\n", "python3-config": "#!/bin/sh\necho no\n"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// A virtual environment leads to the Python it was made from.
	if _, err := m.run(t.Context(), call{doing: "venv", dir: bin}, "venv", "--quiet", "--no-project", "--python", own.path, filepath.Join(bin, "venv")); err != nil {
		t.Fatal(err)
	}
	list := m.askAll(t.Context(), programs([]string{bin, filepath.Join(bin, "venv", "bin"), filepath.Dir(own.path)}))
	if len(list) == 0 || list[0].version != own.version {
		t.Fatalf("got %v, want %s first", list, own)
	}
	for _, i := range list {
		if strings.HasPrefix(i.path, bin) {
			t.Errorf("%s is no Python of the machine", i)
		}
	}
}
