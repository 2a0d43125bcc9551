package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/cloudtest"
)

func list(t *testing.T, address string) (Listing, error) {
	t.Helper()
	p, err := OpenPlace(t.Context(), address)
	if err != nil {
		return Listing{}, err
	}
	defer p.Close()
	return p.List(t.Context())
}

func names(t *testing.T, address string) []string {
	t.Helper()
	l, err := list(t, address)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range l.Files {
		all = append(all, f.Name)
	}
	if l.Single {
		all = append(all, "(single)")
	}
	return all
}

func content(t *testing.T, address string) map[string]string {
	t.Helper()
	p, err := OpenPlace(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	l, err := p.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range l.Files {
		r := p.Open(t.Context(), f)
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		all[f.Name] = string(text)
	}
	return all
}

// places are the kinds of place with folders. put and remove change them.
func places(t *testing.T) map[string]func(t *testing.T) (address func(string) string, put func(string, string), remove func(string)) {
	cloud := func(t *testing.T, s *cloudtest.Store, scheme string) (func(string) string, func(string, string), func(string)) {
		cloudtest.Use(t)
		address := s.Address
		if scheme == "gs" {
			address = func(key string) string {
				return strings.Replace(s.Address(key), "s3://", "gs://", 1)
			}
		}
		return address, func(key, text string) {
				if err := s.Put(key, []byte(text)); err != nil {
					t.Fatal(err)
				}
			}, func(key string) {
				if err := s.Delete(key); err != nil {
					t.Fatal(err)
				}
			}
	}
	type maker = func(t *testing.T) (func(string) string, func(string, string), func(string))
	return map[string]maker{
		"s3": func(t *testing.T) (func(string) string, func(string, string), func(string)) {
			return cloud(t, cloudtest.S3(t), "s3")
		},
		"gs": func(t *testing.T) (func(string) string, func(string, string), func(string)) {
			return cloud(t, cloudtest.S3(t), "gs")
		},
		"azblob": func(t *testing.T) (func(string) string, func(string, string), func(string)) {
			return cloud(t, cloudtest.Azure(t), "azblob")
		},
		"folder": func(t *testing.T) (func(string) string, func(string, string), func(string)) {
			dir := t.TempDir()
			return func(key string) string { return filepath.Join(dir, key) }, func(key, text string) {
					path := filepath.Join(dir, key)
					if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(path+".tmp", []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
					if err := os.Rename(path+".tmp", path); err != nil {
						t.Fatal(err)
					}
				}, func(key string) {
					if err := os.Remove(filepath.Join(dir, key)); err != nil {
						t.Fatal(err)
					}
				}
		},
	}
}

func TestPlaces(t *testing.T) {
	for name, start := range places(t) {
		t.Run(name, func(t *testing.T) {
			address, put, remove := start(t)
			put("sales/2024/01.csv", "a\n1\n")
			put("sales/2024/02.csv", "a\n2\n")
			put("sales/2025/01.csv", "a\n3\n")
			put("sales/_SUCCESS", "done")
			put("sales/2025/.hidden/x.csv", "no")
			put("sales/notes.txt", "words")
			put("other/x.csv", "a\n9\n")

			for pattern, want := range map[string][]string{
				"other/x.csv":        {"x.csv", "(single)"},
				"sales/2024":         {"01.csv", "02.csv"},
				"sales/2024/":        {"01.csv", "02.csv"},
				"sales":              {"2024/01.csv", "2024/02.csv", "2025/01.csv", "notes.txt"},
				"sales/*/01.csv":     {"2024/01.csv", "2025/01.csv"},
				"sales/**/*.csv":     {"2024/01.csv", "2024/02.csv", "2025/01.csv"},
				"sales/202[5-9]/*":   {"01.csv"},
				"sales/*.txt":        {"notes.txt"},
				"sales/2024/0*.csv":  {"01.csv", "02.csv"},
				"sales/**/*/**/*.cs": nil,
			} {
				if pattern == "sales/202[5-9]/*" {
					want = []string{"2025/01.csv"}
				}
				if want == nil {
					if _, err := list(t, address(pattern)); ridgeline.CodeOf(err) != ridgeline.NotFound {
						t.Errorf("%s: got %v, want NotFound", pattern, err)
					}
					continue
				}
				if got := names(t, address(pattern)); !slices.Equal(got, want) {
					t.Errorf("%s: got %q, want %q", pattern, got, want)
				}
			}
			if got := content(t, address("sales/2024")); got["01.csv"] != "a\n1\n" || got["02.csv"] != "a\n2\n" {
				t.Errorf("content: %q", got)
			}
			before, err := list(t, address("sales/2024"))
			if err != nil {
				t.Fatal(err)
			}
			again, err := list(t, address("sales/2024"))
			if err != nil || before.Fingerprint() == "" || again.Fingerprint() != before.Fingerprint() {
				t.Errorf("the fingerprint of what did not change: %q, %q, %v", before.Fingerprint(), again.Fingerprint(), err)
			}
			put("sales/2024/02.csv", "a\n7\n")
			changed, err := list(t, address("sales/2024"))
			if err != nil || changed.Fingerprint() == before.Fingerprint() {
				t.Errorf("a change of content was not seen: %v", err)
			}
			remove("sales/2024/02.csv")
			gone, err := list(t, address("sales/2024"))
			if err != nil || gone.Fingerprint() == changed.Fingerprint() {
				t.Errorf("a removal was not seen: %v", err)
			}
			p, err := OpenPlace(t.Context(), address("sales/2024"))
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			read := func(f File) error {
				r := p.Open(t.Context(), f)
				_, err := io.ReadAll(r)
				return errors.Join(err, r.Close())
			}
			if err := read(changed.Files[1]); ridgeline.CodeOf(err) != ridgeline.NotFound {
				t.Errorf("a file that vanished: %v", err)
			}
			short := gone.Files[0]
			short.Size = 99
			if err := read(short); ridgeline.CodeOf(err) != ridgeline.Unavailable || !strings.Contains(err.Error(), "99 bytes were announced, 4 came") {
				t.Errorf("a file that became shorter: %v", err)
			}
		})
	}
}

func TestPlaces_denied(t *testing.T) {
	t.Run("s3", func(t *testing.T) {
		s := cloudtest.S3(t)
		cloudtest.Use(t)
		if err := s.Put("x.csv", []byte("a\n1\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := list(t, strings.Replace(s.Address("x.csv"), "//data/", "//elsewhere/", 1)); ridgeline.CodeOf(err) != ridgeline.NotFound {
			t.Errorf("another bucket: %v", err)
		}
		t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
		_, err := list(t, s.Address("x.csv"))
		if ridgeline.CodeOf(err) != ridgeline.Denied || !strings.Contains(err.Error(), "AWS_SECRET_ACCESS_KEY") {
			t.Errorf("a wrong secret: %v", err)
		}
	})
	t.Run("azblob", func(t *testing.T) {
		s := cloudtest.Azure(t)
		cloudtest.Use(t)
		if _, err := list(t, strings.Replace(s.Address("x.csv"), "//data/", "//elsewhere/", 1)); ridgeline.CodeOf(err) != ridgeline.NotFound {
			t.Errorf("another container: %v", err)
		}
		t.Setenv("AZURE_STORAGE_KEY", "d3Jvbmc=")
		_, err := list(t, s.Address("x.csv"))
		if ridgeline.CodeOf(err) != ridgeline.Denied || !strings.Contains(err.Error(), "AZURE_STORAGE_KEY") {
			t.Errorf("a wrong key: %v", err)
		}
		t.Setenv("AZURE_STORAGE_KEY", "")
		t.Setenv("AZURE_STORAGE_SAS_TOKEN", "sv=2024-01-01&sig=secret")
		_, err = list(t, s.Address("x.csv"))
		if ridgeline.CodeOf(err) != ridgeline.Denied || strings.Contains(err.Error(), "secret") {
			t.Errorf("an address that would lead the token away: %v", err)
		}
	})
	t.Run("folder", func(t *testing.T) {
		dir := t.TempDir()
		if _, err := list(t, filepath.Join(dir, "none.csv")); ridgeline.CodeOf(err) != ridgeline.NotFound {
			t.Errorf("no such file: %v", err)
		}
		if err := os.Mkdir(filepath.Join(dir, "closed"), 0o000); err != nil {
			t.Fatal(err)
		}
		_, err := list(t, filepath.Join(dir, "closed"))
		if want := ridgeline.Denied; os.Getuid() != 0 && ridgeline.CodeOf(err) != want {
			t.Errorf("a closed folder: %v", err)
		}
		if err := os.Symlink(dir, filepath.Join(dir, "loop")); err != nil {
			t.Fatal(err)
		}
		if _, err := list(t, dir); os.Getuid() == 0 && ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("a link to a folder: %v", err)
		}
	})
}

func TestOpenPlace_refuses(t *testing.T) {
	t.Setenv("GS_ACCESS_KEY_ID", "")
	for address, want := range map[string]string{
		"data/x.csv":                      "no place",
		"ftp://host/x.csv":                "s3://",
		"s3:///x.csv":                     "names no bucket",
		"s3://me:secret@bucket/x.csv":     "take the name and password out",
		"https://me:secret@host/x.csv":    "take the name and password out",
		"s3://bucket/x?colour=red":        "colour",
		"gs://bucket/x.csv":               "GS_ACCESS_KEY_ID",
		"s3://bucket/[a/x.csv":            "no glob",
		"file://host/x.csv":               "three slashes",
		"http://127.0.0.1:1/folder/":      "no folders",
		"s3://bucket/x.csv%zz?password=a": "cannot be read",
	} {
		_, err := list(t, address)
		if ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want Invalid with %q", address, err, want)
		}
	}
}

func TestWeb(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789"), 20_000)
	tag, ranges, breaks, gets := `"one"`, true, 0, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/x.csv":
		case "/private.csv":
			w.WriteHeader(http.StatusForbidden)
			return
		default:
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", tag)
		if r.Method == http.MethodGet {
			gets++
		}
		if breaks > 0 && r.Method == http.MethodGet {
			breaks--
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			_, _ = w.Write(text[:70_000])
			panic(http.ErrAbortHandler) // the connection breaks
		}
		if !ranges {
			r.Header.Del("Range")
		}
		http.ServeContent(w, r, "x.csv", time.Time{}, bytes.NewReader(text))
	}))
	defer server.Close()
	if got := names(t, server.URL+"/x.csv?token=1"); !slices.Equal(got, []string{"x.csv", "(single)"}) {
		t.Errorf("names %q", got)
	}
	for name, can := range map[string]bool{"with ranges": true, "without ranges": false} {
		ranges, breaks, gets = can, 1, 0
		if got := content(t, server.URL+"/x.csv")["x.csv"]; got != string(text) || gets != 2 {
			t.Errorf("%s: %d bytes in %d requests after a broken connection", name, len(got), gets)
		}
	}
	one, err := list(t, server.URL+"/x.csv")
	if err != nil {
		t.Fatal(err)
	}
	tag = `"two"`
	two, err := list(t, server.URL+"/x.csv")
	if err != nil || one.Fingerprint() == two.Fingerprint() || one.Fingerprint() == "" {
		t.Errorf("another tag: %v", err)
	}
	tag = ""
	none, err := list(t, server.URL+"/x.csv")
	if err != nil || none.Fingerprint() != "" {
		t.Errorf("no tag: %v", err)
	}
	if _, err := list(t, server.URL+"/none.csv"); ridgeline.CodeOf(err) != ridgeline.NotFound {
		t.Errorf("no such file: %v", err)
	}
	if _, err := list(t, server.URL+"/private.csv"); ridgeline.CodeOf(err) != ridgeline.Denied {
		t.Errorf("a private file: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p, err := OpenPlace(ctx, server.URL+"/x.csv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(p.Open(ctx, one.Files[0])); err == nil || ctx.Err() == nil {
		t.Errorf("a cancelled read: %v", err)
	}
}
