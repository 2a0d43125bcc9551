package registry_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/internal/cloudtest"
	"github.com/ridgeline-mlops/ridgeline/registry"
)

// serve starts the registry of a folder.
func serve(t *testing.T, dir string, log *slog.Logger) *httptest.Server {
	t.Helper()
	h, err := registry.New(dir, log)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// ask makes a request and returns status, headers and body.
func ask(t *testing.T, method, url, contentType string, body []byte) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", manifestOCI+", */*")
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	p, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(p)
}

const (
	emptyDigest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" // of {}
	manifest    = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"` + emptyDigest + `","size":2},"layers":[]}`
	manifestOCI = "application/vnd.oci.image.manifest.v1+json"
)

// begin opens an upload and returns where its parts go.
func begin(t *testing.T, base, repository string) string {
	t.Helper()
	status, header, body := ask(t, "POST", base+"/v2/"+repository+"/blobs/uploads/", "", nil)
	location := header.Get("Location")
	if status != http.StatusAccepted || !strings.HasPrefix(location, "/v2/") {
		t.Fatalf("an upload begins with %d at %q (%s); 202 and a relative address were expected", status, location, body)
	}
	return base + location
}

func upload(t *testing.T, base, repository string) {
	t.Helper()
	status, _, body := ask(t, "PUT", begin(t, base, repository)+"&digest="+emptyDigest, "application/octet-stream", []byte("{}"))
	if status != http.StatusCreated {
		t.Fatalf("the upload ends with %d: %s", status, body)
	}
}

// over starts a registry in a bucket.
func over(t *testing.T, address string) *httptest.Server {
	t.Helper()
	blobs, err := blob.OpenBucket(t.Context(), address, t.TempDir(), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	h, err := registry.Over(blobs.Objects("registry"), "the servers' own", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.Close(); _ = blobs.Close() })
	return s
}

func TestRegistry(t *testing.T) {
	dir := t.TempDir()
	cloudtest.Use(t)
	t.Run("folder", func(t *testing.T) { pushes(t, func() *httptest.Server { return serve(t, dir, nil) }) })
	t.Run("objects", func(t *testing.T) {
		pushes(t, func() *httptest.Server { return over(t, "file://"+filepath.ToSlash(dir)+"/objects") })
	})
	t.Run("s3", func(t *testing.T) {
		address := cloudtest.S3(t).Address("prefix")
		pushes(t, func() *httptest.Server { return over(t, address) })
	})
}

// TestOver_moves: the parts of an upload may go to different servers, and what
// came of it is served by each, whole or in part.
func TestOver_moves(t *testing.T) {
	cloudtest.Use(t)
	address := cloudtest.S3(t).Address("prefix")
	one, two := over(t, address), over(t, address)
	content := bytes.Repeat([]byte("0123456789abcdef"), 500_000)
	half := len(content) / 2
	location := begin(t, one.URL, "project/model")
	for i, server := range []string{two.URL, one.URL} {
		status, header, body := ask(t, "PATCH", strings.Replace(location, one.URL, server, 1), "application/octet-stream", content[i*half:(i+1)*half])
		if status != http.StatusAccepted {
			t.Fatalf("part %d: %d %s", i, status, body)
		}
		location = one.URL + header.Get("Location")
	}
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(content))
	wrong := strings.Replace(location, one.URL, two.URL, 1) + "&digest=" + emptyDigest
	if status, _, body := ask(t, "PUT", wrong, "application/octet-stream", nil); status < 400 {
		t.Fatalf("with another digest the upload ends with %d: %s", status, body)
	}
	// A refused upload is over: this one is whole.
	location = begin(t, one.URL, "project/model")
	status, header, body := ask(t, "PATCH", location, "application/octet-stream", content[:half])
	if status != http.StatusAccepted {
		t.Fatalf("patch: %d %s", status, body)
	}
	location = two.URL + header.Get("Location")
	if status, _, body := ask(t, "PUT", location+"&digest="+digest, "application/octet-stream", content[half:]); status != http.StatusCreated {
		t.Fatalf("the upload ends with %d: %s", status, body)
	}
	for _, server := range []string{one.URL, two.URL, two.URL} { // the last time from the cache
		if status, _, body := ask(t, "GET", server+"/v2/project/model/blobs/"+digest, "", nil); status != 200 || body != string(content) {
			t.Fatalf("the blob comes back as %d with %d bytes", status, len(body))
		}
	}
	r, err := http.NewRequest("GET", two.URL+"/v2/project/model/blobs/"+digest, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Range", "bytes=16-31")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if part, err := io.ReadAll(answer.Body); err != nil || string(part) != "0123456789abcdef" {
		t.Fatalf("a part comes back as %q, %v", part, err)
	}
}

// pushes pushes to a registry, and pulls from one that was started anew.
func pushes(t *testing.T, start func() *httptest.Server) {
	s := start()

	t.Run("a_manifest_without_its_blobs_is_refused", func(t *testing.T) {
		if status, _, body := ask(t, "PUT", s.URL+"/v2/project/model/manifests/1", manifestOCI, []byte(manifest)); status < 400 {
			t.Fatalf("status %d: %s", status, body)
		}
	})

	upload(t, s.URL, "project/model")
	status, header, body := ask(t, "PUT", s.URL+"/v2/project/model/manifests/1", manifestOCI, []byte(manifest))
	if status != http.StatusCreated {
		t.Fatalf("push: %d %s", status, body)
	}
	digest := header.Get("Docker-Content-Digest")

	t.Run("what_was_acknowledged_outlives_the_process", func(t *testing.T) {
		again := start()
		if status, _, body := ask(t, "GET", again.URL+"/v2/project/model/manifests/1", "", nil); status != 200 || body != manifest {
			t.Fatalf("after a restart: %d %s", status, body)
		}
	})

	t.Run("a_blob_is_linked_from_another_repository", func(t *testing.T) {
		status, _, _ := ask(t, "POST", s.URL+"/v2/other/model/blobs/uploads/?mount="+emptyDigest+"&from=project/model", "", nil)
		if status != http.StatusCreated {
			t.Fatalf("mount: %d, 201 was expected", status)
		}
	})

	t.Run("a_manifest_can_be_deleted", func(t *testing.T) {
		if status, _, body := ask(t, "DELETE", s.URL+"/v2/project/model/manifests/"+digest, "", nil); status != http.StatusAccepted {
			t.Fatalf("delete: %d %s", status, body)
		}
		if status, _, _ := ask(t, "GET", s.URL+"/v2/project/model/manifests/1", "", nil); status != http.StatusNotFound {
			t.Fatalf("after the deletion: %d", status)
		}
	})
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	if err := registry.Sweep(filepath.Join(dir, "absent")); err != nil {
		t.Fatalf("an absent folder: %v", err)
	}
	s := serve(t, dir, nil)
	upload(t, s.URL, "project/model")

	// An upload whose client went away, and a write that was cut off.
	location := begin(t, s.URL, "project/model")
	if status, _, body := ask(t, "PATCH", location, "application/octet-stream", bytes.Repeat([]byte("x"), 1<<20)); status != http.StatusAccepted {
		t.Fatalf("patch: %d %s", status, body)
	}
	stray := filepath.Join(dir, "docker/registry/v2/repositories/project/model/_layers/sha256/link.1234.tmp")
	if err := os.WriteFile(stray, []byte("sha2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if half := count(t, dir, "_uploads"); half == 0 {
		t.Fatal("the half upload left nothing on disk; the test shows nothing")
	}

	if err := registry.Sweep(dir); err != nil {
		t.Fatal(err)
	}
	if half := count(t, dir, "_uploads"); half != 0 {
		t.Errorf("%d files of half uploads are left", half)
	}
	if _, err := os.Stat(stray); !os.IsNotExist(err) {
		t.Errorf("the half write is left: %v", err)
	}
	again := serve(t, dir, nil)
	if status, _, body := ask(t, "GET", again.URL+"/v2/project/model/blobs/"+emptyDigest, "", nil); status != 200 || body != "{}" {
		t.Errorf("the blob that was acknowledged: %d %q", status, body)
	}
}

func count(t *testing.T, dir, folder string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, "/"+folder+"/") {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNew_logs_quietly(t *testing.T) {
	var log bytes.Buffer
	s := serve(t, t.TempDir(), slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo})))
	if status, _, _ := ask(t, "HEAD", s.URL+"/v2/project/model/blobs/"+emptyDigest, "", nil); status != http.StatusNotFound {
		t.Fatalf("status %d", status)
	}
	if log.Len() > 0 {
		t.Errorf("a blob that is not there is not worth a line: %s", log.String())
	}
}

func TestNew_says_why_it_cannot_start(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.New(file, nil); err == nil {
		t.Fatal("a registry started in a file")
	}
}
