package intake

import (
	"cmp"
	"context"
	"encoding/json"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// An Upload is a delivery by hand: files whose bytes are in the blob store, or
// an address to fetch them from.
type Upload struct {
	Project ridgeline.ProjectName
	Dataset string
	Single  bool // one file by itself
	Files   []ridgeline.DatasetFile
	Address string
	Caller  string
}

// Add lets an upload arrive.
func (i *Intake) Add(ctx context.Context, u Upload) (ridgeline.Arrival, error) {
	if _, err := i.setting(ctx, i.Store, u.Project, u.Dataset); err != nil {
		return ridgeline.Arrival{}, err
	}
	a, err := newArrival(u.Project, u.Dataset, ridgeline.FromUpload)
	if err != nil {
		return a, err
	}
	a.Cause, a.Caller = "upload", u.Caller
	if u.Address != "" {
		place, err := blob.OpenPlace(ctx, u.Address)
		if err != nil {
			return a, err
		}
		a.Address, a.Origin = u.Address, place.String()
		if err := place.Close(); err != nil {
			return a, err
		}
	} else if err := i.uploaded(ctx, u, &a); err != nil {
		return a, err
	}
	if err := i.Store.CreateArrival(ctx, a); err != nil {
		return a, err
	}
	return a, i.Start(ctx, Kind, string(a.ID))
}

// uploaded fills in the content that an upload's files make.
func (i *Intake) uploaded(ctx context.Context, u Upload, a *ridgeline.Arrival) (err error) {
	m := ridgeline.DatasetManifest{Single: u.Single && len(u.Files) == 1, Files: slices.Clone(u.Files)}
	slices.SortFunc(m.Files, func(a, b ridgeline.DatasetFile) int { return cmp.Compare(a.Name, b.Name) })
	if n := len(m.Files); n == 0 || n > blob.MaxFiles {
		return ridgeline.Errorf(ridgeline.Invalid, "an upload has 1 to %d files, not %d", blob.MaxFiles, n)
	}
	var names []string
	for n, f := range m.Files {
		if f.Name == "" || path.Clean("/"+f.Name) != "/"+f.Name || strings.ContainsAny(f.Name, "\x00\\") || blob.Hidden(f.Name) || len(f.Name) > 1000 {
			return ridgeline.Errorf(ridgeline.Invalid, "%q is no name for a file of a dataset: use relative names with slashes, without dots or underscores in front", f.Name)
		}
		if n > 0 && (m.Files[n-1].Name == f.Name || strings.HasPrefix(f.Name, m.Files[n-1].Name+"/")) {
			return ridgeline.Errorf(ridgeline.Invalid, "an upload has two files named %s", m.Files[n-1].Name)
		}
		size, err := i.Blob.Size(ctx, f.Digest)
		if err != nil {
			return err
		}
		if size != f.Size {
			return ridgeline.Errorf(ridgeline.Invalid, "%s: %d bytes were announced, and %d are here", f.Name, f.Size, size)
		}
		names = append(names, f.Name)
	}
	a.Origin = strings.Join(names[:min(3, len(names))], ", ")
	if len(names) > 3 {
		a.Origin += ", …"
	}
	a.Files = len(m.Files)
	a.Digest, a.Size = data.ManifestDigest(m)
	a.Manifest, err = i.putJSON(ctx, m)
	return err
}

// Accept takes a quarantined version into use because a person says so, and
// starts the run that waits for it.
func (i *Intake) Accept(ctx context.Context, name ridgeline.ProjectName, dataset string, version int, reason, caller string) (ridgeline.Arrival, error) {
	o := ridgeline.Override{Who: caller, Reason: reason, At: time.Now().UTC(), How: "accept"}
	var a ridgeline.Arrival
	err := i.Store.InTx(ctx, func(tx *store.Store) error {
		out, fresh, err := tx.ReleaseArrival(ctx, name, dataset, version, o)
		if err != nil {
			return err
		}
		a = out
		if fresh {
			a.Cause = "accept"
			a.Run, err = i.train(ctx, tx, a)
		}
		return err
	})
	if err != nil || a.Run == "" {
		return a, err
	}
	return a, i.Started(ctx, a.Run)
}

// Diff compares two versions by their statistics.
func (i *Intake) Diff(ctx context.Context, a, b ridgeline.DatasetVersion) (data.Difference, error) {
	from, err := i.Profile(ctx, a)
	if err != nil {
		return data.Difference{}, err
	}
	to, err := i.Profile(ctx, b)
	if err != nil {
		return data.Difference{}, err
	}
	return data.Diff(from, to), nil
}

// Profile returns a version's statistics.
func (i *Intake) Profile(ctx context.Context, v ridgeline.DatasetVersion) (data.Profile, error) {
	if v.Profile == "" {
		return data.Profile{}, ridgeline.Errorf(ridgeline.NotFound, "version %d of dataset %s has no statistics: its content could not be read, or it was recorded before there were any", v.Version, v.Name)
	}
	return getJSON[data.Profile](ctx, i, v.Profile)
}

// findingsOf reads an arrival's report.
func findingsOf(a ridgeline.Arrival) (findings []data.Finding, err error) {
	if len(a.Findings) == 0 {
		return nil, nil
	}
	err = json.Unmarshal(a.Findings, &findings)
	return findings, err
}
