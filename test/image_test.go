package test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/ridgeline-mlops/ridgeline/image"
	"github.com/ridgeline-mlops/ridgeline/internal/runctest"
)

// modelVersion is a line of `ridgeline models --json`.
type modelVersion struct {
	Name, Image, Commit, Environment, Artifact, Run string
	Version                                         int
	Data                                            map[string]string
}

func versionOf(t *testing.T, r *ridgeline, model string, version int) modelVersion {
	t.Helper()
	for _, v := range decode[[]modelVersion](t, r.must(".", "models", "--json")) {
		if v.Name == model && v.Version == version {
			return v
		}
	}
	t.Fatalf("there is no version %d of %s", version, model)
	return modelVersion{}
}

// blobs are the sizes of all blobs in the server's registry, by digest.
func blobs(t *testing.T, r *ridgeline) map[string]int64 {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(r.dir, "registry/docker/registry/v2/blobs/sha256/*/*/data"))
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int64{}
	for _, path := range found {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		sizes["sha256:"+filepath.Base(filepath.Dir(path))] = info.Size()
	}
	return sizes
}

// pull reads an image from the embedded registry as any registry client does.
func pull(t *testing.T, r *ridgeline, ref string) (v1.Image, *v1.Manifest, *v1.ConfigFile) {
	t.Helper()
	digest, err := name.NewDigest(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Image(digest); err == nil {
		t.Error("the registry gives an image to whoever asks")
	}
	img, err := remote.Image(digest, remote.WithAuth(&authn.Basic{Username: "token", Password: strings.TrimSpace(r.file("token"))}))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return img, manifest, config
}

// TestImage follows the image of the diabetes template: the same from two
// servers, small to make again, and a system of its own that answers what the
// live endpoint answers.
func TestImage(t *testing.T) {
	r := newRidgeline(t)
	dir := filepath.Join(t.TempDir(), "diabetes")
	r.must(".", "init", dir)
	r.must(dir, "push")
	first := versionOf(t, r, "diabetes", 1)
	_, digest, _ := strings.Cut(first.Image, "@")
	before := blobs(t, r)
	img, manifest, config := pull(t, r, first.Image)

	t.Run("says what it is made of", func(t *testing.T) {
		for label, want := range map[string]string{
			"org.opencontainers.image.title": "diabetes", "org.opencontainers.image.version": "1",
			"org.opencontainers.image.revision": first.Commit, "io.ridgeline.project": "diabetes",
			"io.ridgeline.environment": first.Environment, "io.ridgeline.model.sha256": first.Artifact,
			"io.ridgeline.data.diabetes.sha256": first.Data["diabetes"],
		} {
			if got := config.Config.Labels[label]; got != want || want == "" {
				t.Errorf("label %s is %q, expected %q", label, got, want)
			}
		}
		if got := config.Config.User; got != "65534:65534" && got != "65534" {
			t.Errorf("user %q", got)
		}
		if got := config.Config.Entrypoint; !slices.Equal(got, []string{image.ScorerPath, "serve"}) {
			t.Errorf("entrypoint %v", got)
		}
		var kinds []string
		for _, l := range manifest.Layers {
			kinds = append(kinds, l.Annotations[image.KindAnnotation])
		}
		want := []string{image.KindBase, image.KindScorer, image.KindDependencies, image.KindApplication, image.KindModel}
		if !slices.Equal(kinds, want) {
			t.Errorf("layers %v, expected %v", kinds, want)
		}
		layers, err := img.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range layers {
			content, err := l.Compressed() // whose digest is checked as it is read
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, content)
			if err != nil || n != manifest.Layers[i].Size {
				t.Errorf("layer %s: %d bytes of %d, %v", kinds[i], n, manifest.Layers[i].Size, err)
			}
			content.Close()
			t.Logf("%-12s %9d bytes", kinds[i], manifest.Layers[i].Size)
		}
	})

	t.Run("runs elsewhere and answers the same", func(t *testing.T) { runElsewhere(t, r, dir, first.Image) })

	t.Run("another version is its model layer, config and manifest", func(t *testing.T) {
		r.must(dir, "train", "--param", "alpha=9")
		after := blobs(t, r)
		_, next, _ := pull(t, r, versionOf(t, r, "diabetes", 2).Image)
		_, second, _ := strings.Cut(versionOf(t, r, "diabetes", 2).Image, "@")
		model := next.Layers[len(next.Layers)-1]
		want := []string{model.Digest.String(), next.Config.Digest.String(), second}
		var got []string
		var size int64
		for digest, n := range after {
			if _, old := before[digest]; !old {
				got = append(got, digest)
				size += n
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) || model.Annotations[image.KindAnnotation] != image.KindModel {
			t.Errorf("the registry has got %v, expected the model layer, the config and the manifest: %v", got, want)
		}
		for i := range len(next.Layers) - 1 {
			if next.Layers[i].Digest != manifest.Layers[i].Digest {
				t.Errorf("layer %d is another", i)
			}
		}
		message := stepMessage(t, r, versionOf(t, r, "diabetes", 2).Run, "pack")
		t.Logf("%d bytes in %d blobs; pack: %s", size, len(got), message)
		if !strings.Contains(message, "pushed (2 of 6 blobs)") { // beside the manifest
			t.Errorf("pack says %q", message)
		}
	})

	t.Run("another server makes the same", func(t *testing.T) {
		other := newRidgeline(t)
		other.must(dir, "push")
		again := versionOf(t, other, "diabetes", 1)
		_, same, _ := strings.Cut(again.Image, "@")
		if again.Commit != first.Commit || same != digest {
			t.Errorf("commit %s gave %s, and %s gave %s", first.Commit, digest, again.Commit, same)
			explain(t, other, again.Image, manifest, config)
		}
	})
}

// explain says in what two images differ.
func explain(t *testing.T, r *ridgeline, ref string, manifest *v1.Manifest, config *v1.ConfigFile) {
	t.Helper()
	_, other, otherConfig := pull(t, r, ref)
	for i := range min(len(manifest.Layers), len(other.Layers)) {
		if a, b := manifest.Layers[i], other.Layers[i]; a.Digest != b.Digest {
			t.Logf("layer %s: %d and %d bytes", a.Annotations[image.KindAnnotation], a.Size, b.Size)
		}
	}
	a, _ := json.Marshal(config.Config)
	b, _ := json.Marshal(otherConfig.Config)
	if !bytes.Equal(a, b) {
		t.Logf("config %s\nand %s", a, b)
	}
}

func stepMessage(t *testing.T, r *ridgeline, run, step string) string {
	t.Helper()
	type steps struct {
		Steps []struct{ Name, Message string }
	}
	for _, s := range decode[steps](t, r.must(".", "run", run, "--json")).Steps {
		if s.Name == step {
			return s.Message
		}
	}
	t.Fatalf("run %s has no step %s", run, step)
	return ""
}

// runElsewhere unpacks the whole image and lets its entrypoint serve under
// runc: as nobody, read-only, offline.
func runElsewhere(t *testing.T, r *ridgeline, project, ref string) {
	runctest.Need(t)
	builder, err := image.NewBuilder(image.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer builder.Close()
	signIn := &image.Auth{Username: "token", Password: strings.TrimSpace(r.file("token"))}
	u, err := builder.Unpack(t.Context(), ref, image.Connection{Auth: signIn, Insecure: true}, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	runctest.Open(t, u.Root)
	bind := runctest.Folder(t)
	var log bytes.Buffer
	c := runctest.Container{
		Root: u.Root, Args: append(u.Entrypoint, u.Cmd...), Dir: u.WorkingDir, Bind: bind,
		Env: append(u.Env, "RIDGELINE_LISTEN=unix:///run/test/s", "RIDGELINE_DRAIN_MS=1"),
	}
	started := time.Now()
	stop, ended := c.Start(t, &log)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(bind, "s"))
	}}}
	defer client.CloseIdleConnections()
	ready := false
	eventually(t, 60*time.Second, "the scorer in the container is ready, or has ended", func() bool {
		select {
		case <-ended:
			return true
		default:
		}
		a, err := client.Get("http://scorer/healthz/ready")
		if err != nil {
			return false
		}
		a.Body.Close()
		ready = a.StatusCode == http.StatusOK
		return ready
	})
	if !ready {
		t.Fatalf("the scorer ended:\n%s", log.String())
	}
	t.Logf("ready in the container after %s", time.Since(started).Round(time.Millisecond))

	text, err := os.ReadFile(filepath.Join(project, "smoke.json"))
	if err != nil {
		t.Fatal(err)
	}
	smoke := decode[struct{ Request json.RawMessage }](t, string(text))
	res, err := client.Post("http://scorer/score", "application/json", bytes.NewReader(smoke.Request))
	if err != nil {
		t.Fatal(err)
	}
	inside, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	e := endpointOf(t, r, "diabetes", "production")
	live := call(t, http.MethodPost, e.URL, "Bearer "+e.Primary, string(smoke.Request))
	if res.StatusCode != 200 || live.status != 200 || string(inside) != live.body || !strings.Contains(live.body, `"result"`) {
		t.Errorf("inside: %d %s; live: %d %s", res.StatusCode, inside, live.status, live.body)
	}
	client.CloseIdleConnections()
	if code := stop(); code != 0 {
		t.Errorf("the scorer ended with %d:\n%s", code, log.String())
	}
}
