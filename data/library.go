package data

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Library keeps described and split dataset contents on disk, by digest:
// what it has once worked out for a content is never worked out again. A
// folder in it, once named, is never written again.
type Library struct {
	Dir string
}

// A Content is one dataset content at rest, with its two sides.
type Content struct {
	Digest  string             `json:"digest"`
	Size    int64              `json:"size"`
	Rows    int64              `json:"rows"`
	Columns []ridgeline.Column `json:"columns"`
	Sides   Sides              `json:"sides"`
	Path    string             `json:"-"` // the file or folder as it came
	Train   string             `json:"-"`
	Holdout string             `json:"-"`
}

// Split takes the file or folder at path, which is as known says, into the
// library, split by h. The same bytes and the same holdout rule give the same
// folder.
func (l *Library) Split(ctx context.Context, path string, known Description, h Holdout) (Content, error) {
	digest := known.Digest
	dir := filepath.Join(l.Dir, digest[:2], digest+"-"+h.id())
	if c, err := l.open(dir, path, digest); err == nil {
		return c, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return Content{}, fmt.Errorf("open the data library: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
	if err != nil {
		return Content{}, fmt.Errorf("open the data library: %w", err)
	}
	defer os.RemoveAll(tmp)
	db, err := Open()
	if err != nil {
		return Content{}, err
	}
	defer db.Close()
	c := Content{Digest: digest, Size: known.Size, Rows: known.Rows, Columns: known.Columns}
	ext := extension(path)
	if c.Sides, err = db.Split(ctx, path, h, filepath.Join(tmp, "train"+ext), filepath.Join(tmp, "holdout"+ext)); err != nil {
		return Content{}, err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return Content{}, err
	}
	if err := os.WriteFile(filepath.Join(tmp, "content.json"), text, 0o600); err != nil {
		return Content{}, err
	}
	// Somebody else may have been faster; what is there then is the same.
	if err := os.Rename(tmp, dir); err != nil {
		if c, again := l.open(dir, path, digest); again == nil {
			return c, nil
		}
		return Content{}, fmt.Errorf("keep the split of %s: %w", filepath.Base(path), err)
	}
	return l.open(dir, path, digest)
}

func (l *Library) open(dir, path, digest string) (Content, error) {
	text, err := os.ReadFile(filepath.Join(dir, "content.json"))
	if err != nil {
		return Content{}, err
	}
	var c Content
	if err := json.Unmarshal(text, &c); err != nil || c.Digest != digest {
		return Content{}, fmt.Errorf("%s is damaged", dir)
	}
	ext := extension(path)
	c.Path, c.Train, c.Holdout = path, filepath.Join(dir, "train"+ext), filepath.Join(dir, "holdout"+ext)
	return c, nil
}

func (h Holdout) id() string {
	text, _ := json.Marshal(h) // two plain fields: cannot fail
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:4])
}

// extension is that of a side's file: that of the source's first file.
func extension(path string) string {
	s, err := list(path)
	if err != nil {
		return ""
	}
	return filepath.Ext(s.names[0])
}
