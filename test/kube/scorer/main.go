// Command scorer is the program in the images of the tests.
package main

import (
	"os"

	"github.com/ridgeline-mlops/ridgeline/host/hosttest"
)

func main() { os.Exit(hosttest.Scorer(os.Args[1])) }
