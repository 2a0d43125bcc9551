package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/git"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/server"
	"github.com/ridgeline-mlops/ridgeline/trigger"
)

// defaultListen is loopback: who wants more says so.
const defaultListen = "127.0.0.1:8470"

func (c *cli) up() *cobra.Command {
	var o serverOptions
	var level, networks, settings string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the server, until interrupted",
		Long: `Up runs the server: API, registry, endpoints, and the loop itself. Its state is in --dir, where
it writes its address (url) and, at the first start, the admin token (token, mode 0600; or the
value of RIDGELINE_ADMIN_TOKEN). Killed at any moment and started again, it goes on where it was.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := c.stateDir()
			if err != nil {
				return err
			}
			o.Dir = dir
			for _, folder := range []*string{&o.Shared, &o.Keys} {
				if *folder == "" {
					continue
				}
				if *folder, err = filepath.Abs(*folder); err != nil {
					return err
				}
			}
			if o.Blob != "" && o.Shared != "" {
				return usage("--blob and --shared are two ways to the same: give one of them")
			}
			if o.Cache < 0 {
				return usage("--blob-cache %d: expected a number of MiB, or 0 for none", o.Cache)
			}
			if u, err := url.Parse(o.PublicURL); err != nil || o.PublicURL != "" && (u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "") {
				return usage("--public-url %q: expected an address such as https://ridgeline.example.com", o.PublicURL)
			}
			if o.Drain < 0 || o.Drain > 10*time.Minute {
				return usage("--drain %s: expected 0 to 10m", o.Drain)
			}
			if o.MaxPush < 1 {
				return usage("--max-git-push %d: expected at least 1 MiB", o.MaxPush)
			}
			var l slog.Level
			if err := l.UnmarshalText([]byte(level)); err != nil {
				return usage("--log-level %q: use debug, info, warn or error", level)
			}
			if o.Networks, err = trigger.ParseNetworks(networks); err != nil {
				return usage("--webhook-networks: %v", err)
			}
			named := settings != ""
			if !named {
				settings = filepath.Join(dir, project.SettingsName)
			}
			if o.Settings, err = project.LoadSettings(settings, named); err != nil {
				return err
			}
			o.Log = slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: l}))
			return c.serve(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Listen, "listen", defaultListen, "address to listen on; only this machine reaches a loopback address")
	flags.StringVar(&o.Database, "database", os.Getenv("RIDGELINE_DATABASE"), "postgres://… (RIDGELINE_DATABASE); default: SQLite in the state folder")
	flags.StringVar(&o.Shared, "shared", os.Getenv("RIDGELINE_SHARED"), "folder that all servers of one PostgreSQL share, for blobs and images (RIDGELINE_SHARED); default: the state folder")
	flags.StringVar(&o.Blob, "blob", os.Getenv("RIDGELINE_BLOB"), "s3://bucket/prefix, azblob://container/prefix or gs://bucket/prefix instead of --shared (RIDGELINE_BLOB); credentials are the environment's")
	flags.Int64Var(&o.Cache, "blob-cache", defaultCache, "MiB of the bucket's contents that this machine keeps a copy of; 0 for none")
	flags.StringVar(&o.Keys, "keys", os.Getenv("RIDGELINE_KEYS"), "folder of the files secret and vault-key, the same for all servers of one PostgreSQL (RIDGELINE_KEYS); default: that of --shared")
	flags.IntVar(&o.Slots, "slots", 0, "tasks run at once; more wait in order (default: number of CPUs)")
	flags.StringVar(&networks, "webhook-networks", os.Getenv("RIDGELINE_WEBHOOK_NETWORKS"), "what webhooks may be sent to beyond public addresses: 10.0.0.0/8,192.168.1.7, or private (RIDGELINE_WEBHOOK_NETWORKS)")
	flags.StringVar(&o.PublicURL, "public-url", os.Getenv("RIDGELINE_PUBLIC_URL"), "address under which others reach this server, such as https://ridgeline.example.com (RIDGELINE_PUBLIC_URL); default: the one it listens on")
	flags.DurationVar(&o.Collect, "gc-every", 0, "reclaim what nobody needs this often, such as 24h (see ridgeline gc); default: only when asked")
	flags.Int64Var(&o.MaxPush, "max-git-push", git.DefaultMaxPush>>20, "MiB that one git push may bring")
	flags.StringVar(&settings, "settings", os.Getenv("RIDGELINE_SETTINGS"), "file of the server's settings, such as its Kubernetes cluster (RIDGELINE_SETTINGS); default: server.yaml in the state folder, if it is there")
	flags.DurationVar(&o.Drain, "drain", 0, "go on answering for so long after a stop was asked for, while /healthz/ready says no: for a load balancer in front")
	flags.BoolVar(&o.Dev, "dev", false, "also serve /_gallery: every part of the pages, and every page with made-up content")
	flags.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func (c *cli) serve(ctx context.Context, o serverOptions) error {
	n, err := start(ctx, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "ridgeline is up at %s (state in %s)\n", n.url, o.Dir)
	if os.Getenv("RIDGELINE_ADMIN_TOKEN") == "" { // who gave the token has a way in, and their log may be kept elsewhere
		link, err := n.signInLink(ctx)
		if err != nil {
			n.shutdown(false)
			return err
		}
		fmt.Fprintf(c.out, "sign in, once, within the hour: %s\n", link)
	}
	if !server.Loopback(n.listener.Addr().String()) {
		fmt.Fprintln(c.err, "ridgeline: other machines can reach this address; put TLS in front of it, since tokens and keys travel in the clear otherwise")
	}
	<-ctx.Done()
	n.drain(o.Drain)
	fmt.Fprintln(c.err, "stopping; what runs goes on and is found again by the next ridgeline up")
	n.shutdown(false)
	return nil
}
