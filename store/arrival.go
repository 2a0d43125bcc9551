package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// An ArrivalFilter chooses arrivals; the zero value means all.
type ArrivalFilter struct {
	Project    ridgeline.ProjectName
	Dataset    string
	Source     ridgeline.Source
	Cause      string
	Status     []ridgeline.ArrivalStatus // empty: any
	Unfinished bool                      // only those still arriving
	Limit      int                       // 0: all
}

// CreateArrival keeps a new arrival. The same again is harmless. A remote one
// while another of the dataset is still arriving from there is Conflict.
func (s *Store) CreateArrival(ctx context.Context, a ridgeline.Arrival) error {
	const insert = `INSERT INTO arrivals (id, project, dataset, source, origin, address, status, digest, size, length, files, columns, manifest, profile,
			version, fingerprint, rules, listing, findings, reason, released, cause, caller, run, created, ended)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26) ON CONFLICT (id) DO NOTHING`
	return s.doing(ctx, "record arrival "+string(a.ID), func(tx *Store) error {
		if err := tx.lockDataset(ctx, a.Project, a.Dataset); err != nil {
			return err
		}
		if a.Source == ridgeline.FromRemote && a.Status == ridgeline.Arriving {
			open, err := tx.Arrivals(ctx, ArrivalFilter{Project: a.Project, Dataset: a.Dataset, Source: a.Source, Unfinished: true})
			if err != nil {
				return err
			}
			for _, o := range open {
				if o.ID != a.ID {
					return ridgeline.Errorf(ridgeline.Conflict, "arrival %s of dataset %s has not ended", o.ID, a.Dataset)
				}
			}
		}
		_, err := tx.tx.Exec(ctx, insert, a.ID, a.Project, a.Dataset, a.Source, a.Origin, a.Address, a.Status, a.Digest, a.Size, a.Rows, a.Files, jsonText(a.Columns),
			a.Manifest, a.Profile, a.Version, a.Fingerprint, a.Rules, a.Listing, []byte(a.Findings), a.Reason, jsonText(a.Released), a.Cause, a.Caller, a.Run, a.Created, a.Ended)
		return err
	})
}

const selectArrivals = `SELECT id, project, dataset, source, origin, address, status, digest, size, length, files, columns, manifest, profile,
	version, fingerprint, rules, listing, findings, reason, released, cause, caller, run, created, ended FROM arrivals`

func scanArrival(row sqlq.Row) (a ridgeline.Arrival, err error) {
	var findings []byte
	err = row.Scan(&a.ID, &a.Project, &a.Dataset, &a.Source, &a.Origin, &a.Address, &a.Status, &a.Digest, &a.Size, &a.Rows, &a.Files, asJSON(&a.Columns),
		&a.Manifest, &a.Profile, &a.Version, &a.Fingerprint, &a.Rules, &a.Listing, asBytes(&findings), &a.Reason, asJSON(&a.Released),
		&a.Cause, &a.Caller, &a.Run, asTime(&a.Created), asTime(&a.Ended))
	a.Findings = findings
	return a, err
}

// Arrival returns the arrival.
func (s *Store) Arrival(ctx context.Context, id ridgeline.ArrivalID) (ridgeline.Arrival, error) {
	a, err := scanArrival(s.q().QueryRow(ctx, selectArrivals+` WHERE id = $1`, id))
	switch {
	case absent(err):
		return a, ridgeline.Errorf(ridgeline.NotFound, "no arrival %s", id)
	case err != nil:
		return a, fmt.Errorf("read arrival %s: %w", id, err)
	}
	return a, nil
}

// Arrivals returns the arrivals, newest first.
func (s *Store) Arrivals(ctx context.Context, want ArrivalFilter) ([]ridgeline.Arrival, error) {
	var f filter
	if want.Project != "" {
		f.and("project = ?", want.Project)
	}
	if want.Dataset != "" {
		f.and("dataset = ?", want.Dataset)
	}
	if want.Source != "" {
		f.and("source = ?", want.Source)
	}
	if want.Cause != "" {
		f.and("cause = ?", want.Cause)
	}
	if want.Unfinished {
		f.and("status = 'arriving'")
	}
	if len(want.Status) > 0 {
		in(&f, "status", want.Status)
	}
	query, args := f.sql(selectArrivals, "created DESC, id DESC", want.Limit)
	all, err := collect(ctx, s.q(), scanArrival, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list arrivals: %w", err)
	}
	return all, nil
}

// FinishArrival ends the arrival as a says; see ridgeline.Arrival.Finish. What
// is accepted or quarantined gets its content's version; what is accepted is in
// use from then on, and fresh says that it was not before. Of the Unchanged
// arrivals of one source only the last is kept.
func (s *Store) FinishArrival(ctx context.Context, a ridgeline.Arrival) (_ ridgeline.Arrival, fresh bool, err error) {
	const tidy = `DELETE FROM arrivals WHERE project = $1 AND dataset = $2 AND source = $3 AND status = $4 AND id <> $5`
	err = s.doing(ctx, "finish arrival "+string(a.ID), func(tx *Store) error {
		if err := tx.lockDataset(ctx, a.Project, a.Dataset); err != nil {
			return err
		}
		row, err := tx.Arrival(ctx, a.ID)
		if err != nil {
			return err
		}
		if row.Status == a.Status {
			a = row
			return nil
		}
		if err := row.Finish(a.Status, a.Reason, a.Ended); err != nil {
			return err
		}
		row.DatasetContent, row.Listing, row.Fingerprint, row.Rules, row.Findings = a.DatasetContent, a.Listing, a.Fingerprint, a.Rules, a.Findings
		switch row.Status {
		case ridgeline.Accepted, ridgeline.Quarantined:
			if fresh, err = tx.number(ctx, &row); err != nil {
				return err
			}
		case ridgeline.Unchanged:
			if _, err := tx.tx.Exec(ctx, tidy, row.Project, row.Dataset, row.Source, row.Status, row.ID); err != nil {
				return err
			}
		}
		row.Address = ""
		a = row
		return tx.saveArrival(ctx, row)
	})
	return a, fresh, err
}

