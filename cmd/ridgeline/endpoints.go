package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
	"github.com/ridgeline-mlops/ridgeline/gateway"
	"github.com/ridgeline-mlops/ridgeline/project"
)

func (c *cli) endpoints() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "endpoints", Short: "List the live endpoints; with --json also their keys",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return get(cmd.Context(), c, query("/api/v1/endpoints", "project", name), func(list []api.Endpoint) error {
				var rows [][]string
				for _, e := range list {
					ready := "not ready"
					switch {
					case e.Ready:
						ready = fmt.Sprintf("ready (%d)", e.Replicas)
					case e.Asleep:
						ready = "asleep"
						if e.Until != nil {
							ready += " until " + e.Until.Format("Mon 15:04 -07:00")
						}
					}
					rows = append(rows, []string{e.Project, e.Environment, version0(e.Version), ready, traffic(e.Deployments), e.URL})
				}
				if err := table(c.out, []string{"PROJECT", "ENVIRONMENT", "VERSION", "STATE", "TRAFFIC", "URL"}, rows); err != nil {
					return err
				}
				logsBehind(c.out, list)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&name, "project", "", "only of this project")
	rotate := &cobra.Command{
		Use: "rotate PROJECT ENVIRONMENT primary|secondary", Short: "Replace one of an endpoint's keys", Args: cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/api/v1/endpoints/" + args[0] + "/" + args[1] + "/keys/" + args[2] + "/rotate"
			return post(cmd.Context(), c, path, nil, func(e api.Endpoint) error {
				fmt.Fprintf(c.out, "the %s key of %s/%s is new; ridgeline endpoints --json shows it\n", args[2], e.Project, e.Environment)
				return nil
			})
		},
	}
	cmd.AddCommand(rotate)
	return cmd
}

// logsBehind says which inference logs have lost requests, or wait for their
// storage longer than they do from one file to the next.
func logsBehind(out io.Writer, list []api.Endpoint) {
	const usual = 15 * 60
	for _, e := range list {
		for _, d := range e.Deployments {
			switch {
			case d.Log == nil:
			case d.Log.Dropped > 0:
				fmt.Fprintf(out, "the inference log of %s/%s %s has lost %d requests for lack of disk space, and %d bytes wait for their storage\n", e.Project, e.Environment, d.Name, d.Log.Dropped, d.Log.PendingBytes)
			case d.Log.BehindSeconds > usual:
				fmt.Fprintf(out, "the inference log of %s/%s %s is %.0f minutes behind: %d bytes wait for their storage\n", e.Project, e.Environment, d.Name, d.Log.BehindSeconds/60, d.Log.PendingBytes)
			}
		}
	}
}

