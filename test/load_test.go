package test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestLoad releases and rolls back under a steady load: no request fails.
func TestLoad(t *testing.T) {
	r := newRidgeline(t)
	push(t, r, "load", false)
	dir := projectDir(t, "load")
	// Another version, which differs enough to tell the answers apart.
	r.must(dir, "train", "--param", "factor=1.01")

	type endpoint struct {
		Environment, URL string
		Key              string `json:"primary_key"`
	}
	var target endpoint
	for _, e := range decode[[]endpoint](t, r.must(".", "endpoints", "--project", "load", "--json")) {
		if e.Environment == "production" {
			target = e
		}
	}
	var sent, failed atomic.Int64
	var first sync.Once
	stop := make(chan struct{})
	var clients sync.WaitGroup
	answers := sync.Map{}
	for range 8 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
			for {
				select {
				case <-stop:
					return
				default:
				}
				status, body, err := ask(client, target.URL, target.Key)
				sent.Add(1)
				if err != nil || status != http.StatusOK {
					failed.Add(1)
					first.Do(func() { t.Errorf("a request failed: status %d, %v, %s", status, err, body) })
				}
				answers.Store(body, true)
			}
		})
	}
	var rollback time.Duration
	for range 3 {
		r.must(dir, "release", "load:2")
		started := time.Now()
		r.must(dir, "rollback", "load", "production")
		rollback = max(rollback, time.Since(started))
	}
	close(stop)
	clients.Wait()
	kinds := 0
	answers.Range(func(any, any) bool { kinds++; return true })
	if kinds != 2 {
		t.Errorf("%d different answers, expected those of 2 versions", kinds)
	}
	t.Logf("%d requests during 3 releases and 3 rollbacks, %d failed; slowest rollback %s", sent.Load(), failed.Load(), rollback.Round(time.Millisecond))
	if rollback > 30*time.Second {
		t.Errorf("a rollback took %s", rollback)
	}
}

func projectDir(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "again")
	if err := mkProject(dir, name); err != nil {
		t.Fatal(err)
	}
	return dir
}

func ask(client *http.Client, url, key string) (int, string, error) {
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader([]byte(`{"data": [[1.0]]}`)))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return res.StatusCode, "", fmt.Errorf("the answer broke off: %w", err)
	}
	return res.StatusCode, string(text), nil
}
