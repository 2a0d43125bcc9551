//go:build !linux

package main

import "runtime/debug"

// rest gives back what starting took of the heap and an idle server does not need.
func rest() { debug.FreeOSMemory() }
