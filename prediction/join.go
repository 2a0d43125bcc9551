package prediction

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/score/journal"
)

// Small files of an hour that is over become one:
//
//	joined-<digest of their names>.parquet    their rows
//	joined-<digest of their names>.json       {"files": [their names]}
//
// The second, written last, is what makes the first count instead of them:
// whoever reads leaves out files that such a list names, and joined ones without
// a list. So a row is read once whatever is there, also after a crash at any
// point and when a scorer brings one of the files a second time. They are removed
// only when nobody can be reading them any more.
const (
	joinEvery    = 10 * time.Minute
	joinedPrefix = "joined-"
	joinAfter    = 30 * time.Minute // after an hour's end, for files that are late
	joinFewest   = 4                // files that are worth it
	joinSmall    = 32 << 20         // bytes of a file that is joined
	joinLargest  = 256 << 20        // of all that become one
	reading      = 15 * time.Minute // as long as somebody may read a file after it was found
)

// manifest is the content of a joined file's list.
type manifest struct {
	Files []string `json:"files"`
}

// Joining calls Join now and then until ctx is done. One server does.
func (l *Log) Joining(ctx context.Context) {
	for {
		if err := l.Join(ctx, time.Now()); err != nil && ctx.Err() == nil {
			l.Log.Error("bring small files of the inference log together", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(joinEvery):
		}
	}
}

// Join brings small files of hours that are over together, and removes what
// was brought together before. It is harmless to repeat, and to break off.
func (l *Log) Join(ctx context.Context, now time.Time) error {
	projects, err := l.Store.Projects(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, p := range projects {
		list, err := l.Files.List(ctx, string(p.Name))
		if err != nil {
			return err
		}
		for len(list) > 0 {
			n := slices.IndexFunc(list, func(o blob.Object) bool { return path.Dir(o.Name) != path.Dir(list[0].Name) })
			if n < 0 {
				n = len(list)
			}
			if hour, ok := hourOf(list[0].Name); ok && hour.Add(time.Hour+joinAfter).Before(now) {
				if err := l.joinHour(ctx, list[:n], now); err != nil {
					failed = errors.Join(failed, fmt.Errorf("join the files of %s: %w", path.Dir(list[0].Name), err))
				}
			}
			list = list[n:]
		}
	}
	return failed
}

// joinHour does it for the files of one folder.
func (l *Log) joinHour(ctx context.Context, list []blob.Object, now time.Time) error {
	seen, err := l.counted(ctx, list)
	if err != nil {
		return err
	}
	for _, o := range seen.replaced {
		if now.Sub(o.by.Changed) > reading {
			if err := l.Files.Remove(ctx, o.Name); err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
				return err
			}
		}
	}
	for _, o := range seen.unlisted {
		if now.Sub(o.Changed) > reading { // else somebody may be about to write its list
			if err := l.Files.Remove(ctx, o.Name); err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
				return err
			}
		}
	}
	var some []blob.Object
	size := int64(0)
	for _, o := range seen.files {
		if o.Size <= joinSmall && size+o.Size <= joinLargest && !strings.HasPrefix(path.Base(o.Name), joinedPrefix) {
			some, size = append(some, o), size+o.Size
		}
	}
	if len(some) < joinFewest {
		return nil
	}
	return l.join(ctx, some)
}

// join makes one of some files.
func (l *Log) join(ctx context.Context, some []blob.Object) error {
	dir, err := os.MkdirTemp(l.Temp, "joined-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	alike := map[string][]string{} // files on this machine, by the share of requests that they hold
	for _, o := range some {
		file, err := l.local(ctx, o.Name, dir)
		if err != nil {
			return err
		}
		sample, fine, err := journal.Describe(file)
		if err != nil {
			return err
		}
		if !fine { // DuckDB would cut nanoseconds off
			alike[sample] = append(alike[sample], file)
		}
	}
	for sample, files := range alike {
		if len(files) < joinFewest {
			continue
		}
		out := filepath.Join(dir, "joined")
		if err := data.Concatenate(ctx, files, journal.SampleKey, sample, out); err != nil {
			return err
		}
		if err := l.replace(ctx, path.Dir(some[0].Name), files, out); err != nil {
			return err
		}
	}
	return nil
}

// replace brings what was made of some files to their folder, and then has it
// count instead of them.
func (l *Log) replace(ctx context.Context, folder string, files []string, made string) error {
	var names []string
	for _, file := range files {
		names = append(names, filepath.Base(file))
	}
	digest := sha256.Sum256([]byte(strings.Join(names, "\n")))
	name := fmt.Sprintf("%s/%s%x", folder, joinedPrefix, digest[:8])
	f, err := os.Open(made)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := l.Files.Put(ctx, name+".parquet", f); err != nil {
		return err
	}
	text, err := json.Marshal(manifest{names})
	if err != nil {
		return err
	}
	return l.Files.Put(ctx, name+".json", strings.NewReader(string(text)))
}

// counted is what of some files counts.
type counted struct {
	files    []blob.Object // to be read
	replaced []replaced
	unlisted []blob.Object   // joined, and not to be read yet, or ever
	names    map[string]bool // of the replaced ones, without their folders
}

type replaced struct {
	blob.Object
	by blob.Object // the list that names it
}

// counted reads the lists among some files, which are in the order of their
// names. A file that a list names as joined is there, whether it was seen or not.
func (l *Log) counted(ctx context.Context, list []blob.Object) (*counted, error) {
	c := &counted{names: map[string]bool{}}
	by, whole := map[string]blob.Object{}, map[string]blob.Object{}
	for _, o := range list {
		name, ok := strings.CutSuffix(o.Name, ".json")
		if !ok || !strings.HasPrefix(path.Base(o.Name), joinedPrefix) {
			continue
		}
		m, err := l.manifest(ctx, o.Name)
		if ridgeline.CodeOf(err) == ridgeline.NotFound {
			continue // forgotten since
		} else if err != nil {
			return nil, err
		}
		for _, n := range m.Files {
			by[path.Dir(o.Name)+"/"+n], c.names[n] = o, true
		}
		whole[name+".parquet"] = o
	}
	for _, o := range list {
		list, replacing := by[o.Name]
		_, listed := whole[o.Name]
		switch {
		case path.Ext(o.Name) == ".json":
		case replacing:
			c.replaced = append(c.replaced, replaced{o, list})
		case strings.HasPrefix(path.Base(o.Name), joinedPrefix) && !listed:
			c.unlisted = append(c.unlisted, o)
		default:
			c.files = append(c.files, o)
			delete(whole, o.Name)
		}
	}
	for name, o := range whole {
		c.files = append(c.files, blob.Object{Name: name, Size: joinLargest, Changed: o.Changed})
	}
	return c, nil
}

// manifest reads a list, which never changes.
func (l *Log) manifest(ctx context.Context, name string) (manifest, error) {
	if known, ok := l.manifests.Load(name); ok {
		return known.(manifest), nil
	}
	r, err := l.Files.Get(ctx, name)
	if err != nil {
		return manifest{}, err
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		return manifest{}, err
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return manifest{}, fmt.Errorf("%s: %w", name, err)
	}
	l.manifests.Store(name, m)
	return m, nil
}
