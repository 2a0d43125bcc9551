package store

import (
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/track/query"
)

// byHand asks for the next version of a model.
func byHand(model ridgeline.ModelName, uri string) Registering {
	return Registering{Version: ridgeline.ModelVersion{Model: model, Registration: ridgeline.Registration{URI: uri, By: "ada"}}}
}

func testRegistry(t *testing.T, s *Store) {
	ctx := t.Context()
	note := ridgeline.RegisteredModel{Name: "my modèle", Description: "d", Tags: map[string]string{"team": "a"}, Created: at(1)}
	ok(t, s.CreateModel(ctx, note))
	refused(t, s.CreateModel(ctx, note), ridgeline.Conflict, "Registered Model (name=my modèle) already exists.")
	_, err := s.RegisterManual(ctx, byHand("none", ""))
	refused(t, err, ridgeline.NotFound, "Registered Model with name=none not found")
	r := byHand(note.Name, "models:/m-1")
	r.Version.Tags, r.Aliases = map[string]string{"k": "v"}, []string{"best", "champion"}
	first := must(s.RegisterManual(ctx, r))(t)
	same(t, first.Version, 1)
	same(t, first.Source, ridgeline.ByHand)
	same(t, first.Tags, map[string]string{"k": "v"})
	same(t, first.Aliases, []string{"best", "champion"}) // it belongs to no gate
	same(t, must(s.RegisterManual(ctx, byHand(note.Name, "x")))(t).Version, 2)
	same(t, must(s.RegisteredModel(ctx, note.Name))(t).Aliases, map[string]int{"best": 1, "champion": 1})
	_, isChampion, err := s.Champion(ctx, note.Name)
	ok(t, err)
	same(t, isChampion, false)

	ok(t, s.SetAlias(ctx, note.Name, "best", 2))
	ok(t, s.TagModel(ctx, note.Name, 2, "k", "w"))
	ok(t, s.TagModel(ctx, note.Name, 0, "team", "b"))
	ok(t, s.UntagModel(ctx, note.Name, 1, "k"))
	ok(t, s.UntagModel(ctx, note.Name, 1, "k"))
	ok(t, s.DescribeVersion(ctx, note.Name, 2, "second", at(9)))
	ok(t, s.StageVersion(ctx, note.Name, 1, "Production", false, at(9)))
	ok(t, s.StageVersion(ctx, note.Name, 2, "Production", true, at(10)))
	second := must(s.RegisteredVersion(ctx, note.Name, 2))(t)
	same(t, []any{second.Tags["k"], second.Description, second.Stage, second.Aliases[0]}, []any{"w", "second", "Production", "best"})
	same(t, must(s.RegisteredVersion(ctx, note.Name, 1))(t).Stage, "Archived")

	ok(t, s.RenameModel(ctx, note.Name, "renamed", at(11)))
	same(t, must(s.RegisteredModel(ctx, "renamed"))(t).Aliases, map[string]int{"best": 2, "champion": 1})
	ok(t, s.DeleteVersion(ctx, "renamed", 2, at(12)))
	refused(t, s.DeleteVersion(ctx, "renamed", 2, at(12)), ridgeline.NotFound, "Model Version (name=renamed, version=2) not found")
	same(t, must(s.RegisterManual(ctx, byHand("renamed", "x")))(t).Version, 3)
	ok(t, s.DeleteModel(ctx, "renamed", at(13)))
	_, err = s.RegisteredModel(ctx, "renamed")
	refused(t, err, ridgeline.NotFound, "not found")
	ok(t, s.CreateModel(ctx, ridgeline.RegisteredModel{Name: "renamed", Created: at(14)}))
	same(t, must(s.RegisterManual(ctx, byHand("renamed", "x")))(t).Version, 4) // a number is one version's, for ever
	imported := byHand("renamed", "y")
	imported.Version.Version, imported.Version.Created = 9, at(3)
	for range 2 {
		v := must(s.RegisterManual(ctx, imported))(t)
		same(t, []any{v.Version, v.Created}, []any{9, at(3)})
	}
	same(t, must(s.RegisterManual(ctx, byHand("renamed", "x")))(t).Version, 10)
}

