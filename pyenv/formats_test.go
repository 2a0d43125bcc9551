package pyenv

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

// The locks in testdata were made by the tools themselves (their versions
// stand in them); only the address of the index was changed in them after.
func lockOfKind(t *testing.T, m *Manager, folder string, w Wish) (Lock, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", folder))); err != nil {
		t.Fatal(err)
	}
	return m.Lock(t.Context(), dir, w, nil)
}

// packages are the names and versions of a lock, in order.
func packages(text string) []string {
	var list []string
	for _, line := range logical(text) {
		if e := parseEntry(line); e.name != "" {
			list = append(list, e.name+" "+e.version())
		}
	}
	return list
}

func TestLock_of_other_tools(t *testing.T) {
	m := manager(t, t.TempDir())
	other := anotherPython(t, m)
	old := []string{"certifi 2026.10.18", "charset-normalizer 3.5.2", "idna 3.20", "iniconfig 2.0.0", "pluggy 1.6.0", "pysocks 1.7.1", "requests 2.32.5", "six 1.17.0", "urllib3 2.6.3"}
	young := []string{"certifi 2026.10.18", "charset-normalizer 3.5.2", "idna 3.20", "iniconfig 2.3.1", "pluggy 1.7.0", "pysocks 1.7.1", "requests 2.34.2", "six 1.17.0", "urllib3 2.8.0"}
	poetry := func(i interpreter) []string {
		if i.version[1] < 12 {
			return old
		}
		return young
	}
	own, err := m.defaultInterpreter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, python := range []interpreter{own, other} {
		if python.version[1] < 10 {
			t.Fatalf("%s: the expected lists are for 3.10 and later", python)
		}
		with := func(list []string, more ...string) []string {
			list = append(slices.Clone(list), more...)
			slices.Sort(list)
			return list
		}
		for name, tt := range map[string]struct {
			folder string
			wish   Wish
			want   []string
		}{
			"poetry 2":          {"poetry2.1", Wish{File: "poetry.lock"}, poetry(python)},
			"poetry by project": {"poetry2.1", Wish{File: "pyproject.toml", Extras: []string{"web"}, Groups: []string{"docs"}}, with(poetry(python), "toml 0.10.2", "wcwidth 0.9.4")},
			"pdm":               {"pdm", Wish{File: "pdm.lock"}, []string{"iniconfig 2.1.0", "six 1.16.0"}},
			"pdm extra":         {"pdm", Wish{File: "pyproject.toml", Extras: []string{"web"}}, []string{"idna 3.6", "iniconfig 2.1.0", "six 1.16.0"}},
			"pipenv":            {"pipenv", Wish{File: "Pipfile.lock"}, []string{"iniconfig 2.3.1", "six 1.16.0"}},
			"pylock":            {"pylock", Wish{File: "pylock.toml"}, []string{"idna 3.6", "iniconfig 2.3.1", "six 1.16.0"}},
		} {
			t.Run(name+" "+python.minor(), func(t *testing.T) {
				tt.wish.Version = python.minor()
				lock, err := lockOfKind(t, m, tt.folder, tt.wish)
				if err != nil {
					t.Fatal(err)
				}
				if got := packages(lock.Text); !slices.Equal(got, tt.want) || lock.Python != python.minor() {
					t.Errorf("Python %s\ngot  %q\nwant %q", lock.Python, got, tt.want)
				}
				if n := strings.Count(lock.Text, "--hash=sha256:"); n < len(tt.want) {
					t.Errorf("%d hashes:\n%s", n, lock.Text)
				}
				if named := strings.Contains(lock.Text, "--index mirror=https://packages.example.com/simple\n"); named != strings.Contains(name, "poetry") {
					t.Errorf("indexes:\n%s", lock.Text)
				}
			})
		}
	}
}

// Poetry 1 leaves it to its reader to find out what is wanted where. From the
// same project at the same time Poetry 2 chose other versions for new Pythons.
func TestLock_of_Poetry_1(t *testing.T) {
	m := manager(t, t.TempDir())
	own, err := m.defaultInterpreter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		wish    Wish
		has     []string
		without []string
	}{
		"plain": {Wish{File: "poetry.lock"}, []string{"requests", "pysocks", "urllib3", "idna", "pluggy", "six", "iniconfig"}, []string{"toml", "wcwidth", "colorama", "importlib-resources", "zipp"}},
		"more":  {Wish{File: "poetry.lock", Extras: []string{"web"}, Groups: []string{"docs"}}, []string{"requests", "toml", "wcwidth"}, []string{"colorama"}},
	} {
		lock, err := lockOfKind(t, m, "poetry2.0", tt.wish)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range packages(lock.Text) {
			name, version, _ := strings.Cut(p, " ")
			names = append(names, name)
			if name == "iniconfig" && strings.HasPrefix(version, "2.0") != (own.version[1] < 12) {
				t.Errorf("%s: %s for %s", name, version, own)
			}
		}
		for _, one := range tt.has {
			if !slices.Contains(names, one) {
				t.Errorf("%s: %s is missing in %q", name, one, names)
			}
		}
		for _, one := range tt.without {
			if slices.Contains(names, one) {
				t.Errorf("%s: %s is in %q", name, one, names)
			}
		}
	}
}

