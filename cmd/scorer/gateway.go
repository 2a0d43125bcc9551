package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/ridgeline-mlops/ridgeline/gateway/outpost"
)

// answer is the gateway on a cluster. It is in this program because the
// cluster's nodes have its layer already.
func answer(ctx context.Context, args []string, stderr io.Writer) int {
	if len(args) > 0 {
		return wrongUsage(stderr, errors.New("gateway takes no arguments"))
	}
	c, err := outpost.ConfigFromEnv(os.Getenv, version)
	if err != nil {
		return wrongUsage(stderr, err)
	}
	c.Log = slog.New(slog.NewTextHandler(stderr, nil))
	return report(stderr, outpost.Run(ctx, c), exitFailed)
}
