package store

import (
	"fmt"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func arrival(id string, digest string, created int) ridgeline.Arrival {
	return ridgeline.Arrival{
		ID: ridgeline.ArrivalID(id), Project: "diabetes", Dataset: "sales", Source: ridgeline.FromRemote, Origin: "s3://bucket/sales", Address: "s3://bucket/sales?signature=1",
		Status: ridgeline.Arriving, Fingerprint: "f" + digest, Rules: "r", Cause: "watch", Created: at(created),
		DatasetContent: ridgeline.DatasetContent{
			Digest: digest, Size: 10, Rows: 2, Files: 1, Columns: []ridgeline.Column{{Name: "a", Type: "BIGINT"}}, Manifest: "m" + digest, Profile: "p" + digest,
		},
	}
}

func testArrivals(t *testing.T, s *Store) {
	ctx := t.Context()
	refused(t, s.CreateArrival(ctx, arrival("a-1", "d1", 1)), ridgeline.NotFound, "no project diabetes")
	p := project(t, s)
	_, err := s.Dataset(ctx, p, "sales")
	refused(t, err, ridgeline.NotFound, "nothing has arrived")

	one := arrival("a-1", "d1", 1)
	for range 2 {
		ok(t, s.CreateArrival(ctx, one))
	}
	same(t, must(s.Arrival(ctx, "a-1"))(t), one)
	refused(t, s.CreateArrival(ctx, arrival("a-2", "d2", 2)), ridgeline.Conflict, "a-1 of dataset sales has not ended")
	_, err = s.DatasetVersion(ctx, p, "sales", 0)
	refused(t, err, ridgeline.NotFound, "no accepted version")

	finish := func(a ridgeline.Arrival, status ridgeline.ArrivalStatus, ended int) (ridgeline.Arrival, bool) {
		t.Helper()
		a.Status, a.Ended = status, at(ended)
		got, fresh, err := s.FinishArrival(ctx, a)
		ok(t, err)
		return got, fresh
	}
	got, fresh := finish(one, ridgeline.Accepted, 3)
	same(t, fresh, true)
	same(t, got.Version, 1)
	_, fresh = finish(one, ridgeline.Accepted, 9) // again is harmless
	same(t, fresh, false)
	same(t, must(s.Arrival(ctx, "a-1"))(t), got)
	same(t, must(s.DatasetVersion(ctx, p, "sales", 0))(t).Manifest, "md1")
	one.Status = ridgeline.Quarantined
	_, _, err = s.FinishArrival(ctx, one)
	refused(t, err, ridgeline.Conflict, "already ended as accepted")

	// A bad one gets a number, and is not in use.
	two := arrival("a-2", "d2", 4)
	ok(t, s.CreateArrival(ctx, two))
	two.Reason, two.Findings = "column a", []byte(`[{"rule":"min"}]`)
	bad, fresh := finish(two, ridgeline.Quarantined, 5)
	same(t, fresh, false)
	same(t, bad.Version, 2)
	same(t, must(s.Arrival(ctx, "a-2"))(t), bad)
	same(t, must(s.Dataset(ctx, p, "sales"))(t).Current, 1)

	// The same content as before: accepted, and nothing new.
	three := arrival("a-3", "d1", 6)
	ok(t, s.CreateArrival(ctx, three))
	got, fresh = finish(three, ridgeline.Accepted, 7)
	same(t, fresh, false)
	same(t, got.Version, 1)

	o := ridgeline.Override{Who: "ann", Reason: "the new price list", At: at(8), How: "accept"}
	_, _, err = s.ReleaseArrival(ctx, p, "sales", 3, o)
	refused(t, err, ridgeline.NotFound, "no version 3")
	_, _, err = s.ReleaseArrival(ctx, p, "sales", 1, o)
	refused(t, err, ridgeline.Conflict, "accepted, not in quarantine")
	_, _, err = s.ReleaseArrival(ctx, p, "sales", 2, ridgeline.Override{Who: "ann"})
	refused(t, err, ridgeline.Invalid, "needs a reason")
	got, fresh, err = s.ReleaseArrival(ctx, p, "sales", 2, o)
	ok(t, err)
	same(t, fresh, true)
	same(t, *got.Released, o)
	same(t, must(s.Arrival(ctx, "a-2"))(t), got)
	same(t, must(s.Dataset(ctx, p, "sales"))(t).Current, 2)
	trail := must(s.AuditEvents(ctx, AuditFilter{Subject: "projects/diabetes/datasets/sales"}))(t)
	same(t, trail, []ridgeline.AuditEvent{
		{ID: trail[0].ID, At: at(8), Who: "ann", Action: "accept-data", Subject: "projects/diabetes/datasets/sales/versions/2", Reason: "the new price list", Outcome: ridgeline.AuditDone, Times: 1},
	})

	// Of what only looked different, one is enough.
	for i := range 3 {
		a := arrival(fmt.Sprintf("a-u%d", i), "d2", 10+i)
		ok(t, s.CreateArrival(ctx, a))
		finish(a, ridgeline.Unchanged, 20+i)
	}
	list := must(s.Arrivals(ctx, ArrivalFilter{Project: p, Dataset: "sales", Source: ridgeline.FromRemote}))(t)
	var ids []string
	for _, a := range list {
		ids = append(ids, string(a.ID))
	}
	same(t, ids, []string{"a-u2", "a-3", "a-2", "a-1"})
	same(t, len(must(s.Arrivals(ctx, ArrivalFilter{Status: []ridgeline.ArrivalStatus{ridgeline.Accepted}, Limit: 2}))(t)), 2)
	same(t, len(must(s.Arrivals(ctx, ArrivalFilter{Unfinished: true}))(t)), 0)

	ok(t, s.SetArrivalRun(ctx, "a-2", "r-1"))
	same(t, must(s.Arrival(ctx, "a-2"))(t).Run, ridgeline.RunID("r-1"))
	ok(t, s.NoteLook(ctx, p, "sales", "access is denied", at(30)))
	same(t, must(s.Datasets(ctx, p))(t), []ridgeline.Dataset{{Project: p, Name: "sales", Current: 2, Looked: at(30), Problem: "access is denied"}})
	kinds := typesOf(relayed(t, s, nil))
	same(t, kinds, []string{"dataset.accepted", "dataset.quarantined", "dataset.accepted", "dataset.accepted"})
}
