package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/data"
)

// checking is what data check was told.
type checking struct {
	checks   string   // file
	against  string   // file or folder, or a version on the server: the reference
	datasets []string // NAME=FILE: what rules name
	project  string
	all      bool
}

// checked is the outcome of data check as JSON.
type checked struct {
	File     string         `json:"file"`
	Checks   string         `json:"checks"`
	Status   string         `json:"status"` // passed, warned or failed
	Findings []data.Finding `json:"findings"`
}

func (c *cli) dataCheck(project *string) *cobra.Command {
	var o checking
	cmd := &cobra.Command{
		Use: "check FILE", Short: "Hold a file or folder against checks.yaml, with no server",
		Long: `Check reads a CSV, Parquet or JSON lines file, or a folder of such files, and holds it against
the rules of a checks.yaml. --against names the data that distributions are compared with: a file, a
folder, or NAME[:VERSION], a dataset of the project on the server, which is fetched; without it those
rules hold. --dataset gives other data that rules name.

Exit codes: 0 the rules hold or only warn, 1 a rule is broken, 2 wrong usage.`,
		Example: `  ridgeline data check sales.parquet --against last-week.parquet
  ridgeline data check sales.parquet --against sales:4
  ridgeline data check orders/ --checks orders.yaml --dataset customers=customers.csv`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.project = *project
			return c.runCheck(cmd.Context(), args[0], o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.checks, "checks", "checks.yaml", "file with the rules")
	flags.StringVar(&o.against, "against", "", "file, folder or NAME[:VERSION] to compare distributions with")
	flags.StringArrayVar(&o.datasets, "dataset", nil, "NAME=FILE: data that a rule names (may be repeated)")
	flags.BoolVar(&o.all, "all", false, "print the rules that hold, too")
	return cmd
}

func (c *cli) runCheck(ctx context.Context, path string, o checking) error {
	// A process of a second has better things to do than to collect garbage.
	debug.SetGCPercent(400)
	rules, err := os.ReadFile(o.checks)
	if err != nil {
		return ridgeline.Errorf(ridgeline.NotFound, "read the checks: %v; name them with --checks, or write first ones with ridgeline data suggest %s --out checks.yaml", err, path)
	}
	named := map[string]string{}
	if o.against != "" {
		file, remove, err := c.reference(ctx, o)
		if err != nil {
			return err
		}
		defer remove()
		named[""] = file
	}
	for _, text := range o.datasets {
		name, file, ok := strings.Cut(text, "=")
		if !ok || name == "" || file == "" {
			return usage("--dataset %q: expected NAME=FILE", text)
		}
		named[name] = file
	}
	db, err := data.Open()
	if err != nil {
		return err
	}
	defer db.Close()
	findings, err := db.Check(ctx, path, rules, o.checks, data.CheckOptions{
		Reference: func(_ context.Context, name string) (string, error) {
			if file, ok := named[name]; ok {
				return file, nil
			}
			return "", ridgeline.Errorf(ridgeline.NotFound, "no data is named %q: give it with --against or --dataset", name)
		},
	})
	if err != nil {
		return err
	}
	return c.printFindings(checked{File: path, Checks: o.checks, Findings: findings}, o.all)
}

// reference is where --against lies: as named, else fetched from the server,
// until remove is called.
func (c *cli) reference(ctx context.Context, o checking) (path string, remove func(), err error) {
	nothing := func() {}
	_, missing := os.Stat(o.against)
	if missing == nil {
		return o.against, nothing, nil
	}
	if name, _, _ := strings.Cut(o.against, ":"); ridgeline.CheckName("dataset", name) != nil {
		return "", nothing, ridgeline.Errorf(ridgeline.NotFound, "--against: %v", missing)
	}
	project, err := projectHere(o.project)
	if err != nil {
		return "", nothing, fmt.Errorf("--against %s: there is no such file, and for a dataset of the server: %w", o.against, err)
	}
	at, err := datasetVersion("/api/v1/projects/"+url.PathEscape(project)+"/datasets", o.against)
	if err != nil {
		return "", nothing, err
	}
	client, err := c.client()
	if err != nil {
		return "", nothing, err
	}
	dir, err := os.MkdirTemp("", "ridgeline-against-")
	if err != nil {
		return "", nothing, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	d, err := fetchVersion(ctx, client, at, dir)
	if err != nil {
		remove()
		return "", nothing, fmt.Errorf("--against %s: there is no such file, and on the server: %w", o.against, err)
	}
	if len(d.Files) == 1 {
		dir = filepath.Join(dir, filepath.FromSlash(d.Files[0].Name))
	}
	return dir, remove, nil
}

// printFindings prints what a check found, and fails when a rule does.
func (c *cli) printFindings(r checked, all bool) error {
	var warned, failed int
	for _, f := range r.Findings {
		switch {
		case f.Fails():
			failed++
		case f.Warns():
			warned++
		}
	}
	r.Status = map[bool]string{true: "warned", false: "passed"}[warned > 0]
	if failed > 0 {
		r.Status = "failed"
	}
	if c.json {
		if err := c.print(r); err != nil {
			return err
		}
	} else {
		for _, f := range r.Findings {
			mark := "ok    "
			switch {
			case f.Fails():
				mark = "failed"
			case f.Warns():
				mark = "warned"
			case !all:
				continue
			}
			fmt.Fprintf(c.out, "%s  %s\n", mark, f)
		}
		fmt.Fprintf(c.out, "%s: of %d rules %d hold, %d warn, %d fail (%s)\n", r.File, len(r.Findings), len(r.Findings)-warned-failed, warned, failed, r.Checks)
	}
	if failed > 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}

func (c *cli) dataSuggest() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "suggest FILE", Short: "Write a first checks.yaml from a file or folder",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			db, err := data.Open()
			if err != nil {
				return err
			}
			defer db.Close()
			text, err := db.Suggest(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.writeChecks(out, text, nil)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "file to write; it must not be there yet (default: print)")
	return cmd
}

// written is the outcome of data suggest and data import as JSON.
type written struct {
	File   string   `json:"file,omitempty"`
	Checks string   `json:"checks"` // the text
	Left   []string `json:"left"`   // what has no counterpart
}

// writeChecks prints checks or writes them where nothing is yet, and lists on
// stderr what they leave out.
func (c *cli) writeChecks(path string, text []byte, left []string) error {
	if path != "" {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return ridgeline.Errorf(ridgeline.Conflict, "write the checks: %v; name another file with --out", err)
		}
		if _, err := f.Write(text); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	for _, what := range left {
		fmt.Fprintf(c.err, "not taken over: %s\n", what)
	}
	switch {
	case c.json:
		return c.print(written{File: path, Checks: string(text), Left: append([]string{}, left...)})
	case path == "":
		_, err := c.out.Write(text)
		return err
	}
	fmt.Fprintf(c.out, "wrote %s; try it with ridgeline data check FILE --checks %s\n", path, path)
	return nil
}

func (c *cli) dataImport() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Write checks.yaml from a pandera schema (YAML) or a Great Expectations suite (JSON)",
		Long: `Import reads a schema as pandera writes it (schema.to_yaml()) or an expectation suite of Great
Expectations 0.x or 1.x as JSON, and writes what of it a checks.yaml can say. What it cannot is
listed on stderr by name.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := os.ReadFile(args[0])
			if err != nil {
				return ridgeline.Errorf(ridgeline.NotFound, "read the schema: %v", err)
			}
			text, left, err := data.Import(in, args[0])
			if err != nil {
				return err
			}
			return c.writeChecks(out, text, left)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "file to write; it must not be there yet (default: print)")
	return cmd
}
