package ui

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// codeDiff is what is not the same in the files of two commits.
type codeDiff struct {
	Before, Now    ridgeline.Commit
	Gone           bool // the files of one of them are not kept any more
	Files          []components.FileDiff
	Added, Removed int // lines, of all files
	Hidden         int // files that are not shown, as there are too many
}

// Line shows all of it in a clone of the repository.
func (d codeDiff) Line() string {
	return "git diff " + components.Short(d.Before.Hash) + " " + components.Short(d.Now.Hash)
}

const (
	mostChanged   = 200     // of a diff
	mostFileBytes = 1 << 20 // of a file whose lines are compared
	mostLines     = 3000    // of a page; what is behind is for git
	openLines     = 300     // a file with more is shown when somebody opens it
)

// A diffCache keeps what was compared last: trees are named by their content,
// so that it is true for ever, and a live page is made again often.
type diffCache struct {
	mu   sync.Mutex
	kept map[[2]string]*codeDiff
}

const mostDiffs = 16

func (c *diffCache) get(key [2]string) *codeDiff {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept[key]
}

func (c *diffCache) put(key [2]string, d *codeDiff) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil || len(c.kept) >= mostDiffs {
		c.kept = map[[2]string]*codeDiff{}
	}
	c.kept[key] = d
}

// codeChanges compares the files of two commits; nil when they are the same.
func (u *UI) codeChanges(ctx context.Context, was, is ridgeline.Commit) (*codeDiff, error) {
	if was.Tree == is.Tree {
		return nil, nil
	}
	if was.Tree == "" || is.Tree == "" {
		return &codeDiff{Before: was, Now: is, Gone: true}, nil
	}
	key := [2]string{was.Tree, is.Tree}
	found := u.diffs.get(key)
	if found == nil {
		made, err := u.compareTrees(ctx, was.Tree, is.Tree)
		if ridgeline.CodeOf(err) == ridgeline.NotFound {
			return &codeDiff{Before: was, Now: is, Gone: true}, nil
		}
		if err != nil {
			return nil, err
		}
		found = &made
		u.diffs.put(key, found)
	}
	out := *found
	out.Before, out.Now = was, is
	return &out, nil
}

func (u *UI) compareTrees(ctx context.Context, was, is string) (out codeDiff, err error) {
	before, err := u.digests(ctx, was)
	if err != nil {
		return out, err
	}
	now, err := u.digests(ctx, is)
	if err != nil {
		return out, err
	}
	names := maps.Clone(before)
	maps.Copy(names, now)
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if before[name] != now[name] {
			changed = append(changed, name)
		}
	}
	if len(changed) > mostChanged {
		out.Hidden, changed = len(changed)-mostChanged, changed[:mostChanged]
	}
	old, err := u.Blob.Contents(ctx, was, changed, mostFileBytes+1)
	if err != nil {
		return out, err
	}
	current, err := u.Blob.Contents(ctx, is, changed, mostFileBytes+1)
	if err != nil {
		return out, err
	}
	room := mostLines
	for _, name := range changed {
		f := compareFile(name, old, current, room)
		room -= f.Shown()
		out.Added, out.Removed = out.Added+f.Added, out.Removed+f.Removed
		out.Files = append(out.Files, f)
	}
	return out, nil
}

// digests are those of a tree's files, by their paths.
func (u *UI) digests(ctx context.Context, tree string) (map[string]string, error) {
	files, err := u.Blob.Files(ctx, tree)
	out := make(map[string]string, len(files))
	for _, f := range files {
		out[f.Path] = f.SHA256
	}
	return out, err
}

// compareFile compares a file, and shows of it as many lines as there is room
// for.
func compareFile(name string, before, now map[string][]byte, room int) components.FileDiff {
	a, was := before[name]
	b, is := now[name]
	f := components.FileDiff{Path: name, What: "changed"}
	switch {
	case !was:
		f.What = "added"
	case !is:
		f.What = "removed"
	}
	switch {
	case len(a) > mostFileBytes || len(b) > mostFileBytes:
		f.Note = "It is larger than " + components.Bytes(mostFileBytes) + ", so that its lines are not compared here."
	case binary(a) || binary(b):
		f.Note = "It is binary: " + components.Bytes(int64(len(a))) + " before, " + components.Bytes(int64(len(b))) + " now."
	case bytes.Equal(a, b):
		f.Note = "Only whether it may be executed has changed."
	default:
		f.Compare(a, b)
	}
	if n := f.Shown(); n > room {
		f.Note, f.Hunks = components.Plural(n, "line", "lines")+" to show: too many for this page.", nil
	} else {
		f.Open = n <= openLines
	}
	return f
}

// binary says that a content is not text, as git does, or not UTF-8.
func binary(content []byte) bool {
	return bytes.IndexByte(content[:min(len(content), 8000)], 0) >= 0 || !utf8.Valid(content)
}
