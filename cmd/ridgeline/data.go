package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
	"github.com/ridgeline-mlops/ridgeline/data"
)

func (c *cli) data() *cobra.Command {
	var name string
	cmd := &cobra.Command{Use: "data", Short: "Datasets: what arrived, what is in use, what is in quarantine"}
	cmd.PersistentFlags().StringVar(&name, "project", "", "the project, when this folder is not its own")
	// Each of these asks the server about a dataset of the project.
	of := func(run func(cmd *cobra.Command, path string, args []string) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			p, err := projectHere(name)
			if err != nil {
				return err
			}
			return run(cmd, "/api/v1/projects/"+url.PathEscape(p)+"/datasets", args)
		}
	}
	cmd.AddCommand(c.dataList(of), c.dataShow(of), c.dataDiff(of), c.dataAdd(of), c.dataAccept(of), c.dataGet(of), c.dataWatch(of),
		c.dataCheck(&name), c.dataSuggest(), c.dataImport())
	return cmd
}

// aboutDataset makes a command that asks about datasets below a path.
type aboutDataset = func(run func(cmd *cobra.Command, path string, args []string) error) func(*cobra.Command, []string) error

func (c *cli) dataList(of aboutDataset) *cobra.Command {
	return &cobra.Command{
		Use: "list [NAME]", Short: "List the project's datasets, or what arrived at one",
		Args: cobra.MaximumNArgs(1),
		RunE: of(func(cmd *cobra.Command, path string, args []string) error {
			if len(args) == 1 {
				return get(cmd.Context(), c, path+"/"+url.PathEscape(args[0])+"/arrivals", c.arrivals)
			}
			return get(cmd.Context(), c, path, func(list []api.DatasetState) error {
				var rows [][]string
				for _, d := range list {
					looked := ""
					if d.Looked != nil {
						looked = ago(*d.Looked)
					}
					rows = append(rows, []string{d.Name, numberOr(d.Current, "none"), strconv.FormatInt(d.Rows, 10), sizeText(d.Size), numberOr(d.Held, ""), d.Source, looked, oneLine(d.Problem)})
				}
				return table(c.out, []string{"DATASET", "VERSION", "ROWS", "SIZE", "QUARANTINED", "SOURCE", "LOOKED", "PROBLEM"}, rows)
			})
		}),
	}
}

func (c *cli) arrivals(list []api.Arrival) error {
	var rows [][]string
	for _, a := range list {
		rows = append(rows, []string{numberOr(a.Version, ""), a.Status, a.Source, a.Cause, strconv.FormatInt(a.Rows, 10), ago(a.Created), a.Run, clip(oneLine(a.Reason), 80)})
	}
	return table(c.out, []string{"VERSION", "STATUS", "SOURCE", "CAUSE", "ROWS", "ARRIVED", "RUN", "REASON"}, rows)
}

func numberOr(n int, none string) string {
	if n == 0 {
		return none
	}
	return strconv.Itoa(n)
}

// sizeText is a size as people read it.
func sizeText(n int64) string {
	for _, unit := range []string{"B", "kB", "MB", "GB"} {
		if n < 10_000 {
			return fmt.Sprintf("%d %s", n, unit)
		}
		n /= 1000
	}
	return fmt.Sprintf("%d TB", n)
}

// datasetVersion reads NAME or NAME:V as the path of that version.
func datasetVersion(path, arg string) (string, error) {
	name, version, found := strings.Cut(arg, ":")
	if !found {
		version = "current"
	} else if n, err := strconv.Atoi(version); err != nil || n < 1 {
		return "", usage("%q: expected NAME or NAME:VERSION", arg)
	}
	return path + "/" + url.PathEscape(name) + "/versions/" + version, nil
}

func (c *cli) dataShow(of aboutDataset) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME[:VERSION]", Short: "Show a version: schema, statistics, files, how it arrived, why it is in quarantine",
		Args: cobra.ExactArgs(1),
		RunE: of(func(cmd *cobra.Command, path string, args []string) error {
			at, err := datasetVersion(path, args[0])
			if err != nil {
				return err
			}
			return get(cmd.Context(), c, at, c.version)
		}),
	}
}

