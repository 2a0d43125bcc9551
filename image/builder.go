package image

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/ridgeline-mlops/ridgeline"
)

// Options of a Builder.
type Options struct {
	Dir string       // the cache of layers; losing it costs time only
	Log *slog.Logger // nil discards
}

// A Builder makes images, pushes and unpacks them. All its methods may be
// called from any goroutine.
type Builder struct {
	cache *cache
	log   *slog.Logger

	mu     sync.Mutex
	mounts map[string]string      // registry and digest → a repository there that has it
	asked  map[string]interpreter // by stamp

	unpacking sync.Mutex // while a temporary folder gets its lock
}

// NewBuilder opens the cache, makes it if need be, and removes what a process
// that was killed left there. Several processes may share one.
func NewBuilder(o Options) (*Builder, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("image cache: %w", err)
	}
	c, err := openCache(dir)
	if err != nil {
		return nil, fmt.Errorf("open the image cache: %w", err)
	}
	b := &Builder{cache: c, log: o.Log, mounts: make(map[string]string), asked: make(map[string]interpreter)}
	readJSON(b.mountsFile(), &b.mounts)
	return b, nil
}

// Close lets go of the cache. What it holds stays.
func (b *Builder) Close() error { return b.cache.lock.Close() }

// Prune removes the layers of the cache that were used least recently, until
// they take at most keep bytes. They are made again when they are needed.
func (b *Builder) Prune(keep int64) error { return b.cache.prune(keep) }

// A Spec says what goes into an image.
type Spec struct {
	Base         Base
	Scorer       string            // path of the static scorer
	Worker       fs.FS             // its root contains ridgeline_worker/; only *.py is taken
	SitePackages string            // of the installed environment
	Environment  string            // lock hash: with Python, what the dependency layer is known by
	Python       string            // "3.11"
	App          string            // folder of the project's code
	Model        string            // folder, or one file
	ModelName    string            // as CheckName has it
	Version      int               // from 1
	Score        string            // entry script, relative to App; empty for none
	Labels       map[string]string // lineage; part of the digest
	Env          []string          // KEY=value, beside and over the image's own
}

var pythonRE = regexp.MustCompile(`^3\.[0-9]+$`)

// check refuses what cannot become an image.
func (s *Spec) check() error {
	if err := ridgeline.CheckName("model", s.ModelName); err != nil {
		return err
	}
	switch {
	case s.Version < 1:
		return ridgeline.Errorf(ridgeline.Invalid, "model version %d: a version from 1 on was expected", s.Version)
	case !pythonRE.MatchString(s.Python):
		return ridgeline.Errorf(ridgeline.Invalid, "Python version %q: major and minor were expected, as in 3.11", s.Python)
	case s.Environment == "":
		return ridgeline.Errorf(ridgeline.Invalid, "the environment's lock hash is missing: the dependency layer is known by it")
	case s.Base.Reference == "" && s.Base.Interpreter == "":
		return ridgeline.Errorf(ridgeline.Invalid, "no base: give an image reference or a Python interpreter of this machine")
	case s.Worker == nil:
		return ridgeline.Errorf(ridgeline.Invalid, "no worker: the Python side of the scorer is missing")
	}
	if s.Score != "" {
		if !filepath.IsLocal(s.Score) {
			return ridgeline.Errorf(ridgeline.Invalid, "score script %q: a path within the project was expected", s.Score)
		}
		if info, err := os.Stat(filepath.Join(s.App, s.Score)); err != nil || info.IsDir() {
			return ridgeline.Errorf(ridgeline.NotFound, "score script %s: there is no such file in the project; see release.score in ridgeline.yaml", s.Score)
		}
	}
	for _, kv := range s.Env {
		if k, _, ok := strings.Cut(kv, "="); !ok || k == "" {
			return ridgeline.Errorf(ridgeline.Invalid, "environment variable %q: KEY=value was expected", kv)
		}
	}
	return nil
}

