package main

import (
	"context"
	"net/url"
	"path/filepath"

	"github.com/ridgeline-mlops/ridgeline/blob"
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

// fileURL is the address of a folder of this machine; of none it is empty.
func fileURL(dir string) string {
	if dir == "" {
		return ""
	}
	return (&url.URL{Scheme: "file", Path: dir}).String()
}
