// Package gc finds what nobody needs any more, and reclaims it: runs, logged
// models and experiments of the tracking that were deleted long ago, files of
// deleted versions, and contents of the blob store that nothing mentions.
//
// How long what was deleted is kept is package track's to know; whether a content
// is used at this moment, package blob's. Images are the registry's, and logs go
// with what they are of, which the metadata keeps.
package gc

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/track"
)

// Grace is how long a content is left alone that nothing mentions yet: whoever
// has put it may still be about to.
const Grace = 24 * time.Hour

// AbandonedAfter is how long an upload in parts waits for the next one.
const AbandonedAfter = 7 * 24 * time.Hour

// A Collector reclaims. All fields but Kept are needed.
type Collector struct {
	Metadata Metadata
	Track    *track.Store
	Blob     *blob.Store
	// Kept are more digests that something on this machine refers to.
	Kept func(ctx context.Context) ([]string, error)
	Log  *slog.Logger

	running sync.Mutex
}

// Metadata is what mentions contents.
type Metadata interface {
	// Texts calls fn with the text of every row there is.
	Texts(ctx context.Context, fn func(text string)) error
	// ArtifactFolders are the folders of artifacts that registered versions are in.
	ArtifactFolders(ctx context.Context) ([]string, error)
}

// Options say what to do.
type Options struct {
	Delete bool          // else: say what would be reclaimed
	Grace  time.Duration // see Grace
}

// A Report says what was, or would be, reclaimed.
type Report struct {
	Deleted bool     `json:"deleted" doc:"false: nothing was, this is what would be"`
	Kinds   []Tally  `json:"kinds"`
	Bytes   int64    `json:"bytes"`
	Kept    Tally    `json:"kept" doc:"contents that stay"`
	Missing []string `json:"missing" doc:"artifacts whose content is not in the blob store, the first hundred"`
}

// A Tally is how many of one kind, and what room they take.
type Tally struct {
	Kind  string `json:"kind"`
	Count int64  `json:"count"`
	Bytes int64  `json:"bytes"`
}

// The kinds of contents.
const (
	kindArtifact = "artifact content" // of deleted runs and logged models alone
	kindOther    = "other content"    // that nothing mentions
)

// Collect reclaims what nobody needs. Only one does so at a time in a process;
// several processes do not disturb each other. Killed in the middle it has
// reclaimed less; the next one goes on.
//
// What refers to a content is whatever mentions its digest: any row of the
// metadata or of the flow engine, in whichever column, an artifact, or a content
// in JSON that is itself mentioned. So a column that this package has never heard
// of protects what it names.
func (c *Collector) Collect(ctx context.Context, o Options) (Report, error) {
	report := Report{Deleted: o.Delete, Missing: []string{}}
	if !c.running.TryLock() {
		return report, ridgeline.Errorf(ridgeline.Conflict, "somebody is reclaiming already: try again when that has ended")
	}
	defer c.running.Unlock()
	unused := time.Now().Add(-o.Grace)
	m := &marks{map[digest]bool{}, map[digest]bool{}, map[digest]string{}}
	expired, err := c.expire(ctx, m, unused, o.Delete, &report)
	if err != nil {
		return report, err
	}
	if err := c.mark(ctx, m, expired); err != nil {
		return report, err
	}
	err = c.sweep(ctx, m, unused, o.Delete, &report)
	if err == nil {
		err = c.abandoned(ctx, o.Delete, &report)
	}
	if err == nil {
		err = c.missing(ctx, m, &report)
	}
	for _, t := range report.Kinds {
		report.Bytes += t.Bytes
	}
	return report, err
}

// expire forgets what was deleted long ago, or only lists it, and returns the
// folders of its artifacts.
func (c *Collector) expire(ctx context.Context, m *marks, unused time.Time, purge bool, report *Report) (map[string]bool, error) {
	all, err := c.expired(ctx, unused)
	if err != nil {
		return nil, err
	}
	folders := map[string]bool{}
	for _, e := range all {
		folders[e.Folder] = true
	}
	delete(folders, "")
	err = c.Track.EachContent(ctx, func(a track.Artifact) { // while the rows are there
		if d, ok := parse(a.Digest); ok && below(folders, a.Path) {
			m.expired[d] = true
		}
	})
	if err != nil {
		return nil, err
	}
	counts := map[string]int64{}
	for _, e := range all {
		purged := true
		if purge {
			if purged, err = c.Track.Purge(ctx, e); err != nil {
				return nil, err
			}
		}
		if purged {
			counts[e.Kind]++
		} else {
			delete(folders, e.Folder)
		}
	}
	for _, kind := range []string{track.KindRun, track.KindModel, track.KindExperiment, track.KindVersion} {
		report.Kinds = append(report.Kinds, Tally{Kind: kind, Count: counts[kind]})
	}
	return folders, nil
}

// expired is what was deleted long ago and no registered version is made of. A
// version that is deleted is so for good: its files wait for nothing but for the
// row of one that is being registered.
func (c *Collector) expired(ctx context.Context, unused time.Time) ([]track.Expired, error) {
	all, err := c.Track.Expired(ctx, time.Now())
	if err != nil {
		return nil, err
	}
	files, err := c.Track.RegisteredFiles(ctx, unused)
	if err != nil {
		return nil, err
	}
	all = append(all, files...)
	registered, err := c.Metadata.ArtifactFolders(ctx)
	if err != nil {
		return nil, err
	}
	needed := map[string]bool{} // every folder above a registered version's, and that itself
	for _, f := range registered {
		for f = strings.Trim(f, "/"); f != "." && f != ""; f = path.Dir(f) {
			needed[f] = true
		}
	}
	return slices.DeleteFunc(all, func(e track.Expired) bool { return needed[e.Folder] }), nil
}

