package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Sweep removes what pushes left half done in a registry's folder when the
// process was killed: uploads that never ended and temporary files of single
// writes. Call it before New, while nothing else uses the folder; an absent
// folder is fine.
func Sweep(dir string) error {
	root := filepath.Join(dir, "docker", "registry", "v2")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "_uploads":
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(d.Name(), ".tmp"):
			return os.Remove(path)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep half uploads from the registry: %w", err)
	}
	return nil
}
