package store

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

// build is a queued build of the test's project.
func build(t testing.TB, s *Store, id ridgeline.BuildID, seconds int) ridgeline.Build {
	t.Helper()
	p := project(t, s)
	b := ridgeline.Build{
		ID: id, Project: p, Status: ridgeline.Queued, Caller: "ann", Created: at(seconds),
		Commit: ridgeline.Commit{
			Project: p, Hash: strings.Repeat("a1", 20), Tree: strings.Repeat("0f", 32), Branch: "main", Message: "Fit a ridge",
			Author: "Ann <ann@example.com>", Created: at(0),
		},
	}
	ok(t, s.CreateBuild(t.Context(), b))
	return b
}

func testBuilds(t *testing.T, s *Store) {
	ctx := t.Context()
	want := build(t, s, "b-1", 1)
	ok(t, s.CreateBuild(ctx, want))
	same(t, must(s.Build(ctx, "b-1"))(t), want)
	other := want
	other.Commit.Tree = strings.Repeat("1f", 32)
	other.Commit.Dirty = true
	refused(t, s.CreateBuild(ctx, other), ridgeline.Conflict, "b-1 exists already")
	other.ID, other.Created = "b-2", at(2)
	other.Commit.Branch, other.Cause, other.PullRequest, other.Nightly = "topic", "webhook github", "7", true
	other.Checks = []ridgeline.Check{{Name: "tests", Kind: ridgeline.CheckTests, Status: ridgeline.Queued}}
	ok(t, s.CreateBuild(ctx, other)) // the same hash, another tree
	same(t, must(s.Build(ctx, "b-2"))(t), other)
	refused(t, s.CreateBuild(ctx, ridgeline.Build{ID: "b-3", Project: "nobody"}), ridgeline.NotFound, "no project nobody")
	_, err := s.Build(ctx, "b-3")
	refused(t, err, ridgeline.NotFound, "no build b-3")

	same(t, must(s.Builds(ctx, BuildFilter{}))(t), []ridgeline.Build{other, want})
	same(t, must(s.Builds(ctx, BuildFilter{Limit: 1}))(t), []ridgeline.Build{other})
	same(t, len(must(s.Builds(ctx, BuildFilter{Project: "iris"}))(t)), 0)
	same(t, must(s.Builds(ctx, BuildFilter{Branch: "topic"}))(t), []ridgeline.Build{other})
	same(t, must(s.Builds(ctx, BuildFilter{Tree: want.Commit.Tree}))(t), []ridgeline.Build{want})

	// The commit of the first, met on another branch.
	merged := want
	merged.ID, merged.Commit.Branch, merged.Created = "b-0", "release/1", at(0)
	ok(t, s.CreateBuild(ctx, merged))
	same(t, must(s.Build(ctx, "b-0"))(t), merged)
	same(t, must(s.Build(ctx, "b-1"))(t), want)
	ok(t, s.SetBuildEnvironment(ctx, "b-0", "e0"))
	report := ridgeline.Report{Tests: 3, Failed: 1, Coverage: &ridgeline.Coverage{Lines: 10, Covered: 9}, Flaky: []string{"tests.test_a"}, Slowest: []ridgeline.Slow{{Test: "a", Seconds: 1.5}}}
	ok(t, s.SaveReport(ctx, "b-0", report))
	merged.Environment, merged.Report = "e0", report
	same(t, must(s.Builds(ctx, BuildFilter{Flaky: true}))(t), []ridgeline.Build{merged})
	ok(t, s.FinishBuild(ctx, "b-0", ridgeline.Succeeded, "", at(3)))

	ok(t, s.StartBuild(ctx, "b-1", at(3)))
	ok(t, s.StartBuild(ctx, "b-1", at(4)))
	ok(t, s.SetBuildRun(ctx, "b-1", "r-1"))
	ok(t, s.SetBuildRun(ctx, "b-1", "r-1"))
	refused(t, s.SetBuildRun(ctx, "b-1", "r-2"), ridgeline.Conflict, "r-1")
	ok(t, s.RequestBuildCancel(ctx, "b-1"))
	ok(t, s.FinishBuild(ctx, "b-1", ridgeline.Failed, "2 tests failed", at(5)))
	ok(t, s.FinishBuild(ctx, "b-1", ridgeline.Failed, "2 tests failed", at(6)))
	refused(t, s.FinishBuild(ctx, "b-1", ridgeline.Succeeded, "", at(6)), ridgeline.Conflict, "already ended as failed")
	refused(t, s.StartBuild(ctx, "b-1", at(6)), ridgeline.Conflict, "already ended as failed")
	refused(t, s.RequestBuildCancel(ctx, "b-1"), ridgeline.Conflict, "already ended as failed")
	want.Status, want.Run, want.CancelRequested, want.Reason, want.Ended = ridgeline.Failed, "r-1", true, "2 tests failed", at(5)
	same(t, must(s.Build(ctx, "b-1"))(t), want)
	same(t, must(s.Builds(ctx, BuildFilter{Unfinished: true, Project: want.Project}))(t), []ridgeline.Build{other})
}

