package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// relayed passes on all events and returns the feed.
func relayed(t testing.TB, s *Store, route func(ctx context.Context, tx *Store, e ridgeline.Event) ([]ridgeline.Delivery, error)) []ridgeline.Event {
	t.Helper()
	if route == nil {
		route = func(context.Context, *Store, ridgeline.Event) ([]ridgeline.Delivery, error) { return nil, nil }
	}
	for {
		n := must(s.RelayEvents(t.Context(), 100, route))(t)
		if n == 0 {
			return must(s.Events(t.Context(), EventFilter{}))(t)
		}
	}
}

func typesOf(events []ridgeline.Event) (types []string) {
	for i, e := range events {
		types = append(types, e.Type[len(ridgeline.EventPrefix):])
		if e.Seq != int64(i+1) || e.ID == "" || e.At.IsZero() || !json.Valid(e.Data) {
			panic(fmt.Sprintf("event %d: %+v", i, e))
		}
		if !slices.Contains(ridgeline.EventTypes(), e.Type) {
			panic("no such type: " + e.Type)
		}
	}
	return types
}

func testEvents(t *testing.T, s *Store) {
	ctx := t.Context()
	p := project(t, s)
	run := ridgeline.Run{ID: "r-1", Project: p, Status: ridgeline.Queued, Cause: "push b-1", Created: at(1)}
	broken := errors.New("broken off")
	err := s.InTx(ctx, func(tx *Store) error {
		ok(t, tx.CreateRun(ctx, ridgeline.Run{ID: "r-gone", Project: p, Status: ridgeline.Queued, Created: at(1)}))
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	for range 2 { // repeating a write is no second event
		ok(t, s.CreateRun(ctx, run))
		ok(t, s.StartRun(ctx, run.ID, at(2)))
	}
	for range 2 {
		ok(t, s.FinishRun(ctx, run.ID, ridgeline.Failed, "train: exit code 1", at(3)))
	}
	same(t, len(must(s.Events(ctx, EventFilter{}))(t)), 0)

	// A route that fails holds the feed where it is; nothing is skipped.
	_, err = s.RelayEvents(ctx, 100, func(_ context.Context, _ *Store, e ridgeline.Event) ([]ridgeline.Delivery, error) {
		if e.Type == ridgeline.StatusEvent("run", ridgeline.Running) {
			return nil, broken
		}
		return nil, nil
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	same(t, len(must(s.Events(ctx, EventFilter{}))(t)), 1)

	feed := relayed(t, s, nil)
	same(t, typesOf(feed), []string{"run.queued", "run.started", "run.failed"})
	var data struct{ ID, Status, Reason string }
	ok(t, json.Unmarshal(feed[2].Data, &data))
	same(t, data, struct{ ID, Status, Reason string }{"r-1", "failed", "train: exit code 1"})
	same(t, feed[2].Subject, "runs/r-1")
	same(t, must(s.Events(ctx, EventFilter{After: 1, Limit: 1, Project: p}))(t), feed[1:2])
	same(t, must(s.Events(ctx, EventFilter{Newest: true, Limit: 2}))(t), feed[1:])
	same(t, len(must(s.Events(ctx, EventFilter{Project: "other"}))(t)), 0)

	// The newest stays, so that places in the feed go on from it.
	for must(s.ForgetEvents(ctx, time.Now().Add(time.Hour), 1))(t) > 0 {
	}
	same(t, must(s.Events(ctx, EventFilter{}))(t), feed[2:])
	ok(t, s.CreateRun(ctx, ridgeline.Run{ID: "r-2", Project: p, Status: ridgeline.Queued, Created: at(4)}))
	relayed(t, s, nil)
	same(t, must(s.Events(ctx, EventFilter{After: 3}))(t)[0].Seq, int64(4))
}

// testEventTypes: each change that a client may wait for writes its event.
func testEventTypes(t *testing.T, s *Store) {
	ctx := t.Context()
	p := project(t, s)
	b := ridgeline.Build{ID: "b-1", Project: p, Commit: ridgeline.Commit{Hash: "c1", Tree: "t1"}, Status: ridgeline.Queued, Created: at(1)}
	ok(t, s.CreateBuild(ctx, b))
	ok(t, s.StartBuild(ctx, b.ID, at(2)))
	pipe := ridgeline.Pipeline{Project: p, Build: b.ID, Commit: b.Commit, Created: at(3)}
	must(s.PublishPipeline(ctx, pipe))(t)
	must(s.PublishPipeline(ctx, pipe))(t)
	ok(t, s.FinishBuild(ctx, b.ID, ridgeline.Succeeded, "", at(4)))
	want := []string{"build.queued", "build.started", "pipeline.published", "build.succeeded"}
	same(t, typesOf(relayed(t, s, nil)), want)

	run := ridgeline.Run{ID: "r-1", Project: p, Status: ridgeline.Queued, Created: at(5)}
	ok(t, s.CreateRun(ctx, run))
	n := must(s.ReserveVersion(ctx, "ridge", run.ID))(t)
	v := ridgeline.ModelVersion{Model: "ridge", Version: n, Project: p, Run: run.ID, Verdict: ridgeline.Rejected, Created: at(6)}
	ok(t, s.RegisterVersion(ctx, v))
	ok(t, s.RegisterVersion(ctx, v))
	must(s.OverrideVersion(ctx, "ridge", n, ridgeline.Override{Who: "ann", At: at(7), Reason: "known better", How: "promote"}))(t)
	want = append(want, "run.queued", "model.registered", "model.promoted")
	same(t, typesOf(relayed(t, s, nil)), want)

	l := ridgeline.Release{ID: "l-1", Project: p, Model: "ridge", Version: n, Status: ridgeline.Queued, Created: at(8),
		Environments: []ridgeline.ReleaseEnvironment{{Name: "production", Status: ridgeline.Queued}}}
	ok(t, s.CreateRelease(ctx, l))
	ok(t, s.StartRelease(ctx, l.ID, at(9)))
	wait := ridgeline.ReleaseEnvironment{Name: "production", Status: ridgeline.Waiting, Message: "ridgeline approve l-1"}
	ok(t, s.SaveReleaseEnvironment(ctx, l.ID, wait))
	ok(t, s.SaveReleaseEnvironment(ctx, l.ID, wait))
	want = append(want, "release.queued", "release.started", "release.waiting")
	same(t, typesOf(relayed(t, s, nil)), want)

	must(s.EnsureEndpoint(ctx, p, "production"))(t)
	for _, id := range []ridgeline.DeploymentID{"d-1", "d-2"} {
		ok(t, s.CreateDeployment(ctx, ridgeline.Deployment{ID: id, Project: p, Environment: "production", Release: l.ID, Model: "ridge", Version: n, State: ridgeline.DeploymentStarting, Created: at(10)}))
		ok(t, s.SwitchDeployment(ctx, id, at(11)))
		ok(t, s.SwitchDeployment(ctx, id, at(11)))
	}
	for range 2 {
		must(s.SetTraffic(ctx, p, "production", ridgeline.Traffic{Weights: map[int]int{}}))(t)
	}
	ok(t, s.RetireDeployment(ctx, "d-2", at(12)))
	ok(t, s.RetireDeployment(ctx, "d-2", at(12)))
	ok(t, s.FinishRelease(ctx, l.ID, ridgeline.Failed, "production never became ready", at(13)))
	want = append(want, "deployment.live", "deployment.retired", "deployment.live", "traffic.changed", "deployment.retired", "release.failed")
	same(t, typesOf(relayed(t, s, nil)), want)
}

func testDeliveries(t *testing.T, s *Store) {
	ctx := t.Context()
	p := project(t, s)
	for i, id := range []ridgeline.RunID{"r-1", "r-2"} {
		ok(t, s.CreateRun(ctx, ridgeline.Run{ID: id, Project: p, Status: ridgeline.Queued, Created: at(i)}))
		ok(t, s.FinishRun(ctx, id, ridgeline.Failed, "", at(i)))
	}
	feed := relayed(t, s, func(_ context.Context, _ *Store, e ridgeline.Event) ([]ridgeline.Delivery, error) {
		return []ridgeline.Delivery{{Kind: "webhook", Target: "h-1", Body: []byte(`{}`)}, {Kind: "webhook", Target: "h-2", Body: []byte(`{}`)}}, nil
	})
	now := time.Now().Add(time.Second)
	to := Target{"webhook", "h-1"}
	due := must(s.DueTargets(ctx, now))(t)
	same(t, len(due), 2)
	same(t, len(must(s.DueTargets(ctx, now.Add(-time.Hour)))(t)), 0)
	next := func(now time.Time) ridgeline.Delivery {
		t.Helper()
		d, found, err := s.NextDelivery(ctx, to, now)
		ok(t, err)
		if !found {
			return ridgeline.Delivery{}
		}
		return d
	}
	first := next(now)
	same(t, []any{first.Event, first.Type, first.Subject, first.State}, []any{feed[0].ID, feed[0].Type, "runs/r-1", ridgeline.DeliveryPending})

	// The first fails: what comes after it about r-1 waits, r-2 does not.
	ok(t, s.RecordAttempt(ctx, first.ID, Attempt{State: ridgeline.DeliveryPending, Code: 500, Message: "no", At: now, Next: now.Add(time.Minute)}))
	second := next(now)
	same(t, second.Subject, "runs/r-2")
	ok(t, s.RecordAttempt(ctx, second.ID, Attempt{State: ridgeline.DeliveryDone, Code: 204, At: now}))
	third := next(now)
	same(t, []any{third.Subject, third.Seq}, []any{"runs/r-2", int64(4)})
	ok(t, s.RecordAttempt(ctx, third.ID, Attempt{State: ridgeline.DeliveryDone, Code: 200, At: now}))
	same(t, next(now), ridgeline.Delivery{})
	later := now.Add(2 * time.Minute)
	again := next(later)
	same(t, []any{again.ID, again.Attempts, again.Code, again.Message}, []any{first.ID, 1, 500, "no"})
	ok(t, s.RecordAttempt(ctx, first.ID, Attempt{State: ridgeline.DeliveryGivenUp, Message: "too long", At: later}))
	same(t, next(later).Seq, int64(2))

	// What has ended does not change any more, except on request.
	ok(t, s.RecordAttempt(ctx, first.ID, Attempt{State: ridgeline.DeliveryDone, At: later}))
	same(t, must(s.Delivery(ctx, first.ID))(t).State, ridgeline.DeliveryGivenUp)
	asked := must(s.Redeliver(ctx, first.ID, later))(t)
	same(t, []any{asked.State, asked.Attempts, asked.Event}, []any{ridgeline.DeliveryPending, 0, first.Event})
	same(t, next(later).ID, first.ID)
	_, err := s.Redeliver(ctx, "w-none", later)
	refused(t, err, ridgeline.NotFound, "no delivery w-none")

	list := must(s.Deliveries(ctx, to, 3))(t)
	same(t, len(list), 3)
	same(t, list[0].Seq, int64(4))
	for must(s.ForgetEvents(ctx, later.Add(time.Hour), 10))(t) > 0 {
	}
	same(t, len(must(s.Deliveries(ctx, to, 0))(t)), 2) // the two that are pending
}

func testSubscriptions(t *testing.T, s *Store) {
	ctx := t.Context()
	p := project(t, s)
	sub := ridgeline.Subscription{ID: "h-1", URL: "https://example.com/hook", Project: p, Types: []string{"dev.ridgeline.run.*"}, Secret: "sealed", Caller: "admin", Created: at(1)}
	ok(t, s.AddSubscription(ctx, sub))
	ok(t, s.AddSubscription(ctx, sub))
	same(t, must(s.Subscription(ctx, "h-1"))(t), sub)
	same(t, must(s.Subscriptions(ctx))(t), []ridgeline.Subscription{sub})
	sub.ID, sub.Project = "h-2", "nobody"
	refused(t, s.AddSubscription(ctx, sub), ridgeline.NotFound, "no project nobody")
	sub.Project, sub.URL = p, "ftp://example.com"
	refused(t, s.AddSubscription(ctx, sub), ridgeline.Invalid, "https://example.com/hook")

	d := must(s.SendTest(ctx, "h-1", func(e ridgeline.Event) ([]byte, error) { return json.Marshal(e) }))(t)
	same(t, []any{d.Type, d.Target, d.State}, []any{ridgeline.EventWebhookTest, "h-1", ridgeline.DeliveryPending})
	_, err := s.SendTest(ctx, "h-2", func(ridgeline.Event) ([]byte, error) { return nil, nil })
	refused(t, err, ridgeline.NotFound, "no webhook h-2")

	ok(t, s.RemoveSubscription(ctx, "h-1"))
	ok(t, s.RemoveSubscription(ctx, "h-1"))
	_, err = s.Subscription(ctx, "h-1")
	refused(t, err, ridgeline.NotFound, "no webhook h-1")
	same(t, len(must(s.DueTargets(ctx, time.Now().Add(time.Hour)))(t)), 0)
}
