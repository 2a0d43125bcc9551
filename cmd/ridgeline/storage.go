package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/storage"
)

func (c *cli) storage() *cobra.Command {
	var now bool
	cmd := &cobra.Command{
		Use: "storage", Short: "Show what takes room on the server, by kind",
		Long: `Storage shows what takes room on the server, by kind, and how much the disk of its state folder still has. The server
measures every hour. What of it nobody needs, ridgeline gc says.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return get(cmd.Context(), c, query("/api/v1/storage", "now", strconv.FormatBool(now)), c.stored)
		},
	}
	cmd.Flags().BoolVar(&now, "now", false, "measure anew, which takes a while where there is much")
	return cmd
}

func (c *cli) stored(r storage.Report) error {
	var rows [][]string
	for _, k := range r.Kinds {
		count := ""
		if k.Count > 0 {
			count = strconv.FormatInt(k.Count, 10)
		}
		rows = append(rows, []string{k.Kind, count, sizeText(k.Bytes), k.What})
	}
	if err := table(c.out, []string{"KIND", "FILES", "SIZE", "WHAT"}, rows); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s in all, %s free, measured %s\n", sizeText(r.Bytes), sizeText(r.Free), r.Measured.Local().Format(time.DateTime))
	return nil
}

// meter knows where everything is.
func (n *node) meter(blobs *blob.Store) *storage.Meter {
	own := func(kind, what string, names ...string) storage.Place {
		for i, name := range names {
			names[i] = n.path(name)
		}
		return storage.Place{Kind: kind, What: what, Paths: names}
	}
	images := storage.Place{Kind: "images", What: "in the registry"}
	if n.options.Blob != "" {
		images.Objects = blobs.Objects("registry")
	} else {
		images.Paths = []string{filepath.Join(n.options.Shared, "registry")}
	}
	database := own("database", "metadata, and what was logged", "ridgeline.db-wal", "tracking.db*") // on SQLite
	database.Bytes = n.store.Bytes
	return &storage.Meter{
		Metadata: n.store, Track: n.tracking, Blob: blobs, Dir: n.options.Dir, Log: n.options.Log,
		Places: []storage.Place{
			images,
			{Kind: "logs", What: "of steps and checks", Objects: blobs.Objects("logs")},
			{Kind: "inference log", What: "of all endpoints", Objects: blobs.Objects("predictions"), Paths: []string{n.path("journal")}},
			{Kind: "git repositories", What: "that were pushed to", Paths: []string{filepath.Join(n.options.Shared, "git")}},
			database,
			own("environments", "of Python, on this machine", "python"),
			own("images made here", "layers, and images unpacked to run, on this machine", "layers", "unpacked"),
			own("caches", "of code, data and contents, on this machine", "trees", "data", "fetched", "cache", "arriving"),
			own("under way", "working folders of tasks, on this machine", "work", "host", "tmp", "blob/.spool"),
		},
	}
}
