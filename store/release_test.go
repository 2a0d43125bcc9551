package store

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

func testReleases(t *testing.T, s *Store) {
	ctx := t.Context()
	want := ridgeline.Release{
		ID: "l-1", Project: project(t, s), Model: "ridge", Version: 2, Status: ridgeline.Queued, Cause: "run r-1", Caller: "ann", Only: "qa", Beside: true, Created: at(1),
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
	ok(t, s.SwitchDeployment(ctx, "d-1", at(10)))
	ok(t, s.SwitchDeployment(ctx, "d-1", at(11)))
	same(t, live(), first.ID)
	second := deploy(t, s, "d-2", 2)
	ok(t, s.SwitchDeployment(ctx, "d-2", at(12)))
	ok(t, s.SwitchDeployment(ctx, "d-2", at(13)))
	same(t, live(), second.ID)
	first.State, first.Ended = ridgeline.DeploymentRetired, at(12)
	second.State, second.Weight = ridgeline.DeploymentLive, 100
	same(t, must(s.Deployments(ctx, DeploymentFilter{Project: "diabetes", Environment: "production"}))(t), []ridgeline.Deployment{second, first})
	same(t, must(s.Deployments(ctx, DeploymentFilter{States: []ridgeline.DeploymentState{ridgeline.DeploymentStarting, ridgeline.DeploymentLive}}))(t), []ridgeline.Deployment{second})
	same(t, must(s.Deployments(ctx, DeploymentFilter{Successor: "d-2"}))(t), []ridgeline.Deployment{first})
	same(t, len(must(s.Deployments(ctx, DeploymentFilter{Environment: "qa"}))(t)), 0)

	// A retry that comes after the next switch turns nothing back.
	ok(t, s.SwitchDeployment(ctx, "d-1", at(14)))
	same(t, live(), second.ID)

	third := deploy(t, s, "d-3", 3)
	ok(t, s.RetireDeployment(ctx, "d-3", at(15)))
	ok(t, s.RetireDeployment(ctx, "d-3", at(16)))
	third.State, third.Ended = ridgeline.DeploymentRetired, at(15)
	same(t, must(s.Deployment(ctx, "d-3"))(t), third)
	refused(t, s.SwitchDeployment(ctx, "d-3", at(17)), ridgeline.Conflict, "retired before it was live")
	refused(t, s.StandBeside(ctx, "d-3", at(17)), ridgeline.Conflict, "retired before it was live")
	same(t, live(), second.ID)

	refused(t, s.RetireDeployment(ctx, "d-2", at(18)), ridgeline.Conflict, "v2 answers 100 % of the requests")
	must(s.SetTraffic(ctx, "diabetes", "production", weights("v2", 0)))(t)
	same(t, live(), second.ID)
	ok(t, s.RetireDeployment(ctx, "d-2", at(18)))
	same(t, live(), none)
	_, err := s.SetTraffic(ctx, "diabetes", "production", weights("v2", 100))
	refused(t, err, ridgeline.Conflict, "nothing is deployed")
	refused(t, s.SwitchDeployment(ctx, "d-none", at(1)), ridgeline.NotFound, "no deployment d-none")
	refused(t, s.RetireDeployment(ctx, "d-none", at(1)), ridgeline.NotFound, "no deployment d-none")
}

// weights is traffic in pairs of a deployment's name and its percent.
func weights(pairs ...any) ridgeline.Traffic {
	t := ridgeline.Traffic{Weights: map[int]int{}}
	for i := 0; i < len(pairs); i += 2 {
		v, err := ridgeline.VersionNamed(pairs[i].(string))
		if err != nil {
			panic(err)
		}
		t.Weights[v] = pairs[i+1].(int)
	}
	return t
}

func testTraffic(t *testing.T, s *Store) {
	ctx := t.Context()
	share := func(traffic ridgeline.Traffic) string {
		t.Helper()
		return ridgeline.TrafficText(must(s.SetTraffic(ctx, "diabetes", "production", traffic))(t))
	}
	now := func() (live ridgeline.DeploymentID, traffic string) {
		t.Helper()
		e, all, err := s.Serving(ctx, "diabetes", "production")
		ok(t, err)
		return e.Live, ridgeline.TrafficText(all)
	}
	previous := func() int {
		t.Helper()
		d, _, err := s.PreviousDeployment(ctx, "diabetes", "production")
		ok(t, err)
		return d.Version
	}
	expect := func(live ridgeline.DeploymentID, traffic string, before int) {
		t.Helper()
		gotLive, got := now()
		same(t, []any{gotLive, got, previous()}, []any{live, traffic, before})
	}
	d := deploy(t, s, "d-1", 1)
	d.Limit = ridgeline.Limit{Concurrent: 7, Timeout: 1500 * time.Millisecond}
	d.ID = "d-1limit"
	ok(t, s.CreateDeployment(ctx, d))
	same(t, must(s.Deployment(ctx, d.ID))(t).Limit, d.Limit)

	// Beside nothing is in front.
	ok(t, s.StandBeside(ctx, "d-1", at(2)))
	expect("d-1", "v1=100", 0)
	deploy(t, s, "d-2", 2)
	ok(t, s.StandBeside(ctx, "d-2", at(3)))
	ok(t, s.StandBeside(ctx, "d-2", at(4)))
	expect("d-1", "v2=0 v1=100", 0)
	deploy(t, s, "d-2again", 2)
	refused(t, s.StandBeside(ctx, "d-2again", at(4)), ridgeline.Conflict, "v2 is in diabetes/production already")
	refused(t, s.RetireDeployment(ctx, "d-1", at(4)), ridgeline.Conflict, "v1 answers 100 %")

	// A little for the new one: a rollback takes it away again.
	same(t, share(weights("v1", 90, "v2", 10)), "v2=10 v1=90")
	same(t, share(weights("v1", 90, "v2", 10)), "v2=10 v1=90")
	expect("d-1", "v2=10 v1=90", 1)
	for reason, bad := range map[string]ridgeline.Traffic{
		"the weights add up to 110":      weights("v1", 100, "v2", 10),
		"the weights add up to 10":       weights("v2", 10), // v1 is not named
		"there is no deployment v3":      weights("v1", 0, "v3", 100),
		"v2=-10: a share":                weights("v1", 100, "v2", -10),
		"at most 50 %":                   {Weights: map[int]int{1: 100}, Mirror: map[int]int{2: 51}},
		"cannot have 10 % of the reques": {Mirror: map[int]int{2: 10}},
	} {
		_, err := s.SetTraffic(ctx, "diabetes", "production", bad)
		code := ridgeline.Invalid
		if strings.HasPrefix(reason, "there") {
			code = ridgeline.NotFound
		}
		refused(t, err, code, reason)
	}
	expect("d-1", "v2=10 v1=90", 1)

	// Most for the new one, then all, then back.
	share(weights("v1", 40, "v2", 60))
	expect("d-2", "v2=60 v1=40", 1)
	share(weights("v2", 100))
	expect("d-2", "v2=100 v1=0", 1)
	share(weights("v1", 100))
	expect("d-1", "v2=0 v1=100", 2)
	share(ridgeline.Traffic{Mirror: map[int]int{2: 50}})
	same(t, must(s.Deployment(ctx, "d-2"))(t).Mirror, 50)
	refused(t, s.RetireDeployment(ctx, "d-2", at(5)), ridgeline.Conflict, "v2 gets copies of 50 %")
	share(weights("v1", 0))
	expect("d-1", "v2=0 v1=0", 1) // nobody answers: a rollback takes the last that did
	same(t, must(s.Deployment(ctx, "d-2"))(t).Mirror, 50)

	// A plain release is all there is afterwards.
	deploy(t, s, "d-3", 3)
	ok(t, s.StandBeside(ctx, "d-3", at(6)))
	deploy(t, s, "d-4", 4)
	ok(t, s.SwitchDeployment(ctx, "d-4", at(7)))
	expect("d-4", "v4=100", 1) // v3 stood there and never answered
	same(t, len(must(s.Deployments(ctx, DeploymentFilter{Successor: "d-4"}))(t)), 3)
	same(t, must(s.Deployment(ctx, "d-2"))(t).Mirror, 0)
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
		ok(t, s.SwitchDeployment(ctx, id, at(0))) // all at one moment: the clock does not decide
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
	must(s.SetTraffic(ctx, "diabetes", "production", weights("v1", 0)))(t)
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
				if err := s.SwitchDeployment(ctx, d.ID, at(20)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	states := map[ridgeline.DeploymentState]int{}
	for _, d := range must(s.Deployments(ctx, DeploymentFilter{}))(t) {
		states[d.State]++
		if n := len(must(s.Deployments(ctx, DeploymentFilter{Successor: d.ID}))(t)); n > 1 {
			t.Errorf("%s took the place of %d", d.ID, n)
		}
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

// testRest: a deployment falls asleep when nobody has asked, and only then.
func testRest(t *testing.T, s *Store) {
	ctx := t.Context()
	d := deploy(t, s, "d-1", 1)
	d.ID, d.Idle, d.Hours = "d-rests", time.Minute, "sat 10:00-11:00 Europe/Berlin"
	ok(t, s.CreateDeployment(ctx, d))
	read := func() ridgeline.Deployment { return must(s.Deployment(ctx, d.ID))(t) }
	same(t, must(s.Rest(ctx, read()))(t), false) // not live yet
	ok(t, s.SwitchDeployment(ctx, d.ID, at(10)))
	live := read()
	same(t, live.Hours, d.Hours)
	same(t, live.Rests(d.Created.Add(30*time.Second)), false)
	same(t, live.Rests(d.Created.Add(2*time.Minute)), true)
	ok(t, s.Asked(ctx, d.ID, at(20)))
	same(t, must(s.Rest(ctx, live))(t), false) // somebody asked since it was read
	same(t, read().Asked, at(20))
	same(t, must(s.Rest(ctx, read()))(t), true)
	same(t, must(s.Rest(ctx, read()))(t), false)
	same(t, read().Asleep, true)
	ok(t, s.Asked(ctx, d.ID, at(15))) // a late note of another server
	same(t, read().Asleep, false)
	ok(t, s.ScaleDeployment(ctx, read().ID, 3))
	same(t, read().Scaled, 3)
	same(t, read().Asked, at(20))
	same(t, must(s.Rest(ctx, must(s.Deployment(ctx, "d-1"))(t)))(t), false) // has no idle time
}
