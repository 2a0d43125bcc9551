// Package archtest holds the test that keeps the tree as it was designed: who
// may import whom, which folder is the door to which library, and what every
// package and file looks like from outside.
//
// It leaves how code is written inside a package to golangci-lint and to review.
package archtest
