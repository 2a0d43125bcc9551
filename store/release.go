package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// A ReleaseFilter chooses releases; the zero value means all.
type ReleaseFilter struct {
	Project    ridgeline.ProjectName
	Unfinished bool // only those that have not ended
	Limit      int  // 0: all
}

// CreateRelease keeps a new release with its environments, in their order. The
// same release again is harmless; another one under its id is Conflict.
func (s *Store) CreateRelease(ctx context.Context, r ridgeline.Release) error {
	const insert = `INSERT INTO releases (id, project, model, version, status, cause, caller, reason, only_environment, beside, cancel_requested, created, ended)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (id) DO NOTHING`
	return s.doing(ctx, fmt.Sprintf("create release %s", r.ID), func(tx *Store) error {
		if _, err := tx.Project(ctx, r.Project); err != nil {
			return err
		}
		n, err := tx.tx.Exec(ctx, insert, r.ID, r.Project, r.Model, r.Version, r.Status, r.Cause, r.Caller, r.Reason, r.Only,
			r.Beside, r.CancelRequested, r.Created, r.Ended)
		if err != nil {
			return err
		}
		if n == 0 {
			return tx.sameRelease(ctx, r)
		}
		for _, e := range r.Environments {
			if err := tx.putEnvironment(ctx, r.ID, e); err != nil {
				return err
			}
		}
		return tx.emitRelease(ctx, "", r.Status, r)
	})
}

func (s *Store) sameRelease(ctx context.Context, r ridgeline.Release) error {
	old, err := s.Release(ctx, r.ID)
	if err != nil {
		return err
	}
	if old.Project != r.Project || old.Model != r.Model || old.Version != r.Version {
		return ridgeline.Errorf(ridgeline.Conflict, "release %s exists already, of version %d of %s", r.ID, old.Version, old.Model)
	}
	return nil
}

const selectReleases = `SELECT id, project, model, version, status, cause, caller, reason, only_environment, beside, cancel_requested, created, ended FROM releases`

func scanRelease(row sqlq.Row) (r ridgeline.Release, err error) {
	err = row.Scan(&r.ID, &r.Project, &r.Model, &r.Version, &r.Status, &r.Cause, &r.Caller, &r.Reason, &r.Only,
		asBool(&r.Beside), asBool(&r.CancelRequested), asTime(&r.Created), asTime(&r.Ended))
	return r, err
}

// Release returns the release with its environments.
func (s *Store) Release(ctx context.Context, id ridgeline.ReleaseID) (ridgeline.Release, error) {
	r, err := scanRelease(s.q().QueryRow(ctx, selectReleases+` WHERE id = $1`, id))
	if err == nil {
		err = s.loadEnvironments(ctx, []*ridgeline.Release{&r})
	}
	switch {
	case absent(err):
		return r, ridgeline.Errorf(ridgeline.NotFound, "no release %s", id)
	case err != nil:
		return r, fmt.Errorf("read release %s: %w", id, err)
	}
	return r, nil
}

// Releases returns the releases with their environments, newest first.
func (s *Store) Releases(ctx context.Context, want ReleaseFilter) ([]ridgeline.Release, error) {
	var f filter
	if want.Project != "" {
		f.and("project = ?", want.Project)
	}
	if want.Unfinished {
		f.unfinished("status")
	}
	query, args := f.sql(selectReleases, "created DESC, id DESC", want.Limit)
	all, err := collect(ctx, s.q(), scanRelease, query, args...)
	if err == nil {
		err = s.loadEnvironments(ctx, pointers(all))
	}
	if err != nil {
		return nil, fmt.Errorf("list releases: %w", err)
	}
	return all, nil
}

// StartRelease moves a queued or waiting release to running. Twice is
// harmless; one that has ended is Conflict.
func (s *Store) StartRelease(ctx context.Context, id ridgeline.ReleaseID, at time.Time) error {
	const update = `UPDATE releases SET status = $1, started = CASE WHEN started = 0 THEN $2 ELSE started END WHERE id = $3`
	return s.changeRelease(ctx, "start", id, func(tx *Store, r *ridgeline.Release) error {
		before := r.Status
		if err := start("release", id, &r.Status); err != nil {
			return err
		}
		if _, err := tx.tx.Exec(ctx, update, r.Status, at, id); err != nil {
			return err
		}
		return tx.emitRelease(ctx, before, r.Status, *r)
	})
}

