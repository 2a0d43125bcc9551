package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
)

func (c *cli) release() *cobra.Command {
	var environment, project string
	var beside bool
	cmd := &cobra.Command{
		Use: "release NAME[:VERSION]", Short: "Release a version (default: the champion) to its environments, and follow it", Args: cobra.ExactArgs(1),
		Long: `Release carries a registered version through its project's environments.

A version that was registered by hand (mlflow.register_model) goes to the project's gate
first: it is packed with the packages that it asks for, compared with the champion on the
holdout, and released once it is promoted. A model that belongs to no project needs
--project; it then becomes the next version of that project's model.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, version, err := nameVersion(args[0])
			if err != nil {
				return err
			}
			if version != 0 {
				judged, err := c.judge(cmd.Context(), name, version, project, environment != "" || beside)
				if judged || err != nil {
					return err
				}
			}
			if project != "" && version == 0 {
				return usage("--project is for one version that was registered by hand: name it, such as %s:1", name)
			}
			if project != "" {
				return usage("--project is for a version that was registered by hand and has not been to the gate: %s belongs to its project already", args[0])
			}
			return c.followRelease(cmd.Context(), "/api/v1/models/"+url.PathEscape(name)+"/releases", map[string]any{"version": version, "environment": environment, "beside": beside})
		},
	}
	cmd.Flags().StringVar(&environment, "environment", "", "only this environment")
	cmd.Flags().StringVar(&project, "project", "", "whose gate and environments a version registered by hand goes through")
	cmd.Flags().BoolVar(&beside, "beside", false, "keep what is live, and all requests with it; ridgeline traffic shares them")
	return cmd
}

// judge takes a version that was registered by hand to the gate, if it has not
// been there, and follows it to its release. It reports whether that was it.
func (c *cli) judge(ctx context.Context, name string, version int, project string, apart bool) (bool, error) {
	client, err := c.client()
	if err != nil {
		return false, err
	}
	path := "/api/v1/models/" + url.PathEscape(name) + "/versions/" + strconv.Itoa(version)
	v, err := api.Get[api.ModelVersion](ctx, client, path)
	if err != nil || v.Source != string(ridgeline.ByHand) || v.Run != "" {
		return false, err
	}
	if apart {
		return true, usage("%s:%d was registered by hand and goes to the gate first, which decides about all environments: leave --environment and --beside out, and use them once it is judged", name, version)
	}
	started, err := api.Post[api.Run](ctx, client, path+"/judge", map[string]any{"project": project})
	if err != nil {
		return true, err
	}
	f := &follower{client, newBoard(c.err, c.json)}
	out, err := f.runToEnd(ctx, started.ID)
	if err != nil {
		return true, c.interrupted(err, "ridgeline run "+started.ID)
	}
	if c.json {
		r := out.Run
		if err := c.print(trainResult{r.ID, r.Status, r.Verdict, r.Model, r.Version, r.Reason, out.Release}); err != nil {
			return true, err
		}
	}
	switch r := out.Run; {
	case out.failed() != nil:
		return true, out.failed()
	case out.Release == nil && r.Verdict == string(ridgeline.Promoted):
		return true, fmt.Errorf("%s:%d is promoted, but project %s has no environments to release it to: name them under release.environments in ridgeline.yaml and push", r.Model, r.Version, r.Project)
	case out.Release == nil:
		return true, fmt.Errorf("%s:%d is not released: the gate says %s (%s); what was live before still is\n`ridgeline gate %s` shows the report, `ridgeline promote %s:%d --reason …` releases it whatever the gate says",
			r.Model, r.Version, r.Verdict, r.Reason, r.ID, r.Model, r.Version)
	case !c.json:
		fmt.Fprintf(c.out, "%s version %d is live in %s\n", r.Model, r.Version, environments(*out.Release))
	}
	return true, nil
}

func (c *cli) rollback() *cobra.Command {
	return &cobra.Command{
		Use: "rollback PROJECT ENVIRONMENT", Short: "Go back to the version that was live before", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.followRelease(cmd.Context(), "/api/v1/projects/"+url.PathEscape(args[0])+"/environments/"+url.PathEscape(args[1])+"/rollback", nil)
		},
	}
}

// followRelease asks for a release and follows it to its end.
func (c *cli) followRelease(ctx context.Context, path string, in any) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	started, err := api.Post[api.Release](ctx, client, path, in)
	if err != nil {
		return err
	}
	f := &follower{client, newBoard(c.err, c.json)}
	rel, err := f.release(ctx, started.ID)
	if err != nil {
		return c.interrupted(err, "ridgeline releases")
	}
	if c.json {
		if err := c.print(rel); err != nil {
			return err
		}
	}
	if rel.Status != "succeeded" {
		return fmt.Errorf("release %s %s: %s\nwhat was live before still is", rel.ID, rel.Status, rel.Reason)
	}
	switch {
	case c.json:
	case rel.Beside:
		fmt.Fprintf(c.out, "%s version %d stands beside what is live in %s; ridgeline traffic %s ENVIRONMENT v%d=10 … sends requests to it\n", rel.Model, rel.Version, environments(rel), rel.Project, rel.Version)
	default:
		fmt.Fprintf(c.out, "%s version %d is live in %s\n", rel.Model, rel.Version, environments(rel))
	}
	return nil
}

func environments(r api.Release) string {
	var names []string
	for _, e := range r.Environments {
		names = append(names, e.Name)
	}
	return strings.Join(names, " and ")
}

func (c *cli) releases() *cobra.Command {
	var name string
	var limit int
	cmd := &cobra.Command{
		Use: "releases", Short: "List releases, newest first",
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := query("/api/v1/releases", "project", name, "limit", strconv.Itoa(limit))
			return get(cmd.Context(), c, path, func(list []api.Release) error {
				var rows [][]string
				for _, r := range list {
					var lanes []string
					for _, e := range r.Environments {
						lanes = append(lanes, e.Name+" "+e.Status)
					}
					rows = append(rows, []string{r.ID, fmt.Sprintf("%s:%d", r.Model, r.Version), r.Cause, r.Status, strings.Join(lanes, ", "), ago(r.Created)})
				}
				return table(c.out, []string{"RELEASE", "MODEL", "CAUSE", "STATUS", "ENVIRONMENTS", "CREATED"}, rows)
			})
		},
	}
	listFlags(cmd, &name, &limit)
	return cmd
}

func (c *cli) approve() *cobra.Command {
	return c.answer("approve", "Let a release that waits for approval go on")
}

func (c *cli) reject() *cobra.Command {
	return c.answer("reject", "End a release that has not ended; what is live stays live")
}

func (c *cli) answer(verb, short string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return post(cmd.Context(), c, "/api/v1/releases/"+url.PathEscape(args[0])+"/"+verb, nil, func(r api.Release) error {
				fmt.Fprintf(c.out, "release %s of %s version %d: done\n", r.ID, r.Model, r.Version)
				return nil
			})
		},
	}
}