// testGateAliases: a project's model has aliases that follow the gate, and that
// nobody sets.
func testGateAliases(t *testing.T, s *Store) {
	ctx := t.Context()
	ok(t, s.CreateModel(ctx, ridgeline.RegisteredModel{Name: "ridge", Created: at(1)}))
	early := byHand("ridge", "x")
	early.Aliases = []string{"challenger", "mine"}
	must(s.RegisterManual(ctx, early))(t)
	aliases := func() map[string]int { return must(s.RegisteredModel(ctx, "ridge"))(t).Aliases }
	same(t, aliases(), map[string]int{"challenger": 1, "mine": 1})
	register(t, s, "r-1", ridgeline.Rejected) // makes the model its project's
	same(t, must(s.RegisteredModel(ctx, "ridge"))(t).Project, ridgeline.ProjectName("diabetes"))
	same(t, must(s.ModelVersion(ctx, "ridge", 1))(t).Project, ridgeline.ProjectName("diabetes"))
	same(t, aliases(), map[string]int{"challenger": 2, "mine": 1})
	register(t, s, "r-2", ridgeline.Promoted)
	same(t, aliases(), map[string]int{"champion": 3, "mine": 1})
	register(t, s, "r-3", ridgeline.Inconclusive)
	register(t, s, "r-4", ridgeline.Rejected)
	must(s.RegisterManual(ctx, byHand("ridge", "x")))(t)
	same(t, aliases(), map[string]int{"champion": 3, "challenger": 5, "mine": 1})
	refused(t, s.SetAlias(ctx, "ridge", "champion", 1), ridgeline.Denied, "is kept by the gate of project diabetes: send a version there with `ridgeline release ridge:VERSION`")
	refused(t, s.DeleteAlias(ctx, "ridge", "challenger"), ridgeline.Denied, "kept by the gate")
	ok(t, s.DeleteAlias(ctx, "ridge", "mine"))
	refused(t, s.DeleteVersion(ctx, "ridge", 3, at(2)), ridgeline.Conflict, "is the champion of model ridge")
	refused(t, s.DeleteModel(ctx, "ridge", at(2)), ridgeline.Denied, "made by the pipeline of project diabetes")
	refused(t, s.RenameModel(ctx, "ridge", "other", at(2)), ridgeline.Denied, "keeps its name")
	ok(t, s.DeleteVersion(ctx, "ridge", 5, at(2)))
	same(t, aliases(), map[string]int{"champion": 3, "challenger": 4})

	// What was registered by hand comes to the gate, once.
	run(t, s, "r-5")
	v := must(s.ModelVersion(ctx, "ridge", 6))(t)
	v.Project, v.Run, v.Verdict, v.Image, v.Lock, v.Environment = "diabetes", "r-5", ridgeline.Promoted, "ridge@sha256:1", "l", "e6"
	ok(t, s.RegisterVersion(ctx, v))
	ok(t, s.RegisterVersion(ctx, v))
	same(t, aliases(), map[string]int{"champion": 6})
	got := must(s.ModelVersion(ctx, "ridge", 6))(t)
	same(t, []any{got.Source, got.URI, got.Run, got.Image, got.Champion}, []any{ridgeline.ByHand, "x", ridgeline.RunID("r-5"), "ridge@sha256:1", true})
	run(t, s, "r-6")
	must(s.RegisterManual(ctx, byHand("ridge", "x")))(t)
	ok(t, s.DeleteVersion(ctx, "ridge", 7, at(3)))
	gone := v
	gone.Version, gone.Run = 7, "r-6"
	refused(t, s.RegisterVersion(ctx, gone), ridgeline.NotFound, "is registered any more") // deleted while it was judged
	v.Run = "r-6"
	refused(t, s.RegisterVersion(ctx, v), ridgeline.Conflict, "has been judged by run r-5 already")
	lock, _, err := s.LockOf(ctx, "e6")
	ok(t, err)
	same(t, lock, "l")
}

