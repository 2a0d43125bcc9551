// Package ridgeline holds the nouns of Ridgeline and their rules: what a run,
// a build, a model version or a release is, and how it may change.
//
// It leaves everything that touches the world to others: no I/O, no
// goroutines, and nothing beyond the standard library.
package ridgeline
