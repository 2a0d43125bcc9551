// Package prediction keeps what endpoints have answered: it finds the files of
// the inference log, takes in what scorers that never came back left behind,
// joins labels that come later, makes one of an hour's small files, and forgets
// what is old.
//
// Writing the log is package score/journal's part, reading Parquet package
// data's.
package prediction

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/score/journal"
)

// Store is what a Log has to know of the database.
type Store interface {
	Project(ctx context.Context, name ridgeline.ProjectName) (ridgeline.Project, error)
	Projects(ctx context.Context) ([]ridgeline.Project, error)
	Deployment(ctx context.Context, id ridgeline.DeploymentID) (ridgeline.Deployment, error)
	Feedback(ctx context.Context, p ridgeline.ProjectName, environment string, since time.Time, each func(ridgeline.Feedback) error) error
	ForgetFeedback(ctx context.Context, p ridgeline.ProjectName, before time.Time) error
}

// A Log is the inference log of all projects. All fields are needed.
type Log struct {
	Store   Store
	Files   *blob.Objects
	Waiting string // folder of this machine: <deployment>/<copy>/ holds what a scorer has not brought to Files yet
	Temp    string // for what is looked up
	// Keep is how long a project's log is kept; 0 is for ever.
	Keep func(ctx context.Context, p ridgeline.ProjectName) (time.Duration, error)
	// Whose says which deployment's log a bearer secret lets in.
	Whose func(secret string, now time.Time) (ridgeline.DeploymentID, error)
	Log   *slog.Logger

	manifests sync.Map // what joined files replace, by the name of their list
}

// Run takes in what dead scorers left, and forgets what is old, until ctx is
// done.
func (l *Log) Run(ctx context.Context) {
	const adopting, forgetting = 10 * time.Second, time.Hour
	var forgotten time.Time
	for {
		if err := l.Adopt(ctx); err != nil && ctx.Err() == nil {
			l.Log.Error("take in what scorers left of the inference log", "error", err)
		}
		if now := time.Now(); now.Sub(forgotten) > forgetting {
			forgotten = now
			if err := l.Forget(ctx, now); err != nil && ctx.Err() == nil {
				l.Log.Error("forget what is old of the inference log", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(adopting):
		}
	}
}

// copies lists the folders of this machine's scorers.
func (l *Log) copies() ([]string, error) {
	var list []string
	deployments, err := os.ReadDir(l.Waiting)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	for _, d := range deployments {
		copies, err := os.ReadDir(filepath.Join(l.Waiting, d.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, c := range copies {
			list = append(list, filepath.Join(l.Waiting, d.Name(), c.Name()))
		}
	}
	return list, nil
}

// restart is how long a scorer that ended may take to come back and bring its
// log to the files itself.
const restart = time.Minute

// Adopt brings what ended scorers of this machine left to the files, and
// removes the folders of deployments that are gone. What a running scorer
// writes is its own.
func (l *Log) Adopt(ctx context.Context) error {
	list, err := l.copies()
	if err != nil {
		return err
	}
	for _, dir := range list {
		d, err := l.Store.Deployment(ctx, ridgeline.DeploymentID(filepath.Base(filepath.Dir(dir))))
		gone := ridgeline.CodeOf(err) == ridgeline.NotFound || err == nil && d.State == ridgeline.DeploymentRetired
		if err != nil && !gone {
			return err
		}
		if info, err := os.Stat(dir); !gone && (err != nil || time.Since(info.ModTime()) < restart) {
			continue
		}
		empty, err := journal.Adopt(ctx, dir, objects{l.Files})
		if err == nil && empty && gone {
			err = journal.Remove(dir)
			_ = os.Remove(filepath.Dir(dir)) // stays while another copy's is in it
		}
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	return nil
}

// objects is a journal.Store.
type objects struct{ *blob.Objects }

// Put implements journal.Store.
func (o objects) Put(ctx context.Context, name string, f *os.File) error {
	if _, err := f.Seek(0, 0); err != nil {
		return err
	}
	return o.Objects.Put(ctx, name, f)
}

// Waits tells what a deployment's copies on this machine have not brought to
// the files yet.
func (l *Log) Waits(id ridgeline.DeploymentID) (journal.Pending, error) {
	var all journal.Pending
	copies, err := os.ReadDir(filepath.Join(l.Waiting, string(id)))
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	} else if err != nil {
		return all, err
	}
	for _, c := range copies {
		p, err := journal.Look(filepath.Join(l.Waiting, string(id), c.Name()))
		if err != nil {
			return all, err
		}
		all.Bytes += p.Bytes
		all.Dropped += p.Dropped
		if all.Since.IsZero() || !p.Since.IsZero() && p.Since.Before(all.Since) {
			all.Since = p.Since
		}
	}
	return all, nil
}

// Forget removes files and labels that are older than their project keeps
// them.
func (l *Log) Forget(ctx context.Context, now time.Time) error {
	projects, err := l.Store.Projects(ctx)
	if err != nil {
		return err
	}
	for _, p := range projects {
		keep, err := l.Keep(ctx, p.Name)
		if err != nil {
			return fmt.Errorf("how long the log of %s is kept: %w", p.Name, err)
		}
		if keep <= 0 {
			continue
		}
		files, err := l.Files.List(ctx, string(p.Name))
		if err != nil {
			return err
		}
		for _, f := range files {
			if hour, ok := hourOf(f.Name); ok && hour.Add(time.Hour).Before(now.Add(-keep)) {
				if err := l.Files.Remove(ctx, f.Name); err != nil {
					return err
				}
			}
		}
		if err := l.Store.ForgetFeedback(ctx, p.Name, now.Add(-keep)); err != nil {
			return err
		}
	}
	return nil
}

// hourOf is the hour of a file, as its folders say:
// <project>/<model>/<version>/<yyyy>/<MM>/<dd>/<HH>/<name>.
func hourOf(name string) (time.Time, bool) {
	parts := strings.Split(path.Dir(name), "/")
	if len(parts) != 7 {
		return time.Time{}, false
	}
	at, err := time.Parse("2006/01/02/15", strings.Join(parts[3:], "/"))
	return at, err == nil
}
