// Command supervisor runs one task, or one copy of a service, and outlives the
// server that asked for it. What it does is package host/process's.
//
// It is a program of its own because there is one per running task: it starts
// in half the time and a third of the memory that ridgeline itself would take.
package main

import (
	"fmt"
	"os"

	"github.com/ridgeline-mlops/ridgeline/host/process"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: supervisor DIR (it is started by ridgeline)")
		os.Exit(2)
	}
	os.Exit(process.Supervise(os.Args[1]))
}
