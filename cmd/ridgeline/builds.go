package main

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/api"
)

func (c *cli) builds() *cobra.Command {
	var name string
	var limit int
	cmd := &cobra.Command{
		Use: "builds", Short: "List builds, newest first",
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := query("/api/v1/builds", "project", name, "limit", strconv.Itoa(limit))
			return get(cmd.Context(), c, path, func(list []api.Build) error {
				var rows [][]string
				for _, b := range list {
					rows = append(rows, []string{b.Build, b.Project, clip(b.Commit, 12), b.Status, version0(b.Pipeline), ago(b.Created), clip(oneLine(b.Reason), 60)})
				}
				return table(c.out, []string{"BUILD", "PROJECT", "COMMIT", "STATUS", "PIPELINE", "CREATED", "REASON"}, rows)
			})
		},
	}
	listFlags(cmd, &name, &limit)
	return cmd
}

func (c *cli) build() *cobra.Command {
	return &cobra.Command{
		Use: "build ID", Short: "Show one build and its checks", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return get(cmd.Context(), c, "/api/v1/builds/"+url.PathEscape(args[0]), func(b api.Build) error {
				fmt.Fprintf(c.out, "build %s of %s at %s: %s\n", b.Build, b.Project, b.Commit, b.Status)
				for _, check := range b.Checks {
					fmt.Fprintf(c.out, "  %-9s %-12s %6.1f s  %s\n", check.Status, check.Name, check.Seconds, indent(check.Message))
				}
				if b.Status == "succeeded" {
					fmt.Fprintln(c.out, published(b))
				}
				if b.Run != "" {
					fmt.Fprintf(c.out, "started run %s\n", b.Run)
				}
				return nil
			})
		},
	}
}
