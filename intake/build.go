package intake

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// ofCommit begins the arrival of a dataset that lies in a commit's tree.
func (i *Intake) ofCommit(ctx context.Context, c ridgeline.Commit, d project.Dataset) (ridgeline.Arrival, error) {
	tree, err := i.tree(ctx, c.Tree)
	if err != nil {
		return ridgeline.Arrival{}, err
	}
	m, err := Lies(tree, d)
	if err != nil {
		return ridgeline.Arrival{}, err
	}
	m.Tree = c.Tree
	a, err := newArrival(c.Project, d.Name, ridgeline.FromCommit)
	if err != nil {
		return a, err
	}
	a.Origin = "commit " + c.Short()
	a.Digest, a.Size = data.ManifestDigest(m)
	a.Files = len(m.Files)
	a.Manifest, err = i.putJSON(ctx, m)
	return a, err
}

// Lies lists the files of a dataset that lies in the project's folder: a file,
// a folder, or what fits a pattern.
func Lies(dir string, d project.Dataset) (ridgeline.DatasetManifest, error) {
	if !project.IsPattern(d.Path) {
		m, err := data.Manifest(filepath.Join(dir, filepath.FromSlash(d.Path)))
		m.Path = d.Path
		return m, err
	}
	parts := strings.Split(d.Path, "/")
	n := 0
	for !project.IsPattern(parts[n]) {
		n++
	}
	base, pattern := strings.Join(parts[:n], "/"), strings.Join(parts[n:], "/")
	all, err := data.Manifest(filepath.Join(dir, filepath.FromSlash(base)))
	if err != nil {
		return all, err
	}
	out := ridgeline.DatasetManifest{Path: base, Some: true}
	for _, f := range all.Files {
		if project.Match(pattern, f.Name) {
			out.Files = append(out.Files, f)
		}
	}
	if len(out.Files) == 0 {
		return out, ridgeline.Errorf(ridgeline.NotFound, "no file of the project fits %s", d.Path)
	}
	return out, nil
}

// Check holds a dataset against what a commit says of it: the checks, the
// target, the holdout. One that lies in the commit is looked at there. Of one
// that lies elsewhere it is the version in use or, with none in use, what is at
// its source now. Nothing comes into use by it: what is new is proposed, for
// Publish. The message is the figures; what does not hold is an Invalid error.
func (i *Intake) Check(ctx context.Context, build ridgeline.BuildID, c ridgeline.Commit, d project.Dataset) (message string, err error) {
	tree, err := i.tree(ctx, c.Tree)
	if err != nil {
		return "", err
	}
	var rules []byte
	if d.Checks != "" {
		if rules, err = os.ReadFile(filepath.Join(tree, filepath.FromSlash(d.Checks))); err != nil {
			return "", fmt.Errorf("read %s: %w", d.Checks, err)
		}
	}
	a, isNew, err := i.candidate(ctx, build, c, d)
	if err != nil {
		return "", err
	}
	if a, err = i.judge(ctx, a, d, rules); err != nil {
		return "", err
	}
	if a.Status == ridgeline.Quarantined {
		return "", ridgeline.Errorf(ridgeline.Invalid, "%s\n(%s)", a.Reason, against(d))
	}
	if isNew {
		// Named by the build, so that a build that goes on after a crash proposes
		// nothing twice.
		a.ID = ridgeline.ArrivalID("a-" + strings.TrimPrefix(string(build), "b-") + "-" + d.Name)
		a.Status = ridgeline.Proposed
		if err := i.Store.CreateArrival(ctx, a); err != nil {
			return "", err
		}
	}
	return i.figures(ctx, a, d)
}

func against(d project.Dataset) string {
	path := blob.Printable(d.Path)
	if d.Checks == "" {
		return path
	}
	return path + " against " + d.Checks
}

