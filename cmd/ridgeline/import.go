package main

import (
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/mlflow/migrate"
)

func (c *cli) importCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "import", Short: "Copy what another system holds to this server"}
	var artifacts string
	mlflow := &cobra.Command{
		Use:   "mlflow SOURCE",
		Short: "Copy experiments, runs, artifacts and the model registry from MLflow",
		Long: `Copies experiments, runs with their histories, datasets, logged models, artifacts and the model registry to the server,
deleted experiments and runs included, and compares: a table says how much is there and how much of it is here. It takes an
administrator's token.

SOURCE is the address of an MLflow server, the SQLite file of one, or an mlruns folder. For a server that asks who one is,
set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.

Runs and logged models keep their ids. Experiments of the same name become one. Run again after an end half way, or when
the source has grown, it copies what is missing.`,
		Example: `  ridgeline import mlflow http://mlflow.internal:5000
  ridgeline import mlflow mlflow.db --artifacts ./mlartifacts
  ridgeline import mlflow ./mlruns`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			from, err := migrate.Open(cmd.Context(), migrate.Options{
				From: args[0], Artifacts: artifacts, Token: os.Getenv("MLFLOW_TRACKING_TOKEN"),
				User: os.Getenv("MLFLOW_TRACKING_USERNAME"), Password: os.Getenv("MLFLOW_TRACKING_PASSWORD"),
			})
			if err != nil {
				return err
			}
			defer from.Close()
			result, err := migrate.Copy(cmd.Context(), from, client.URL, client.Token, func(format string, args ...any) { fmt.Fprintf(c.err, format+"\n", args...) })
			if err != nil {
				return fmt.Errorf("%w; what is copied stays, and the same command goes on from there", err)
			}
			return c.imported(result)
		},
	}
	mlflow.Flags().StringVar(&artifacts, "artifacts", "", "folder that mlflow-artifacts:/ stands for in an SQLite file or a folder (default: mlartifacts beside it)")
	cmd.AddCommand(mlflow)
	return cmd
}

// imported shows what a copy came to. That something is missing is exit code 1.
func (c *cli) imported(r migrate.Result) error {
	if c.json {
		if err := c.print(r); err != nil {
			return err
		}
	} else {
		w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "\tthere\there\t")
		for _, n := range r.Counts {
			fmt.Fprintf(w, "%s\t%d\t%d\t\n", n.What, n.There, n.Here)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	for _, note := range r.Notes {
		fmt.Fprintln(c.err, note)
	}
	if !r.Complete() {
		return fmt.Errorf("not everything that is there is here: see the table")
	}
	return nil
}
