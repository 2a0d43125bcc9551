package main

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/api"
)

func (c *cli) traffic() *cobra.Command {
	var mirror []string
	cmd := &cobra.Command{
		Use: "traffic PROJECT ENVIRONMENT [v3=90 v4=10 …]", Short: "Show or set who answers an endpoint's requests", Args: cobra.MinimumNArgs(2),
		Long: `Traffic shares an endpoint's requests among its deployments, which ridgeline release --beside
adds. The weights are percent; a deployment that is not named gets 0. Together they are 100, or
0 for an endpoint that answers nobody. --mirror v4=20% has a copy of a fifth of the requests sent
to v4, whose answers nobody waits for. Without any of these, it shows how things are.`,
		Example: "  ridgeline release diabetes:4 --environment production --beside\n  ridgeline traffic diabetes production v3=90 v4=10\n  ridgeline traffic diabetes production v4=100\n  ridgeline retire diabetes production v3",
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{}
			for key, words := range map[string][]string{"weights": args[2:], "mirror": mirror} {
				shares, err := percents(words)
				if err != nil {
					return err
				}
				if len(words) > 0 {
					body[key] = shares
				}
			}
			if len(body) == 0 {
				client, err := c.client()
				if err != nil {
					return err
				}
				e, err := findEndpoint(cmd.Context(), client, args[0], args[1])
				if err != nil {
					return err
				}
				if c.json {
					return c.print(e)
				}
				return c.shares(e)
			}
			return post(cmd.Context(), c, endpointPath(args)+"/traffic", body, c.shares)
		},
	}
	cmd.Flags().StringSliceVar(&mirror, "mirror", nil, "share of the requests of which a deployment gets a copy, such as v4=20%; v4=0 ends it")
	return cmd
}

func (c *cli) retire() *cobra.Command {
	return &cobra.Command{
		Use: "retire PROJECT ENVIRONMENT DEPLOYMENT", Short: "Take a deployment away that has no traffic", Args: cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			return post(cmd.Context(), c, endpointPath(args)+"/deployments/"+url.PathEscape(args[2])+"/retire", nil, func(e api.Endpoint) error {
				fmt.Fprintf(c.out, "%s is gone from %s/%s\n", args[2], e.Project, e.Environment)
				return nil
			})
		},
	}
}

func endpointPath(args []string) string {
	return "/api/v1/endpoints/" + url.PathEscape(args[0]) + "/" + url.PathEscape(args[1])
}

// percents reads v3=90 or v3=90%.
func percents(words []string) (map[string]int, error) {
	out := map[string]int{}
	for _, word := range words {
		name, share, ok := strings.Cut(word, "=")
		n, err := strconv.Atoi(strings.TrimSuffix(share, "%"))
		if !ok || err != nil {
			return nil, usage("%q: expected a deployment and its whole percent, such as v3=90", word)
		}
		if _, twice := out[name]; twice {
			return nil, usage("%s is named twice", name)
		}
		out[name] = n
	}
	return out, nil
}

// shares prints an endpoint's deployments.
func (c *cli) shares(e api.Endpoint) error {
	var rows [][]string
	for _, d := range e.Deployments {
		state := "not ready"
		if d.Ready {
			state = fmt.Sprintf("ready (%d)", d.Replicas)
		}
		rows = append(rows, []string{d.Name, fmt.Sprintf("%s:%d", d.Model, d.Version), percent(d.Weight), percent(d.Mirror), state, ago(d.Created)})
	}
	return table(c.out, []string{"DEPLOYMENT", "MODEL", "WEIGHT", "MIRROR", "STATE", "CREATED"}, rows)
}

func percent(n int) string { return strconv.Itoa(n) + " %" }
