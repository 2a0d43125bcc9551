// Command scorer is the program in the images of the tests: it does what the
// suite of hosts asks of one. How it behaves is said by package hosttest; here
// it can only be hungry in addition.
package main

import (
	"os"

	"github.com/ridgeline-mlops/ridgeline/host/hosttest"
)

func main() {
	if os.Args[1] == "hungry" {
		for all := [][]byte{}; ; {
			more := make([]byte, 1<<20)
			for i := range more {
				more[i] = 1
			}
			all = append(all, more)
		}
	}
	os.Exit(hosttest.Scorer(os.Args[1]))
}