func testRegistrySearch(t *testing.T, s *Store) {
	ctx := t.Context()
	for i, name := range []ridgeline.ModelName{"b", "A", "c/%"} {
		ok(t, s.CreateModel(ctx, ridgeline.RegisteredModel{Name: name, Tags: map[string]string{"n": fmt.Sprint(i), "quote'": "it's"}, Created: at(i)}))
		for j := range 3 {
			r := byHand(name, fmt.Sprintf("s3://x/%d", j))
			r.Version.TrackingRun, r.Version.Created, r.Version.Tags = fmt.Sprintf("run%d", j), at(10*i+j), map[string]string{"j": fmt.Sprint(j)}
			must(s.RegisterManual(ctx, r))(t)
		}
	}
	search := func(terms, order query.Grammar, filter string, orders []string) RegistrySearch {
		out := RegistrySearch{Terms: must(terms.Parse(filter))(t), Max: 10}
		for _, o := range orders {
			out.Orders = append(out.Orders, must(order.ParseOrder(o))(t))
		}
		return out
	}
	models := func(filter string, orders ...string) (names []string) {
		all, _, err := s.SearchModels(ctx, search(query.RegisteredModels, query.RegisteredModelOrders, filter, orders))
		ok(t, err)
		for _, m := range all {
			names = append(names, string(m.Name))
		}
		return names
	}
	same(t, models(""), []string{"A", "b", "c/%"})
	same(t, models("", "name DESC"), []string{"c/%", "b", "A"})
	same(t, models("name ILIKE 'a%'"), []string{"A"})
	same(t, models("name LIKE 'a%'"), []string(nil))
	same(t, models("name IN ('A', 'b') AND tags.n != '0'"), []string{"A"})
	same(t, models("tags.`quote'` = 'it''s'", "last_updated_timestamp DESC"), []string{"c/%", "A", "b"})
	versions := func(filter string, orders ...string) (names []string) {
		all, _, err := s.SearchVersions(ctx, search(query.ModelVersions, query.ModelVersionOrders, filter, orders))
		ok(t, err)
		for _, v := range all {
			names = append(names, fmt.Sprintf("%s:%d", v.Model, v.Version))
		}
		return names
	}
	same(t, versions("name = 'b'"), []string{"b:3", "b:2", "b:1"})
	same(t, versions("run_id = 'run1'", "name"), []string{"A:2", "b:2", "c/%:2"})
	same(t, versions("version_number >= 3 AND source_path LIKE '%/2'", "creation_timestamp"), []string{"b:3", "A:3", "c/%:3"})
	same(t, versions("tags.j = '0' AND name != 'A'"), []string{"c/%:1", "b:1"})
	_, err := query.ModelVersions.Parse("creation_timestamp > 1")
	refused(t, err, ridgeline.Invalid, "Invalid attribute key 'creation_timestamp'")
	_, _, err = s.SearchModels(ctx, RegistrySearch{Orders: []query.Order{{Key: "name"}, {Key: "name", Descending: true}}, Max: 1})
	refused(t, err, ridgeline.Invalid, "duplicate fields")
	page, more, err := s.SearchVersions(ctx, RegistrySearch{Max: 4, Offset: 4})
	ok(t, err)
	same(t, []any{len(page), more, len(page[0].Tags)}, []any{4, true, 1})
	latest := must(s.LatestVersions(ctx, []ridgeline.ModelName{"b", "A"}))(t)
	same(t, []any{len(latest), latest[0].Version, latest[1].Model}, []any{2, 3, ridgeline.ModelName("b")})
}