func testChecks(t *testing.T, s *Store) {
	ctx := t.Context()
	build(t, s, "b-1", 1)
	want := []ridgeline.Check{
		{Name: "quality", Kind: ridgeline.CheckQuality, Status: ridgeline.Running, Task: "b-1-quality"},
		{Name: "tests", Kind: ridgeline.CheckTests, Status: ridgeline.Queued},
		{Name: "data diabetes", Kind: ridgeline.CheckData, Status: ridgeline.Queued, Seconds: 0.125},
	}
	for _, c := range want {
		ok(t, s.SaveCheck(ctx, "b-1", c))
		ok(t, s.SaveCheck(ctx, "b-1", c))
	}
	want[0].Status, want[0].Message, want[0].Seconds = ridgeline.Failed, "E501 \xff", 1.5
	ok(t, s.SaveCheck(ctx, "b-1", want[0]))
	ok(t, s.FinishBuild(ctx, "b-1", ridgeline.Failed, "quality", at(2)))
	ok(t, s.SaveCheck(ctx, "b-1", want[0]))
	refused(t, s.SaveCheck(ctx, "b-1", ridgeline.Check{Name: "tests"}), ridgeline.Conflict, "already ended")
	want[0].Message = "E501 \uFFFD"
	same(t, must(s.Build(ctx, "b-1"))(t).Checks, want)
	refused(t, s.SaveCheck(ctx, "b-2", want[0]), ridgeline.NotFound, "no build b-2")
}

func testPipelines(t *testing.T, s *Store) {
	ctx := t.Context()
	var all []ridgeline.Pipeline
	for i := range 3 {
		b := build(t, s, ridgeline.BuildID(fmt.Sprintf("b-%d", i)), i)
		want := ridgeline.Pipeline{
			Project: b.Project, Build: b.ID, Commit: b.Commit, Environment: fmt.Sprintf("e%d", i), Lock: "numpy==2.0\n", Python: "3.11", Created: at(10 + i),
		}
		got := must(s.PublishPipeline(ctx, want))(t)
		want.Version = i + 1
		same(t, got, want)
		same(t, must(s.Build(ctx, b.ID))(t).Pipeline, i+1)
		all = append([]ridgeline.Pipeline{got}, all...)
	}
	again := all[2]
	again.Version, again.Lock = 99, "changed since"
	same(t, must(s.PublishPipeline(ctx, again))(t), all[2])
	same(t, must(s.Pipelines(ctx, "diabetes"))(t), all)
	same(t, must(s.Pipeline(ctx, "diabetes", 0))(t), all[0])
	same(t, must(s.Pipeline(ctx, "diabetes", 2))(t), all[1])

	// The same code in the same environment, once more: nothing new. A clean
	// commit is no dirty tree, and what is no longer the newest comes back.
	b := build(t, s, "b-again", 20)
	same(t, must(s.PublishPipeline(ctx, ridgeline.Pipeline{Project: b.Project, Build: b.ID, Commit: b.Commit, Environment: "e2"}))(t), all[0])
	same(t, must(s.Build(ctx, b.ID))(t).Pipeline, 3)
	same(t, len(must(s.Pipelines(ctx, "diabetes"))(t)), 3)

	_, err := s.Pipeline(ctx, "diabetes", 4)
	refused(t, err, ridgeline.NotFound, "no pipeline version 4")
	_, err = s.Pipeline(ctx, "iris", 0)
	refused(t, err, ridgeline.NotFound, "no published pipeline")
	_, err = s.PublishPipeline(ctx, ridgeline.Pipeline{Project: "diabetes", Build: "b-none"})
	refused(t, err, ridgeline.NotFound, "no build b-none")
	_, err = s.PublishPipeline(ctx, ridgeline.Pipeline{Project: "iris", Build: "b-1"})
	refused(t, err, ridgeline.Invalid, "is of project diabetes")
	red := build(t, s, "b-red", 1)
	ok(t, s.FinishBuild(ctx, "b-red", ridgeline.Failed, "tests", at(2)))
	_, err = s.PublishPipeline(ctx, ridgeline.Pipeline{Project: red.Project, Build: red.ID, Commit: red.Commit})
	refused(t, err, ridgeline.Conflict, "already ended as failed")
}

func testConcurrentPipelines(t *testing.T, s *Store) {
	const builds, publishers = 8, 4
	versions := make(chan [2]int, builds*publishers)
	var wg sync.WaitGroup
	for i := range builds {
		b := build(t, s, ridgeline.BuildID(fmt.Sprintf("b-%d", i)), i)
		for range publishers {
			wg.Go(func() {
				p, err := s.PublishPipeline(t.Context(), ridgeline.Pipeline{Project: b.Project, Build: b.ID, Commit: b.Commit, Environment: string(b.ID)})
				if err != nil {
					t.Error(err)
				}
				versions <- [2]int{i, p.Version}
			})
		}
	}
	wg.Wait()
	close(versions)
	onceEach(t, versions, builds)
}

// onceEach checks that the n owners got the numbers 1 to n, each always its own.
func onceEach(t *testing.T, got <-chan [2]int, n int) {
	t.Helper()
	numbers := map[int]int{}
	for g := range got {
		owner, number := g[0], g[1]
		if have, seen := numbers[owner]; seen && have != number {
			t.Errorf("owner %d got %d and %d", owner, have, number)
		}
		numbers[owner] = number
	}
	var all []int
	for _, number := range numbers {
		all = append(all, number)
	}
	slices.Sort(all)
	for i, number := range all {
		if number != i+1 || len(all) != n {
			t.Fatalf("numbers given out: %v, want 1 to %d", all, n)
		}
	}
}
