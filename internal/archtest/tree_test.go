package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// module is the path that our own imports begin with.
const module = "github.com/ridgeline-mlops/ridgeline"

// A tree is what the checks know of the sources: read once, in this process,
// by the parser alone. Asking `go list` instead would leave out files behind
// build tags, and Go's test cache does not see what a child process reads.
type tree struct {
	packages map[string]*pkg // by folder; "" is the root
	lines    map[string]int  // by file: every Go and Python source that people wrote
	modules  []string        // what go.mod requires
}

// A pkg is one folder with Go files.
type pkg struct {
	folder      string
	imports     map[string]string // import path → one file that has it; without test files
	testImports map[string]string
	doc         string // the package comment
	onlyTests   bool
}

// readTree reads all sources below fsys. It skips what Go itself skips
// (testdata, folders that begin with a dot or an underscore, folders with a
// go.mod of their own) and what tools put there.
func readTree(fsys fs.FS) (*tree, error) {
	t := &tree{packages: map[string]*pkg{}, lines: map[string]int{}}
	mod, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return nil, fmt.Errorf("read go.mod: %w", err)
	}
	t.modules = requirements(string(mod))
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipFolder(fsys, name)
		}
		ext := path.Ext(name)
		if ext != ".go" && ext != ".py" {
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		if !generated(src) {
			t.lines[name] = bytes.Count(src, []byte("\n"))
		}
		if ext == ".go" {
			return t.add(name, src)
		}
		return nil
	})
	return t, err
}

func skipFolder(fsys fs.FS, name string) error {
	base := path.Base(name)
	switch {
	case name == ".":
		return nil
	case strings.HasPrefix(base, "."), strings.HasPrefix(base, "_"):
		return fs.SkipDir
	case base == "testdata", base == "node_modules", base == "bin":
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

// add takes one Go file into its package.
func (t *tree) add(name string, src []byte) error {
	file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return err
	}
	folder := path.Dir(name)
	if folder == "." {
		folder = ""
	}
	p := t.packages[folder]
	if p == nil {
		p = &pkg{folder: folder, imports: map[string]string{}, testImports: map[string]string{}, onlyTests: true}
		t.packages[folder] = p
	}
	into := p.imports
	if strings.HasSuffix(name, "_test.go") {
		into = p.testImports
	} else {
		p.onlyTests = false
		p.doc += packageComment(file)
	}
	for _, spec := range file.Imports {
		what, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
		}
		into[what] = name
	}
	return nil
}

func packageComment(file *ast.File) string {
	if file.Doc == nil {
		return ""
	}
	return file.Doc.Text()
}

// generated reports whether the source says so of itself, in the words that
// Go's tools agree on.
func generated(src []byte) bool {
	head, _, _ := bytes.Cut(src, []byte("\npackage "))
	return bytes.Contains(head, []byte("// Code generated ")) && bytes.Contains(head, []byte(" DO NOT EDIT."))
}

// requirements lists the modules that a go.mod requires.
func requirements(mod string) []string {
	var list []string
	block := false
	for line := range strings.Lines(mod) {
		f := strings.Fields(line)
		switch {
		case len(f) >= 2 && f[0] == "require" && f[1] == "(":
			block = true
		case len(f) >= 1 && f[0] == ")":
			block = false
		case len(f) >= 3 && f[0] == "require":
			list = append(list, f[1])
		case block && len(f) >= 2 && !strings.HasPrefix(f[0], "//"):
			list = append(list, f[0])
		}
	}
	slices.Sort(list)
	return list
}

// ours returns the folder of an import of our own.
func ours(importPath string) (folder string, ok bool) {
	if importPath == module {
		return "", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// under reports whether an import path is the prefix or lies below it. A
// major version beside the prefix (duckdb-go, duckdb-go/v2) lies below it.
func under(importPath, prefix string) bool {
	return importPath == prefix || strings.HasPrefix(importPath, prefix+"/")
}