// testConcurrentRegistrations: twenty clients get numbers without gaps, and one
// that repeats itself gets the one it had.
func testConcurrentRegistrations(t *testing.T, s *Store) {
	const clients, each = 20, 5
	ctx := t.Context()
	ok(t, s.CreateModel(ctx, ridgeline.RegisteredModel{Name: "m", Created: at(1)}))
	var mu sync.Mutex
	var numbers []int
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range each {
				r := byHand("m", "same")
				r.Request, r.Process = "the same of all", "p1"
				v, err := s.RegisterManual(ctx, r)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				numbers = append(numbers, v.Version)
				mu.Unlock()
				if err := s.Answered(ctx, "m", v.Version, true); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	slices.Sort(numbers)
	for i, n := range numbers {
		same(t, n, i+1)
	}
	same(t, len(numbers), clients*each)

	lost := byHand("m", "lost")
	lost.Request, lost.Process = "lost", "p1"
	first := must(s.RegisterManual(ctx, lost))(t).Version
	lost.Process = "p2" // the server was killed before it answered
	same(t, must(s.RegisterManual(ctx, lost))(t).Version, first)
	ok(t, s.Answered(ctx, "m", first, false)) // and this answer did not arrive
	same(t, must(s.RegisterManual(ctx, lost))(t).Version, first)
	ok(t, s.Answered(ctx, "m", first, true))
	same(t, must(s.RegisterManual(ctx, lost))(t).Version, first+1)
}

// testDeletesWhatIsNotLive: what answers requests, or is on its way there, is not
// deleted.
func testDeletesWhatIsNotLive(t *testing.T, s *Store) {
	ctx := t.Context()
	v := register(t, s, "r-1", ridgeline.Rejected)
	release := ridgeline.Release{ID: "l-1", Project: v.Project, Model: v.Model, Version: v.Version, Status: ridgeline.Queued, Created: at(1),
		Environments: []ridgeline.ReleaseEnvironment{{Name: "qa", Status: ridgeline.Queued}}}
	ok(t, s.CreateRelease(ctx, release))
	refused(t, s.DeleteVersion(ctx, v.Model, v.Version, at(2)), ridgeline.Conflict, "is live in a release that is under way")
	d := ridgeline.Deployment{ID: "d-1", Project: v.Project, Environment: "qa", Release: "l-1", Model: v.Model, Version: v.Version, State: ridgeline.DeploymentStarting, Created: at(1)}
	ok(t, s.CreateDeployment(ctx, d))
	ok(t, s.SwitchDeployment(ctx, d.ID, at(2)))
	refused(t, s.DeleteVersion(ctx, v.Model, v.Version, at(2)), ridgeline.Conflict, "is live in diabetes/qa: release another version there first")
	ok(t, s.FinishRelease(ctx, "l-1", ridgeline.Succeeded, "", time.Now()))
	d.ID, d.Version = "d-2", 2
	ok(t, s.CreateDeployment(ctx, d))
	ok(t, s.SwitchDeployment(ctx, d.ID, at(3)))
	ok(t, s.DeleteVersion(ctx, v.Model, v.Version, at(4)))
	same(t, len(must(s.ModelVersions(ctx, v.Model))(t)), 0)
}

// testOldModels: what was registered before there was a registry by hand is
// there after the migration, and goes on.
func testOldModels(t *testing.T, address string) {
	ctx := t.Context()
	old := openedBefore(t, address, "0011")
	ok(t, old.InTx(ctx, func(tx *Store) error {
		for _, text := range []string{
			`INSERT INTO projects (name, created) VALUES ('p', 1)`,
			`INSERT INTO runs (id, project, pipeline, cause, caller, params, status, created) VALUES ('r-1', 'p', 1, '', '', '{}', 'succeeded', 1)`,
			`INSERT INTO models (name, project, reserved) VALUES ('ridge', 'p', 2), ('other', 'p', 0)`,
			`INSERT INTO model_reservations (model, version, run) VALUES ('ridge', 1, 'r-1')`,
			`INSERT INTO model_versions (model, version, project, run, pipeline, hash, environment, data, params, metrics, artifact, size, image, verdict, report, champion, created, framework)
				VALUES ('ridge', 1, 'p', 'r-1', 1, 'abc', 'e', '{}', '{}', '{"mse":1}', 'a', 7, 'i', 'promoted', '{}', 1, 5000000, 'f')`,
			`INSERT INTO decisions (model, position, version, run, at, holdout, length, fresh, life, alpha, verdict, overridden) VALUES ('ridge', 1, 1, 'r-1', 1, '', 3, 1, 1, 0.5, 'promoted', 'null')`,
		} {
			if _, err := tx.tx.Exec(ctx, text); err != nil {
				return err
			}
		}
		return nil
	}))
	ok(t, old.Close())
	s := opened(t, address)
	v, isChampion, err := s.Champion(ctx, "ridge")
	ok(t, err)
	same(t, []any{isChampion, v.Version, v.Source, v.Run, v.Size, v.Framework, v.Updated}, []any{true, 1, ridgeline.ByPipeline, ridgeline.RunID("r-1"), int64(7), "f", time.Unix(5, 0).UTC()})
	same(t, len(must(s.Decisions(ctx, "ridge"))(t)), 1)
	same(t, must(s.RegisteredModel(ctx, "ridge"))(t).Aliases, map[string]int{"champion": 1})
	same(t, must(s.RegisteredModel(ctx, "other"))(t).Project, ridgeline.ProjectName("p"))
	same(t, must(s.RegisterManual(ctx, byHand("ridge", "x")))(t).Version, 3)
}

// openedBefore opens the metadata as a program did that knew no migration from
// that number on.
func openedBefore(t *testing.T, address, number string) *Store {
	t.Helper()
	migrations, err := fs.Sub(embedded, "migrations")
	ok(t, err)
	before := fstest.MapFS{}
	entries, err := fs.ReadDir(migrations, ".")
	ok(t, err)
	for _, e := range entries {
		if e.Name() < number {
			text, err := fs.ReadFile(migrations, e.Name())
			ok(t, err)
			before[e.Name()] = &fstest.MapFile{Data: text}
		}
	}
	old, err := open(t.Context(), address, nil, before)
	ok(t, err)
	return old
}
