package store

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func testModelVersions(t *testing.T, s *Store) {
	ctx := t.Context()
	r := run(t, s, "r-1")
	same(t, must(s.ReserveVersion(ctx, "ridge", "r-1"))(t), 1)
	same(t, must(s.ReserveVersion(ctx, "ridge", "r-1"))(t), 1)
	_, err := s.ReserveVersion(ctx, "ridge", "r-none")
	refused(t, err, ridgeline.NotFound, "no run r-none")
	_, err = s.ReserveVersion(ctx, "No Name", "r-1")
	refused(t, err, ridgeline.Invalid, "No Name")
	_, err = s.ModelVersion(ctx, "ridge", 0)
	refused(t, err, ridgeline.NotFound, "no version of model ridge is registered")

	want := ridgeline.ModelVersion{
		Model: "ridge", Version: 1, Source: ridgeline.ByPipeline, Project: r.Project, Run: r.ID, Pipeline: 3, Commit: "abc", Environment: "e1",
		Data: map[string]string{"diabetes": "d1"}, Params: map[string]string{},
		Metrics:  map[string]float64{"mse": 0.1 + 0.2, "nan": math.Inf(1), "low": math.Inf(-1), "": math.Copysign(0, -1), "big": math.MaxFloat64},
		Artifact: "a1", Size: 1 << 40, Verdict: ridgeline.Inconclusive, Report: []byte(`{"effect": 0.01}`), Created: at(5),
		Registration: ridgeline.Registration{Updated: at(5)},
	}
	ok(t, s.RegisterVersion(ctx, want))
	same(t, must(s.ModelVersion(ctx, "ridge", 1))(t), want)
	again := want
	again.Artifact, again.Verdict = "changed", ridgeline.Promoted
	ok(t, s.RegisterVersion(ctx, again)) // the same run: nothing changes
	same(t, must(s.ModelVersion(ctx, "ridge", 0))(t), want)
	_, has, err := s.Champion(ctx, "ridge")
	ok(t, err)
	same(t, has, false)

	ok(t, s.SetVersionImage(ctx, "ridge", 1, "ridge@sha256:1"))
	ok(t, s.SetVersionImage(ctx, "ridge", 1, "ridge@sha256:1"))
	refused(t, s.SetVersionImage(ctx, "ridge", 1, "ridge@sha256:2"), ridgeline.Conflict, "sha256:1 already")
	refused(t, s.SetVersionImage(ctx, "ridge", 0, "ridge@sha256:2"), ridgeline.Invalid, "from 1 on")
	refused(t, s.SetVersionImage(ctx, "ridge", 2, "ridge@sha256:2"), ridgeline.NotFound, "no version 2 of model ridge")
	refused(t, s.SetVersionImage(ctx, "none", 1, "ridge@sha256:2"), ridgeline.NotFound, "no version 1 of model none")
	same(t, must(s.ModelVersion(ctx, "ridge", 1))(t).Image, "ridge@sha256:1")

	run(t, s, "r-2")
	unreserved := ridgeline.ModelVersion{Model: "ridge", Version: 2, Project: r.Project, Run: "r-2"}
	refused(t, s.RegisterVersion(ctx, unreserved), ridgeline.Conflict, "reserve one first")
	same(t, must(s.ReserveVersion(ctx, "ridge", "r-2"))(t), 2)
	unreserved.Version = 3
	refused(t, s.RegisterVersion(ctx, unreserved), ridgeline.Conflict, "has reserved version 2")
	unreserved.Model = "none"
	refused(t, s.RegisterVersion(ctx, unreserved), ridgeline.NotFound, "no model none")

	foreign := must(s.EnsureProject(ctx, "iris", at(1)))(t).Name
	ok(t, s.CreateRun(ctx, ridgeline.Run{ID: "r-foreign", Project: foreign, Status: ridgeline.Queued, Created: at(1)}))
	_, err = s.ReserveVersion(ctx, "ridge", "r-foreign")
	refused(t, err, ridgeline.Conflict, "belongs to project diabetes")
	refused(t, s.RegisterVersion(ctx, ridgeline.ModelVersion{Model: "ridge", Version: 2, Project: foreign, Run: "r-2"}),
		ridgeline.Conflict, "belongs to project diabetes")
}

// register makes a run, and registers the model version it reserves.
func register(t testing.TB, s *Store, id ridgeline.RunID, verdict ridgeline.Verdict) ridgeline.ModelVersion {
	t.Helper()
	r := run(t, s, id)
	v := ridgeline.ModelVersion{
		Model: "ridge", Version: must(s.ReserveVersion(t.Context(), "ridge", id))(t), Project: r.Project, Run: id, Verdict: verdict, Created: at(1),
	}
	ok(t, s.RegisterVersion(t.Context(), v))
	return v
}