func (c *cli) version(d api.DatasetDetail) error {
	use := ""
	if d.Current {
		use = ", in use"
	}
	fmt.Fprintf(c.out, "%s:%d%s\n%d rows, %d columns, %s in %d files, digest %s\n", d.Name, d.Version, use, d.Rows, len(d.Columns), sizeText(d.Size), d.FileCount, d.Digest)
	for _, a := range d.Arrivals {
		fmt.Fprintf(c.out, "%s %s from %s (%s)", a.Status, ago(a.Created), a.Origin, a.Cause)
		if a.Run != "" {
			fmt.Fprintf(c.out, ", started run %s", a.Run)
		}
		if a.Released != nil {
			fmt.Fprintf(c.out, "; accepted by %s: %s", a.Released.Who, a.Released.Reason)
		}
		fmt.Fprintln(c.out)
		for _, f := range a.Findings {
			if !f.OK {
				fmt.Fprintf(c.out, "  %s: %s\n", f.Severity, f)
			}
		}
	}
	if d.Profile != nil {
		fmt.Fprintln(c.out)
		if err := c.profile(*d.Profile); err != nil {
			return err
		}
	}
	fmt.Fprintln(c.out)
	for i, f := range d.Files {
		if i == 20 {
			fmt.Fprintf(c.out, "… and %d more (--json lists them)\n", len(d.Files)-i)
			break
		}
		fmt.Fprintf(c.out, "%s  %s  %s\n", f.Digest[:12], sizeText(f.Size), f.Name)
	}
	return nil
}

func (c *cli) profile(p data.Profile) error {
	var rows [][]string
	for _, col := range p.Columns {
		mean, std := "", ""
		if col.Mean != nil {
			mean = fmt.Sprintf("%.6g", *col.Mean)
		}
		if col.Std != nil {
			std = fmt.Sprintf("%.6g", *col.Std)
		}
		rows = append(rows, []string{col.Name, col.Type, strconv.FormatInt(col.Nulls, 10), strconv.FormatInt(col.Distinct, 10), clip(col.Min, 24), clip(col.Max, 24), mean, std})
	}
	return table(c.out, []string{"COLUMN", "TYPE", "MISSING", "DISTINCT", "MIN", "MAX", "MEAN", "STD"}, rows)
}

func (c *cli) dataDiff(of aboutDataset) *cobra.Command {
	return &cobra.Command{
		Use: "diff NAME:A [NAME:]B", Short: "Say what changed from one version of a dataset to another",
		Example: "  ridgeline data diff sales:3 4", Args: cobra.ExactArgs(2),
		RunE: of(func(cmd *cobra.Command, path string, args []string) error {
			name, a, found := strings.Cut(args[0], ":")
			b := strings.TrimPrefix(args[1], name+":")
			from, err1 := strconv.Atoi(a)
			to, err2 := strconv.Atoi(b)
			if !found || err1 != nil || err2 != nil || from < 1 || to < 1 {
				return usage("expected two versions of one dataset, such as sales:3 4")
			}
			return get(cmd.Context(), c, query(path+"/"+url.PathEscape(name)+"/diff", "a", a, "b", b), c.difference)
		}),
	}
}

func (c *cli) difference(d api.DatasetDiff) error {
	if d.Same {
		fmt.Fprintln(c.out, "the same content")
		return nil
	}
	fmt.Fprintf(c.out, "rows %d → %d\n", d.Difference.RowsA, d.Difference.RowsB)
	for _, name := range d.Difference.Added {
		fmt.Fprintf(c.out, "new column %s\n", name)
	}
	for _, name := range d.Difference.Removed {
		fmt.Fprintf(c.out, "column %s is gone\n", name)
	}
	var rows [][]string
	for _, col := range d.Difference.Columns {
		var notes []string
		if col.TypeA != col.TypeB {
			notes = append(notes, "type "+col.TypeA+" → "+col.TypeB)
		}
		if len(col.New) > 0 {
			notes = append(notes, "new: "+strings.Join(col.New[:min(5, len(col.New))], ", "))
		}
		if len(col.Vanished) > 0 {
			notes = append(notes, "vanished: "+strings.Join(col.Vanished[:min(5, len(col.Vanished))], ", "))
		}
		number := func(v *float64) string {
			if v == nil {
				return ""
			}
			return fmt.Sprintf("%.4g", *v)
		}
		rows = append(rows, []string{
			col.Name, fmt.Sprintf("%.3g %% → %.3g %%", 100*col.NullsA, 100*col.NullsB), clip(col.MinA, 16) + " → " + clip(col.MinB, 16), clip(col.MaxA, 16) + " → " + clip(col.MaxB, 16),
			number(col.MeanA) + " → " + number(col.MeanB), number(col.PSI), strings.Join(notes, "; "),
		})
	}
	return table(c.out, []string{"COLUMN", "MISSING", "MIN", "MAX", "MEAN", "PSI", "NOTES"}, rows)
}

