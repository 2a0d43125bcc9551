package store

import (
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func testContents(t *testing.T, s *Store) {
	ctx := t.Context()
	for _, id := range []ridgeline.RunID{"r-1", "r-2"} { // both made the same model
		r := run(t, s, id)
		ok(t, s.RegisterVersion(ctx, ridgeline.ModelVersion{
			Model: "ridge", Version: must(s.ReserveVersion(ctx, "ridge", id))(t), Project: r.Project, Run: id, Verdict: ridgeline.Promoted, Created: at(1), Artifact: "a1",
		}))
	}
	register(t, s, "r-3", ridgeline.Rejected) // without one
	d := ridgeline.DatasetVersion{Project: "diabetes", Name: "patients", Created: at(1), DatasetContent: ridgeline.DatasetContent{Digest: "d1", Manifest: "m1"}}
	must(s.SaveDatasetVersion(ctx, d))(t)
	d.Digest, d.Manifest = "d0", ""
	must(s.SaveDatasetVersion(ctx, d))(t)
	models, manifests, err := s.Contents(ctx)
	ok(t, err)
	same(t, models, []string{"a1"})
	same(t, manifests, []string{"m1"})
	if n := must(s.Bytes(ctx))(t); n < 100_000 {
		t.Errorf("a database of all our tables takes %d bytes", n)
	}
}
