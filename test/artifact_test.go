package test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

// An artifact as large as RIDGELINE_ARTIFACT_GB (1) comes in parts while the
// server is killed in the middle, goes on with those that are missing, and is
// fetched from where a first download broke off. The server's memory does not
// grow with it.
func TestSize_artifact(t *testing.T) {
	long(t)
	const part = 64 << 20
	gb := 1
	if text := os.Getenv("RIDGELINE_ARTIFACT_GB"); text != "" {
		var err error
		if gb, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	parts := gb * (1 << 30) / part
	r := newRidgeline(t)
	var upload struct {
		ID    string `json:"upload_id"`
		Parts []struct {
			Number int `json:"part_number"`
		} `json:"parts"`
	}
	decoded := func(text []byte) {
		t.Helper()
		if err := json.Unmarshal(text, &upload); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	}
	decoded(r.artifacts("POST", "mpu/create/0/run/artifacts", strings.NewReader(fmt.Sprintf(`{"path": "big.bin", "num_parts": %d}`, parts))))
	send := func(number int) {
		r.artifacts("PUT", fmt.Sprintf("mpu/parts/%s/%d", upload.ID, number), noise(number, part))
	}
	for number := 1; number <= parts/2; number++ {
		send(number)
	}
	first := r.peak()
	r.kill()
	r.start()
	decoded(r.artifacts("GET", "mpu/parts/"+upload.ID, nil))
	if len(upload.Parts) != parts/2 {
		t.Fatalf("%d of the %d parts that were acknowledged are there", len(upload.Parts), parts/2)
	}
	for number := len(upload.Parts) + 1; number <= parts; number++ {
		send(number)
	}
	r.artifacts("POST", "mpu/complete/0/run/artifacts", strings.NewReader(fmt.Sprintf(`{"path": "big.bin", "upload_id": %q}`, upload.ID)))

	sum := sha256.New()
	size := r.fetch(0, int64(parts/3)*part+12345, sum)
	size += r.fetch(size, -1, sum)
	want := sha256.New()
	for number := 1; number <= parts; number++ {
		if _, err := io.Copy(want, noise(number, part)); err != nil {
			t.Fatal(err)
		}
	}
	if size != int64(parts)*part || !bytes.Equal(sum.Sum(nil), want.Sum(nil)) {
		t.Errorf("%d bytes with sha256 %s came back", size, hex.EncodeToString(sum.Sum(nil)))
	}
	if peak := max(first, r.peak()); peak > 200<<20 {
		t.Errorf("the server held %d MB", peak>>20)
	}
	if kept := r.kept("blob/uploads"); kept > 1<<20 {
		t.Errorf("%d MB of parts are left", kept>>20)
	}
}

// noise is a part's bytes, which do not compress.
func noise(number int, size int64) io.Reader {
	seed := [32]byte{byte(number), byte(number >> 8)}
	return io.LimitReader(rand.NewChaCha8(seed), size)
}

// artifacts asks the artifact routes, and expects success.
func (r *ridgeline) artifacts(method, path string, body io.Reader) []byte {
	r.t.Helper()
	w := r.ask(method, path, body, "")
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil || w.StatusCode != http.StatusOK {
		r.t.Fatalf("%s %s: %d %s %v", method, path, w.StatusCode, text, err)
	}
	return text
}

func (r *ridgeline) ask(method, path string, body io.Reader, ranged string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, strings.TrimSpace(r.file("url"))+"/api/2.0/mlflow-artifacts/"+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(r.file("token")))
	if ranged != "" {
		req.Header.Set("Range", ranged)
	}
	w, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	return w
}

// fetch reads the artifact from an offset on and breaks off after n bytes, or
// reads to its end.
func (r *ridgeline) fetch(from, n int64, into hash.Hash) int64 {
	r.t.Helper()
	w := r.ask("GET", "artifacts/0/run/artifacts/big.bin", nil, fmt.Sprintf("bytes=%d-", from))
	defer w.Body.Close()
	if w.StatusCode != http.StatusPartialContent {
		r.t.Fatal(w.Status)
	}
	content := io.Reader(w.Body)
	if n >= 0 {
		content = io.LimitReader(w.Body, n)
	}
	size, err := io.Copy(into, content)
	if err != nil {
		r.t.Fatal(err)
	}
	return size
}
