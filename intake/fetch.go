package intake

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/data"
)

const (
	fetchers = 4 // files at once
	rounds   = 5 // of listing and fetching, while the source keeps changing
)

// A listed file is one of a source whose bytes are in the blob store.
type listed struct {
	blob.File
	Digest string `json:"sha256"`
}

// fetched brings an arrival's files into the blob store, those that are not
// there yet. One whose content is what its source had before ends Unchanged.
func (i *Intake) fetched(ctx context.Context, a ridgeline.Arrival) (ridgeline.Arrival, error) {
	last, err := i.last(ctx, a.Project, a.Dataset, a.Source)
	if err != nil {
		return a, err
	}
	got, err := i.fetch(ctx, a.Address, i.folder(a.ID), last.Listing)
	if err != nil {
		return a, err
	}
	a.Fingerprint = got.fingerprint
	if a.Listing, err = i.putJSON(ctx, got.files); err != nil {
		return a, err
	}
	a.Digest, a.Size = data.ManifestDigest(got.manifest)
	a.Files = len(got.manifest.Files)
	if a.Manifest, err = i.putJSON(ctx, got.manifest); err != nil {
		return a, err
	}
	if a.Source == ridgeline.FromRemote && last.Digest == a.Digest {
		set, err := i.setting(ctx, i.Store, a.Project, a.Dataset)
		if err != nil {
			return a, err
		}
		if same, err := i.settled(ctx, last, set); err != nil || same {
			a.Status, a.Rules = ridgeline.Unchanged, last.Rules
			return a, err
		}
	}
	return a, nil
}

// last is what most recently came of a source, with the fingerprint that it had
// when it was last found unchanged; a zero Arrival when there was nothing.
func (i *Intake) last(ctx context.Context, name ridgeline.ProjectName, dataset string, from ridgeline.Source) (ridgeline.Arrival, error) {
	want := arrivalsOf(name, dataset, from, ridgeline.Accepted, ridgeline.Quarantined, ridgeline.Unchanged)
	want.Limit = 3 // there is one Unchanged at most
	all, err := i.Store.Arrivals(ctx, want)
	if err != nil || len(all) == 0 {
		return ridgeline.Arrival{}, err
	}
	newest := all[0]
	for _, a := range all {
		if a.Status != ridgeline.Unchanged {
			if newest.Status == ridgeline.Unchanged {
				a.Fingerprint, a.Listing = newest.Fingerprint, newest.Listing
			}
			return a, nil
		}
	}
	return newest, nil
}

// settled reports whether the verdict on the source's last content still holds:
// what was quarantined by other rules than today's deserves another check.
func (i *Intake) settled(ctx context.Context, last ridgeline.Arrival, set setting) (bool, error) {
	if last.Status != ridgeline.Quarantined {
		return last.ID != "", nil
	}
	rules, err := i.rules(ctx, set)
	return err == nil && last.Rules == rulesDigest(set.Dataset, rules), err
}

// content is what fetch brings.
type content struct {
	manifest    ridgeline.DatasetManifest
	files       []listed
	fingerprint string
}

// fetch brings what is at the address into the blob store. Files that the blob
// with the known listing has, unchanged, are not read again; nor are those that
// an earlier try, which a crash cut off, has noted in folder. When the source
// changes meanwhile, it looks again.
func (i *Intake) fetch(ctx context.Context, address, folder, known string) (content, error) {
	place, err := blob.OpenPlace(ctx, address)
	if err != nil {
		return content{}, err
	}
	defer func() { _ = place.Close() }()
	journal, err := openJournal(folder)
	if err != nil {
		return content{}, err
	}
	defer func() { _ = journal.file.Close() }()
	if known != "" {
		before, err := getJSON[[]listed](ctx, i, known)
		if err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
			return content{}, err
		}
		for _, f := range before {
			journal.done[f.File] = f.Digest
		}
	}
	list, err := place.List(ctx)
	if err != nil {
		return content{}, err
	}
	for round := 1; ; round++ {
		files, err := i.fetchAll(ctx, place, list, journal)
		// A file that is gone or has another size was changed after the listing.
		if code := ridgeline.CodeOf(err); err != nil && code != ridgeline.NotFound && code != ridgeline.Unavailable {
			return content{}, err
		}
		again, listErr := place.List(ctx)
		if listErr != nil {
			return content{}, listErr
		}
		if err == nil && again.Fingerprint() == list.Fingerprint() {
			return contentOf(list, files), nil
		}
		if err == nil {
			err = ridgeline.Errorf(ridgeline.Unavailable, "%s changed while it was fetched, %d times in a row: write files elsewhere and move them there when they are whole", place, round)
		}
		if round == rounds {
			return content{}, err
		}
		select {
		case <-time.After(time.Second << (round - 1)):
		case <-ctx.Done():
			return content{}, ctx.Err()
		}
		if list, err = place.List(ctx); err != nil {
			return content{}, err
		}
	}
}

func contentOf(list blob.Listing, files []listed) content {
	out := content{manifest: ridgeline.DatasetManifest{Single: list.Single}, files: files, fingerprint: list.Fingerprint()}
	for _, f := range files {
		out.manifest.Files = append(out.manifest.Files, ridgeline.DatasetFile{Name: f.Name, Size: f.Size, Digest: f.Digest})
	}
	return out
}

// fetchAll puts every file of the listing into the blob store, a few at a time,
// and returns them in the listing's order.
func (i *Intake) fetchAll(ctx context.Context, place *blob.Place, list blob.Listing, j *journal) ([]listed, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	files := make([]listed, len(list.Files))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(fetchers, len(files)) {
		wg.Go(func() {
			for n := range next {
				var err error
				if files[n], err = i.fetchOne(ctx, place, list.Files[n], j); err != nil {
					cancel(err)
				}
			}
		})
	}
	for n := range files {
		if ctx.Err() == nil {
			next <- n
		}
	}
	close(next)
	wg.Wait()
	return files, context.Cause(ctx)
}

func (i *Intake) fetchOne(ctx context.Context, place *blob.Place, f blob.File, j *journal) (listed, error) {
	if digest := j.find(f); digest != "" {
		there, err := i.Blob.Has(ctx, digest)
		if err != nil || there {
			return listed{f, digest}, err
		}
	}
	r := place.Open(ctx, f)
	digest, size, err := i.Blob.Put(ctx, r)
	_ = r.Close()
	if err != nil {
		return listed{}, err
	}
	f.Size = size
	return listed{f, digest}, j.note(listed{f, digest})
}

// A journal remembers through a crash which files have been fetched.
type journal struct {
	mu   sync.Mutex
	done map[blob.File]string
	file *os.File
}

func openJournal(folder string) (*journal, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(folder, "fetched.jsonl")
	j := &journal{done: map[blob.File]string{}}
	old, err := os.Open(path)
	if err == nil {
		lines := bufio.NewScanner(old)
		for lines.Scan() {
			var f listed
			// The last line may be half a line: what it would say is fetched again.
			if json.Unmarshal(lines.Bytes(), &f) == nil {
				j.done[f.File] = f.Digest
			}
		}
		err = errors.Join(lines.Err(), old.Close())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read what was fetched before: %w", err)
	}
	j.file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return j, err
}

// find is the digest of a file that was fetched already and has not changed.
func (j *journal) find(f blob.File) string {
	if f.Tag == "" {
		return ""
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.done[f]
}

func (j *journal) note(f listed) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.done[f.File] = f.Digest
	_, err = j.file.Write(append([]byte("\n"), text...)) // after what may be half a line
	return err
}