func (c *cli) dataAccept(of aboutDataset) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "accept NAME:VERSION --reason TEXT", Short: "Take a quarantined version into use all the same; who and why is kept",
		Args: cobra.ExactArgs(1),
		RunE: of(func(cmd *cobra.Command, path string, args []string) error {
			if !strings.Contains(args[0], ":") {
				return usage("%q: expected NAME:VERSION", args[0])
			}
			at, err := datasetVersion(path, args[0])
			if err != nil {
				return err
			}
			return post(cmd.Context(), c, at+"/accept", map[string]string{"reason": reason}, func(a api.Arrival) error { return c.arrived(a) })
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why it may be used; kept with it and in the audit trail")
	return cmd
}

// arrived tells what became of an arrival. What is not in use afterwards is a
// failure.
func (c *cli) arrived(a api.Arrival) error {
	what := fmt.Sprintf("%s:%d", a.Dataset, a.Version)
	switch ridgeline.ArrivalStatus(a.Status) {
	case ridgeline.Accepted:
		fmt.Fprintf(c.out, "%s is in use: %d rows\n", what, a.Rows)
		if a.Run != "" {
			fmt.Fprintf(c.out, "run %s works on it: ridgeline run %s\n", a.Run, a.Run)
		}
		return nil
	case ridgeline.Unchanged:
		fmt.Fprintln(c.out, "nothing new")
		return nil
	case ridgeline.Quarantined:
		return ridgeline.Errorf(ridgeline.Invalid, "%s is in quarantine, and nothing works on it:\n%s\nDeliver better data, or take it into use with ridgeline data accept %s --reason …", what, a.Reason, what)
	}
	return ridgeline.Errorf(ridgeline.Unavailable, "nothing arrived at %s: %s", a.Dataset, a.Reason)
}

// follow waits for an arrival's end.
func (c *cli) followArrival(ctx context.Context, client *api.Client, id string) (api.Arrival, error) {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		a, err := api.Get[api.Arrival](ctx, client, "/api/v1/arrivals/"+url.PathEscape(id))
		if err != nil || ridgeline.ArrivalStatus(a.Status).Terminal() {
			return a, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return a, c.interrupted(ctx.Err(), "ridgeline data list "+a.Dataset)
		}
	}
}

func (c *cli) dataWatch(of aboutDataset) *cobra.Command {
	var now bool
	cmd := &cobra.Command{
		Use: "watch NAME", Short: "Follow what arrives at a dataset; --now looks at its source once",
		Long: `Watch prints each arrival at a dataset as it ends, until it is interrupted. How often the source
is looked at is said in ridgeline.yaml (data.NAME.watch).

With --now the source is looked at at once, and watch ends with what came of it: exit code 0 when
nothing was new or what is new is in use, 1 when it is in quarantine or could not be fetched.`,
		Example: "  ridgeline data watch sales\n  ridgeline data watch sales --now", Args: cobra.ExactArgs(1),
		RunE: of(func(cmd *cobra.Command, path string, args []string) error {
			path += "/" + url.PathEscape(args[0])
			if now {
				return c.lookNow(cmd.Context(), path)
			}
			return c.watch(cmd.Context(), path)
		}),
	}
	cmd.Flags().BoolVar(&now, "now", false, "look at the source once, now")
	return cmd
}

func (c *cli) lookNow(ctx context.Context, path string) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	look, err := api.Post[api.Look](ctx, client, path+"/look", nil)
	if err != nil {
		return err
	}
	if look.Found {
		a, err := c.followArrival(ctx, client, look.Arrival.ID)
		if err != nil {
			return err
		}
		look.Arrival = &a
	}
	switch {
	case c.json && look.Found:
		return c.ended(*look.Arrival)
	case c.json:
		return c.print(look)
	case look.Found:
		return c.arrived(*look.Arrival)
	}
	fmt.Fprintln(c.out, "nothing new")
	return nil
}

// ended prints an arrival as JSON, and fails when it is not in use.
func (c *cli) ended(a api.Arrival) error {
	if err := c.print(a); err != nil {
		return err
	}
	if s := ridgeline.ArrivalStatus(a.Status); s == ridgeline.Quarantined || s == ridgeline.Lost {
		return &exitError{code: exitFailed}
	}
	return nil
}

// watch prints arrivals as they end, one JSON object a line with --json.
func (c *cli) watch(ctx context.Context, path string) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	seen := map[string]string{}
	for first := true; ; first = false {
		list, err := api.Get[[]api.Arrival](ctx, client, path+"/arrivals")
		if err != nil && (first || ridgeline.CodeOf(err) != ridgeline.Unavailable) {
			return c.interrupted(err, "ridgeline data list")
		}
		slices.Reverse(list)
		for _, a := range list {
			if seen[a.ID] == a.Status || first {
				seen[a.ID] = a.Status
				continue
			}
			seen[a.ID] = a.Status
			if c.json {
				if err := c.print(a); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(c.out, "%s  %s %s  %s %s\n", a.Created.Local().Format(time.TimeOnly), a.Status, numberOr(a.Version, ""), a.Origin, oneLine(a.Reason))
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return c.interrupted(ctx.Err(), "ridgeline data list")
		}
	}
}
