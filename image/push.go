package image

import (
	"context"
	"maps"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Pushed says what a push did.
type Pushed struct {
	Digest    string  // of the manifest, sha256:…
	Reference string  // host:port/repository@sha256:…
	Bytes     int64   // sent: layers, config, manifest
	Blobs     int     // sent: layers and config; what the registry had is not sent
	Seconds   float64 // wall time
}

// Push uploads what the registry does not have of an image and then its
// manifest under ref (host:port/repository:tag), so that a push that is
// interrupted is invisible. Pushing again sends nothing but the manifest.
func (b *Builder) Push(ctx context.Context, img *Image, ref string, c Connection) (Pushed, error) {
	started := time.Now()
	r, err := c.parse(ref)
	if err != nil {
		return Pushed{}, err
	}
	options, sent := c.options(ctx)
	if err := remote.Write(r, b.mountable(img.image, r), options...); err != nil {
		return Pushed{}, classify(err, "push image "+ref)
	}
	b.remember(img, r)
	p := Pushed{
		Digest: img.Digest(), Reference: r.Context().Digest(img.Digest()).String(),
		Bytes: sent.bytes.Load(), Blobs: int(sent.blobs.Load()), Seconds: time.Since(started).Seconds(),
	}
	b.log.DebugContext(ctx, "image pushed", "reference", p.Reference, "bytes", p.Bytes, "blobs", p.Blobs, "took", time.Since(started))
	return p, nil
}

// Tag gives an image that is in its registry one more tag. Tagging twice is
// harmless; a tag that names another image moves.
func (b *Builder) Tag(ctx context.Context, ref, tag string, c Connection) error {
	r, err := c.parse(ref)
	if err != nil {
		return err
	}
	named, err := c.parse(r.Context().Name() + ":" + tag)
	if err != nil {
		return err
	}
	options, _ := c.options(ctx)
	d, err := remote.Get(r, options...)
	if err != nil {
		return classify(err, "find image "+ref)
	}
	return classify(remote.Tag(named.(name.Tag), d, options...), "tag image "+ref+" as "+tag)
}

// mountable tells, of each layer that an earlier push left in another
// repository of the same registry, where that is: the registry then links it
// instead of receiving it again. If it is gone there it is sent as usual.
func (b *Builder) mountable(img v1.Image, to name.Reference) v1.Image {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &mountedImage{img, func(l v1.Layer) v1.Layer {
		digest, err := l.Digest()
		if err != nil {
			return l
		}
		repository, ok := b.knownAt(to, digest)
		if !ok || repository == to.Context().RepositoryStr() {
			return l
		}
		return &remote.MountableLayer{Layer: l, Reference: to.Context().Registry.Repo(repository).Digest(digest.String())}
	}}
}

func (b *Builder) knownAt(to name.Reference, digest v1.Hash) (string, bool) {
	repository, ok := b.mounts[to.Context().RegistryStr()+" "+digest.String()]
	return repository, ok
}

// remember notes where the layers of an image are now.
func (b *Builder) remember(img *Image, at name.Reference) {
	b.mu.Lock()
	defer b.mu.Unlock()
	changed := false
	for _, l := range img.layers {
		// A model is of one repository only.
		k := at.Context().RegistryStr() + " " + l.Digest
		if _, ok := b.mounts[k]; !ok && l.Kind != KindModel {
			b.mounts[k], changed = at.Context().RepositoryStr(), true
		}
	}
	if changed {
		if err := b.cache.writeJSON(b.mountsFile(), maps.Clone(b.mounts)); err != nil {
			b.log.Warn("the next push may send layers again", "error", err)
		}
	}
}

func (b *Builder) mountsFile() string { return filepath.Join(b.cache.dir, "mounts.json") }

type mountedImage struct {
	v1.Image
	wrap func(v1.Layer) v1.Layer
}

func (m *mountedImage) Layers() ([]v1.Layer, error) {
	layers, err := m.Image.Layers()
	for i, l := range layers {
		layers[i] = m.wrap(l)
	}
	return layers, err
}
