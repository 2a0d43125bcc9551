// Package kube_test runs package host/kube on a real cluster: the suite that
// each host passes, and what only a cluster can do wrong.
package kube_test

import (
	"archive/tar"
	"bytes"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/host/hosttest"
	"github.com/ridgeline-mlops/ridgeline/host/kube"
	"github.com/ridgeline-mlops/ridgeline/internal/kubetest"
	"github.com/ridgeline-mlops/ridgeline/registry"
)

// a world is a namespace and a registry with images.
type world struct {
	*kubetest.Cluster
	registry string
}

func open(t *testing.T) world {
	t.Helper()
	c := kubetest.Open(t)
	handler, err := registry.New(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return world{c, c.Serve(handler)}
}

// host opens the namespace as the server of that name.
func (w world) host(t *testing.T, server string) *kube.Cluster { return w.hostBy(t, server, "") }

// hostBy does, and says how pods are reached.
func (w world) hostBy(t *testing.T, server, pods string) *kube.Cluster {
	t.Helper()
	c, err := kube.Open(kube.Options{
		Kubeconfig: w.Kubeconfig, Namespace: w.Namespace, Registry: w.registry, Server: server, Pods: pods,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// scorer is the static program of the images, built once.
var scorer = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "scorer")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", filepath.Join(dir, "scorer"), "./scorer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "scorer"))
})

// push makes an image that does as told, and returns its name without the
// registry's.
func (w world) push(t *testing.T, kind string) string {
	t.Helper()
	program, err := scorer()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, f := range []struct {
		h    tar.Header
		data []byte
	}{
		{tar.Header{Name: "tmp", Typeflag: tar.TypeDir, Mode: 0o1777}, nil},
		{tar.Header{Name: "scorer", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(program))}, program},
	} {
		if err := tw.WriteHeader(&f.h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		OS: "linux", Architecture: "amd64", RootFS: v1.RootFS{Type: "layers", DiffIDs: diffs(t, image)},
		Config: v1.Config{Entrypoint: []string{"/scorer", kind}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(w.registry+"/test:"+kind, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return "test@" + digest.String()
}

func diffs(t *testing.T, image v1.Image) []v1.Hash {
	t.Helper()
	c, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return c.RootFS.DiffIDs
}

func (w world) images(t *testing.T) hosttest.Images {
	return hosttest.Images{Good: w.push(t, "good"), Broken: w.push(t, "broken"), Never: w.push(t, "never")}
}

// newServer is a name that no other server of the namespace has.
func newServer() string { return strings.ToLower(auth.NewSecret()[3:11]) }

func TestServices(t *testing.T) {
	w := open(t)
	var mu sync.Mutex
	servers := map[*testing.T]string{}
	hosttest.Services(t, func(t *testing.T) host.Services {
		mu.Lock()
		if servers[t] == "" {
			servers[t] = newServer()
		}
		id := servers[t]
		mu.Unlock()
		return w.host(t, id).Services()
	}, w.images(t))
}