// below reports whether a path is in one of the folders.
func below(folders map[string]bool, p string) bool {
	for p = path.Dir(p); p != "." && p != "/"; p = path.Dir(p) {
		if folders[p] {
			return true
		}
	}
	return false
}

type digest [32]byte

// marks are what is mentioned.
type marks struct {
	needed  map[digest]bool
	expired map[digest]bool   // contents of expired artifacts
	at      map[digest]string // an artifact that has the content
}

func (m *marks) need(d digest) { m.needed[d] = true }

func parse(text string) (d digest, ok bool) {
	n, err := hex.Decode(d[:], []byte(text))
	return d, err == nil && n == len(d)
}

// mark notes everything that is mentioned, but for artifacts in expired folders.
func (c *Collector) mark(ctx context.Context, m *marks, expired map[string]bool) error {
	err := c.Track.EachContent(ctx, func(a track.Artifact) {
		d, ok := parse(a.Digest)
		if ok && !below(expired, a.Path) {
			m.need(d)
			m.at[d] = a.Path
		}
	})
	if err != nil {
		return err
	}
	if err := c.Metadata.Texts(ctx, func(text string) { mentions([]byte(text), 0, m.need) }); err != nil {
		return fmt.Errorf("look for what refers to contents: %w", err)
	}
	if c.Kept != nil {
		kept, err := c.Kept(ctx)
		if err != nil {
			return err
		}
		for _, text := range kept {
			if d, ok := parse(text); ok {
				m.need(d)
			}
		}
	}
	return c.follow(ctx, m)
}

// follow marks what JSON mentions that is itself mentioned, such as the files of
// a dataset's manifest.
func (c *Collector) follow(ctx context.Context, m *marks) error {
	var next []digest
	for d := range m.needed {
		next = append(next, d)
	}
	for len(next) > 0 {
		d := next[len(next)-1]
		next = next[:len(next)-1]
		err := c.read(ctx, hex.EncodeToString(d[:]), func(found digest) {
			if !m.needed[found] {
				m.need(found)
				next = append(next, found)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sweep removes contents that are not marked and were not used lately.
func (c *Collector) sweep(ctx context.Context, m *marks, unused time.Time, remove bool, report *Report) error {
	tallies := map[string]*Tally{kindArtifact: {Kind: kindArtifact}, kindOther: {Kind: kindOther}}
	report.Kept.Kind = "content"
	err := c.Blob.EachContent(ctx, func(content blob.Content) error {
		d, ok := parse(content.Digest)
		if !ok {
			return nil
		}
		delete(m.at, d) // what is left in it is missing
		gone := !m.needed[d] && content.Used.Before(unused)
		if gone && remove {
			var err error
			if gone, err = c.Blob.Reclaim(ctx, content.Digest, unused); err != nil {
				return err
			}
		}
		t := &report.Kept
		if gone {
			t = tallies[kindOther]
			if m.expired[d] {
				t = tallies[kindArtifact]
			}
		}
		t.Count++
		t.Bytes += content.Size
		return nil
	})
	report.Kinds = append(report.Kinds, *tallies[kindArtifact], *tallies[kindOther])
	return err
}

// abandoned removes uploads that nobody went on with.
func (c *Collector) abandoned(ctx context.Context, remove bool, report *Report) error {
	t := Tally{Kind: "unfinished upload"}
	sizes, err := c.Blob.Uploads().Abandoned(ctx, time.Now().Add(-AbandonedAfter))
	for id, size := range sizes {
		if remove && err == nil {
			err = c.Blob.Uploads().Remove(ctx, id)
		}
		t.Count++
		t.Bytes += size
	}
	report.Kinds = append(report.Kinds, t)
	return err
}

// missing names artifacts whose content was not among those in the store. One
// that was logged meanwhile is not missing, so the store is asked again.
func (c *Collector) missing(ctx context.Context, m *marks, report *Report) error {
	for d, at := range m.at {
		there, err := c.Blob.Has(ctx, hex.EncodeToString(d[:]))
		if err != nil {
			return err
		}
		if there || len(report.Missing) == 100 {
			continue
		}
		report.Missing = append(report.Missing, at)
		c.Log.Warn("the content of an artifact is missing: restore the blob store from a backup, or log it again", "artifact", at, "sha256", hex.EncodeToString(d[:]))
	}
	return nil
}

// Run collects every so often, until ctx ends.
func (c *Collector) Run(ctx context.Context, every time.Duration) {
	for ticker := time.NewTicker(every); ; {
		select {
		case <-ctx.Done():
			ticker.Stop()
			return
		case <-ticker.C:
		}
		report, err := c.Collect(ctx, Options{Delete: true, Grace: Grace})
		if err != nil && ctx.Err() == nil {
			c.Log.Error("reclaim what nobody needs", "error", err)
		} else if err == nil {
			c.Log.Info("reclaimed what nobody needs", "bytes", report.Bytes, "kept", report.Kept.Bytes)
		}
	}
}
