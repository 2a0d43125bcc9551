package main

import (
	"github.com/ridgeline-mlops/ridgeline/mlflow"
	"github.com/ridgeline-mlops/ridgeline/server"
)

// trackingURL is the database of what training scripts log: a file of its own
// beside the metadata, or tables of their own in the same PostgreSQL.
func (n *node) trackingURL() string {
	if n.options.Database != "" {
		return n.options.Database
	}
	return "sqlite:" + n.path("tracking.db")
}

// mlflow is MLflow's dialect, at the paths where its clients look for it.
func (n *node) mlflow() []server.Mount {
	dialect := &mlflow.API{Track: n.tracking, Log: n.options.Log}
	return []server.Mount{
		{Surface: "mlflow", Paths: mlflow.Paths, Handler: dialect.Handler(), Runs: true, Refuse: mlflow.Refuse},
		{Surface: "mlflow", Paths: mlflow.OpenPaths, Handler: mlflow.Open(), Open: true},
	}
}
