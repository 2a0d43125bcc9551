package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sys/unix"

	"github.com/ridgeline-mlops/ridgeline"
)

// Unpacked is an image's content as a folder, and what its config says.
type Unpacked struct {
	Root       string            `json:"-"`      // the image's / as far as it was asked for
	Digest     string            `json:"digest"` // of the manifest
	Env        []string          `json:"env"`
	Labels     map[string]string `json:"labels"`
	Entrypoint []string          `json:"entrypoint"`
	Cmd        []string          `json:"cmd"`
	WorkingDir string            `json:"working_dir"`
	User       string            `json:"user"`
}

// Unpack puts the layers of the given kinds (none: all of them) of an image
// into a folder below dir that is named by the digest and the kinds, and is
// complete from the moment it has its name. It is made once: the caller must
// not write to it. With a reference by digest and the folder there, no
// registry is asked.
//
// Owners are not kept, and absolute links become relative ones, so that a link
// leads to the same file whether the folder is somebody's root or not. An
// image in which a file or link would reach out of the folder is refused.
func (b *Builder) Unpack(ctx context.Context, ref string, c Connection, dir string, kinds []string) (Unpacked, error) {
	r, err := c.parse(ref)
	if err != nil {
		return Unpacked{}, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return Unpacked{}, err
	}
	suffix, err := suffixOf(kinds)
	if err != nil {
		return Unpacked{}, err
	}
	if d, ok := r.(name.Digest); ok {
		if u, ok := unpacked(dir, d.DigestStr(), suffix); ok {
			return u, nil
		}
	}
	options, _ := c.options(ctx)
	img, err := remote.Image(r, options...)
	if err != nil {
		return Unpacked{}, classify(err, "read image "+ref)
	}
	digest, err := img.Digest()
	if err != nil {
		return Unpacked{}, classify(err, "read image "+ref)
	}
	defer b.cache.hold("unpack " + filepath.Join(dir, digest.Hex+suffix))()
	if u, ok := unpacked(dir, digest.String(), suffix); ok {
		return u, nil
	}
	if err := b.unpackTo(ctx, img, dir, digest.Hex+suffix, kinds); err != nil {
		return Unpacked{}, classify(err, "unpack image "+ref)
	}
	u, ok := unpacked(dir, digest.String(), suffix)
	if !ok {
		return Unpacked{}, fmt.Errorf("unpack image %s: %s was removed meanwhile", ref, filepath.Join(dir, digest.Hex+suffix))
	}
	return u, nil
}

func suffixOf(kinds []string) (string, error) {
	all := []string{KindBase, KindScorer, KindDependencies, KindApplication, KindModel}
	if len(kinds) == 0 {
		return "-all", nil
	}
	var list []string
	for _, kind := range kinds {
		if !slices.Contains(all, kind) {
			return "", ridgeline.Errorf(ridgeline.Invalid, "layer kind %q: one of %s was expected", kind, strings.Join(all, ", "))
		}
	}
	for _, kind := range all {
		if slices.Contains(kinds, kind) {
			list = append(list, kind)
		}
	}
	return "-" + strings.Join(list, "-"), nil
}

const configFile = "config.json"

// unpacked reads what an earlier Unpack has left.
func unpacked(dir, digest, suffix string) (Unpacked, bool) {
	target := filepath.Join(dir, strings.TrimPrefix(digest, "sha256:")+suffix)
	var u Unpacked
	if !readJSON(filepath.Join(target, configFile), &u) {
		return Unpacked{}, false
	}
	u.Root = filepath.Join(target, "root")
	return u, true
}

// unpackTo makes dir/target by way of a folder beside it.
func (b *Builder) unpackTo(ctx context.Context, img v1.Image, dir, target string, kinds []string) error {
	manifest, err := img.Manifest()
	if err != nil {
		return err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	tmp, lock, err := b.temporary(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	defer os.RemoveAll(tmp)
	root := filepath.Join(tmp, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	x, err := newExtractor(root)
	if err != nil {
		return err
	}
	defer x.close()
	of := kindsOf(manifest, config)
	for i, l := range layers {
		if len(kinds) > 0 && !slices.Contains(kinds, of[i]) {
			continue
		}
		if err := b.extract(ctx, x, l, manifest.Layers[i]); err != nil {
			return err
		}
	}
	if err := x.checkLinks(); err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	p, err := json.Marshal(Unpacked{
		Digest: digest.String(), Env: config.Config.Env, Labels: config.Config.Labels, Entrypoint: config.Config.Entrypoint,
		Cmd: config.Config.Cmd, WorkingDir: config.Config.WorkingDir, User: config.Config.User,
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, configFile), p, 0o644); err != nil {
		return err
	}
	// Once named the folder is taken as it is, so a power cut must not find
	// the name on disk and the content not.
	if err := unix.Syncfs(int(lock.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", tmp, err)
	}
	err = os.Rename(tmp, filepath.Join(dir, target))
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
		return nil // another process was faster
	}
	return err
}

// kindsOf names the kind of each layer: by its annotation, or by its history
// entry where a registry dropped annotations.
func kindsOf(manifest *v1.Manifest, config *v1.ConfigFile) []string {
	var history []string
	for _, h := range config.History {
		if !h.EmptyLayer {
			history = append(history, h.CreatedBy)
		}
	}
	kinds := make([]string, len(manifest.Layers))
	for i, d := range manifest.Layers {
		kinds[i] = d.Annotations[KindAnnotation]
		if kinds[i] == "" && len(history) == len(kinds) {
			kinds[i], _ = strings.CutPrefix(history[i], historyMark)
		}
	}
	return kinds
}

// extract applies one layer, from the cache when it is there.
func (b *Builder) extract(ctx context.Context, x *extractor, l v1.Layer, d v1.Descriptor) error {
	r, err := os.Open(b.cache.blob(d.Digest.Hex))
	if err != nil {
		remote, err := l.Compressed() // which checks the digest
		if err != nil {
			return err
		}
		return x.layer(ctx, remote)
	}
	return x.layer(ctx, r)
}

// temporary makes a folder that is locked as long as its maker lives, and
// removes those whose makers were killed.
func (b *Builder) temporary(dir string) (string, *os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, err
	}
	b.unpacking.Lock()
	defer b.unpacking.Unlock()
	old, err := filepath.Glob(filepath.Join(dir, ".unpack-*"))
	if err != nil {
		return "", nil, err
	}
	for _, name := range old {
		if f, err := os.Open(name); err == nil {
			if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
				_ = os.RemoveAll(name)
			}
			_ = f.Close()
		}
	}
	tmp, err := os.MkdirTemp(dir, ".unpack-")
	if err != nil {
		return "", nil, err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", nil, err
	}
	lock, err := os.Open(tmp)
	if err != nil {
		return "", nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		return "", nil, fmt.Errorf("lock %s: %w", tmp, err)
	}
	return tmp, lock, nil
}
