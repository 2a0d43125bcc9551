package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// A ScheduleFilter chooses schedules; the zero value means all.
type ScheduleFilter struct {
	Project ridgeline.ProjectName
	DueBy   time.Time // only those that are due by then and not paused; zero: all
}

const selectSchedules = `SELECT s.project, s.kind, s.cron, s.zone, s.params, s.missed, s.due, s.last, s.started, s.reason, s.skipped, t.paused
	FROM schedules s JOIN triggers t ON t.project = s.project`

func scanSchedule(row sqlq.Row) (s ridgeline.Schedule, err error) {
	err = row.Scan(&s.Project, &s.Kind, &s.Cron, &s.Zone, asJSON(&s.Params), &s.Missed, asTime(&s.Due), asTime(&s.Last), &s.Started,
		&s.Reason, &s.Skipped, asTime(&s.Paused))
	return s, err
}

// Schedules returns the schedules, the next due first.
func (s *Store) Schedules(ctx context.Context, want ScheduleFilter) ([]ridgeline.Schedule, error) {
	var f filter
	if want.Project != "" {
		f.and("s.project = ?", want.Project)
	}
	if !want.DueBy.IsZero() {
		f.and("s.due <= ?", want.DueBy)
		f.and("t.paused = 0")
	}
	query, args := f.sql(selectSchedules, "s.due, s.project, s.kind, s.cron, s.zone, s.params", 0)
	all, err := collect(ctx, s.q(), scanSchedule, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	return all, nil
}

// A Published is a project and the version of its newest pipeline.
type Published struct {
	Project ridgeline.ProjectName
	Version int
}

// StaleSchedules returns the projects whose newest pipeline is not the one
// that their schedules were taken from.
func (s *Store) StaleSchedules(ctx context.Context) ([]Published, error) {
	const query = `SELECT p.project, MAX(p.version) FROM pipelines p GROUP BY p.project
		HAVING MAX(p.version) <> COALESCE((SELECT t.pipeline FROM triggers t WHERE t.project = p.project), 0)`
	return s.published(ctx, query)
}

// NewestPipelines returns the version of each project's newest pipeline.
func (s *Store) NewestPipelines(ctx context.Context) ([]Published, error) {
	const query = `SELECT project, MAX(version) FROM pipelines GROUP BY project ORDER BY project`
	return s.published(ctx, query)
}

func (s *Store) published(ctx context.Context, query string) ([]Published, error) {
	all, err := collect(ctx, s.q(), func(row sqlq.Row) (p Published, err error) { return p, row.Scan(&p.Project, &p.Version) }, query)
	if err != nil {
		return nil, fmt.Errorf("look for new pipelines: %w", err)
	}
	return all, nil
}

// SetSchedules makes these the project's schedules, as its pipeline of that
// version has them. One that was there already, by everything but what is to
// happen to missed due times, keeps its place: a due time that has passed just
// now is not lost by publishing.
func (s *Store) SetSchedules(ctx context.Context, p Published, all []ridgeline.Schedule) error {
	const note = `INSERT INTO triggers (project, pipeline) VALUES ($1, $2) ON CONFLICT (project) DO UPDATE SET pipeline = excluded.pipeline`
	const upsert = `INSERT INTO schedules (project, kind, cron, zone, params, missed, due) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (project, kind, cron, zone, params) DO UPDATE SET missed = excluded.missed`
	const remove = `DELETE FROM schedules WHERE project = $1 AND kind = $2 AND cron = $3 AND zone = $4 AND params = $5`
	return s.doing(ctx, "set the schedules of "+string(p.Project), func(tx *Store) error {
		if _, err := tx.tx.Exec(ctx, note, p.Project, p.Version); err != nil {
			return err
		}
		old, err := tx.Schedules(ctx, ScheduleFilter{Project: p.Project})
		if err != nil {
			return err
		}
		stays := map[string]bool{}
		for _, n := range all {
			stays[scheduleKey(n)] = true
			if _, err := tx.tx.Exec(ctx, upsert, p.Project, n.Kind, n.Cron, n.Zone, jsonText(n.Params), n.Missed, n.Due); err != nil {
				return err
			}
		}
		for _, o := range old {
			if stays[scheduleKey(o)] {
				continue
			}
			if _, err := tx.tx.Exec(ctx, remove, p.Project, o.Kind, o.Cron, o.Zone, jsonText(o.Params)); err != nil {
				return err
			}
		}
		return nil
	})
}

func scheduleKey(s ridgeline.Schedule) string {
	return s.Kind + "\x00" + s.Cron + "\x00" + s.Zone + "\x00" + jsonText(s.Params)
}

// TakeTick notes, in the caller's transaction, what was decided about a
// schedule, and reports whether that was still to be decided: of two who want
// the same due time, one gets it.
func (s *Store) TakeTick(ctx context.Context, from ridgeline.Schedule, t ridgeline.Tick) (bool, error) {
	const update = `UPDATE schedules SET last = due, due = $1, skipped = skipped + $2, started = '', reason = ''
		WHERE project = $3 AND kind = $4 AND cron = $5 AND zone = $6 AND params = $7 AND due = $8
			AND EXISTS (SELECT 1 FROM triggers t WHERE t.project = schedules.project AND t.paused = 0)`
	next := t.Next
	if next.IsZero() { // it is never due again
		next = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	n, err := s.tx.Exec(ctx, update, next, t.Skipped, from.Project, from.Kind, from.Cron, from.Zone, jsonText(from.Params), from.Due)
	if err != nil {
		return false, fmt.Errorf("take a due time of %s: %w", from.Project, err)
	}
	return n > 0, nil
}

// NoteTick keeps what came of the due time that TakeTick took: what it
// started, or why it started nothing, which also counts as skipped.
func (s *Store) NoteTick(ctx context.Context, of ridgeline.Schedule, at time.Time, started, reason string) error {
	const update = `UPDATE schedules SET last = $1, started = $2, reason = $3, skipped = skipped + $4
		WHERE project = $5 AND kind = $6 AND cron = $7 AND zone = $8 AND params = $9`
	skipped := 0
	if started == "" {
		skipped = 1
	}
	_, err := s.tx.Exec(ctx, update, at, started, reason, skipped, of.Project, of.Kind, of.Cron, of.Zone, jsonText(of.Params))
	return err
}

// PauseSchedules switches all of a project's schedules off, or on again with
// next as each one's next due time. Twice is harmless and keeps the first time.
func (s *Store) PauseSchedules(ctx context.Context, project ridgeline.ProjectName, off bool, now time.Time, next func(ridgeline.Schedule) time.Time) error {
	const pause = `INSERT INTO triggers (project, paused) VALUES ($1, $2)
		ON CONFLICT (project) DO UPDATE SET paused = excluded.paused WHERE triggers.paused = 0`
	const due = `UPDATE schedules SET due = $1 WHERE project = $2 AND kind = $3 AND cron = $4 AND zone = $5 AND params = $6`
	return s.doing(ctx, "switch the schedules of "+string(project), func(tx *Store) error {
		if _, err := tx.Project(ctx, project); err != nil {
			return err
		}
		if off {
			_, err := tx.tx.Exec(ctx, pause, project, now)
			return err
		}
		n, err := tx.tx.Exec(ctx, `UPDATE triggers SET paused = 0 WHERE project = $1 AND paused > 0`, project)
		if err != nil || n == 0 {
			return err
		}
		all, err := tx.Schedules(ctx, ScheduleFilter{Project: project})
		if err != nil {
			return err
		}
		for _, s := range all {
			if _, err := tx.tx.Exec(ctx, due, next(s), s.Project, s.Kind, s.Cron, s.Zone, jsonText(s.Params)); err != nil {
				return err
			}
		}
		return nil
	})
}
