// Package storage measures what takes room on a server, by kind: contents,
// images, logs, databases, environments and caches. What of it nobody needs, and
// reclaiming that, is package gc's.
package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/track"
)

// Every is how often Run measures, moment after how long for the first time.
const (
	Every  = time.Hour
	moment = time.Minute
)

// The kinds of contents in the blob store. One that is of several kinds counts
// as the first of them.
const (
	Models    = "models"
	Data      = "data"
	Artifacts = "artifacts"
	Others    = "other contents"
)

// A Kind is how many files of one kind there are, and what room they take.
type Kind struct {
	Kind  string `json:"kind"`
	What  string `json:"what" doc:"in words"`
	Count int64  `json:"count" doc:"of files; 0 where they are not counted"`
	Bytes int64  `json:"bytes"`
}

// A Report is what takes room at one moment.
type Report struct {
	Measured time.Time `json:"measured"`
	Kinds    []Kind    `json:"kinds"`
	Bytes    int64     `json:"bytes" doc:"of all kinds"`
	Free     int64     `json:"free" doc:"bytes that the disk of the state folder still has for the server"`
}

// A Place is where everything of one kind is: files and folders of this machine,
// a folder of objects, or what a function knows of.
type Place struct {
	Kind, What string
	Paths      []string // patterns of filepath.Glob; a folder counts with all below
	Objects    *blob.Objects
	Bytes      func(ctx context.Context) (int64, error)
}

// Metadata knows which contents are models and data.
type Metadata interface {
	// Contents are the digests of all versions' models, and of the manifests
	// (ridgeline.DatasetManifest as JSON) of all datasets' versions.
	Contents(ctx context.Context) (models, manifests []string, err error)
}

// A Meter measures. All fields are needed.
type Meter struct {
	Metadata Metadata
	Track    *track.Store
	Blob     *blob.Store
	Dir      string  // the state folder
	Places   []Place // of what is not a content
	Log      *slog.Logger

	measuring sync.Mutex
	last      atomic.Pointer[Report]
}

// Run measures again and again until ctx is done; first after a moment, since
// a server that starts has more urgent files to look at.
func (m *Meter) Run(ctx context.Context) {
	for wait := moment; ; wait = Every {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if _, err := m.Measure(ctx); err != nil && ctx.Err() == nil {
			m.Log.Error("measure what takes room", "error", err)
		}
	}
}

// Last is the newest report; false before the first.
func (m *Meter) Last() (Report, bool) {
	if r := m.last.Load(); r != nil {
		return *r, true
	}
	return Report{}, false
}

// Measure looks at every file, or lists every object, which takes a while where
// there are many. Who asks meanwhile waits for the same report.
func (m *Meter) Measure(ctx context.Context) (Report, error) {
	asked := time.Now()
	m.measuring.Lock()
	defer m.measuring.Unlock()
	if r := m.last.Load(); r != nil && r.Measured.After(asked) {
		return *r, nil
	}
	r := Report{Measured: time.Now().UTC()}
	var err error
	if r.Kinds, err = m.contents(ctx); err != nil {
		return Report{}, err
	}
	for _, p := range m.Places {
		k, err := p.measure(ctx)
		if err != nil {
			return Report{}, fmt.Errorf("measure %s: %w", p.Kind, err)
		}
		r.Kinds = append(r.Kinds, k)
	}
	for _, k := range r.Kinds {
		r.Bytes += k.Bytes
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(m.Dir, &disk); err != nil {
		return Report{}, fmt.Errorf("look for room at %s: %w", m.Dir, err)
	}
	r.Free = int64(disk.Bavail) * disk.Bsize
	m.last.Store(&r)
	return r, nil
}

// contents tells the contents of the blob store apart.
func (m *Meter) contents(ctx context.Context) ([]Kind, error) {
	kinds := []Kind{
		{Kind: Models, What: "of all versions"}, {Kind: Data, What: "files of all datasets' versions"},
		{Kind: Artifacts, What: "that scripts and notebooks logged"}, {Kind: Others, What: "code, outputs of steps, reports, statistics"},
	}
	of := map[string]int{} // the place in kinds of each digest that is not another content
	note := func(kind int, digest string) {
		if known, ok := of[digest]; !ok || kind < known {
			of[digest] = kind
		}
	}
	models, manifests, err := m.Metadata.Contents(ctx)
	if err != nil {
		return nil, err
	}
	for _, digest := range models {
		note(0, digest)
	}
	for _, digest := range manifests {
		if err := m.files(ctx, digest, func(file string) { note(1, file) }); err != nil {
			return nil, err
		}
	}
	if err := m.Track.EachContent(ctx, func(a track.Artifact) { note(2, a.Digest) }); err != nil {
		return nil, err
	}
	return kinds, m.Blob.EachContent(ctx, func(c blob.Content) error {
		at, ok := of[c.Digest]
		if !ok {
			at = len(kinds) - 1
		}
		kinds[at].Count++
		kinds[at].Bytes += c.Size
		return nil
	})
}

// files calls fn with the digest of each file of a dataset's version that is a
// content of its own; those of a commit are in its tree.
func (m *Meter) files(ctx context.Context, manifest string, fn func(digest string)) error {
	r, err := m.Blob.Get(ctx, manifest)
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return nil // the report of what is missing is gc's
	} else if err != nil {
		return err
	}
	defer r.Close()
	var list ridgeline.DatasetManifest
	if err := json.NewDecoder(r).Decode(&list); err != nil {
		return fmt.Errorf("read the manifest %s: %w", manifest, err)
	}
	if list.Tree != "" {
		return nil
	}
	for _, f := range list.Files {
		fn(f.Digest)
	}
	return nil
}

func (p Place) measure(ctx context.Context) (Kind, error) {
	k := Kind{Kind: p.Kind, What: p.What}
	if p.Bytes != nil {
		bytes, err := p.Bytes(ctx)
		if err != nil {
			return k, err
		}
		k.Bytes += bytes
	}
	if p.Objects != nil {
		list, err := p.Objects.List(ctx, "")
		if err != nil {
			return k, err
		}
		for _, o := range list {
			k.Count++
			k.Bytes += o.Size
		}
	}
	for _, pattern := range p.Paths {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return k, err
		}
		for _, path := range found {
			if err := k.walk(ctx, path); err != nil {
				return k, err
			}
		}
	}
	return k, nil
}

// walk adds what is at and below a path. Files come and go meanwhile, and other
// users' folders, as of a container, are not ours to read.
func (k *Kind) walk(ctx context.Context, path string) error {
	return filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil
		}
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		k.Count++
		k.Bytes += info.Size()
		return nil
	})
}
