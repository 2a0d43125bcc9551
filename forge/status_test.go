package forge_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/build"
	"github.com/ridgeline-mlops/ridgeline/forge"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/trigger"
)

func TestHub_statuses(t *testing.T) {
	const at = "/git/acme-iris.git"
	for name, want := range map[string]struct {
		change func(r *ridgeline.Remote)
		pr     bool
		calls  []string // the beginning of each; HASH stands for the commit's
		states []string
	}{
		"github": {nil, false, []string{"POST /api/repos/git/acme-iris/statuses/HASH"}, []string{`"state":"pending"`, `"state":"pending"`, `"state":"success"`}},
		"gitea": {func(r *ridgeline.Remote) { r.Forge = ridgeline.Gitea }, false,
			[]string{"POST /api/repos/git/acme-iris/statuses/HASH"}, []string{`"state":"pending"`, `"state":"pending"`, `"state":"success"`}},
		"gitlab": {func(r *ridgeline.Remote) { r.Forge = ridgeline.GitLab }, false,
			[]string{"POST /api/projects/git%2Facme-iris/statuses/HASH"}, []string{`"state":"pending"`, `"state":"running"`, `"state":"success"`}},
		"azure": {func(r *ridgeline.Remote) {
			r.Forge, r.URL = ridgeline.AzureDevOps, strings.Replace(r.URL, at, "/acme/ml/_git/iris", 1)
		}, false,
			[]string{"POST /api/_apis/git/repositories/278d5cd2-584d-4b63-824a-2ba458937249/commits/HASH/statuses?api-version=7.1"}, []string{`"state":"pending"`, `"state":"pending"`, `"state":"succeeded"`}},
		"azure, pull request": {func(r *ridgeline.Remote) {
			r.Forge, r.URL = ridgeline.AzureDevOps, strings.Replace(r.URL, at, "/acme/ml/_git/iris", 1)
		}, true,
			[]string{"POST /api/_apis/git/repositories/278d5cd2-584d-4b63-824a-2ba458937249/pullRequests/42/statuses?api-version=7.1"}, []string{`"state":"pending"`, `"state":"pending"`, `"state":"succeeded"`}},
		"bitbucket": {func(r *ridgeline.Remote) { r.Forge, r.URL = ridgeline.Bitbucket, "https://bitbucket.org/acme/iris.git" }, false,
			[]string{"POST /api/repositories/acme/iris/commit/HASH/statuses/build"}, []string{`"state":"INPROGRESS"`, `"state":"INPROGRESS"`, `"state":"SUCCESSFUL"`}},
		"bitbucket data center": {func(r *ridgeline.Remote) {
			r.Forge, r.URL = ridgeline.Bitbucket, strings.Replace(r.URL, at, "/scm/ML/iris.git", 1)
		}, false,
			[]string{"POST /api/projects/ML/repos/iris/commits/HASH/builds"}, []string{`"state":"INPROGRESS"`, `"state":"INPROGRESS"`, `"state":"SUCCESSFUL"`}},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			b := w.announced(t, want.change, want.pr)
			ok(t, w.Store.StartBuild(t.Context(), b.ID, time.Now()))
			ok(t, w.Store.FinishBuild(t.Context(), b.ID, ridgeline.Succeeded, "", time.Now()))
			got := w.sent(t, 3)
			for i, call := range got {
				begin := strings.ReplaceAll(want.calls[0], "HASH", b.Commit.Hash)
				if !strings.HasPrefix(call, begin+": ") || !strings.Contains(call, want.states[i]) || !strings.Contains(call, "https://ridgeline.example/api/v1/builds/"+string(b.ID)) ||
					!strings.Contains(call, "iris") {
					t.Errorf("call %d is %s\nexpected %s with %s", i, call, begin, want.states[i])
				}
			}
		})
	}
}

