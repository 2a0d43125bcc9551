package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/api"
	"github.com/ridgeline-mlops/ridgeline/project"
)

func (c *cli) demo() *cobra.Command {
	var keep bool
	var listen string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "The whole loop on the diabetes project, with live progress",
		Long: `Demo starts a server of its own, makes the diabetes project, pushes it, and follows it through
build, training, gate and release to two live endpoints and a scored request. Its state is in
the folder demo of the state folder (or in --dir) and begins anew each time; environments and
image layers are kept, so that the second time is quick. --keep keeps serving until interrupted.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := c.stateDir()
			if err != nil {
				return err
			}
			if c.dir == "" {
				dir = filepath.Join(dir, "demo")
			}
			return c.runDemo(cmd.Context(), dir, listen, keep)
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "keep serving after the summary")
	cmd.Flags().StringVar(&listen, "listen", "", "address to listen on (default "+defaultListen+", or a free port when that is taken)")
	return cmd
}

// demoCaches are the parts of a state folder that only save time.
var demoCaches = map[string]bool{"python": true, "layers": true, "lock": true, "demo": true}

func (c *cli) runDemo(ctx context.Context, dir, listen string, keep bool) error {
	started := time.Now()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	logFile, err := os.Create(filepath.Join(dir, "demo.log"))
	if err != nil {
		return err
	}
	defer logFile.Close()
	log := slog.New(slog.NewTextHandler(logFile, nil))
	if err := clearDemo(dir); err != nil {
		return err
	}
	n, err := startAnywhere(ctx, serverOptions{Dir: dir, Listen: listen, Log: log})
	if err != nil {
		return err
	}
	defer n.shutdown(false)
	text, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		return err
	}
	saved := *c
	c.dir, c.server = dir, n.url
	defer func() { *c = saved }()
	client, err := c.client()
	if err != nil {
		return err
	}
	client.Token = strings.TrimSpace(string(text))

	work := filepath.Join(dir, "demo", "diabetes")
	if _, err := project.Init(work, "diabetes"); err != nil {
		return err
	}
	f := &follower{client, newBoard(c.err, c.json)}
	pushed, err := pushDir(ctx, client, work, source{})
	if err != nil {
		return err
	}
	b, err := f.build(ctx, pushed.Build)
	if err != nil {
		return err
	}
	if b.Status != "succeeded" {
		return buildFailure(b)
	}
	out, err := f.runToEnd(ctx, b.Run)
	if err != nil {
		return err
	}
	if err := out.failed(); err != nil {
		return err
	}
	if err := c.summary(ctx, client, work, out, time.Since(started)); err != nil {
		return err
	}
	if !keep {
		fmt.Fprintln(c.err, "the server has stopped; ridgeline demo --keep leaves it serving")
		return nil
	}
	link, err := n.signInLink(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.err, "serving until interrupted (keys: ridgeline endpoints --json)\nsign in, once, within the hour: %s\n", link)
	<-ctx.Done()
	return nil
}

// clearDemo removes the state of an earlier demo, unless its server is still
// running.
func clearDemo(dir string) error {
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if !exists(filepath.Join(dir, "demo")) && exists(filepath.Join(dir, "ridgeline.db")) {
		return fmt.Errorf("%s is the state folder of a server, not of a demo: name another with --dir", dir)
	}
	for _, e := range entries {
		if demoCaches[e.Name()] || e.Name() == "demo.log" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return os.RemoveAll(filepath.Join(dir, "demo"))
}

// startAnywhere takes a free port when nobody asked for a certain one and the
// usual one is taken.
func startAnywhere(ctx context.Context, o serverOptions) (*node, error) {
	if o.Listen != "" {
		return start(ctx, o)
	}
	o.Listen = defaultListen
	n, err := start(ctx, o)
	if err != nil && errors.Is(err, errAddress) {
		o.Listen = "127.0.0.1:0"
		return start(ctx, o)
	}
	return n, err
}

// demoResult is what demo --json prints.
type demoResult struct {
	Verdict   string         `json:"verdict"`
	Model     string         `json:"model"`
	Version   int            `json:"version"`
	Image     string         `json:"image"`
	Endpoints []api.Endpoint `json:"endpoints"`
	Seconds   float64        `json:"seconds"`
	URL       string         `json:"url"`
}

func (c *cli) summary(ctx context.Context, client *api.Client, work string, out outcome, took time.Duration) error {
	list, err := api.Get[[]api.Endpoint](ctx, client, "/api/v1/endpoints")
	if err != nil {
		return err
	}
	v, err := api.Get[api.ModelVersion](ctx, client, fmt.Sprintf("/api/v1/models/%s/versions/%d", out.Run.Model, out.Run.Version))
	if err != nil {
		return err
	}
	if c.json {
		return c.print(demoResult{out.Run.Verdict, out.Run.Model, out.Run.Version, v.Image, list, took.Seconds(), client.URL})
	}
	smoke, err := os.ReadFile(filepath.Join(work, "smoke.json"))
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "\nverdict     %s\nimage       %s\n", out.verdict(), v.Image)
	var last api.Endpoint // in the order of the release, the one that matters most
	if out.Release != nil {
		for _, lane := range out.Release.Environments {
			for _, e := range list {
				if e.Environment == lane.Name {
					last = e
					fmt.Fprintf(c.out, "%-11s %s (version %d)\n", e.Environment, e.URL, e.Version)
				}
			}
		}
	}
	request := requests("smoke.json", smoke)[0]
	fmt.Fprintf(c.out, "\nPOST %s\n     %s\n  -> ", last.URL, clip(strings.Join(strings.Fields(string(request.Request)), " "), 100))
	if err := c.ask(ctx, client.HTTP, last, "", request); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "\nthe whole loop took %.1f s on the server at %s\n", took.Seconds(), client.URL)
	return err
}
