package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ridgeline-mlops/ridgeline/score/serve"
)

func batch(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	b, err := parseBatch(args)
	if err != nil {
		return wrongUsage(stderr, err)
	}
	c, err := config(stderr, slog.LevelWarn)
	if err != nil {
		return wrongUsage(stderr, err)
	}
	in, err := os.Open(b.requests)
	if err != nil {
		return report(stderr, fmt.Errorf("requests: %w", err), exitFailed)
	}
	defer in.Close()
	var summary serve.BatchSummary
	err = writeWhole(b.responses, func(out io.Writer) error {
		summary, err = serve.Batch(ctx, c, b.path, in, out, b.latency)
		return err
	})
	if err != nil {
		return report(stderr, err, exitFailed)
	}
	return report(stderr, json.NewEncoder(stdout).Encode(summary), exitFailed)
}

// writeWhole makes a file that is complete or not there: written beside, on
// disk, then renamed.
func writeWhole(path string, fill func(io.Writer) error) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), ".responses-")
	if err != nil {
		return fmt.Errorf("responses: %w", err)
	}
	defer func() {
		if err != nil {
			temp.Close()
			os.Remove(temp.Name())
		}
	}()
	if err := fill(temp); err != nil {
		return err
	}
	if err := errors.Join(temp.Chmod(0o644), temp.Sync(), temp.Close()); err != nil {
		return fmt.Errorf("responses: %w", err)
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return fmt.Errorf("responses: %w", err)
	}
	return nil
}
