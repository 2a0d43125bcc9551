package image_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/image"
	"github.com/ridgeline-mlops/ridgeline/registry"
)

func TestBuilder_Push_of_a_retrain_sends_the_model_only(t *testing.T) {
	b, s := warm(t), small(t)
	var requests []string
	repository := newRegistry(t, &requests) + "/project/ridge"
	first := push(t, b, build(t, b, s), repository+":1")

	s.Version = 2
	write(t, filepath.Join(s.Model, "ridge.json"), `{"weights": [1, 2, 4]}`)
	requests = nil
	started := time.Now()
	img := build(t, b, s)
	second := push(t, b, img, repository+":2")
	took := time.Since(started)

	layers := img.Layers()
	model := layers[len(layers)-1]
	t.Logf("first: %d bytes, %d blobs, %.3f s; second, built and pushed: %d bytes (model layer %d), %d blobs, %s",
		first.Bytes, first.Blobs, first.Seconds, second.Bytes, model.Size, second.Blobs, took)
	if second.Blobs != 2 {
		t.Errorf("%d blobs were sent; the model and the config were expected:\n%s", second.Blobs, strings.Join(requests, "\n"))
	}
	if most := model.Size + 8000; second.Bytes > most {
		t.Errorf("%d bytes were sent; at most %d were expected", second.Bytes, most)
	}
	if took > 300*time.Millisecond {
		t.Logf("that is more than the 0.3 s which an idle machine has to keep")
	}
	if second.Reference != repository+"@"+second.Digest || second.Digest != img.Digest() {
		t.Errorf("reference %s, digest %s, built %s", second.Reference, second.Digest, img.Digest())
	}

	again := push(t, b, img, repository+":2")
	if again.Blobs != 0 || again.Digest != second.Digest {
		t.Errorf("the same push again sent %d blobs and became %s", again.Blobs, again.Digest)
	}
}

func TestBuilder_Push_links_layers_of_other_repositories(t *testing.T) {
	s, dir := small(t), seeded(t)
	host := newRegistry(t, nil)
	b := newBuilder(t, dir)
	push(t, b, build(t, b, s), host+"/project/ridge:1")

	s.ModelName = "lasso"
	next := newBuilder(t, dir) // after a restart
	p := push(t, next, build(t, next, s), host+"/other/lasso:1")
	if p.Blobs != 2 {
		t.Errorf("%d blobs were sent; the model and the config were expected", p.Blobs)
	}
	elsewhere := newBuilder(t, t.TempDir()) // has nothing, so it reads the linked layer
	if u := unpack(t, elsewhere, p.Reference, image.KindScorer); read(t, filepath.Join(u.Root, image.ScorerPath)) != read(t, s.Scorer) {
		t.Error("the linked layer is another one")
	}
}

func TestBuilder_Tag(t *testing.T) {
	b, s := warm(t), small(t)
	host := newRegistry(t, nil)
	p := push(t, b, build(t, b, s), host+"/project/ridge:1")
	for range 2 {
		if err := b.Tag(context.Background(), p.Reference, "production", image.Connection{Insecure: true}); err != nil {
			t.Fatal(err)
		}
	}
	if u := unpack(t, b, host+"/project/ridge:production", image.KindModel); u.Digest != p.Digest {
		t.Errorf("the tag leads to %s; want %s", u.Digest, p.Digest)
	}
	if err := b.Tag(context.Background(), host+"/project/ridge:9", "x", image.Connection{Insecure: true}); ridgeline.CodeOf(err) != ridgeline.NotFound {
		t.Errorf("tagging what is not there: %v", err)
	}
}

// cut is a transport that breaks in the middle of an upload.
type cut struct{ left atomic.Int64 }

func (c *cut) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = struct {
			io.Reader
			io.Closer
		}{&cutReader{r.Body, c}, r.Body}
	}
	return http.DefaultTransport.RoundTrip(r)
}

type cutReader struct {
	r io.Reader
	c *cut
}

var errCut = errors.New("the line was cut")

func (r *cutReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if r.c.left.Add(-int64(n)) < 0 {
		return 0, errCut
	}
	return n, err
}

func TestBuilder_Push_interrupted_is_invisible(t *testing.T) {
	b, s := warm(t), small(t)
	dir := t.TempDir()
	h, err := registry.New(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	ref := strings.TrimPrefix(server.URL, "http://") + "/project/ridge:1"
	img := build(t, b, s)

	broken := new(cut)
	broken.left.Store(8 << 20) // within the base
	if _, err := b.Push(context.Background(), img, ref, image.Connection{Insecure: true, Transport: broken}); !errors.Is(err, errCut) {
		t.Fatalf("the push ended with %v", err)
	}
	_, err = b.Unpack(context.Background(), ref, image.Connection{Insecure: true}, t.TempDir(), nil)
	if ridgeline.CodeOf(err) != ridgeline.NotFound {
		t.Fatalf("half an image is there: %v", err)
	}
	server.Close() // waits for the handlers
	if err := registry.Sweep(dir); err != nil {
		t.Fatal(err)
	}
	if n := halves(t, dir); n != 0 {
		t.Errorf("%d files of half uploads are left", n)
	}

	if h, err = registry.New(dir, nil); err != nil {
		t.Fatal(err)
	}
	server = httptest.NewServer(h)
	t.Cleanup(server.Close)
	p := push(t, b, img, strings.TrimPrefix(server.URL, "http://")+"/project/ridge:1")
	u := unpack(t, newBuilder(t, t.TempDir()), p.Reference, image.KindDependencies, image.KindModel) // read from there, not from the cache
	if got := read(t, filepath.Join(u.Root, "opt/ridgeline/models/ridge/1/ridge.json")); got != read(t, filepath.Join(s.Model, "ridge.json")) {
		t.Errorf("the model is %q", got)
	}
}

func halves(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (strings.Contains(path, "/_uploads/") || strings.HasSuffix(path, ".tmp")) {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestBuilder_Push_signs_in(t *testing.T) {
	b, s := warm(t), small(t)
	h, err := registry.New(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "ridgeline" || password != "right" {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	ref := strings.TrimPrefix(server.URL, "http://") + "/project/ridge:1"
	img := build(t, b, s)
	for _, auth := range []*image.Auth{nil, {Username: "ridgeline", Password: "wrong"}} {
		if _, err := b.Push(context.Background(), img, ref, image.Connection{Auth: auth, Insecure: true}); ridgeline.CodeOf(err) != ridgeline.Denied {
			t.Errorf("signed in as %v: %v", auth, err)
		}
	}
	auth := &image.Auth{Username: "ridgeline", Password: "right"}
	p, err := b.Push(context.Background(), img, ref, image.Connection{Auth: auth, Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Unpack(context.Background(), p.Reference, image.Connection{Auth: auth, Insecure: true}, t.TempDir(), []string{image.KindModel}); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if _, err := b.Push(context.Background(), img, ref, image.Connection{Auth: auth, Insecure: true}); ridgeline.CodeOf(err) != ridgeline.Unavailable {
		t.Errorf("a registry that is down: %v", err)
	}
}
