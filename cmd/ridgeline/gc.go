package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/gc"
)

func (c *cli) gc() *cobra.Command {
	var yes bool
	grace := gc.Grace
	cmd := &cobra.Command{
		Use: "gc", Short: "Reclaim what nobody needs: runs deleted long ago, and contents that nothing refers to",
		Long: `Gc says what could be reclaimed and how many bytes that is, and with --yes reclaims it, while the server goes on:
what was deleted in an experiment longer ago than its tag ridgeline.retention says (30d without one), and contents of
the blob store that nothing refers to any more and that nobody has put for the time of grace.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return post(cmd.Context(), c, "/api/v1/gc", map[string]any{"delete": yes, "grace": grace.String()}, c.reclaimed)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "reclaim it; else only say what would be")
	cmd.Flags().DurationVar(&grace, "grace", grace, "leave contents alone that were put this long ago or later; below an hour only when nobody pushes or logs")
	return cmd
}

func (c *cli) reclaimed(r gc.Report) error {
	var rows [][]string
	for _, k := range r.Kinds {
		rows = append(rows, []string{k.Kind, strconv.FormatInt(k.Count, 10), sizeText(k.Bytes)})
	}
	if err := table(c.out, []string{"KIND", "COUNT", "BYTES"}, rows); err != nil {
		return err
	}
	for _, path := range r.Missing {
		fmt.Fprintf(c.err, "missing: the content of artifact %s; restore the blob store from a backup, or log it again\n", path)
	}
	verb, next := "reclaimed", ""
	if !r.Deleted {
		verb, next = "would be reclaimed", "; ridgeline gc --yes reclaims it"
	}
	fmt.Fprintf(c.out, "%s %s (%d bytes), %s in %d contents stay%s\n", sizeText(r.Bytes), verb, r.Bytes, sizeText(r.Kept.Bytes), r.Kept.Count, next)
	return nil
}

// collector finds what nobody needs. Packages that were built here are needed by
// environments that are locked here.
func (n *node) collector(blobs *blob.Store) *gc.Collector {
	return &gc.Collector{
		Metadata: n.store, Track: n.tracking, Blob: blobs, Log: n.options.Log,
		Kept: func(context.Context) ([]string, error) {
			folders, err := filepath.Glob(n.path("python", "files", "*"))
			for i, f := range folders {
				folders[i] = filepath.Base(f)
			}
			return folders, err
		},
	}
}

// collectEvery reclaims on a schedule, if there is one.
func (n *node) collectEvery(loops context.Context, every time.Duration) {
	if every > 0 {
		n.goLoop(func() { n.garbage.Run(loops, every) })
	}
}