// announced is a build that a webhook has led to.
func (w *world) announced(t testing.TB, change func(r *ridgeline.Remote), pr bool) ridgeline.Build {
	t.Helper()
	w.remote(t, "hub", func(r *ridgeline.Remote, _ *forge.Secrets) {
		if change != nil {
			change(r)
		}
	})
	n := ridgeline.Notice{
		ID: "n-1", Project: "iris", Remote: "hub", Digest: "d", Event: "push", Branch: "main", Ref: "refs/heads/main", Hash: w.git(t, "rev-parse", "HEAD"),
		Repository: "278d5cd2-584d-4b63-824a-2ba458937249", Status: ridgeline.Queued, Next: time.Now(), Created: time.Now(),
	}
	if pr {
		n.PullRequest = "42"
	}
	_, _, err := w.Store.TakeDelivery(t.Context(), ridgeline.HookDelivery{Project: "iris", Remote: "hub", Digest: "d", ID: "1", At: time.Now()}, []ridgeline.Notice{n})
	ok(t, err)
	var b ridgeline.Build
	ok(t, w.Store.InTx(t.Context(), func(tx *store.Store) error {
		b, err = w.Builds.Create(t.Context(), tx, build.Request{Commit: ridgeline.Commit{Project: "iris", Hash: n.Hash, Tree: strings.Repeat("a", 64)}, Caller: "webhook hub", Cause: "webhook github"})
		if err != nil {
			return err
		}
		return tx.FinishNotice(t.Context(), n.ID, ridgeline.Succeeded, "", b.ID, time.Now())
	}))
	return b
}

// sent runs the outbox until so many statuses came.
func (w *world) sent(t testing.TB, n int) []string {
	t.Helper()
	w.outbox(t, func() bool { return len(w.statuses) >= n })
	if len(w.statuses) != n {
		t.Fatalf("%d statuses, expected %d: %s", len(w.statuses), n, strings.Join(w.statuses, "\n"))
	}
	return w.statuses
}

func (w *world) outbox(t testing.TB, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	outbox := &trigger.Outbox{
		Store: w.Store, Subscribers: []trigger.Subscriber{w.Subscriber}, Senders: map[string]trigger.Sender{ridgeline.DeliveryStatus: w.Sender}, Log: slog.New(slog.DiscardHandler),
	}
	running.Go(func() { _ = outbox.Run(ctx) })
	eventually(t, "the statuses are sent", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return done()
	})
	cancel()
	running.Wait()
}

func TestHub_statusOfARun(t *testing.T) {
	w := open(t)
	b := w.announced(t, nil, false)
	run := ridgeline.Run{ID: "r-1", Project: "iris", Cause: "webhook github " + string(b.ID), Status: ridgeline.Queued, Created: time.Now()}
	ok(t, w.Store.CreateRun(t.Context(), run))
	ok(t, w.Store.CreateRun(t.Context(), ridgeline.Run{ID: "r-2", Project: "iris", Cause: "schedule 0 3 * * 1", Status: ridgeline.Queued, Created: time.Now()}))
	ok(t, w.Store.FinishRun(t.Context(), "r-1", ridgeline.Failed, "train: exit code 1\nTraceback", time.Now()))
	ok(t, w.Store.FinishRun(t.Context(), "r-2", ridgeline.Failed, "train: exit code 1", time.Now()))
	got := w.sent(t, 3) // of the build, and of the run twice
	last := got[2]
	if !strings.Contains(last, `"state":"failure"`) || !strings.Contains(last, `"context":"ridgeline/iris/model"`) || !strings.Contains(last, `"description":"train: exit code 1"`) ||
		!strings.Contains(last, "https://ridgeline.example/api/v1/runs/r-1") {
		t.Error(last)
	}
}

func TestHub_statusRefused(t *testing.T) {
	w := open(t)
	b := w.announced(t, nil, false)
	w.refuse = http.StatusUnauthorized
	target := store.Target{Kind: ridgeline.DeliveryStatus, Name: "iris/hub/" + b.Commit.Hash}
	var last ridgeline.Delivery
	w.outbox(t, func() bool {
		all, err := w.Store.Deliveries(t.Context(), target, 1)
		ok(t, err)
		if len(all) == 1 {
			last = all[0]
		}
		return last.State == ridgeline.DeliveryGivenUp
	})
	if last.Code != http.StatusUnauthorized || !strings.Contains(last.Message, "Bad credentials") || strings.Contains(last.Message, token) {
		t.Errorf("%+v", last)
	}
}
