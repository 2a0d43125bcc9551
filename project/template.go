package project

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// By name and by globs: a bare folder would drop .gitignore and __init__.py,
// and all: would ship bytecode.
//
//go:embed template/.gitignore template/*.md template/*.py template/*.toml template/*.txt template/*.yaml template/*.json
//go:embed template/data/*.csv template/diabetes/*.py template/tests/*.py
var embedded embed.FS

// Template is the project that Init writes, under its own name, diabetes.
func Template() fs.FS {
	sub, err := fs.Sub(embedded, "template")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	return sub
}

// Init writes the template into dir, which must be absent or empty, with name
// for the project, the model and the Python package; its dataset keeps being
// called diabetes. Where git is installed, dir becomes a repository with a first
// commit. It returns the files written, with slashes, in alphabetical order.
//
// All is made beside dir and then moved: who dies on the way leaves a hidden
// folder, not half a project.
func Init(dir, name string) ([]string, error) {
	if err := ridgeline.CheckName("project", name); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("new project: %w", err)
	}
	exists, err := emptyOrAbsent(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("new project: %w", err)
	}
	stage, err := os.MkdirTemp(filepath.Dir(dir), ".ridgeline-init-*")
	if err != nil {
		return nil, fmt.Errorf("new project: %w", err)
	}
	defer func() { _ = os.RemoveAll(stage) }()
	if err := os.Chmod(stage, 0o755); err != nil {
		return nil, fmt.Errorf("new project: %w", err)
	}
	files, err := writeTemplate(stage, name)
	if err != nil {
		return nil, fmt.Errorf("write the new project: %w", err)
	}
	if err := firstCommit(stage, name); err != nil {
		return nil, err
	}
	if err := moveInto(stage, dir, exists); err != nil {
		return nil, fmt.Errorf("new project: %w", err)
	}
	return files, nil
}

func emptyOrAbsent(dir string) (exists bool, err error) {
	list, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, ridgeline.Errorf(ridgeline.Invalid, "new project: %w", err)
	case len(list) > 0:
		return false, ridgeline.Errorf(ridgeline.Conflict, "%s is not empty (it has %s): give another folder, or empty this one", dir, list[0].Name())
	}
	return true, nil
}

func writeTemplate(dir, name string) ([]string, error) {
	module := moduleName(name)
	renamer := renames(name, module)
	var files []string
	err := fs.WalkDir(Template(), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(Template(), path)
		if err != nil {
			return err
		}
		if rest, ok := strings.CutPrefix(path, "diabetes/"); ok {
			path = module + "/" + rest
		}
		if !strings.HasSuffix(path, ".csv") {
			text = []byte(renamer.Replace(string(text)))
		}
		target := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		files = append(files, path)
		return os.WriteFile(target, text, 0o644)
	})
	slices.Sort(files)
	return files, err
}

// renames puts the project's name where the template has its own. The disease,
// the dataset and its variable keep theirs.
func renames(name, module string) *strings.Replacer {
	return strings.NewReplacer(
		"project: diabetes\n", "project: "+name+"\n",
		"model: diabetes\n", "model: "+name+"\n",
		"# diabetes\n", "# "+name+"\n",
		"ridgeline score diabetes ", "ridgeline score "+name+" ",
		"--cov=diabetes", "--cov="+module,
		"-m diabetes.", "-m "+module+".",
		"from diabetes.", "from "+module+".",
		`["diabetes", "score"]`, `["`+module+`", "score"]`,
		"`diabetes/", "`"+module+"/",
	)
}

// moduleName makes the name of a Python package that hides no other.
func moduleName(name string) string {
	module := strings.ReplaceAll(name, "-", "_")
	if slices.Contains(strings.Fields(takenModules), module) {
		module += "_model"
	}
	return module
}

// moveInto moves a finished project to where it belongs. An empty folder that is
// there may be somebody's working folder: it is filled, not replaced.
func moveInto(stage, dir string, exists bool) error {
	if !exists {
		return os.Rename(stage, dir)
	}
	list, err := os.ReadDir(stage)
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := os.Rename(filepath.Join(stage, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// firstCommit makes a git repository of dir, or nothing where git is missing.
func firstCommit(dir, name string) error {
	git, err := exec.LookPath("git")
	if err != nil {
		return nil
	}
	// A repository that we are started from must not be taken for this one.
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GIT_DIR=") && !strings.HasPrefix(kv, "GIT_WORK_TREE=") && !strings.HasPrefix(kv, "GIT_INDEX_FILE=") {
			env = append(env, kv)
		}
	}
	run := func(args ...string) ([]byte, error) {
		cmd := exec.Command(git, args...)
		cmd.Dir, cmd.Env = dir, env
		return cmd.CombinedOutput()
	}
	commands := [][]string{
		{"init", "--quiet"},
		{"symbolic-ref", "HEAD", "refs/heads/main"}, // `init -b` needs git 2.28
		{"add", "--all"},
		// Nobody is there to type a passphrase, and hooks are for people's own commits.
		append(author(run), "-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--message", name+": the diabetes project"),
	}
	for _, args := range commands {
		if out, err := run(args...); err != nil {
			return ridgeline.Errorf(ridgeline.Unavailable, "git %s in the new project: %w: %s", args[0], err, clip(strings.TrimSpace(string(out)), 300))
		}
	}
	return nil
}

// author gives git a name to commit under when it knows none.
func author(run func(...string) ([]byte, error)) []string {
	if _, err := run("var", "GIT_AUTHOR_IDENT"); err == nil {
		if _, err := run("var", "GIT_COMMITTER_IDENT"); err == nil {
			return nil
		}
	}
	return []string{"-c", "user.name=Ridgeline", "-c", "user.email=ridgeline@localhost"}
}
