package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/api"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// trainResult is what train --json prints.
type trainResult struct {
	Run     string       `json:"run"`
	Status  string       `json:"status"`
	Verdict string       `json:"verdict"`
	Model   string       `json:"model"`
	Version int          `json:"version"`
	Reason  string       `json:"reason,omitempty"`
	Release *api.Release `json:"release,omitempty"`
}

func (c *cli) train() *cobra.Command {
	var params, data []string
	var noCache bool
	var require, name, gateFlag, reason string
	var detach bool
	cmd := &cobra.Command{
		Use:   "train",
		Short: "Start the published pipeline, follow it, print the verdict",
		Long: `Train starts the newest published pipeline of the project whose folder this is (or of
--project) and follows it to its verdict, and a promoted model to its release. A rejected or
inconclusive model is a good end: exit code 0, unless --require promoted asks for 3.

With --gate off and a --reason the gate still judges, but the model becomes champion and is
released whatever it says. Who did that and why stays with the version for ever.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if require != "" && require != "promoted" {
				return usage("--require knows only promoted, not %q", require)
			}
			switch {
			case gateFlag != "on" && gateFlag != "off":
				return usage("--gate knows on and off, not %q", gateFlag)
			case gateFlag == "off" && strings.TrimSpace(reason) == "":
				return usage("--gate off needs --reason \"…\": it stays with the version for ever")
			case gateFlag == "on" && reason != "":
				return usage("--reason is for --gate off")
			}
			values := map[string]string{}
			for _, p := range params {
				key, value, ok := strings.Cut(p, "=")
				if !ok || key == "" {
					return usage("--param %q: expected NAME=VALUE", p)
				}
				values[key] = value
			}
			projectName, err := projectHere(name)
			if err != nil {
				return err
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			pinned, err := pins(data)
			if err != nil {
				return err
			}
			started, err := api.Post[api.Run](cmd.Context(), client, "/api/v1/projects/"+url.PathEscape(projectName)+"/runs", map[string]any{
				"params": values, "cause": "cli", "gate": gateFlag, "reason": reason, "no_cache": noCache, "data": pinned,
			})
			if err != nil {
				return err
			}
			return c.followRun(cmd.Context(), client, started, detach, require)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&params, "param", nil, "NAME=VALUE for the steps, as RIDGELINE_PARAM_NAME (may be repeated)")
	flags.StringArrayVar(&data, "data", nil, "DATASET:VERSION to work on instead of the newest (may be repeated)")
	flags.BoolVar(&noCache, "no-cache", false, "run every step, also one whose result was made of the same before")
	flags.StringVar(&require, "require", "", "exit with 3 unless the verdict is this one (promoted)")
	flags.StringVar(&gateFlag, "gate", "on", "off: the model becomes champion whatever the gate says")
	flags.StringVar(&reason, "reason", "", "why the gate is off; required then")
	flags.StringVar(&name, "project", "", "the project, when this folder is not its own")
	flags.BoolVar(&detach, "detach", false, "do not follow the run; print it as JSON")
	return cmd
}

// pins reads DATASET:VERSION, as often as it was given.
func pins(list []string) (map[string]int, error) {
	out := map[string]int{}
	for _, text := range list {
		name, version, err := nameVersion(text)
		if err != nil || version == 0 {
			return nil, usage("--data %q: expected DATASET:VERSION, such as sales:3", text)
		}
		out[name] = version
	}
	return out, nil
}

// followRun follows a run that has just been started to its end, and prints
// that.
func (c *cli) followRun(ctx context.Context, client *api.Client, started api.Run, detach bool, require string) error {
	if detach {
		return c.print(started)
	}
	f := &follower{client, newBoard(c.err, c.json)}
	out, err := f.runToEnd(ctx, started.ID)
	if err != nil {
		return c.interrupted(err, "ridgeline run "+started.ID)
	}
	failed := out.failed()
	if c.json {
		r := out.Run
		if err := c.print(trainResult{r.ID, r.Status, r.Verdict, r.Model, r.Version, r.Reason, out.Release}); err != nil {
			return err
		}
	} else if failed == nil {
		fmt.Fprintln(c.out, out.verdict())
	}
	if failed == nil && require != "" && out.Run.Verdict != require {
		return &exitError{code: exitRequire, err: fmt.Errorf("the model is %s, --require asks for %s", out.Run.Verdict, require)}
	}
	return failed
}

// projectHere is the project named, or the one whose folder this is.
func projectHere(name string) (string, error) {
	if name != "" {
		return name, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "ridgeline.yaml"))
		if err == nil {
			cfg, err := project.Parse("ridgeline.yaml", text)
			return string(cfg.Project), err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", usage("no ridgeline.yaml here or above: go to the project's folder, or name it with --project")
		}
		dir = filepath.Dir(dir)
	}
}