func TestLock_of_other_tools_mistakes(t *testing.T) {
	m := manager(t, t.TempDir())
	for name, tt := range map[string]struct {
		folder, file, old, new string
		wish                   Wish
		want                   string
	}{
		"poetry changed":    {"poetry2.1", "pyproject.toml", `six = "^1.16"`, `six = "^1.17"`, Wish{File: "poetry.lock"}, "poetry.lock does not match pyproject.toml any more: run `poetry lock`"},
		"poetry 1.1":        {"poetry2.1", "poetry.lock", `lock-version = "2.1"`, `lock-version = "1.1"`, Wish{File: "poetry.lock"}, `expected lock-version 2.0 or 2.1, got "1.1"`},
		"poetry extra":      {"poetry2.1", "", "", "", Wish{File: "poetry.lock", Extras: []string{"gpu"}}, `python.extras: "gpu": poetry.lock has no such extras; there is web`},
		"poetry group":      {"poetry2.1", "", "", "", Wish{File: "poetry.lock", Groups: []string{"gpu"}}, `python.groups: "gpu": Poetry's pyproject.toml has no such group; there is main, dev, docs`},
		"poetry constraint": {"poetry2.1", "", "", "", Wish{File: "poetry.lock", Constraints: []string{"pyproject.toml"}}, "poetry.lock has exact versions already"},
		"poetry marker":     {"poetry2.1", "poetry.lock", `sys_platform == \"win32\"`, `sys_plattform == \"win32\"`, Wish{File: "poetry.lock"}, "expected a variable of PEP 508 instead of sys_plattform"},
		"poetry python":     {"poetry2.1", "", "", "", Wish{File: "poetry.lock", Version: "3.8"}, "==3.8.* (python.version of ridgeline.yaml) and >=3.9,<4.0 (python of poetry.lock)"},
		"pdm format":        {"pdm", "pdm.lock", `"inherit_metadata"`, `"cross_platform"`, Wish{File: "pdm.lock"}, "pdm lock -S inherit_metadata"},
		"pdm changed":       {"pdm", "pyproject.toml", `six==1.16.0`, `six==1.17.0`, Wish{File: "pdm.lock"}, "pdm.lock does not match pyproject.toml any more: run `pdm lock`"},
		"pipenv cut":        {"pipenv", "Pipfile.lock", `"pipfile-spec": 6`, `"pipfile-spec": 7`, Wish{File: "Pipfile"}, "Pipfile.lock: expected a JSON document with pipfile-spec 6"},
		"pipenv unlocked":   {"pdm", "", "", "", Wish{File: "Pipfile"}, "Pipfile.lock is not in the project: make it with `pipenv lock`"},
		"pipenv extras":     {"pipenv", "", "", "", Wish{File: "Pipfile.lock", Extras: []string{"a"}}, "Pipfile.lock has no extras"},
		"pylock version":    {"pylock", "pylock.toml", `lock-version = "1.0"`, `lock-version = "2.0"`, Wish{File: "pylock.toml"}, "expected lock-version 1 (PEP 751)"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", tt.folder))); err != nil {
				t.Fatal(err)
			}
			if tt.file != "" {
				text, err := os.ReadFile(filepath.Join(dir, tt.file))
				if err != nil || !strings.Contains(string(text), tt.old) {
					t.Fatalf("%v: %s has no %s", err, tt.file, tt.old)
				}
				if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(strings.ReplaceAll(string(text), tt.old, tt.new)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			_, err := m.Lock(t.Context(), dir, tt.wish, nil)
			if ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v\nwant %s", ridgeline.CodeOf(err), err, tt.want)
			}
		})
	}
}

func TestEvaluate(t *testing.T) {
	variables := map[string]string{
		"python_version": "3.11", "python_full_version": "3.11.7", "sys_platform": "linux", "os_name": "posix", "platform_machine": "x86_64",
		"platform_python_implementation": "CPython", "platform_release": "6.1.0-arm64", "implementation_version": "3.11.7", "platform_system": "Linux",
	}
	chosen := map[string][]string{"extra": {"Plot-It"}, "dependency_groups": {"dev"}}
	for marker, want := range map[string]bool{
		"": true, `python_version < "3.12"`: true, `python_version<'3.9'`: false, `"3.9" <= python_version`: true, `python_full_version >= "3.11.8"`: false,
		`python_version >= "3.9" and python_version < "3.12"`: true, `python_version ~= "3.10"`: true, `python_version == "3.11.*"`: true, `python_version != "3.11"`: false,
		`sys_platform == "win32" or (os_name == "posix" and extra == "plot_it")`: true, `extra == "other"`: false, `extra != "other"`: true,
		`sys_platform == "win32" and os_name == "posix" or python_version > "3"`: true, `sys_platform == "win32" and (os_name == "posix" or python_version > "3")`: false,
		`platform_machine in "x86_64 aarch64"`: true, `platform_machine not in "x86_64 aarch64"`: false, `platform_python_implementation != "PyPy"`: true,
		`platform_release >= "5"`: true, `"dev" in dependency_groups`: true, `"docs" in dependency_groups`: false, `"docs" not in dependency_groups`: true,
		`python_implementation == 'CPython'`: true, `sys.platform == "linux"`: true, `platform_system > "Darwin"`: true, `python_version === "3.11"`: true,
		`python_version in "3.10, 3.11"`: true,
	} {
		if got, err := evaluate(marker, variables, chosen); err != nil || got != want {
			t.Errorf("%s: %v, %v", marker, got, err)
		}
	}
	for _, marker := range []string{"python_version", `python_version < `, `(python_version < "3"`, `python_versionn < "3"`, `os_name = "posix"`, `os_name == "posix" extra`, `os_name not "posix"`} {
		if got, err := evaluate(marker, variables, chosen); ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("%s: %v, %v", marker, got, err)
		}
	}
}
