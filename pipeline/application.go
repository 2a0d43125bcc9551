package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// application is the folder that becomes the image's application layer: the
// commit's tree without its datasets, which an image has no use for.
func (r *Runner) application(ctx context.Context, p *passage) (string, error) {
	dir := filepath.Join(p.Dir, "app")
	if err := r.Blob.GetTree(ctx, p.Pipeline.Commit.Tree, dir); err != nil {
		return "", fmt.Errorf("check out %s: %w", p.Pipeline.Commit.Short(), err)
	}
	for _, d := range p.Config.Data {
		if !filepath.IsLocal(d.Path) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, d.Path)); err != nil {
			return "", err
		}
		// An empty folder left behind would be in the layer for nothing; one
		// that still holds something stays.
		_ = os.Remove(filepath.Dir(filepath.Join(dir, d.Path)))
	}
	return dir, nil
}

// seed makes a run's random numbers its own and the same each time.
func seed(run ridgeline.RunID) uint64 {
	sum := sha256.Sum256([]byte(run))
	return binary.BigEndian.Uint64(sum[:8])
}

func short(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return "sha256:" + hex[:min(len(hex), 12)]
}

// bytesText writes a size as people read it, in decimal units.
func bytesText(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}
