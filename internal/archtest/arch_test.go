package archtest

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// TestArchitecture holds the tree to the tables. What it says can be pasted
// into tables_test.go; whether it should be is for the reviewer.
func TestArchitecture(t *testing.T) {
	root := os.DirFS("../..")
	tree, err := readTree(root)
	if err != nil {
		t.Fatal(err)
	}
	page, err := fs.ReadFile(root, "docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string][]string{
		"arrows":       checkArrows(tree, arrows),
		"doors":        checkDoors(tree, doors),
		"comments":     checkComments(tree),
		"lengths":      checkLengths(tree),
		"dependencies": checkDependencies(tree, string(page)),
	} {
		t.Run(name, func(t *testing.T) {
			for _, w := range wrong {
				t.Error(w)
			}
		})
	}
}

const goodDoc = "// Package x owns one thing. It leaves the rest to others.\n"

// small is a tree that passes every check; the cases below break it.
func small() fstest.MapFS {
	return fstest.MapFS{
		"go.mod":               file("module " + module + "\n\ngo 1.26\n\nrequire example.com/heavy/v2 v2.0.0\n\nrequire (\n\texample.com/light v1.0.0 // indirect\n)\n"),
		"doc.go":               file(goodDoc + "package ridgeline\n"),
		"a/a.go":               file(goodDoc + "package a\n\nimport (\n\t_ \"" + module + "\"\n\t_ \"" + module + "/b\"\n)\n"),
		"a/a_test.go":          file("package a\n\nimport _ \"" + module + "/c\"\n"),
		"b/b.go":               file(goodDoc + "package b\n\nimport (\n\t_ \"fmt\"\n\t_ \"example.com/heavy/v2/sub\"\n)\n"),
		"c/c.go":               file(goodDoc + "package c\n\nimport _ \"" + module + "/internal/i\"\n"),
		"c/testdata/broken.go": file("not Go at all"),
		"c/nested/go.mod":      file("module other\n"),
		"c/nested/n.go":        file("package n\n"),
		"internal/i/i.go":      file(goodDoc + "package i\n\nimport _ \"example.com/light\"\n"),
		"cmd/x/main.go":        file(goodDoc + "package main\n\nimport _ \"" + module + "/a\"\n"),
		"test/story_test.go":   file("package test\n"),
		"c/model.py":           file("pass\n"),
	}
}

func file(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }

func smallTables() (arrows, doors map[string][]string, page string) {
	return map[string][]string{"": {}, "a": {"b"}, "b": {}, "c": {}, "internal/i": {}, "cmd/x": anything},
		map[string][]string{"example.com/heavy": {"b"}, "example.com/light": everywhere},
		"| Module | What for |\n|---|---|\n| `example.com/heavy/v2` | lifting |\n| `example.com/light` | shining |\n"
}

