package main

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
)

func (c *cli) views() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "views", Short: "List the saved views of the table of runs, with their addresses",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return get(cmd.Context(), c, query("/api/v1/views", "project", project), func(list []api.View) error {
				var rows [][]string
				for _, v := range list {
					rows = append(rows, []string{v.Name, v.Project, v.Caller, ago(v.Saved), v.URL})
				}
				return table(c.out, []string{"VIEW", "PROJECT", "BY", "SAVED", "ADDRESS"}, rows)
			})
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "only of this project")
	cmd.AddCommand(c.viewSave(), c.viewRemove())
	return cmd
}

func (c *cli) viewSave() *cobra.Command {
	var project string
	var replace bool
	cmd := &cobra.Command{
		Use: "save NAME QUERY", Short: "Keep a table of runs under a name", Args: cobra.ExactArgs(2),
		Long: `Save keeps a table of runs under a name, for everybody who may see those runs. QUERY is the address of
the table, as the browser shows it, or what stands behind its question mark. The place in the table is
not a part of the view.`,
		Example: `  ridgeline views save 'best ridge' 'sort=m.loss&where=p.kind = ridge' --project iris`,
		RunE: func(cmd *cobra.Command, args []string) error {
			of, _, err := ridgeline.ViewQuery(args[1])
			if err != nil {
				return err
			}
			if project == "" {
				project = string(of)
			}
			v, err := ridgeline.NewView(ridgeline.ProjectName(project), args[0], args[1], "", time.Time{})
			if err != nil {
				return err
			}
			again := ""
			if replace {
				again = "true"
			}
			err = ask(cmd.Context(), c, http.MethodPut, query(viewPath(project, v.Name), "replace", again), map[string]any{"query": v.Query}, func(v api.View) error {
				fmt.Fprintln(c.out, v.URL)
				return nil
			})
			if ridgeline.CodeOf(err) == ridgeline.Conflict {
				return fmt.Errorf("%w (--replace)", err)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "of this project's runs (default: the one in QUERY, else all projects)")
	cmd.Flags().BoolVar(&replace, "replace", false, "in place of another view of that name")
	return cmd
}

func (c *cli) viewRemove() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Forget a view; runs stay as they are", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := ridgeline.CheckViewName(args[0]); err != nil {
				return err
			}
			return ask(cmd.Context(), c, http.MethodDelete, viewPath(project, args[0]), nil, func(v api.View) error {
				fmt.Fprintf(c.out, "forgotten: %s\n", v.URL)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "of this project (default: of all projects)")
	return cmd
}

// viewPath is where the API has a view.
func viewPath(project, name string) string {
	path := "/api/v1/views/" + url.PathEscape(name)
	if project != "" {
		path = "/api/v1/projects/" + url.PathEscape(project) + "/views/" + url.PathEscape(name)
	}
	return path
}
