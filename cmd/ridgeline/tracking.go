package main

import (
	"net"

	"github.com/ridgeline-mlops/ridgeline/blob"
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
func (n *node) mlflow(blobs *blob.Store) []server.Mount {
	dialect := &mlflow.API{Track: n.tracking, Registry: n.store, Door: n.door, Contents: blobs, Uploads: blobs.Uploads(), Trees: blobs, Temp: n.path("tmp"), Log: n.options.Log}
	return []server.Mount{
		{Surface: "mlflow", Paths: mlflow.Paths, Handler: dialect.Handler(), Runs: true, Refuse: mlflow.Refuse},
		{Surface: "mlflow", Paths: mlflow.OpenPaths, Handler: mlflow.Open(), Open: true},
	}
}

// local is the address under which this machine's own processes reach the
// server, whatever it listens on.
func (n *node) local() string {
	host, port, err := net.SplitHostPort(n.listener.Addr().String())
	if err != nil {
		return n.url
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
