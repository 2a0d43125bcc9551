package project_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/project"
)

func TestLoadSettings(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, project.SettingsName)
	load := func(text string) (project.Settings, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return project.LoadSettings(file, true)
	}
	if s, err := project.LoadSettings(file, false); err != nil || s.Kubernetes != nil {
		t.Errorf("without a file: %+v, %v", s, err)
	}
	if _, err := project.LoadSettings(file, true); err == nil {
		t.Error("a file that was asked for and is not there is no mistake")
	}
	if s, err := load("kubernetes:\n"); err != nil || s.Kubernetes == nil {
		t.Errorf("kubernetes alone: %+v, %v", s, err)
	}
	s, err := load("kubernetes: {kubeconfig: admin.conf, namespace: ml, registry: 'images:5000', url: 'http://ridgeline:8470/'}\n")
	if want := (project.Kubernetes{Kubeconfig: filepath.Join(dir, "admin.conf"), Namespace: "ml", Registry: "images:5000", URL: "http://ridgeline:8470"}); err != nil || *s.Kubernetes != want {
		t.Errorf("got %+v, %v", s.Kubernetes, err)
	}
	_, err = load("kubernetes:\n  namspace: ml\n  url: ridgeline\n  registry: https://images\n")
	for _, says := range []string{`:2`, `namspace`, `namespace`, `kubernetes.url: expected an address`, `kubernetes.registry: expected HOST`} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
}