// Build makes the image of a spec. Layers that are in the cache are taken from
// there; of those, the base's and the environment's sources are not read. The
// digest depends on the spec's content alone, not on folders, times or cores.
func (b *Builder) Build(ctx context.Context, s Spec) (*Image, error) {
	started := time.Now()
	if err := s.check(); err != nil {
		return nil, err
	}
	config, additions, err := b.base(ctx, &s)
	if err != nil {
		return nil, err
	}
	layers, err := b.layers(ctx, &s)
	if err != nil {
		return nil, err
	}
	for _, l := range layers {
		additions = append(additions, addition(l, l.Kind))
	}
	s.configure(config)
	img, err := assemble(config, additions)
	if err != nil {
		return nil, fmt.Errorf("put the image together: %w", err)
	}
	b.log.DebugContext(ctx, "image built", "model", s.ModelName, "version", s.Version, "digest", img.Digest(), "took", time.Since(started))
	return img, nil
}

// layers makes the layers above the base.
func (b *Builder) layers(ctx context.Context, s *Spec) ([]*layer, error) {
	layers, python, err := b.environmentLayers(ctx, s)
	if err != nil {
		return nil, err
	}
	app, err := b.applicationLayer(ctx, s, python)
	if err != nil {
		return nil, err
	}
	t, err := modelTree(s.Model, s.ModelName, s.Version)
	if err != nil {
		return nil, fmt.Errorf("model layer: %w", err)
	}
	model, cached, err := b.contentLayer(ctx, KindModel, t, nil)
	if err != nil {
		return nil, err
	}
	b.note(ctx, model, cached)
	return append(layers, app, model), nil
}

func (b *Builder) note(ctx context.Context, l *layer, cached bool) {
	b.log.DebugContext(ctx, "layer", "kind", l.Kind, "cached", cached, "size", l.Bytes, "digest", l.Blob)
}

// environmentLayers are the scorer and the dependencies; with them comes what
// compiles for them.
func (b *Builder) environmentLayers(ctx context.Context, s *Spec) ([]*layer, *compiler, error) {
	python, err := b.compilerOf(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	t, err := scorerTree(s.Scorer, s.Worker)
	if err != nil {
		return nil, nil, fmt.Errorf("scorer layer: %w", err)
	}
	scorer, cached, err := b.contentLayer(ctx, KindScorer, t, python, s.Python)
	if err != nil {
		return nil, nil, err
	}
	b.note(ctx, scorer, cached)
	dependencies, cached, err := b.cache.layer(ctx, KindDependencies, key(KindDependencies, s.Environment, s.Python, s.basePython()), func() (tree, *compiler, error) {
		t, err := dependenciesTree(s.SitePackages, s.Python, s.basePython())
		return t, python, err
	})
	if err != nil {
		return nil, nil, err
	}
	b.note(ctx, dependencies, cached)
	return []*layer{scorer, dependencies}, python, nil
}

func (b *Builder) applicationLayer(ctx context.Context, s *Spec, python *compiler) (*layer, error) {
	t, err := applicationTree(s.App)
	if err != nil {
		return nil, fmt.Errorf("application layer: %w", err)
	}
	l, cached, err := b.contentLayer(ctx, KindApplication, t, python, s.Python)
	if err == nil {
		b.note(ctx, l, cached)
	}
	return l, err
}

// compilerOf finds the interpreter that bytecode is made with: the base's if
// it is of this machine, otherwise the environment's own.
func (b *Builder) compilerOf(ctx context.Context, s *Spec) (*compiler, error) {
	python := s.Base.Interpreter
	if s.Base.Reference != "" {
		var err error
		if python, err = environmentPython(s.SitePackages); err != nil {
			return nil, err
		}
	}
	mark := stamp(python)
	b.mu.Lock()
	have, ok := b.asked[mark]
	b.mu.Unlock()
	if !ok || mark == "" {
		var err error
		if have, err = ask(ctx, python); err != nil {
			return nil, err
		}
		b.mu.Lock()
		b.asked[mark] = have
		b.mu.Unlock()
	}
	return &compiler{python: have, tmp: b.cache.tmp()}, checkPython(have, s.Python)
}

// base gives the configuration and the layers that an image starts with.
func (b *Builder) base(ctx context.Context, s *Spec) (*v1.ConfigFile, []mutate.Addendum, error) {
	if s.Base.Reference != "" {
		return b.pulledBase(ctx, s.Base)
	}
	l, have, cached, err := b.interpreterBase(ctx, s.Base.Interpreter)
	if err != nil {
		return nil, nil, err
	}
	b.mu.Lock()
	b.asked[stamp(s.Base.Interpreter)] = have
	b.mu.Unlock()
	b.log.DebugContext(ctx, "layer", "kind", KindBase, "cached", cached, "size", l.Bytes, "digest", l.Blob)
	config := &v1.ConfigFile{Architecture: architecture(), OS: "linux"}
	config.Config.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "SSL_CERT_FILE=" + certificates[0]}
	return config, []mutate.Addendum{addition(l, KindBase)}, nil
}