// TestChecks shows that each check fails when it should: every case breaks
// the small tree or its tables in one way and names what must be said.
func TestChecks(t *testing.T) {
	long := strings.Repeat("// line\n", maxLines)
	for name, c := range map[string]struct {
		breakTree   func(fstest.MapFS)
		breakTables func(arrows, doors map[string][]string, page *string)
		want        []string // one substring for each problem, in order; none: all is well
	}{
		"nothing is wrong": {},
		"a package that is not in the table": {
			breakTree: func(m fstest.MapFS) {
				m["d/d.go"] = file(goodDoc + "package d\nimport _ \"" + module + "/a\"\n")
			},
			want: []string{`"d": {"a"},`},
		},
		"an arrow that is not allowed": {
			breakTree: func(m fstest.MapFS) { m["b/more.go"] = file("package b\nimport _ \"" + module + "/c\"\n") },
			want:      []string{`"b": {"c"},`},
		},
		"an arrow behind a build tag": {
			breakTree: func(m fstest.MapFS) {
				m["b/more.go"] = file("//go:build plan9\n\npackage b\nimport _ \"" + module + "/c\"\n")
			},
			want: []string{"b/more.go imports c"},
		},
		"an arrow nobody uses": {
			breakTables: func(arrows, _ map[string][]string, _ *string) { arrows["c"] = []string{"b"} },
			want:        []string{"allows c to import b"},
		},
		"a line for a folder that is gone": {
			breakTables: func(arrows, _ map[string][]string, _ *string) { arrows["gone"] = []string{} },
			want:        []string{`"gone"`},
		},
		"a line for a folder of tests": {
			breakTables: func(arrows, _ map[string][]string, _ *string) { arrows["test"] = []string{} },
			want:        []string{`"test"`},
		},
		"internal that imports one of ours": {
			breakTree: func(m fstest.MapFS) { m["internal/i/more.go"] = file("package i\nimport _ \"" + module + "\"\n") },
			want:      []string{"internal/* import nothing of ours"},
		},
		"a root that imports one of ours": {
			breakTree: func(m fstest.MapFS) {
				m["more.go"] = file("package ridgeline\nimport _ \"" + module + "/internal/i\"\n")
			},
			want: []string{"the root package and internal/*"},
		},
		"a command that is imported": {
			breakTree: func(m fstest.MapFS) { m["a/more.go"] = file("package a\nimport _ \"" + module + "/cmd/x\"\n") },
			want:      []string{"nobody imports a command"},
		},
		"a test that imports a command": {
			breakTree: func(m fstest.MapFS) {
				m["a/more_test.go"] = file("package a_test\nimport _ \"" + module + "/cmd/x\"\n")
			},
			want: []string{"tests run the built programs"},
		},
		"a library outside its door": {
			breakTree: func(m fstest.MapFS) { m["a/more.go"] = file("package a\nimport _ \"example.com/heavy/v2\"\n") },
			want:      []string{"whose door is b"},
		},
		"a library in a test needs no door": {
			breakTree: func(m fstest.MapFS) { m["a/more_test.go"] = file("package a\nimport _ \"example.com/heavy/v2\"\n") },
		},
		"a library without a line": {
			breakTables: func(_, doors map[string][]string, _ *string) { delete(doors, "example.com/light") },
			want:        []string{`"example.com/light": {"internal/i"},`},
		},
		"a door nobody uses": {
			breakTables: func(_, doors map[string][]string, _ *string) { doors["example.com/heavy"] = []string{"b", "c"} },
			want:        []string{`"example.com/heavy": {"b"},`},
		},
		"a library nobody uses": {
			breakTables: func(_, doors map[string][]string, _ *string) { doors["example.com/old"] = []string{"b"} },
			want:        []string{"example.com/old"},
		},
		"one sentence": {
			breakTree: func(m fstest.MapFS) {
				m["b/b.go"] = file("// Package b is all.\npackage b\nimport _ \"example.com/heavy/v2\"\n")
			},
			want: []string{`package "b" has 1`},
		},
		"a file too long": {
			breakTree: func(m fstest.MapFS) { m["b/long.go"] = file("package b\n\n" + long) },
			want:      []string{"b/long.go has 602 lines"},
		},
		"a Python file too long": {
			breakTree: func(m fstest.MapFS) { m["c/long.py"] = file(long + "pass\n") },
			want:      []string{"c/long.py has 601 lines"},
		},
		"a generated file may be long": {
			breakTree: func(m fstest.MapFS) {
				m["b/long.go"] = file("// Code generated by x. DO NOT EDIT.\n\npackage b\n" + long)
			},
		},
		"a dependency without a row": {
			breakTables: func(_, _ map[string][]string, page *string) {
				*page = strings.Replace(*page, "`example.com/light`", "light", 1)
			},
			want: []string{"example.com/light is imported"},
		},
		"a row for what nobody imports": {
			breakTables: func(_, _ map[string][]string, page *string) { *page += "| `example.com/old` | memories |\n" },
			want:        []string{"example.com/old, which nobody imports"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := small()
			arrows, doors, page := smallTables()
			if c.breakTree != nil {
				c.breakTree(files)
			}
			if c.breakTables != nil {
				c.breakTables(arrows, doors, &page)
			}
			tree, err := readTree(files)
			if err != nil {
				t.Fatal(err)
			}
			got := checkArrows(tree, arrows)
			got = append(got, checkDoors(tree, doors)...)
			got = append(got, checkComments(tree)...)
			got = append(got, checkLengths(tree)...)
			got = append(got, checkDependencies(tree, page)...)
			if len(got) != len(c.want) {
				t.Fatalf("%d problems, want %d:\n%s", len(got), len(c.want), strings.Join(got, "\n"))
			}
			for i, want := range c.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("problem %q does not say %q", got[i], want)
				}
			}
		})
	}
}

// TestReadTree_brokenSource: a file that does not parse stops the test; it is
// not passed over.
func TestReadTree_brokenSource(t *testing.T) {
	files := small()
	files["b/broken.go"] = file("pakcage b\n")
	if _, err := readTree(files); err == nil || !strings.Contains(err.Error(), "b/broken.go") {
		t.Fatalf("got %v, want an error naming b/broken.go", err)
	}
}
