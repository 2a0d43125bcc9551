// Command spool runs a step's command with MLFLOW_TRACKING_URI pointing at a
// proxy of its own, so that the command goes on logging while the tracking
// server is away. All of it is package mlflow/spool's.
package main

import (
	"os"
	"runtime/debug"

	"github.com/ridgeline-mlops/ridgeline/mlflow/spool"
)

func main() {
	debug.SetMemoryLimit(64 << 20) // it is beside a training: rather collect than grow
	os.Exit(spool.Command(os.Args[1:], os.Stderr))
}
