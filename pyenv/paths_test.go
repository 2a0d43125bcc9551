package pyenv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/ridgeline-mlops/ridgeline"
)

// Packages in folders of the project decide its lock by their content,
// whichever tool's lock names them: that itself stays the same.
func TestLock_folders_of_other_locks(t *testing.T) {
	index := newIndex(t, "", "")
	index.add(wheel(t, "base", "1.0", "py3-none-any"))
	backend(t, index)
	freshCache(t)
	t.Setenv("UV_DEFAULT_INDEX", index.simple())
	m := manager(t, t.TempDir())
	lib := "[project]\nname = \"inlib\"\nversion = \"0.3\"\ndependencies = [\"base\"]\n[build-system]\nrequires = [\"smallbackend\"]\nbuild-backend = \"smallbackend\"\n"
	poetry := "[tool.poetry.dependencies]\npython = \">=3.9\"\ninlib = {path = \"lib\"}\n"
	var raw map[string]any
	if _, err := toml.Decode(poetry, &raw); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		files map[string]string
		file  string
		want  string
	}{
		"uv workspace": {map[string]string{
			"pyproject.toml": "[project]\nname = \"me\"\nversion = \"1\"\nrequires-python = \">=3.9\"\ndependencies = [\"inlib\"]\n[tool.uv.workspace]\nmembers = [\"lib\"]\n[tool.uv.sources]\ninlib = {workspace = true}\n",
		}, "uv.lock", "base 1.0, inlib 0.3"},
		"uv path": {map[string]string{
			"pyproject.toml": "[project]\nname = \"me\"\nversion = \"1\"\nrequires-python = \">=3.9\"\ndependencies = [\"inlib\"]\n[tool.uv.sources]\ninlib = {path = \"lib\"}\n",
		}, "pyproject.toml", "base 1.0, inlib 0.3"},
		"poetry": {map[string]string{
			"pyproject.toml": poetry,
			"poetry.lock":    "[[package]]\nname = \"inlib\"\nversion = \"0.3\"\ngroups = [\"main\"]\nfiles = []\n[package.source]\ntype = \"directory\"\nurl = \"lib\"\n[metadata]\nlock-version = \"2.1\"\npython-versions = \">=3.9\"\ncontent-hash = \"" + poetryHash(raw, true) + "\"\n",
		}, "poetry.lock", "inlib 0.3"},
		"conda": {map[string]string{
			"conda.yaml": "dependencies: [{pip: [./lib]}]\n",
		}, "conda.yaml", "base 1.0, inlib 0.3"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.files["lib/pyproject.toml"], tt.files["lib/inlib.py"] = lib, "version = '0.3'\n"
			dir := project(t, tt.files)
			if name == "uv workspace" {
				if _, err := m.run(t.Context(), call{doing: "lock", dir: dir}, "lock"); err != nil {
					t.Fatal(err)
				}
			}
			one := mustLock(t, m, dir, tt.file)
			if got := sorted(strings.Join(packages(one.Text), ", ")); got != tt.want {
				t.Errorf("got %s, want %s:\n%s", got, tt.want, one.Text)
			}
			env, err := m.Ensure(t.Context(), one, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := python(t, env, "import inlib; print(inlib.version)"); got != "0.3" {
				t.Errorf("got %s", got)
			}
			if err := os.WriteFile(filepath.Join(dir, "lib", "inlib.py"), []byte("version = 'changed'\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			if two := mustLock(t, m, dir, tt.file); two.Hash == one.Hash {
				t.Error("another source has the same lock")
			}
		})
	}
}

func TestTrusted(t *testing.T) {
	environ := []string{"UV_INDEX=corp-a=https://me:pw@packages.example.com/simple https://unnamed.example.com", "UV_DEFAULT_INDEX=main=https://mirror.example.com/simple", "UV_INDEX_CORP_A_PASSWORD=hunter22"}
	for address, denied := range map[string]bool{
		"corp-a https://packages.example.com/other": false, "corp-a https://packages.example.org/simple": true, "corp-a http://packages.example.com/simple": true,
		"CORP.A https://elsewhere.example.com": true, "main https://elsewhere.example.com": true, "other https://elsewhere.example.com": false,
	} {
		name, address, _ := strings.Cut(address, " ")
		err := trusted(environ, []Index{{Name: name, URL: address}})
		if (ridgeline.CodeOf(err) == ridgeline.Denied) != denied || err != nil && strings.Contains(err.Error(), "pw@") {
			t.Errorf("%s at %s: %v", name, address, err)
		}
	}

	// The project's own settings for uv count as well, before uv reads them.
	t.Setenv("UV_INDEX", "corp=https://packages.example.com/simple")
	m := manager(t, t.TempDir())
	stolen := "[[tool.uv.index]]\nname = \"corp\"\nurl = \"http://127.0.0.1:9/simple\"\n"
	for file, files := range map[string]map[string]string{
		"pyproject.toml":   {"pyproject.toml": "[project]\nname = \"a\"\nversion = \"1\"\ndependencies = [\"six\"]\n" + stolen},
		"requirements.txt": {"requirements.txt": "six\n", "pyproject.toml": stolen},
		"conda.yaml":       {"conda.yaml": "dependencies: [six]\n", "uv.toml": strings.ReplaceAll(stolen, "tool.uv.", "")},
	} {
		if _, err := m.Lock(t.Context(), project(t, files), Wish{File: file}, nil); ridgeline.CodeOf(err) != ridgeline.Denied {
			t.Errorf("%s: %v", file, err)
		}
	}
	if _, err := m.Ensure(t.Context(), NewLock("--index corp=http://127.0.0.1:9/simple\nsix==1.16.0 --hash=sha256:"+strings.Repeat("0", 64)+"\n", mustLock(t, m, project(t, map[string]string{"requirements.txt": ""}), "requirements.txt").Python), nil); ridgeline.CodeOf(err) != ridgeline.Denied {
		t.Errorf("a lock: %v", err)
	}
}
