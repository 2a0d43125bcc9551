// Package python holds the Python worker, embedded, and lays it out on disk
// for an interpreter to run.
//
// What the worker does is the Python project's own business; starting it and
// talking to it is package worker's.
package python

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Package is the name of the Python package within FS and within an unpacked
// folder.
const Package = "ridgeline_worker"

// FS is the worker's source: the files of folder ridgeline_worker. By glob,
// because a bare folder name would drop __init__.py and all: would ship
// __pycache__.
//
//go:embed ridgeline_worker/*.py ridgeline_worker/*/*.py
var FS embed.FS

// Hash names the embedded source: 16 hex digits over every file's name and
// content.
func Hash() string {
	sum := sha256.New()
	err := fs.WalkDir(FS, Package, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := FS.ReadFile(name)
		fmt.Fprintf(sum, "%s %d\n", name, len(text))
		sum.Write(text)
		return err
	})
	if err != nil {
		panic(err) // the files are in the binary
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// Unpack lays the worker out under dir and returns the folder that contains
// the package ridgeline_worker: dir/worker-<hash>. It is written beside and
// renamed, so it is whole or absent, and one that is there is never written
// again; several processes may unpack at once.
func Unpack(dir string) (string, error) {
	final := filepath.Join(dir, "worker-"+Hash())
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("unpack the Python worker: %w", err)
	}
	temp, err := os.MkdirTemp(dir, ".worker-")
	if err != nil {
		return "", fmt.Errorf("unpack the Python worker: %w", err)
	}
	defer os.RemoveAll(temp)
	if err := os.Chmod(temp, 0o755); err != nil { // MkdirTemp makes 0700; a scorer may run as someone else
		return "", fmt.Errorf("unpack the Python worker: %w", err)
	}
	if err := os.CopyFS(temp, FS); err != nil {
		return "", fmt.Errorf("unpack the Python worker: %w", err)
	}
	if err := os.Rename(temp, final); err != nil {
		if _, there := os.Stat(final); there == nil && !errors.Is(err, fs.ErrPermission) {
			return final, nil // another process was faster
		}
		return "", fmt.Errorf("unpack the Python worker: %w", err)
	}
	return final, nil
}
