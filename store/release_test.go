package store

import (
	"fmt"
	"sync"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func testReleases(t *testing.T, s *Store) {
	ctx := t.Context()
	want := ridgeline.Release{
		ID: "l-1", Project: project(t, s), Model: "ridge", Version: 2, Status: ridgeline.Queued, Cause: "run r-1", Caller: "ann", Only: "qa", Created: at(1),
		Environments: []ridgeline.ReleaseEnvironment{{Name: "qa", Status: ridgeline.Queued}, {Name: "production", Status: ridgeline.Queued}},
	}
	ok(t, s.CreateRelease(ctx, want))
	ok(t, s.CreateRelease(ctx, want))
	same(t, must(s.Release(ctx, "l-1"))(t), want)
	other := want
	other.Version = 3
	refused(t, s.CreateRelease(ctx, other), ridgeline.Conflict, "l-1 exists already")
	other.ID, other.Created, other.Environments = "l-2", at(2), nil
	ok(t, s.CreateRelease(ctx, other))
	same(t, must(s.Releases(ctx, ReleaseFilter{}))(t), []ridgeline.Release{other, want})
	same(t, must(s.Releases(ctx, ReleaseFilter{Limit: 1, Project: "diabetes"}))(t), []ridgeline.Release{other})

	ok(t, s.StartRelease(ctx, "l-1", at(2)))
	ok(t, s.StartRelease(ctx, "l-1", at(3)))
	ok(t, s.RequestReleaseCancel(ctx, "l-1"))
	qa := ridgeline.ReleaseEnvironment{Name: "qa", Status: ridgeline.Succeeded, Image: "ridge@sha256:1", Deployment: "d-1", Message: "ok", Started: at(3), Ended: at(4)}
	ok(t, s.SaveReleaseEnvironment(ctx, "l-1", qa))
	stage := ridgeline.ReleaseEnvironment{Name: "stage", Status: ridgeline.Running, Started: at(4)}
	ok(t, s.SaveReleaseEnvironment(ctx, "l-1", stage))
	ok(t, s.FinishRelease(ctx, "l-1", ridgeline.Failed, "smoke test", at(5)))
	ok(t, s.FinishRelease(ctx, "l-1", ridgeline.Failed, "smoke test", at(6)))
	refused(t, s.FinishRelease(ctx, "l-1", ridgeline.Succeeded, "", at(6)), ridgeline.Conflict, "already ended as failed")
	ok(t, s.SaveReleaseEnvironment(ctx, "l-1", qa))
	qa.Message = "late"
	refused(t, s.SaveReleaseEnvironment(ctx, "l-1", qa), ridgeline.Conflict, "already ended")
	refused(t, s.StartRelease(ctx, "l-1", at(7)), ridgeline.Conflict, "already ended")
	refused(t, s.RequestReleaseCancel(ctx, "l-1"), ridgeline.Conflict, "already ended")
	qa.Message = "ok"
	want.Status, want.CancelRequested, want.Reason, want.Ended = ridgeline.Failed, true, "smoke test", at(5)
	want.Environments = []ridgeline.ReleaseEnvironment{qa, want.Environments[1], stage}
	same(t, must(s.Release(ctx, "l-1"))(t), want)
	same(t, must(s.Releases(ctx, ReleaseFilter{Unfinished: true}))(t), []ridgeline.Release{other})
	refused(t, s.StartRelease(ctx, "l-none", at(1)), ridgeline.NotFound, "no release l-none")
}

// deploy makes a starting deployment in the test project's production.
func deploy(t testing.TB, s *Store, id ridgeline.DeploymentID, version int) ridgeline.Deployment {
	t.Helper()
	d := ridgeline.Deployment{
		ID: id, Project: project(t, s), Environment: "production", Release: "l-1", Model: "ridge", Version: version,
		Image: fmt.Sprintf("ridge@sha256:%d", version), Host: "process", Replicas: 2, State: ridgeline.DeploymentStarting, Created: at(version),
	}
	ok(t, s.CreateDeployment(t.Context(), d))
	return d
}

func testDeployments(t *testing.T, s *Store) {
	ctx := t.Context()
	first := deploy(t, s, "d-1", 1)
	ok(t, s.CreateDeployment(ctx, first))
	same(t, must(s.Deployment(ctx, "d-1"))(t), first)
	again := first
	again.Version = 9
	refused(t, s.CreateDeployment(ctx, again), ridgeline.Conflict, "d-1 exists already")
	again.ID, again.State = "d-9", ridgeline.DeploymentLive
	refused(t, s.CreateDeployment(ctx, again), ridgeline.Invalid, "a new deployment is starting")

	live := func() ridgeline.DeploymentID {
		return must(s.Endpoint(ctx, "diabetes", "production"))(t).Live
	}
	none := ridgeline.DeploymentID("")
	same(t, live(), none)
	same(t, must(s.SwitchDeployment(ctx, "d-1", at(10)))(t), none)
	same(t, must(s.SwitchDeployment(ctx, "d-1", at(11)))(t), none)
	same(t, live(), first.ID)
	second := deploy(t, s, "d-2", 2)
	same(t, must(s.SwitchDeployment(ctx, "d-2", at(12)))(t), first.ID)
	same(t, must(s.SwitchDeployment(ctx, "d-2", at(13)))(t), first.ID)
	same(t, live(), second.ID)
	first.State, first.Ended = ridgeline.DeploymentRetired, at(12)
	second.State = ridgeline.DeploymentLive
	same(t, must(s.Deployments(ctx, DeploymentFilter{Project: "diabetes", Environment: "production"}))(t), []ridgeline.Deployment{second, first})
	same(t, must(s.Deployments(ctx, DeploymentFilter{States: []ridgeline.DeploymentState{ridgeline.DeploymentStarting, ridgeline.DeploymentLive}}))(t), []ridgeline.Deployment{second})
	same(t, len(must(s.Deployments(ctx, DeploymentFilter{Environment: "qa"}))(t)), 0)

	// A retry that comes after the next switch turns nothing back.
	same(t, must(s.SwitchDeployment(ctx, "d-1", at(14)))(t), none)
	same(t, live(), second.ID)

	third := deploy(t, s, "d-3", 3)
	ok(t, s.RetireDeployment(ctx, "d-3", at(15)))
	ok(t, s.RetireDeployment(ctx, "d-3", at(16)))
	third.State, third.Ended = ridgeline.DeploymentRetired, at(15)
	same(t, must(s.Deployment(ctx, "d-3"))(t), third)
	_, err := s.SwitchDeployment(ctx, "d-3", at(17))
	refused(t, err, ridgeline.Conflict, "retired before it was live")
	same(t, live(), second.ID)

	ok(t, s.RetireDeployment(ctx, "d-2", at(18)))
	same(t, live(), none)
	_, err = s.SwitchDeployment(ctx, "d-none", at(1))
	refused(t, err, ridgeline.NotFound, "no deployment d-none")
	refused(t, s.RetireDeployment(ctx, "d-none", at(1)), ridgeline.NotFound, "no deployment d-none")
}

func testPreviousDeployment(t *testing.T, s *Store) {
	ctx := t.Context()
	previous := func() ridgeline.DeploymentID {
		t.Helper()
		d, has, err := s.PreviousDeployment(ctx, "diabetes", "production")
		ok(t, err)
		same(t, has, d.ID != "")
		return d.ID
	}
	live := func(id ridgeline.DeploymentID, version int) {
		t.Helper()
		deploy(t, s, id, version)
		must(s.SwitchDeployment(ctx, id, at(0)))(t) // all at one moment: the clock does not decide
	}
	same(t, previous(), ridgeline.DeploymentID(""))
	live("d-1", 1)
	same(t, previous(), ridgeline.DeploymentID(""))
	live("d-1b", 1) // the same version again
	same(t, previous(), ridgeline.DeploymentID(""))
	live("d-2", 2)
	same(t, previous(), ridgeline.DeploymentID("d-1b"))
	deploy(t, s, "d-3", 3) // never live
	same(t, previous(), ridgeline.DeploymentID("d-1b"))
	live("d-2b", 2)
	same(t, previous(), ridgeline.DeploymentID("d-1b"))
	live("d-0", 1) // a rollback
	same(t, previous(), ridgeline.DeploymentID("d-2b"))
	ok(t, s.RetireDeployment(ctx, "d-0", at(9)))
	same(t, previous(), ridgeline.DeploymentID("d-0"))
}

func testConcurrentSwitches(t *testing.T, s *Store) {
	const n = 8
	ctx := t.Context()
	var wg sync.WaitGroup
	for i := range n {
		d := deploy(t, s, ridgeline.DeploymentID(fmt.Sprintf("d-%d", i)), i+1)
		for range 3 {
			wg.Go(func() {
				if _, err := s.SwitchDeployment(ctx, d.ID, at(20)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	states := map[ridgeline.DeploymentState]int{}
	seen := map[ridgeline.DeploymentID]bool{}
	for _, d := range must(s.Deployments(ctx, DeploymentFilter{}))(t) {
		states[d.State]++
		p := must(s.SwitchDeployment(ctx, d.ID, at(30)))(t)
		if seen[p] {
			t.Errorf("%s was followed twice", p)
		}
		seen[p] = true
	}
	same(t, states, map[ridgeline.DeploymentState]int{ridgeline.DeploymentLive: 1, ridgeline.DeploymentRetired: n - 1})
}

func testEndpoints(t *testing.T, s *Store) {
	ctx := t.Context()
	p := project(t, s)
	want := ridgeline.Endpoint{Project: p, Environment: "qa", PrimaryGeneration: 1, SecondaryGeneration: 1}
	same(t, must(s.EnsureEndpoint(ctx, p, "qa"))(t), want)
	same(t, must(s.EnsureEndpoint(ctx, p, "qa"))(t), want)
	want.PrimaryGeneration = 2
	same(t, must(s.RotateKey(ctx, p, "qa", "primary"))(t), want)
	want.SecondaryGeneration = 2
	same(t, must(s.RotateKey(ctx, p, "qa", "secondary"))(t), want)
	same(t, must(s.Endpoint(ctx, p, "qa"))(t), want)
	_, err := s.RotateKey(ctx, p, "qa", "third")
	refused(t, err, ridgeline.Invalid, "primary and secondary")
	_, err = s.RotateKey(ctx, p, "production", "primary")
	refused(t, err, ridgeline.NotFound, "no endpoint production")
	_, err = s.EnsureEndpoint(ctx, "nobody", "qa")
	refused(t, err, ridgeline.NotFound, "no project nobody")
	_, err = s.EnsureEndpoint(ctx, p, "Q A")
	refused(t, err, ridgeline.Invalid, "environment name")
	production := must(s.EnsureEndpoint(ctx, p, "production"))(t)
	other := must(s.EnsureEndpoint(ctx, must(s.EnsureProject(ctx, "aa", at(1)))(t).Name, "qa"))(t)
	same(t, must(s.Endpoints(ctx, p))(t), []ridgeline.Endpoint{production, want})
	same(t, must(s.Endpoints(ctx, ""))(t), []ridgeline.Endpoint{other, production, want})
}

func testTokens(t *testing.T, s *Store) {
	ctx := t.Context()
	want := ridgeline.Token{ID: "t-1", Name: "ci", Role: ridgeline.Writer, Hash: "h1", Created: at(1), Expires: at(100)}
	ok(t, s.CreateToken(ctx, want))
	ok(t, s.CreateToken(ctx, want))
	same(t, must(s.TokenByHash(ctx, "h1"))(t), want)
	refused(t, s.CreateToken(ctx, ridgeline.Token{ID: "t-2", Hash: "h1"}), ridgeline.Conflict, "already")
	refused(t, s.CreateToken(ctx, ridgeline.Token{ID: "t-1", Hash: "h2"}), ridgeline.Conflict, "already")
	_, err := s.TokenByHash(ctx, "h2")
	refused(t, err, ridgeline.NotFound, "no such token")
	ok(t, s.CreateToken(ctx, ridgeline.Token{ID: "t-2", Name: "admin", Role: ridgeline.Admin, Hash: "h2", Created: at(2)}))
	ok(t, s.RevokeToken(ctx, "t-1", at(5)))
	ok(t, s.RevokeToken(ctx, "t-1", at(6)))
	refused(t, s.RevokeToken(ctx, "t-3", at(6)), ridgeline.NotFound, "no token t-3")
	want.Revoked = at(5)
	all := must(s.Tokens(ctx))(t)
	same(t, len(all), 2)
	same(t, all[1], want)
}
