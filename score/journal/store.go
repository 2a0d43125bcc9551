package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Store takes finished Parquet files.
type Store interface {
	// Put keeps the whole content of f under name, a relative path with
	// slashes. A file of that name is replaced. When it returns nil, the
	// content is safe.
	Put(ctx context.Context, name string, f *os.File) error
}

// OpenStore returns the store at address: file:///folder, or the http(s) URL
// below which files are PUT, with token as the bearer.
func OpenStore(address, token string) (Store, error) {
	u, err := url.Parse(address)
	switch {
	case err == nil && u.Scheme == "file" && u.Host == "" && filepath.IsAbs(u.Path):
		return Folder(u.Path), nil
	case err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		return &web{base: strings.TrimSuffix(address, "/") + "/", token: token, client: &http.Client{Timeout: 5 * time.Minute}}, nil
	}
	scheme, _, _ := strings.Cut(address, "://") // the rest may hold a secret
	return nil, ridgeline.Errorf(ridgeline.Invalid, "the inference log's address begins with %q: use file:///folder, http:// or https://", scheme)
}

// Folder is a Store that is a folder of this machine.
type Folder string

// Put implements Store.
func (d Folder) Put(_ context.Context, name string, f *os.File) error {
	path := filepath.Join(string(d), filepath.FromSlash(name))
	if err := d.put(path, f); err != nil {
		return fmt.Errorf("keep a file of the inference log: %w", err)
	}
	return nil
}

func (d Folder) put(path string, f *os.File) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	// Beside its place and renamed, under a name that a repetition takes again;
	// and flushed, because the segment goes next.
	out, err := os.Create(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new"))
	if err != nil {
		return err
	}
	_, err = io.Copy(out, f)
	err = errors.Join(err, out.Sync(), out.Close())
	if err == nil {
		err = os.Rename(out.Name(), path)
	}
	if err != nil {
		os.Remove(out.Name())
	}
	return err
}

// web is a Store behind HTTP.
type web struct {
	base, token string
	client      *http.Client
}

func (w *web) Put(ctx context.Context, name string, f *os.File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("send a file of the inference log: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, w.base+name, io.NopCloser(f))
	if err != nil {
		return fmt.Errorf("send a file of the inference log: %w", err)
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", "application/vnd.apache.parquet")
	if w.token != "" {
		req.Header.Set("Authorization", "Bearer "+w.token)
	}
	res, err := w.client.Do(req)
	if err != nil {
		return fmt.Errorf("send a file of the inference log: %w", err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 500))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("send a file of the inference log: the storage answered %s: %s", res.Status, strings.TrimSpace(string(text)))
	}
	return nil
}