// FinishRelease ends the release; see ridgeline.Release.Finish.
func (s *Store) FinishRelease(ctx context.Context, id ridgeline.ReleaseID, status ridgeline.Status, reason string, at time.Time) error {
	const update = `UPDATE releases SET status = $1, reason = $2, ended = $3 WHERE id = $4`
	return s.changeRelease(ctx, "finish", id, func(tx *Store, r *ridgeline.Release) error {
		before := r.Status
		if err := r.Finish(status, reason, at); err != nil {
			return err
		}
		if _, err := tx.tx.Exec(ctx, update, r.Status, r.Reason, r.Ended, id); err != nil {
			return err
		}
		return tx.emitRelease(ctx, before, r.Status, *r)
	})
}

// RequestReleaseCancel asks for the release's end; whoever carries it out has
// to see to that. A release that has ended is Conflict.
func (s *Store) RequestReleaseCancel(ctx context.Context, id ridgeline.ReleaseID) error {
	return s.changeRelease(ctx, "cancel", id, func(tx *Store, r *ridgeline.Release) error {
		if r.Status.Terminal() {
			return ended("release", id, r.Status)
		}
		_, err := tx.tx.Exec(ctx, `UPDATE releases SET cancel_requested = 1 WHERE id = $1`, id)
		return err
	})
}

// SaveReleaseEnvironment keeps the release's passage through an environment,
// in place of the one of its name; a new name comes last. Once the release has
// ended, a change is Conflict.
func (s *Store) SaveReleaseEnvironment(ctx context.Context, id ridgeline.ReleaseID, e ridgeline.ReleaseEnvironment) error {
	return s.changeRelease(ctx, "save environment "+e.Name+" of", id, func(tx *Store, r *ridgeline.Release) error {
		e.Message, e.Started, e.Ended = cleanText(e.Message), asStored(e.Started), asStored(e.Ended)
		var before ridgeline.Status
		for _, old := range r.Environments {
			if old == e {
				return nil
			}
			if old.Name == e.Name {
				before = old.Status
			}
		}
		if r.Status.Terminal() {
			return ended("release", id, r.Status)
		}
		if err := tx.putEnvironment(ctx, id, e); err != nil || e.Status != ridgeline.Waiting {
			return err
		}
		now, err := tx.Release(ctx, id)
		if err != nil {
			return err
		}
		return tx.emitRelease(ctx, before, ridgeline.Waiting, now)
	})
}

func (s *Store) putEnvironment(ctx context.Context, id ridgeline.ReleaseID, e ridgeline.ReleaseEnvironment) error {
	const upsert = `INSERT INTO release_environments (release_id, name, status, image, deployment, message, started, ended, position)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, (SELECT COUNT(*) FROM release_environments WHERE release_id = $1))
		ON CONFLICT (release_id, name) DO UPDATE SET status = excluded.status, image = excluded.image, deployment = excluded.deployment,
			message = excluded.message, started = excluded.started, ended = excluded.ended`
	_, err := s.tx.Exec(ctx, upsert, id, e.Name, e.Status, e.Image, e.Deployment, e.Message, e.Started, e.Ended)
	return err
}

type releaseEnvironment struct {
	release     ridgeline.ReleaseID
	environment ridgeline.ReleaseEnvironment
}

const selectEnvironments = `SELECT release_id, name, status, image, deployment, message, started, ended FROM release_environments`

func scanEnvironment(row sqlq.Row) (r releaseEnvironment, err error) {
	e := &r.environment
	err = row.Scan(&r.release, &e.Name, &e.Status, &e.Image, &e.Deployment, &e.Message, asTime(&e.Started), asTime(&e.Ended))
	return r, err
}

// loadEnvironments fills in the environments of the releases.
func (s *Store) loadEnvironments(ctx context.Context, releases []*ridgeline.Release) error {
	return inBatches(releases, func(batch []*ridgeline.Release) error {
		var f filter
		byID := map[ridgeline.ReleaseID]*ridgeline.Release{}
		var ids []ridgeline.ReleaseID
		for _, r := range batch {
			byID[r.ID] = r
			ids = append(ids, r.ID)
		}
		in(&f, "release_id", ids)
		query, args := f.sql(selectEnvironments, "release_id, position", 0)
		all, err := collect(ctx, s.q(), scanEnvironment, query, args...)
		for _, e := range all {
			byID[e.release].Environments = append(byID[e.release].Environments, e.environment)
		}
		return err
	})
}

func (s *Store) changeRelease(ctx context.Context, what string, id ridgeline.ReleaseID, change func(tx *Store, r *ridgeline.Release) error) error {
	return changeByID(ctx, s, "releases", "release", what, id, (*Store).Release, change)
}
