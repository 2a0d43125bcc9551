package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/ridgeline-mlops/ridgeline"
)

// A pulled image's manifest and config, as they came.
type pulled struct {
	Repository string `json:"repository"`
	Manifest   []byte `json:"manifest"`
	Config     []byte `json:"config"`
}

// pulledBase reads the image that a base refers to. Its layers are downloaded
// only when something needs them: a registry that has them already does not.
func (b *Builder) pulledBase(ctx context.Context, base Base) (*v1.ConfigFile, []mutate.Addendum, error) {
	r, err := base.Connection.parse(base.Reference)
	if err != nil {
		return nil, nil, err
	}
	c := base.Connection
	c.Docker = true
	options, _ := c.options(ctx)
	sum := sha256.Sum256([]byte(cacheFormat + r.Name()))
	record := filepath.Join(b.cache.dir, "bases", hex.EncodeToString(sum[:])+".json")
	var p pulled
	if _, fixed := r.(name.Digest); !fixed || !readJSON(record, &p) {
		img, err := remote.Image(r, options...)
		if err == nil {
			p.Manifest, err = img.RawManifest()
		}
		if err == nil {
			p.Config, err = img.RawConfigFile()
		}
		if err != nil {
			return nil, nil, classify(err, "read base image "+base.Reference)
		}
		p.Repository = r.Context().Name()
		if err := b.cache.writeJSON(record, p); err != nil {
			return nil, nil, err
		}
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(p.Manifest))
	if err != nil {
		return nil, nil, fmt.Errorf("base image %s: %w", base.Reference, err)
	}
	config, err := v1.ParseConfigFile(bytes.NewReader(p.Config))
	if err != nil {
		return nil, nil, fmt.Errorf("base image %s: %w", base.Reference, err)
	}
	if len(config.RootFS.DiffIDs) != len(manifest.Layers) {
		return nil, nil, ridgeline.Errorf(ridgeline.Invalid, "base image %s: its config lists %d layers, its manifest %d", base.Reference, len(config.RootFS.DiffIDs), len(manifest.Layers))
	}
	if config.Architecture != architecture() {
		return nil, nil, ridgeline.Errorf(ridgeline.Invalid, "base image %s is for %s and this machine is %s; give one for this machine", base.Reference, config.Architecture, architecture())
	}
	var additions []mutate.Addendum
	for i, d := range manifest.Layers {
		l := &pulledLayer{b: b, at: r.Context().Digest(d.Digest.String()), descriptor: d, diff: config.RootFS.DiffIDs[i], options: options}
		a := addition(l, KindBase)
		if a.MediaType, err = l.MediaType(); err != nil {
			return nil, nil, err
		}
		additions = append(additions, a)
	}
	return config, additions, nil
}

// A pulledLayer is a layer of a registry, by way of the cache.
type pulledLayer struct {
	b          *Builder
	at         name.Digest
	descriptor v1.Descriptor
	diff       v1.Hash
	options    []remote.Option
}

func (l *pulledLayer) Digest() (v1.Hash, error) { return l.descriptor.Digest, nil }
func (l *pulledLayer) DiffID() (v1.Hash, error) { return l.diff, nil }
func (l *pulledLayer) Size() (int64, error)     { return l.descriptor.Size, nil }

// MediaType is OCI's name of the type: the bytes are the same as of Docker's,
// and some registries refuse a manifest that mixes them.
func (l *pulledLayer) MediaType() (types.MediaType, error) {
	switch l.descriptor.MediaType {
	case types.DockerLayer, types.OCILayer:
		return types.OCILayer, nil
	case types.DockerUncompressedLayer, types.OCIUncompressedLayer:
		return types.OCIUncompressedLayer, nil
	case types.OCILayerZStd:
		return types.OCILayerZStd, nil
	}
	return "", ridgeline.Errorf(ridgeline.Invalid, "base image %s: a layer of type %s cannot be used", l.at.Context(), l.descriptor.MediaType)
}

func (l *pulledLayer) Compressed() (io.ReadCloser, error) {
	return l.b.cache.fetch(l.descriptor.Digest.String(), l.descriptor.Size, func() (io.ReadCloser, error) {
		remote, err := remote.Layer(l.at, l.options...)
		if err != nil {
			return nil, err
		}
		return remote.Compressed()
	})
}

func (l *pulledLayer) Uncompressed() (io.ReadCloser, error) {
	c, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	return decompress(c)
}

// fetch opens a blob of the cache, which is first downloaded if need be. The
// reader that open returns must check the digest itself.
func (c *cache) fetch(digest string, size int64, open func() (io.ReadCloser, error)) (io.ReadCloser, error) {
	defer c.hold(digest)()
	file := c.blob(digest)
	if info, err := os.Stat(file); err == nil && info.Size() == size {
		return os.Open(file)
	}
	r, err := open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out, err := os.CreateTemp(c.tmp(), "pull-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	if _, err := io.Copy(out, r); err != nil {
		return nil, err
	}
	if err := out.Sync(); err != nil {
		return nil, err
	}
	if err := os.Rename(out.Name(), file); err != nil {
		return nil, err
	}
	return os.Open(file)
}
