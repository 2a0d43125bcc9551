package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func inside(handle http.HandlerFunc) *http.Client {
	return &http.Client{Transport: inProcess{handle}}
}

func TestInProcess(t *testing.T) {
	client := inside(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", r.Method+" "+r.Host+" "+r.URL.Path+" "+r.RequestURI)
		w.WriteHeader(http.StatusCreated)
		w.Header().Set("X-Late", "1") // after the status: must not be sent
		fmt.Fprintf(w, "got %s", body)
	})
	res, err := client.Post("http://registry:5000/v2/iris/blobs?digest=x", "text/plain", strings.NewReader("layer"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusCreated || string(body) != "got layer" {
		t.Errorf("got %d %q, %v", res.StatusCode, body, err)
	}
	if got, want := res.Header.Get("X-Seen"), "POST registry:5000 /v2/iris/blobs /v2/iris/blobs?digest=x"; got != want {
		t.Errorf("the handler saw %q, want %q", got, want)
	}
	if res.Header.Get("X-Late") != "" {
		t.Error("a header set after the status was sent")
	}
}

func TestInProcess_without_a_body(t *testing.T) {
	client := inside(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "12345")
		w.Header().Set("Docker-Content-Digest", "sha256:0")
	})
	res, err := client.Head("http://registry/v2/iris/manifests/1")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || len(body) != 0 || res.StatusCode != 200 || res.ContentLength != 12345 || res.Header.Get("Docker-Content-Digest") != "sha256:0" {
		t.Errorf("got %+v %q, %v", res, body, err)
	}
}

// What is answered is not held in memory: it comes while it is written, and a
// reader that leaves ends the writer.
func TestInProcess_streams(t *testing.T) {
	stopped := make(chan error, 1)
	client := inside(func(w http.ResponseWriter, _ *http.Request) {
		chunk := bytes.Repeat([]byte("x"), 1<<20)
		for {
			if _, err := w.Write(chunk); err != nil {
				stopped <- err
				return
			}
		}
	})
	res, err := client.Get("http://registry/v2/iris/blobs/1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, res.Body, 5<<20); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if err := <-stopped; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the writer got %v", err)
	}
}

// Whoever has sent a part of an upload sends the next one when this one is in its
// place, which the handler sees to after it has written its answer.
func TestInProcess_sends(t *testing.T) {
	inPlace := false // the race detector looks, too
	client := inside(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, "taken")
		time.Sleep(20 * time.Millisecond)
		inPlace = true
	})
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		inPlace = false
		req, err := http.NewRequestWithContext(t.Context(), method, "http://registry/v2/iris/blobs/uploads/1", strings.NewReader("part"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if !inPlace {
			t.Errorf("%s was answered before it was done", method)
		}
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != "taken" || res.StatusCode != http.StatusAccepted {
			t.Errorf("%s: %d %q, %v", method, res.StatusCode, body, err)
		}
		res.Body.Close()
	}
}

func TestInProcess_ends(t *testing.T) {
	t.Run("a handler that breaks off gives no whole answer", func(t *testing.T) {
		res, err := inside(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "half")
			panic(http.ErrAbortHandler)
		}).Get("http://registry/")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := io.ReadAll(res.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a caller that gives up does not wait", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://registry/", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := inside(func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		}).Do(req)
		if err == nil { // the handler's end may come first
			res.Body.Close()
		} else if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}
