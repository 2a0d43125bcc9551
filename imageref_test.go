package ridgeline_test

import (
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestImageReference(t *testing.T) {
	for stored, want := range map[string]string{
		"":                                 "",
		"diabetes@sha256:01":               "127.0.0.1:8470/diabetes@sha256:01",
		"my.model@sha256:01":               "127.0.0.1:8470/my.model@sha256:01",
		"tasks/diabetes@sha256:01":         "127.0.0.1:8470/tasks/diabetes@sha256:01",
		"ml.azurecr.io/diabetes@sha256:01": "ml.azurecr.io/diabetes@sha256:01",
		"10.0.0.1:5000/a/b@sha256:01":      "10.0.0.1:5000/a/b@sha256:01",
		"localhost/diabetes@sha256:01":     "localhost/diabetes@sha256:01",
	} {
		if got := ridgeline.ImageReference("127.0.0.1:8470", stored); got != want {
			t.Errorf("%q is at %q, want %q", stored, got, want)
		}
	}
	if got := ridgeline.ImageReference("", "diabetes@sha256:01"); got != "diabetes@sha256:01" {
		t.Errorf("without an address: %q", got)
	}
}