func testChampions(t *testing.T, s *Store) {
	ctx := t.Context()
	champion := func() int {
		v, has, err := s.Champion(ctx, "ridge")
		ok(t, err)
		same(t, has, v.Champion)
		return v.Version
	}
	same(t, champion(), 0)
	first := register(t, s, "r-1", ridgeline.Promoted)
	same(t, champion(), 1)
	register(t, s, "r-2", ridgeline.Rejected)
	same(t, champion(), 1)
	register(t, s, "r-3", ridgeline.Promoted)
	same(t, champion(), 3)
	ok(t, s.RegisterVersion(ctx, first)) // a late retry takes nothing back
	same(t, champion(), 3)
	run(t, s, "r-4") // reserves, and never registers
	must(s.ReserveVersion(ctx, "ridge", "r-4"))(t)
	same(t, must(s.ModelVersion(ctx, "ridge", 0))(t).Version, 3)

	var champions, versions []int
	for _, v := range must(s.ModelVersions(ctx, "ridge"))(t) {
		versions = append(versions, v.Version)
		if v.Champion {
			champions = append(champions, v.Version)
		}
	}
	same(t, versions, []int{3, 2, 1})
	same(t, champions, []int{3})
	same(t, len(must(s.ModelVersions(ctx, ""))(t)), 3)
	same(t, len(must(s.ModelVersions(ctx, "none"))(t)), 0)
}

func testConcurrentModelVersions(t *testing.T, s *Store) {
	const runs, tries = 8, 4
	ctx := t.Context()
	versions := make(chan [2]int, runs*tries)
	var wg sync.WaitGroup
	for i := range runs {
		r := run(t, s, ridgeline.RunID(fmt.Sprintf("r-%d", i)))
		for range tries {
			wg.Go(func() {
				version, err := s.ReserveVersion(ctx, "ridge", r.ID)
				if err != nil {
					t.Error(err)
					return
				}
				versions <- [2]int{i, version}
				v := ridgeline.ModelVersion{Model: "ridge", Version: version, Project: r.Project, Run: r.ID, Verdict: ridgeline.Promoted, Created: at(i)}
				if err := s.RegisterVersion(ctx, v); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	close(versions)
	onceEach(t, versions, runs)
	all := must(s.ModelVersions(ctx, "ridge"))(t)
	champions := 0
	for _, v := range all {
		if v.Champion {
			champions++
		}
	}
	same(t, []int{len(all), champions}, []int{runs, 1})
}

func testDatasets(t *testing.T, s *Store) {
	ctx := t.Context()
	want := ridgeline.DatasetVersion{
		Project: project(t, s), Name: "patients", Created: at(1),
		DatasetContent: ridgeline.DatasetContent{Digest: "d1", Size: 1 << 33, Rows: 442, Columns: []ridgeline.Column{{Name: "age", Type: "DOUBLE"}}},
	}
	first := must(s.SaveDatasetVersion(ctx, want))(t)
	want.Version = 1
	same(t, first, want)
	want.Digest, want.Created = "d2", at(2)
	second := must(s.SaveDatasetVersion(ctx, want))(t)
	same(t, second.Version, 2)
	back := first
	back.Created, back.Version = at(9), 0
	same(t, must(s.SaveDatasetVersion(ctx, back))(t), first)
	same(t, must(s.DatasetVersion(ctx, want.Project, "patients", 2))(t), second)
	_, err := s.DatasetVersion(ctx, want.Project, "patients", 3)
	refused(t, err, ridgeline.NotFound, "no version 3")
	completed := want
	completed.Manifest, completed.Profile, completed.Files = "m2", "p2", 3
	second = must(s.SaveDatasetVersion(ctx, completed))(t)
	same(t, second.Manifest+second.Profile, "m2p2")
	completed.Manifest = "other"
	same(t, must(s.SaveDatasetVersion(ctx, completed))(t), second)
	want.Name = "visits"
	same(t, must(s.SaveDatasetVersion(ctx, want))(t).Version, 1)
	same(t, must(s.DatasetVersions(ctx, "diabetes", "patients"))(t), []ridgeline.DatasetVersion{second, first})
	same(t, len(must(s.DatasetVersions(ctx, "diabetes", ""))(t)), 3)
	want.Project = "nobody"
	_, err = s.SaveDatasetVersion(ctx, want)
	refused(t, err, ridgeline.NotFound, "no project nobody")

	versions := make(chan [2]int, 32)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			d, err := s.SaveDatasetVersion(ctx, ridgeline.DatasetVersion{Project: "diabetes", Name: "many", DatasetContent: ridgeline.DatasetContent{Digest: fmt.Sprint(i % 8)}, Created: at(1)})
			if err != nil {
				t.Error(err)
			}
			versions <- [2]int{i % 8, d.Version}
		})
	}
	wg.Wait()
	close(versions)
	onceEach(t, versions, 8)
}
