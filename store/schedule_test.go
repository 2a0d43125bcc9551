package store

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

func testSchedules(t *testing.T, s *Store) {
	ctx := t.Context()
	p := project(t, s)
	published := func(n int) Published {
		t.Helper()
		b := ridgeline.Build{ID: ridgeline.BuildID("b-" + string(rune('0'+n))), Project: p, Commit: ridgeline.Commit{Hash: "c1", Tree: "t1"}, Status: ridgeline.Queued, Created: at(n)}
		ok(t, s.CreateBuild(ctx, b))
		row := must(s.PublishPipeline(ctx, ridgeline.Pipeline{Project: p, Build: b.ID, Commit: b.Commit, Created: at(n)}))(t)
		return Published{p, row.Version}
	}
	same(t, len(must(s.StaleSchedules(ctx))(t)), 0)
	first := published(1)
	same(t, must(s.StaleSchedules(ctx))(t), []Published{first})

	nightly := ridgeline.Schedule{Project: p, Kind: ridgeline.ScheduleNightly, Cron: "0 2 * * *", Zone: "UTC", Missed: "once", Due: at(50)}
	weekly := ridgeline.Schedule{Project: p, Kind: ridgeline.ScheduleRun, Cron: "0 3 * * 1", Zone: "UTC", Missed: "once", Due: at(20)}
	other := weekly
	other.Params, other.Due = map[string]string{"full": "true"}, at(30)
	for range 2 {
		ok(t, s.SetSchedules(ctx, first, []ridgeline.Schedule{nightly, weekly, other}))
	}
	same(t, must(s.Schedules(ctx, ScheduleFilter{}))(t), []ridgeline.Schedule{weekly, other, nightly})
	same(t, len(must(s.StaleSchedules(ctx))(t)), 0)
	same(t, must(s.Schedules(ctx, ScheduleFilter{DueBy: at(30), Project: p}))(t), []ridgeline.Schedule{weekly, other})

	// A new pipeline without one of them: the others keep their places.
	second := published(2)
	weekly.Missed, other.Due = "all", at(99)
	ok(t, s.SetSchedules(ctx, second, []ridgeline.Schedule{weekly, other}))
	other.Due = at(30)
	same(t, must(s.Schedules(ctx, ScheduleFilter{}))(t), []ridgeline.Schedule{weekly, other})

	take := func(from ridgeline.Schedule, tick ridgeline.Tick) (mine bool) {
		t.Helper()
		ok(t, s.InTx(ctx, func(tx *Store) (err error) {
			mine, err = tx.TakeTick(ctx, from, tick)
			return err
		}))
		return mine
	}
	tick := ridgeline.Tick{Due: at(20), Next: at(40), Skipped: 2}
	same(t, take(weekly, tick), true)
	same(t, take(weekly, tick), false) // it is due at another time now
	ok(t, s.InTx(ctx, func(tx *Store) error { return tx.NoteTick(ctx, weekly, at(20), "r-1", "") }))
	weekly.Due, weekly.Last, weekly.Started, weekly.Skipped = at(40), at(20), "r-1", 2
	same(t, must(s.Schedules(ctx, ScheduleFilter{}))(t), []ridgeline.Schedule{other, weekly})
	ok(t, s.InTx(ctx, func(tx *Store) error { return tx.NoteTick(ctx, other, at(30), "", "overlap is reject") }))
	other.Last, other.Reason, other.Skipped = at(30), "overlap is reject", 1
	same(t, must(s.Schedules(ctx, ScheduleFilter{}))(t)[0], other)

	// Of many who want one due time, one gets it.
	var group sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 8 {
		group.Go(func() {
			err := s.InTx(ctx, func(tx *Store) error {
				mine, err := tx.TakeTick(ctx, weekly, ridgeline.Tick{Due: at(40), Next: at(45)})
				if mine {
					mu.Lock()
					won++
					mu.Unlock()
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	same(t, won, 1)

	// Paused, nothing is due and nobody can take anything.
	ok(t, s.PauseSchedules(ctx, p, true, at(60), nil))
	ok(t, s.PauseSchedules(ctx, p, true, at(70), nil))
	same(t, len(must(s.Schedules(ctx, ScheduleFilter{DueBy: at(59)}))(t)), 0)
	same(t, must(s.Schedules(ctx, ScheduleFilter{}))(t)[0].Paused, at(60))
	same(t, take(other, ridgeline.Tick{Due: at(30), Next: at(31)}), false)
	next := func(ridgeline.Schedule) time.Time { return at(80) }
	ok(t, s.PauseSchedules(ctx, p, false, at(75), next))
	ok(t, s.PauseSchedules(ctx, p, false, at(75), func(ridgeline.Schedule) time.Time { return at(99) }))
	for _, one := range must(s.Schedules(ctx, ScheduleFilter{}))(t) {
		same(t, []any{one.Due, one.Paused}, []any{at(80), time.Time{}})
	}
	refused(t, s.PauseSchedules(ctx, "nobody", true, at(1), nil), ridgeline.NotFound, "no project nobody")

	// One that is never due again is not.
	same(t, take(ridgeline.Schedule{Project: p, Kind: other.Kind, Cron: other.Cron, Zone: other.Zone, Params: other.Params, Due: at(80)}, ridgeline.Tick{Due: at(80)}), true)
	same(t, len(must(s.Schedules(ctx, ScheduleFilter{DueBy: at(80).AddDate(50, 0, 0)}))(t)), 1)
}

func testRequests(t *testing.T, s *Store) {
	ctx := t.Context()
	k := RequestKey{Project: project(t, s), Caller: "ann", Key: "k1", Digest: "d1"}
	take := func(k RequestKey) (id ridgeline.RunID, err error) {
		err = s.InTx(ctx, func(tx *Store) (err error) {
			if id, err = tx.TakeRequest(ctx, k, at(1)); err != nil || id != "" {
				return err
			}
			return tx.NoteRequest(ctx, k, "r-1")
		})
		return id, err
	}
	same(t, must(take(k))(t), ridgeline.RunID(""))
	same(t, must(take(k))(t), ridgeline.RunID("r-1"))
	other := k
	other.Digest = "d2"
	_, err := take(other)
	refused(t, err, ridgeline.Invalid, "started run r-1")
	other.Caller = "bob"
	same(t, must(take(other))(t), ridgeline.RunID(""))
	other.Project = "nobody"
	_, err = take(other)
	refused(t, err, ridgeline.NotFound, "no project nobody")
	for must(s.ForgetEvents(ctx, at(2), 10))(t) > 0 {
	}
	same(t, must(take(k))(t), ridgeline.RunID(""))

	// Of many who ask at once under one key, one starts a run.
	k.Key = "k2"
	var group sync.WaitGroup
	var mu sync.Mutex
	firsts := 0
	for range 8 {
		group.Go(func() {
			id, err := take(k)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if id == "" {
				firsts++
			}
		})
	}
	group.Wait()
	same(t, firsts, 1)
}

func testAcceptedEvents(t *testing.T, s *Store) {
	ctx := t.Context()
	e := AcceptedEvent{Project: project(t, s), Source: "/shop", ID: "1", Type: "order", At: at(1)}
	take := func(e AcceptedEvent) (seen AcceptedEvent, first bool) {
		t.Helper()
		ok(t, s.InTx(ctx, func(tx *Store) (err error) {
			if seen, first, err = tx.TakeEvent(ctx, e); err != nil || !first {
				return err
			}
			seen.Run, seen.Reason = "r-1", "why"
			return tx.NoteEvent(context.WithoutCancel(ctx), seen)
		}))
		return seen, first
	}
	_, first := take(e)
	same(t, first, true)
	later := e
	later.At, later.Type = at(9), "other"
	seen, first := take(later)
	same(t, first, false)
	e.Run, e.Reason = "r-1", "why"
	same(t, seen, e)
	e.ID = "2"
	_, first = take(e)
	same(t, first, true)
}
