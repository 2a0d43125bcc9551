package host_test

import (
	"testing"

	"github.com/ridgeline-mlops/ridgeline/host"
)

func TestLastLines(t *testing.T) {
	if got := host.LastLines("1\n2\n3\n\n", 2); got != "2\n3" {
		t.Errorf("LastLines: %q", got)
	}
	if got := host.LastLines("1", 2); got != "1" {
		t.Errorf("LastLines: %q", got)
	}
}
