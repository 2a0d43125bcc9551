//go:build !race

package gate_test

const race = false
