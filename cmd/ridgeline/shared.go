package main

import (
	"context"
	"net/http"
	"net/url"
	"path/filepath"

	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/registry"
)

// defaultCache is how many MiB of a bucket's contents a machine keeps.
const defaultCache = 8 << 10

// openBlobs opens the blob store: that of the folder that servers share, or the
// bucket, which is then theirs.
func (n *node) openBlobs(ctx context.Context, who string) (*blob.Store, error) {
	if n.options.Blob == "" {
		return blob.Open(ctx, filepath.Join(n.options.Shared, "blob"))
	}
	blobs, err := blob.OpenBucket(ctx, n.options.Blob, n.path("cache"), n.options.Cache<<20)
	if err != nil {
		return nil, err
	}
	if err := blobs.Claim(ctx, who); err != nil {
		_ = blobs.Close()
		return nil, err
	}
	return blobs, nil
}

// openRegistry opens the registry, which is where the contents are.
func (n *node) openRegistry(blobs *blob.Store, secret string) (http.Handler, error) {
	if n.options.Blob != "" {
		return registry.Over(blobs.Objects("registry"), secret, n.options.Log)
	}
	pushed := filepath.Join(n.options.Shared, "registry")
	if n.options.Shared == n.options.Dir { // else another server may be pushing
		if err := registry.Sweep(pushed); err != nil {
			return nil, err
		}
	}
	return registry.New(pushed, n.options.Log)
}

// fileURL is the address of a folder of this machine; of none it is empty.
func fileURL(dir string) string {
	if dir == "" {
		return ""
	}
	return (&url.URL{Scheme: "file", Path: dir}).String()
}
