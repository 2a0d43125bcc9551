package store

import (
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func testDecisions(t *testing.T, s *Store) {
	ctx := t.Context()
	one := register(t, s, "r-1", ridgeline.Promoted)
	two := register(t, s, "r-2", ridgeline.Rejected)

	first := ridgeline.Decision{
		Model: "ridge", Version: one.Version, Run: "r-1", At: at(1), Holdout: []byte(`{"rows":2,"sketch":[18446744073709551615]}`),
		Rows: 2, New: 0.25, Life: 1, Alpha: 0.0025, Verdict: ridgeline.Promoted,
	}
	ok(t, s.AddDecision(ctx, first))
	ok(t, s.AddDecision(ctx, first)) // twice is once
	same(t, must(s.Decisions(ctx, "ridge"))(t), []ridgeline.Decision{first})
	same(t, len(must(s.Decisions(ctx, "none"))(t)), 0)

	o := ridgeline.Override{Who: "ann", At: at(3), Reason: "the law asks for it", How: "promote"}
	_, err := s.OverrideVersion(ctx, "ridge", two.Version, ridgeline.Override{Who: "ann", At: at(3), Reason: " "})
	refused(t, err, ridgeline.Invalid, "needs a reason")
	_, err = s.OverrideVersion(ctx, "ridge", 9, o)
	refused(t, err, ridgeline.NotFound, "no version 9")
	_, err = s.OverrideVersion(ctx, "ridge", one.Version, o)
	refused(t, err, ridgeline.Conflict, "champion of model ridge already")

	v := must(s.OverrideVersion(ctx, "ridge", two.Version, o))(t)
	same(t, v, must(s.ModelVersion(ctx, "ridge", two.Version))(t))
	same(t, v.Champion, true)
	same(t, v.Verdict, ridgeline.Rejected)
	same(t, v.Overrides, []ridgeline.Override{o})
	same(t, must(s.ModelVersion(ctx, "ridge", one.Version))(t).Champion, false)
	second := ridgeline.Decision{Model: "ridge", Version: two.Version, Run: "r-2", At: at(3), Verdict: ridgeline.Rejected, Override: &o}
	same(t, must(s.Decisions(ctx, "ridge"))(t), []ridgeline.Decision{first, second})
	trail := must(s.AuditEvents(ctx, AuditFilter{Since: at(2)}))(t)
	same(t, trail, []ridgeline.AuditEvent{
		{ID: trail[0].ID, At: at(3), Who: "ann", Action: "promote", Subject: "models/ridge/versions/2", Reason: o.Reason, Outcome: ridgeline.AuditDone, Times: 1},
	})

	// A run with the gate off makes its model champion, whatever the verdict.
	run(t, s, "r-3")
	off := ridgeline.ModelVersion{
		Model: "ridge", Version: must(s.ReserveVersion(ctx, "ridge", "r-3"))(t), Project: one.Project, Run: "r-3", Verdict: ridgeline.Inconclusive,
		Created: at(5), Overrides: []ridgeline.Override{{Who: "bob", At: at(5), Reason: "fire", How: "gate off"}},
		Evidence:  ridgeline.Evidence{Settings: []byte(`{"Metric":"mse"}`), Rows: "b1", Trained: "b2"},
		Framework: "scikit-learn 1.9.1", Signature: []byte(`{"form":"array"}`),
	}
	ok(t, s.RegisterVersion(ctx, off))
	off.Champion = true
	champion, _, err := s.Champion(ctx, "ridge")
	ok(t, err)
	same(t, champion.Evidence, off.Evidence)
	same(t, champion.Overrides, off.Overrides)
	same(t, champion.Framework, off.Framework)
	same(t, champion.Signature, off.Signature)
	same(t, len(must(s.AuditEvents(ctx, AuditFilter{Since: at(4)}))(t)), 1)
}