// candidate is the content that a build checks, and whether it would be new.
func (i *Intake) candidate(ctx context.Context, build ridgeline.BuildID, c ridgeline.Commit, d project.Dataset) (a ridgeline.Arrival, isNew bool, err error) {
	now, nowErr := i.Store.DatasetVersion(ctx, c.Project, d.Name, 0)
	if nowErr != nil && ridgeline.CodeOf(nowErr) != ridgeline.NotFound {
		return a, false, nowErr
	}
	cause := "build " + string(build)
	if !d.Remote() {
		if a, err = i.ofCommit(ctx, c, d); err != nil {
			return a, false, err
		}
		a.Cause = cause
		last, err := i.last(ctx, c.Project, d.Name, ridgeline.FromCommit)
		return a, nowErr != nil || last.Digest != a.Digest, err
	}
	if nowErr == nil {
		_, err := i.Manifest(ctx, now)
		return ridgeline.Arrival{Project: c.Project, Dataset: d.Name, DatasetContent: now.DatasetContent, Version: now.Version}, false, err
	}
	if a, err = newArrival(c.Project, d.Name, ridgeline.FromRemote); err != nil {
		return a, false, err
	}
	a.Cause, a.Origin = cause, blob.Printable(d.Path)
	folder := i.folder(ridgeline.ArrivalID(string(build) + "-" + d.Name))
	got, err := i.fetch(ctx, d.Path, folder, "")
	if err != nil {
		return a, false, err
	}
	a.Fingerprint, a.Files = got.fingerprint, len(got.manifest.Files)
	a.Digest, a.Size = data.ManifestDigest(got.manifest)
	if a.Listing, err = i.putJSON(ctx, got.files); err != nil {
		return a, false, err
	}
	if a.Manifest, err = i.putJSON(ctx, got.manifest); err != nil {
		return a, false, err
	}
	return a, true, os.RemoveAll(folder)
}

// figures is a green check in a line.
func (i *Intake) figures(ctx context.Context, a ridgeline.Arrival, d project.Dataset) (string, error) {
	m, err := getJSON[ridgeline.DatasetManifest](ctx, i, a.Manifest)
	if err != nil {
		return "", err
	}
	path, err := i.lay(ctx, a.Manifest, m)
	if err != nil {
		return "", err
	}
	split, err := i.Library.Split(ctx, path, described(a.DatasetContent), holdout(d))
	if err != nil {
		return "", err
	}
	which := "new content"
	if a.Version == 0 {
		versions, err := i.Store.DatasetVersions(ctx, a.Project, a.Dataset)
		if err != nil {
			return "", err
		}
		for _, v := range versions {
			if v.Digest == a.Digest {
				a.Version = v.Version
			}
		}
	}
	if a.Version > 0 {
		which = fmt.Sprintf("version %d", a.Version)
	}
	findings, err := findingsOf(a)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%s: %d rows, %d columns, %d rules hold; %d rows to train on, %d held out",
		which, a.Rows, len(a.Columns), hold(findings), split.Sides.TrainRows, split.Sides.HoldoutRows)
	for _, f := range findings {
		if f.Warns() {
			text += "\nwarning: " + f.String()
		}
	}
	return text, nil
}

// Publish takes into use what a build has proposed, in the transaction in which
// the build publishes its pipeline, and names the datasets that have another
// version now.
func (i *Intake) Publish(ctx context.Context, tx *store.Store, name ridgeline.ProjectName, build ridgeline.BuildID) (fresh []string, err error) {
	all, err := tx.Arrivals(ctx, store.ArrivalFilter{Project: name, Cause: "build " + string(build), Status: []ridgeline.ArrivalStatus{ridgeline.Proposed}})
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		a.Status, a.Ended = ridgeline.Accepted, time.Now().UTC()
		_, isFresh, err := tx.FinishArrival(ctx, a)
		if err != nil {
			return nil, err
		}
		if isFresh {
			fresh = append(fresh, a.Dataset)
		}
	}
	return fresh, nil
}
