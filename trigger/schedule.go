package trigger

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/pipeline"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// Schedules start what is due, by the timetables of each project's newest
// pipeline. Only the leading server runs them. Each due time is dealt with in
// the transaction that moves the schedule on to the next one, so that it
// starts one run, whatever dies in between. All fields are needed.
type Schedules struct {
	Store *store.Store
	// Config reads the configuration that a pipeline was published with.
	Config func(ctx context.Context, p ridgeline.Pipeline) (project.Config, error)
	// Create makes a run in the transaction; see pipeline.Runner.Create.
	Create func(ctx context.Context, tx *store.Store, q pipeline.Request) (ridgeline.Run, error)
	// Nightly makes a build of the long tests in the transaction.
	Nightly func(ctx context.Context, tx *store.Store, p ridgeline.ProjectName) (ridgeline.Build, error)
	// Started says that the run or build of a schedule is committed.
	Started func(ctx context.Context, kind, id string) error
	Now     func() time.Time
	Log     *slog.Logger
}

// Scheduler is who asks for what a schedule starts.
const Scheduler = "ridgeline"

// Run looks once a second, until ctx is done.
func (s *Schedules) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		pause := time.Second
		if err := s.Tick(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("look for what is due", "error", err)
			pause = 10 * time.Second
		}
		wait(ctx, pause)
	}
	return nil
}

// Tick takes over the timetables of new pipelines and deals with everything
// that is due. What fails for a reason of ours stays due; the first such
// error is returned, after the others had their turn.
func (s *Schedules) Tick(ctx context.Context) error {
	stale, first := s.Store.StaleSchedules(ctx)
	for _, p := range stale {
		if err := s.adopt(ctx, p); err != nil && first == nil {
			first = fmt.Errorf("take over the schedules of %s, pipeline %d: %w", p.Project, p.Version, err)
		}
	}
	due, err := s.Store.Schedules(ctx, store.ScheduleFilter{DueBy: s.Now()})
	if err != nil {
		return err
	}
	for _, one := range due {
		if err := s.deal(ctx, one); err != nil && first == nil {
			first = fmt.Errorf("deal with what is due in %s: %w", one.Project, err)
		}
	}
	return first
}

// adopt makes the timetables of a new pipeline the project's. They begin with
// its publication.
func (s *Schedules) adopt(ctx context.Context, p store.Published) error {
	row, err := s.Store.Pipeline(ctx, p.Project, p.Version)
	if err != nil {
		return err
	}
	cfg, err := s.Config(ctx, row)
	if err != nil {
		return err
	}
	var all []ridgeline.Schedule
	add := func(kind string, t project.Schedule) {
		all = append(all, ridgeline.Schedule{
			Project: p.Project, Kind: kind, Cron: t.Cron, Zone: t.Zone, Params: t.Params, Missed: t.Missed, Due: t.Next(row.Created),
		})
	}
	for _, t := range cfg.Pipeline.On.Schedules {
		add(ridgeline.ScheduleRun, t)
	}
	if len(cfg.Build.Nightly) > 0 {
		add(ridgeline.ScheduleNightly, cfg.Build.NightlyAt)
	}
	return s.Store.SetSchedules(ctx, p, all)
}

// next is the timetable of a schedule.
func next(s ridgeline.Schedule) func(time.Time) time.Time {
	return project.Schedule{Cron: s.Cron, Zone: s.Zone}.Next
}

// deal starts what the schedule is due for, until it is due no more.
func (s *Schedules) deal(ctx context.Context, one ridgeline.Schedule) error {
	for ctx.Err() == nil && !one.Due.After(s.Now()) {
		tick := one.Tick(s.Now(), next(one))
		var id string
		err := s.Store.InTx(ctx, func(tx *store.Store) (err error) {
			id = ""
			if mine, err := tx.TakeTick(ctx, one, tick); err != nil || !mine {
				return err
			}
			id, err = s.start(ctx, tx, one, tick)
			return err
		})
		if err != nil {
			return err
		}
		if id != "" {
			if err := s.Started(ctx, one.Kind, id); err != nil {
				return err
			}
		}
		if tick.Next.IsZero() {
			return nil
		}
		one.Due = tick.Next
	}
	return nil
}

// start makes what the tick asks for, and notes it or why there is none.
func (s *Schedules) start(ctx context.Context, tx *store.Store, one ridgeline.Schedule, tick ridgeline.Tick) (id string, err error) {
	if tick.Skipped > 0 {
		if err := skipped(ctx, tx, one, tick.Due, tick.Skipped, "nobody was there when it was due"); err != nil {
			return "", err
		}
	}
	if tick.Due.IsZero() {
		return "", nil
	}
	if one.Kind == ridgeline.ScheduleNightly {
		var b ridgeline.Build
		b, err = s.Nightly(ctx, tx, one.Project)
		id = string(b.ID)
	} else {
		var r ridgeline.Run
		r, err = s.Create(ctx, tx, pipeline.Request{Project: one.Project, Params: one.Params, Cause: dueCause(one, tick.Due), Caller: Scheduler})
		id = string(r.ID)
	}
	if !refusal(err) {
		if err != nil {
			return "", err
		}
		return id, tx.NoteTick(ctx, one, tick.Due, id, "")
	}
	if err := tx.NoteTick(ctx, one, tick.Due, "", err.Error()); err != nil {
		return "", err
	}
	return "", skipped(ctx, tx, one, tick.Due, 1, err.Error())
}

// refusal reports whether an error is an answer: there is to be no run, and
// asking again would not help. It is what Create says before it has written
// anything.
func refusal(err error) bool {
	switch ridgeline.CodeOf(err) {
	case ridgeline.Conflict, ridgeline.Invalid, ridgeline.NotFound, ridgeline.Denied:
		return true
	}
	return false
}

func dueCause(s ridgeline.Schedule, due time.Time) string {
	zone := ""
	if s.Zone != "UTC" {
		zone = " " + s.Zone
	}
	return fmt.Sprintf("schedule %s%s at %s", s.Cron, zone, due.UTC().Format("2006-01-02T15:04Z"))
}

// skipped tells of due times that started nothing.
func skipped(ctx context.Context, tx *store.Store, s ridgeline.Schedule, due time.Time, count int, reason string) error {
	var last *time.Time
	if !due.IsZero() {
		last = &due
	}
	return tx.EmitSkipped(ctx, ridgeline.EventScheduleSkipped, s.Project, struct {
		Project ridgeline.ProjectName `json:"project"`
		Kind    string                `json:"kind"`
		Cron    string                `json:"cron"`
		Zone    string                `json:"zone"`
		Due     *time.Time            `json:"due"`
		Skipped int                   `json:"skipped"`
		Reason  string                `json:"reason"`
	}{s.Project, s.Kind, s.Cron, s.Zone, last, count, reason})
}

// Pause switches a project's schedules off: their due times pass by.
func (s *Schedules) Pause(ctx context.Context, p ridgeline.ProjectName) error {
	return s.Store.PauseSchedules(ctx, p, true, s.Now(), nil)
}

// Resume switches them on again, from their next due times on.
func (s *Schedules) Resume(ctx context.Context, p ridgeline.ProjectName) error {
	now := s.Now()
	return s.Store.PauseSchedules(ctx, p, false, now, func(one ridgeline.Schedule) time.Time { return next(one)(now) })
}
