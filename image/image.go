// Package image makes an OCI image of a model version, in process and without
// a daemon or root, pushes it, and unpacks images again. It leaves to others
// where the parts come from (environment, code, model are given as folders),
// what runs in the image and where it is run.
//
// An image has five kinds of layers, from what changes least to what changes
// most: base, scorer, dependencies, application, model. Same inputs, same
// digest: entries are sorted, times are fixed, owners are root, modes are
// 0644, 0755 or a link. A retrain therefore makes and pushes a model layer, a
// config and a manifest.
package image

import (
	"path"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The kinds of layers, in their order in an image.
const (
	KindBase         = "base"         // Python and the libraries below it
	KindScorer       = "scorer"       // the scorer and its Python worker
	KindDependencies = "dependencies" // the locked environment
	KindApplication  = "application"  // the project's code
	KindModel        = "model"
)

// KindAnnotation is the annotation of each layer's descriptor that names its kind.
const KindAnnotation = "io.ridgeline.layer"

// Where things are in an image.
const (
	ScorerPath      = "/opt/ridgeline/bin/scorer"
	WorkerPath      = "/opt/ridgeline/worker" // contains ridgeline_worker/
	EnvironmentPath = "/opt/ridgeline/env"    // a virtual environment on the base's Python
	AppPath         = "/app"
)

// PythonPath is the interpreter that sees the environment's packages.
const PythonPath = EnvironmentPath + "/bin/python"

// ModelPath is where a model version is in its image.
func ModelPath(model string, version int) string {
	return path.Join("/opt/ridgeline/models", model, strconv.Itoa(version))
}

// SitePackagesPath is where the packages of an environment are in an image.
func SitePackagesPath(python string) string {
	return EnvironmentPath + "/lib/python" + python + "/site-packages"
}

// An Image is a built image. Its layers are files of the builder's cache (or,
// of a pulled base, in their registry until a push needs them).
type Image struct {
	image  v1.Image
	digest v1.Hash
	layers []LayerInfo
}

// LayerInfo describes one layer as it is stored: compressed.
type LayerInfo struct {
	Kind   string
	Digest string // sha256:…
	Size   int64  // bytes
}

// Digest is the digest of the image's manifest, sha256:….
func (i *Image) Digest() string { return i.digest.String() }

// Layers lists the layers from the lowest up.
func (i *Image) Layers() []LayerInfo { return append([]LayerInfo(nil), i.layers...) }
