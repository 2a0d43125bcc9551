package test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/ridgeline-mlops/ridgeline/registry"
)

// TestElsewhere has the images of models go to another registry, with a
// sign-in by a credential helper of Docker's, and back: versions stay where
// they were pushed, and each is found there.
func TestElsewhere(t *testing.T) {
	host, docker, helpers := lockedRegistry(t)
	t.Setenv("DOCKER_CONFIG", docker)
	t.Setenv("PATH", helpers+":"+os.Getenv("PATH"))

	settings := filepath.Join(t.TempDir(), "server.yaml")
	set := func(text string) {
		t.Helper()
		if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set("prices: {currency: EUR}\n")
	r := newRidgeline(t, "--settings", settings)
	dir := filepath.Join(t.TempDir(), "moves")
	if err := mkProject(dir, "moves"); err != nil {
		t.Fatal(err)
	}
	r.must(dir, "push")
	first := versionOf(t, r, "moves", 1)

	r.stop()
	set("images: {push: '" + host + "/ml', insecure: true}\n")
	r.start()
	r.must(dir, "train", "--no-cache", "--gate", "off", "--reason", "its image goes elsewhere")
	second := versionOf(t, r, "moves", 2)
	if !strings.HasPrefix(second.Image, host+"/ml/moves@sha256:") {
		t.Fatalf("the image of version 2 is %s, want it at %s/ml", second.Image, host)
	}
	ref, err := name.ParseReference(host+"/ml/moves:2", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := remote.Head(ref, remote.WithAuth(&authn.Basic{Username: "robot", Password: "from the helper"})); err != nil || !strings.HasSuffix(second.Image, d.Digest.String()) {
		t.Errorf("the registry's tag 2: %v, %v", d, err)
	}
	// The live one came from there, and the one before still from the embedded registry.
	for _, of := range []struct {
		version modelVersion
		n       int
	}{{second, 2}, {first, 1}} {
		if e := endpointOf(t, r, "moves", "production"); e.Version != of.n {
			t.Errorf("production has version %d, want %d", e.Version, of.n)
		}
		if of.n == 2 {
			if err := os.RemoveAll(filepath.Join(r.dir, "unpacked")); err != nil { // what is unpacked here asks no registry
				t.Fatal(err)
			}
			r.must(dir, "rollback", "moves", "production")
		}
	}
	if strings.HasPrefix(first.Image, host) {
		t.Errorf("the image of version 1 is %s, want it in the embedded registry", first.Image)
	}
}

// lockedRegistry is a registry with a sign-in, which a credential helper of
// Docker's knows: docker is the folder of its configuration, helpers that of the
// program.
func lockedRegistry(t *testing.T) (host, docker, helpers string) {
	t.Helper()
	handler, err := registry.New(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "robot" || password != "from the helper" {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	host = strings.TrimPrefix(server.URL, "http://")
	docker, helpers = t.TempDir(), t.TempDir()
	script := "#!/bin/sh\nread host\n" + `test "$1" = get && printf '{"ServerURL": "%s", "Username": "robot", "Secret": "from the helper"}' "$host"` + "\n"
	for path, text := range map[string]string{
		filepath.Join(docker, "config.json"):             fmt.Sprintf(`{"credHelpers": {%q: "test"}}`, host),
		filepath.Join(helpers, "docker-credential-test"): script,
	} {
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return host, docker, helpers
}