// ReleaseArrival takes a quarantined version into use because a person says
// so; the audit trail keeps who and why.
func (s *Store) ReleaseArrival(ctx context.Context, project ridgeline.ProjectName, name string, version int, o ridgeline.Override) (a ridgeline.Arrival, fresh bool, err error) {
	err = s.doing(ctx, fmt.Sprintf("release version %d of dataset %s", version, name), func(tx *Store) error {
		if err := tx.lockDataset(ctx, project, name); err != nil {
			return err
		}
		all, err := tx.Arrivals(ctx, ArrivalFilter{Project: project, Dataset: name})
		if err != nil {
			return err
		}
		for _, a = range all {
			if a.Version == version {
				break
			}
		}
		if a.Version != version || version == 0 {
			return ridgeline.Errorf(ridgeline.NotFound, "dataset %s of project %s has no version %d: see ridgeline data list", name, project, version)
		}
		if err := a.Release(o); err != nil {
			return err
		}
		if fresh, err = tx.number(ctx, &a); err != nil {
			return err
		}
		subject := fmt.Sprintf("projects/%s/datasets/%s/versions/%d", project, name, version)
		if err := tx.audit(ctx, "accept-data", subject, o.Who, o.Reason, o.At); err != nil {
			return err
		}
		return tx.saveArrival(ctx, a)
	})
	return a, fresh, err
}

// SetArrivalRun notes the run that the arrival started.
func (s *Store) SetArrivalRun(ctx context.Context, id ridgeline.ArrivalID, run ridgeline.RunID) error {
	return s.doing(ctx, "set the run of arrival "+string(id), func(tx *Store) error {
		_, err := tx.tx.Exec(ctx, `UPDATE arrivals SET run = $1 WHERE id = $2`, run, id)
		return err
	})
}

// NoteArrival notes why an arrival that is in use did not start what it would
// have started.
func (s *Store) NoteArrival(ctx context.Context, id ridgeline.ArrivalID, reason string) error {
	return s.doing(ctx, "note arrival "+string(id), func(tx *Store) error {
		_, err := tx.tx.Exec(ctx, `UPDATE arrivals SET reason = $1 WHERE id = $2`, reason, id)
		return err
	})
}

// number gives the arrival its version, takes it into use when it is accepted,
// and tells of it.
func (s *Store) number(ctx context.Context, a *ridgeline.Arrival) (fresh bool, err error) {
	const use = `UPDATE datasets SET current_version = $1 WHERE project = $2 AND name = $3`
	v, err := s.SaveDatasetVersion(ctx, ridgeline.DatasetVersion{Project: a.Project, Name: a.Dataset, DatasetContent: a.DatasetContent, Created: a.Ended})
	if err != nil {
		return false, err
	}
	a.Version = v.Version
	if a.Status == ridgeline.Quarantined {
		return false, s.emitArrival(ctx, ridgeline.EventDatasetQuarantined, *a)
	}
	before, err := s.Dataset(ctx, a.Project, a.Dataset)
	if err != nil {
		return false, err
	}
	if _, err := s.tx.Exec(ctx, use, a.Version, a.Project, a.Dataset); err != nil {
		return false, err
	}
	return before.Current != a.Version, s.emitArrival(ctx, ridgeline.EventDatasetAccepted, *a)
}

func (s *Store) saveArrival(ctx context.Context, a ridgeline.Arrival) error {
	const update = `UPDATE arrivals SET address = '', status = $1, digest = $2, size = $3, length = $4, files = $5, columns = $6, manifest = $7, profile = $8,
		version = $9, fingerprint = $10, rules = $11, listing = $12, findings = $13, reason = $14, released = $15, ended = $16 WHERE id = $17`
	_, err := s.tx.Exec(ctx, update, a.Status, a.Digest, a.Size, a.Rows, a.Files, jsonText(a.Columns), a.Manifest, a.Profile,
		a.Version, a.Fingerprint, a.Rules, a.Listing, []byte(a.Findings), a.Reason, jsonText(a.Released), a.Ended, a.ID)
	return err
}

// emitArrival tells of an accepted or quarantined arrival.
func (s *Store) emitArrival(ctx context.Context, kind string, a ridgeline.Arrival) error {
	subject := fmt.Sprintf("projects/%s/datasets/%s/versions/%d", a.Project, a.Dataset, a.Version)
	findings := a.Findings
	if len(findings) == 0 {
		findings = json.RawMessage("[]")
	}
	return s.emit(ctx, kind, a.Project, subject, struct {
		ID       ridgeline.ArrivalID     `json:"id"`
		Project  ridgeline.ProjectName   `json:"project"`
		Dataset  string                  `json:"dataset"`
		Version  int                     `json:"version"`
		Source   ridgeline.Source        `json:"source"`
		Origin   string                  `json:"origin"`
		Status   ridgeline.ArrivalStatus `json:"status"`
		Digest   string                  `json:"digest"`
		Rows     int64                   `json:"rows"`
		Reason   string                  `json:"reason,omitempty"`
		Released *ridgeline.Override     `json:"released,omitempty"`
		Findings json.RawMessage         `json:"findings"`
	}{a.ID, a.Project, a.Dataset, a.Version, a.Source, a.Origin, a.Status, a.Digest, a.Rows, a.Reason, a.Released, findings})
}
