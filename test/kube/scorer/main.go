// Command scorer is the program in the images of the tests: it does what the
// suite of hosts asks of one. How it behaves is said by package hosttest.
package main

import (
	"os"

	"github.com/ridgeline-mlops/ridgeline/host/hosttest"
)

func main() { os.Exit(hosttest.Scorer(os.Args[1])) }