// configure writes what a container of the image runs, and as whom.
func (s *Spec) configure(c *v1.ConfigFile) {
	//nolint:staticcheck // DockerVersion is deprecated, but bases still have one, and it is not ours
	c.Created, c.Author, c.Container, c.DockerVersion, c.History = v1.Time{}, "", "", "", nil
	searched := "/usr/local/bin:/usr/bin:/bin"
	for _, kv := range c.Config.Env {
		if value, ok := strings.CutPrefix(kv, "PATH="); ok {
			searched = value
		}
	}
	env := []string{
		"PATH=" + EnvironmentPath + "/bin:" + searched,
		"RIDGELINE_PYTHON=" + PythonPath,
		"RIDGELINE_APP=" + AppPath,
		"RIDGELINE_WORKER_PATH=" + WorkerPath,
		"AZUREML_MODEL_DIR=" + ModelPath(s.ModelName, s.Version),
		"RIDGELINE_MODEL_NAME=" + s.ModelName,
		"RIDGELINE_MODEL_VERSION=" + strconv.Itoa(s.Version),
		"PYTHONDONTWRITEBYTECODE=1",
		"RIDGELINE_LISTEN=:8080",
	}
	if s.Score != "" {
		env = append(env, "RIDGELINE_SCORE="+filepath.ToSlash(filepath.Clean(s.Score)))
	}
	labels := map[string]string{
		"org.opencontainers.image.title":   s.ModelName,
		"org.opencontainers.image.version": strconv.Itoa(s.Version),
	}
	maps.Copy(labels, s.Labels)
	c.Config = v1.Config{
		Entrypoint:   []string{ScorerPath, "serve"},
		User:         "65534:65534",
		WorkingDir:   AppPath,
		Env:          overlay(overlay(c.Config.Env, env), s.Env),
		Labels:       labels,
		ExposedPorts: map[string]struct{}{"8080/tcp": {}},
	}
}

// overlay adds variables to an environment; a later one of a name replaces the
// earlier one in its place.
func overlay(env, more []string) []string {
	place := make(map[string]int)
	var list []string
	for _, kv := range append(append([]string(nil), env...), more...) {
		k, _, _ := strings.Cut(kv, "=")
		if i, ok := place[k]; ok {
			list[i] = kv
			continue
		}
		place[k] = len(list)
		list = append(list, kv)
	}
	return list
}

// addition is a layer with the marks of its kind.
func addition(l v1.Layer, kind string) mutate.Addendum {
	return mutate.Addendum{
		Layer:       l,
		MediaType:   types.OCILayer,
		Annotations: map[string]string{KindAnnotation: kind},
		History:     v1.History{CreatedBy: historyMark + kind},
	}
}

// historyMark starts each history entry: registries may drop annotations, but
// the history is part of the config.
const historyMark = "ridgeline "

func assemble(config *v1.ConfigFile, additions []mutate.Addendum) (*Image, error) {
	config.RootFS = v1.RootFS{Type: "layers"}
	img, err := mutate.ConfigFile(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), config)
	if err != nil {
		return nil, err
	}
	if img, err = mutate.Append(img, additions...); err != nil {
		return nil, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	result := &Image{image: img}
	for _, d := range manifest.Layers {
		result.layers = append(result.layers, LayerInfo{Kind: d.Annotations[KindAnnotation], Digest: d.Digest.String(), Size: d.Size})
	}
	result.digest, err = img.Digest()
	return result, err
}
