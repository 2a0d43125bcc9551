// Package bench has what the comparisons share: the medians they report, the
// pinned tools they compare with, and the files and the page that the figures
// go to.
//
// What is compared, and how, is each program's own: bench/data, bench/loop,
// bench/pages, bench/scoring, bench/tracking.
package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Median is the middle value by nearest rank; 0 of nothing.
func Median(v []float64) float64 { return Quantile(v, 0.5) }

// Quantile is by nearest rank, with q from 0 to 1; 0 of nothing.
func Quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(v))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// Report prints a table in Markdown, puts it between its marks in
// docs/benchmarks.md, and writes the rows, an array of structs, to
// bench/results/NAME.json. It is run in the repository's root.
func Report(name string, rows any, table string) error {
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll("bench/results", 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join("bench/results", name+".json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	fmt.Print(table)
	return document(name, table)
}

// document puts a table between its marks.
func document(name, table string) error {
	const path = "docs/benchmarks.md"
	from, to := "<!-- "+name+" -->", "<!-- /"+name+" -->"
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(page), from)
	_, tail, closed := strings.Cut(rest, to)
	if !ok || !closed {
		return fmt.Errorf("%s lacks the marks %s and %s", path, from, to)
	}
	made := fmt.Sprintf("%s\n%d cores, %s/%s, by `make bench-%s`:\n\n%s%s", from, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, name, table, to)
	return os.WriteFile(path, []byte(head+made+tail), 0o644)
}

// Environment installs packages, each pinned as NAME==VERSION, into an
// environment of its own in the user's cache, once, and returns its Python. The
// first package's version is part of the folder's name.
func Environment(ctx context.Context, name string, packages ...string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	_, version, ok := strings.Cut(packages[0], "==")
	if !ok {
		return "", fmt.Errorf("%s is not pinned: expected NAME==VERSION", packages[0])
	}
	dir := filepath.Join(cache, "ridgeline-bench-"+name+"-"+version)
	python, list := filepath.Join(dir, "bin", "python"), strings.Join(packages, "\n")
	switch complete, err := os.ReadFile(filepath.Join(dir, "complete")); {
	case err == nil && string(complete) == list:
		return python, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	fmt.Fprintln(os.Stderr, "installing", strings.Join(packages, ", "))
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"venv", "--quiet", dir},
		append([]string{"pip", "install", "--quiet", "--python", python}, packages...),
	} {
		cmd := exec.CommandContext(ctx, "uv", args...)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("uv %s: %w\n%s", strings.Join(args, " "), err, said.String())
		}
	}
	// Written last: an interrupted installation is done again.
	return python, os.WriteFile(filepath.Join(dir, "complete"), []byte(list), 0o600)
}
