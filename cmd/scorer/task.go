package main

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/ridgeline-mlops/ridgeline/host/courier"
)

// app is where an image has the project's code: image.AppPath, which is not
// imported for all that comes with it.
const app = "/app"

// task runs a step of a pipeline in its container: the scorer is in every
// image, so a node that serves a model has it already.
func task(args []string, stdout, stderr io.Writer) int {
	file := os.Getenv("RIDGELINE_TASK_FILE")
	if len(args) > 0 || file == "" {
		return wrongUsage(stderr, errors.New("task takes no arguments, and its errand from RIDGELINE_TASK_FILE"))
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	o := courier.Options{
		File: file, App: app, Work: courier.Work, Make: []string{courier.Home, courier.Data, courier.In}, Stdout: stdout,
		Note: os.Getenv("RIDGELINE_TASK_NOTE"),
	}
	return courier.Run(o, stop)
}