// traffic is all deployments with their share of the requests, in short.
func traffic(all []api.Deployment) string {
	var words []string
	for _, d := range all {
		word := fmt.Sprintf("%s=%d", d.Name, d.Weight)
		if d.Mirror > 0 {
			word += fmt.Sprintf("+%d%%", d.Mirror)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func (c *cli) score() *cobra.Command {
	var deployment, path string
	cmd := &cobra.Command{
		Use: "score PROJECT [ENVIRONMENT] FILE", Short: "Send a request to a live endpoint and print its answer", Args: cobra.RangeArgs(2, 3),
		Long: `Score sends FILE (- for standard input) to the endpoint of ENVIRONMENT (default: production)
and prints what it answers. FILE is a request body; of a file of smoke tests, each request is
sent in turn. It goes to the endpoint's path that its contract belongs to: /score, or for a
model without a scoring script /invocations (MLflow) and /v2 (Open Inference Protocol), as
the body tells, unless --path or the smoke test says another. Exit code 1 when the answer is
not 200.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			environment, file := "production", args[len(args)-1]
			if len(args) == 3 {
				environment = args[1]
			}
			text, err := readFile(file)
			if err != nil {
				return err
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			e, err := findEndpoint(cmd.Context(), client, args[0], environment)
			if err != nil {
				return err
			}
			for _, request := range requests(file, text) {
				if path != "" {
					request.Path = path
				}
				if err := c.ask(cmd.Context(), client.HTTP, e, deployment, request); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&path, "path", "", "the endpoint's path, such as /invocations")
	cmd.Flags().StringVar(&deployment, "deployment", "", "the deployment that answers, such as v3, whatever the weights")
	return cmd
}

func readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(name)
}

// requests are those of a file's smoke tests, or the file itself as a body.
func requests(name string, text []byte) []project.SmokeCase {
	cases, err := project.ParseSmoke(name, text)
	if err != nil || len(cases) == 0 {
		return []project.SmokeCase{{Request: text}}
	}
	return cases
}

// pathOf is the endpoint's path that a request goes to.
func pathOf(e api.Endpoint, request project.SmokeCase) string {
	if request.Path != "" {
		return "/" + strings.TrimPrefix(request.Path, "/")
	}
	var r project.Release
	if e.Framework == "" {
		r.Score = "a script"
	}
	return r.Path(ridgeline.ModelName(e.Model), request.Request)
}

func findEndpoint(ctx context.Context, client *api.Client, name, environment string) (api.Endpoint, error) {
	list, err := api.Get[[]api.Endpoint](ctx, client, query("/api/v1/endpoints", "project", name))
	if err != nil {
		return api.Endpoint{}, err
	}
	var there []string
	for _, e := range list {
		if e.Environment == environment {
			return e, nil
		}
		there = append(there, e.Environment)
	}
	if len(there) == 0 {
		return api.Endpoint{}, ridgeline.Errorf(ridgeline.NotFound, "project %q has no endpoint yet: ridgeline push it, or ridgeline release a model", name)
	}
	return api.Endpoint{}, ridgeline.Errorf(ridgeline.NotFound, "project %q has no environment %q: it has %s", name, environment, strings.Join(there, ", "))
}

func (c *cli) ask(ctx context.Context, client *http.Client, e api.Endpoint, deployment string, request project.SmokeCase) error {
	address := strings.TrimSuffix(e.URL, "/score") + pathOf(e, request)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(request.Request))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+e.PrimaryKey)
	if deployment != "" {
		req.Header.Set(gateway.DeploymentHeader, deployment)
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	fmt.Fprintln(c.out, strings.TrimSpace(string(answer)))
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", address, res.Status)
	}
	return nil
}

func (c *cli) token() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Tokens for the API"}
	var role, project string
	var days float64
	create := &cobra.Command{
		Use: "create NAME", Short: "Make a token; its secret is shown this once", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return post(cmd.Context(), c, "/api/v1/tokens", map[string]any{"name": args[0], "role": role, "project": project, "days": days}, func(t api.Token) error {
				fmt.Fprintln(c.out, t.Secret)
				return nil
			})
		},
	}
	create.Flags().StringVar(&role, "role", "writer", "viewer, writer or admin")
	create.Flags().StringVar(&project, "project", "", "the only project that it opens; a viewer or a writer")
	create.Flags().Float64Var(&days, "days", 0, "valid for so many days; 0: for ever")
	list := &cobra.Command{
		Use: "list", Short: "List tokens, without their secrets",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return get(cmd.Context(), c, "/api/v1/tokens", func(list []api.Token) error {
				var rows [][]string
				for _, t := range list {
					state := "valid"
					if t.Revoked != nil {
						state = "revoked"
					}
					rows = append(rows, []string{t.ID, t.Name, t.Role, cmp.Or(t.Project, "all"), state, ago(t.Created)})
				}
				return table(c.out, []string{"TOKEN", "NAME", "ROLE", "PROJECT", "STATE", "CREATED"}, rows)
			})
		},
	}
	revoke := &cobra.Command{
		Use: "revoke ID", Short: "Make a token invalid", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return post(cmd.Context(), c, "/api/v1/tokens/"+args[0]+"/revoke", nil, func(map[string]any) error {
				fmt.Fprintln(c.out, "revoked", args[0])
				return nil
			})
		},
	}
	cmd.AddCommand(create, list, revoke)
	return cmd
}
