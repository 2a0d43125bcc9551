package project

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

// Embedding by globs forgets a file of a new kind without a word.
func TestTemplate_is_the_whole_folder(t *testing.T) {
	ignored := []string{"__pycache__", ".venv", ".pytest_cache", ".ruff_cache", "out", ".coverage", "coverage.xml", "junit.xml"}
	list := func(f fs.FS) []string {
		var names []string
		err := fs.WalkDir(f, ".", func(path string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case slices.Contains(ignored, e.Name()) && e.IsDir():
				return fs.SkipDir
			case !e.IsDir() && !slices.Contains(ignored, e.Name()):
				names = append(names, path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	embedded, tree := list(Template()), list(os.DirFS("template"))
	if !slices.Equal(embedded, tree) {
		t.Errorf("embedded %v\ntree     %v", embedded, tree)
	}
}

func gitOut(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestInit(t *testing.T) {
	// Nobody has told git who they are.
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	t.Setenv("GIT_DIR", "/nowhere")
	parent := t.TempDir()
	dir := filepath.Join(parent, "new", "diabetes")
	files, err := Init(dir, "diabetes")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Unsetenv("GIT_DIR"); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Project != "diabetes" || len(cfg.Release.Environments) != 2 || !cfg.Trains() {
		t.Errorf("%+v", cfg)
	}
	for _, env := range cfg.Release.Environments {
		for _, file := range env.Checks {
			text, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParseSmoke(file, text); err != nil {
				t.Error(err)
			}
		}
	}
	if got := gitOut(t, dir, "ls-files"); got != strings.Join(files, "\n") {
		t.Errorf("committed:\n%s\nwritten:\n%s", got, strings.Join(files, "\n"))
	}
	if got := gitOut(t, dir, "status", "--porcelain") + gitOut(t, dir, "log", "--format=%s", "main"); got != "diabetes: the diabetes project" {
		t.Errorf("git: %s", got)
	}
	for _, f := range files {
		got, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		if want, _ := fs.ReadFile(Template(), f); string(got) != string(want) {
			t.Errorf("%s differs from the template", f)
		}
	}
	if _, err := Init(dir, "diabetes"); ridgeline.CodeOf(err) != ridgeline.Conflict || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("a second time: %v", err)
	}
	if _, err := Init(filepath.Join(parent, "x"), "Not A Name"); ridgeline.CodeOf(err) != ridgeline.Invalid {
		t.Errorf("bad name: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(parent, "*", ".ridgeline-init-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestInit_in_an_empty_folder_without_git(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	dir := t.TempDir()
	t.Chdir(dir)
	files, err := Init(".", "house-prices")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(files, "house_prices/train.py") {
		t.Errorf("files: %v", files)
	}
	if _, err := os.Stat(".git"); err == nil {
		t.Error("a repository without git")
	}
	cfg, err := Load(".")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Project != "house-prices" || cfg.Model != "house-prices" || cfg.Pipeline.Steps[0].Run != "python -m house_prices.train" || cfg.Data[0].Name != "diabetes" {
		t.Errorf("%+v", cfg)
	}
}

func TestModuleName(t *testing.T) {
	for name, want := range map[string]string{"diabetes": "diabetes", "house-prices": "house_prices", "json": "json_model", "class": "class_model", "tests": "tests_model"} {
		if got := moduleName(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// The template is a project that people learn from: its own lint, tests and
// training run here for real, under another name of the greatest length.
func TestInit_passes_its_own_checks(t *testing.T) {
	uv, err := exec.LookPath("uv")
	if err != nil || testing.Short() {
		t.Skip("needs uv, and 10 s")
	}
	dir := filepath.Join(t.TempDir(), "p")
	if _, err := Init(dir, "how-far-does-it-progress-within-one-year"); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, ".venv", "bin")
	run := func(want string, argv ...string) {
		t.Helper()
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "COLUMNS=200")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Fatalf("%v: %v, expected %q in:\n%s", argv, err, want, out)
		}
	}
	run("", uv, "venv", "--quiet", ".venv")
	run("", uv, "pip", "install", "--quiet", "--python", filepath.Join(bin, "python"), "-r", "requirements.txt")
	cfg, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	run("All checks passed", "sh", "-c", cfg.Build.Tasks[0].Run)
	run(" passed", "sh", "-c", cfg.Build.Tasks[1].Run+" --cov-fail-under=95")
	run("trained on 442 rows", "sh", "-c", cfg.Pipeline.Steps[0].Run)
	if got := gitOut(t, dir, "status", "--porcelain"); got != "" {
		t.Errorf(".gitignore lets through:\n%s", got)
	}
}
