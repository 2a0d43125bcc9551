package store

import (
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

func testBranches(t *testing.T, s *Store) {
	ctx := t.Context()
	p := project(t, s)
	main := ridgeline.Branch{Project: p, Name: "main", Hash: "a1", Build: "b-1", Updated: at(1)}
	topic := ridgeline.Branch{Project: p, Name: "topic/é", Hash: "a2", Note: "not built: 'twas too much", Updated: at(2)}
	ok(t, s.SetBranch(ctx, topic, ""))
	ok(t, s.SetBranch(ctx, main, ""))
	same(t, must(s.Branches(ctx, p))(t), []ridgeline.Branch{main, topic})
	refused(t, s.SetBranch(ctx, main, ""), ridgeline.Conflict, "changed meanwhile") // somebody else was first

	moved := main
	moved.Hash, moved.Build, moved.Updated = "b1", "b-2", at(3)
	refused(t, s.SetBranch(ctx, moved, "a0"), ridgeline.Conflict, "changed meanwhile")
	ok(t, s.SetBranch(ctx, moved, "a1"))
	same(t, must(s.Branches(ctx, p))(t), []ridgeline.Branch{moved, topic})
	refused(t, s.RemoveBranch(ctx, main), ridgeline.Conflict, "changed meanwhile")
	ok(t, s.RemoveBranch(ctx, moved))
	ok(t, s.RemoveBranch(ctx, moved))
	same(t, must(s.Branches(ctx, p))(t), []ridgeline.Branch{topic})
	same(t, len(must(s.Branches(ctx, "nobody"))(t)), 0)
}

func testRemotes(t *testing.T, s *Store) {
	ctx := t.Context()
	hub := ridgeline.Remote{
		Project: "iris", Name: "hub", Forge: ridgeline.GitHub, URL: "https://github.com/acme/iris", API: "https://github.example/api/v3",
		User: "bot", Secret: "v1:a", Token: "v1:b", Forks: true, Caller: "ann", Created: at(1),
	}
	ssh := ridgeline.Remote{
		Project: "iris", Name: "lab", Forge: ridgeline.GitLab, URL: "git@gitlab.com:acme/iris.git", Secret: "v1:a", Key: "v1:c",
		KnownHosts: "gitlab.com ssh-ed25519 AAAA", Caller: "ann", Created: at(2),
	}
	other := hub
	other.Project = "tulip"
	for _, r := range []ridgeline.Remote{ssh, hub, other} {
		ok(t, s.PutRemote(ctx, r))
	}
	same(t, must(s.Remote(ctx, "iris", "hub"))(t), hub)
	same(t, must(s.Remotes(ctx, "iris"))(t), []ridgeline.Remote{hub, ssh})
	same(t, must(s.Remotes(ctx, ""))(t), []ridgeline.Remote{hub, ssh, other})
	hub.Token, hub.Forks = "", false
	ok(t, s.PutRemote(ctx, hub))
	same(t, must(s.Remote(ctx, "iris", "hub"))(t), hub)
	ok(t, s.RemoveRemote(ctx, "iris", "hub"))
	refused(t, s.RemoveRemote(ctx, "iris", "hub"), ridgeline.NotFound, "no remote hub")
	_, err := s.Remote(ctx, "iris", "hub")
	refused(t, err, ridgeline.NotFound, "no remote hub")
	other.URL = "file:///etc"
	refused(t, s.PutRemote(ctx, other), ridgeline.Invalid, "repository address")
}

func testNotices(t *testing.T, s *Store) {
	ctx := t.Context()
	p := project(t, s)
	d := ridgeline.HookDelivery{Project: p, Remote: "hub", Digest: "d1", ID: "1-2-3", At: at(1)}
	notice := func(id ridgeline.NoticeID, seconds int) ridgeline.Notice {
		return ridgeline.Notice{
			ID: id, Project: p, Remote: "hub", Digest: "d1", Event: "push", Branch: "main", Ref: "refs/heads/main", Hash: "a1", Repository: "7",
			Status: ridgeline.Queued, Next: at(seconds), Created: at(seconds),
		}
	}
	one, two := notice("n-1", 1), notice("n-2", 2)
	_, known, err := s.TakeDelivery(ctx, d, []ridgeline.Notice{one, two})
	ok(t, err)
	same(t, known, false)
	again := d
	again.ID, again.At = "9-9-9", at(5)
	earlier, known, err := s.TakeDelivery(ctx, again, []ridgeline.Notice{notice("n-3", 3)})
	ok(t, err)
	same(t, known, true)
	same(t, earlier, d)
	same(t, must(s.Notices(ctx, NoticeFilter{}))(t), []ridgeline.Notice{two, one})
	elsewhere := d
	elsewhere.Remote = "lab"
	_, known, err = s.TakeDelivery(ctx, elsewhere, nil)
	ok(t, err)
	same(t, known, false)

	same(t, must(s.Notices(ctx, NoticeFilter{Due: at(1)}))(t), []ridgeline.Notice{one})
	same(t, must(s.Notices(ctx, NoticeFilter{Due: at(9), Limit: 1}))(t), []ridgeline.Notice{one})
	ok(t, s.PostponeNotice(ctx, "n-1", "the forge does not answer", at(60)))
	one.Attempts, one.Reason, one.Next = 1, "the forge does not answer", at(60)
	same(t, must(s.Notices(ctx, NoticeFilter{Due: at(9)}))(t), []ridgeline.Notice{two})
	ok(t, s.FinishNotice(ctx, "n-2", ridgeline.Succeeded, "", "b-7", at(3)))
	ok(t, s.FinishNotice(ctx, "n-2", ridgeline.Succeeded, "", "b-7", at(4)))
	refused(t, s.FinishNotice(ctx, "n-2", ridgeline.Failed, "x", "", at(4)), ridgeline.Conflict, "already ended as succeeded")
	refused(t, s.PostponeNotice(ctx, "n-2", "x", at(9)), ridgeline.Conflict, "already ended")
	refused(t, s.FinishNotice(ctx, "n-1", ridgeline.Running, "", "", at(4)), ridgeline.Invalid, "cannot finish as running")
	refused(t, s.FinishNotice(ctx, "n-9", ridgeline.Failed, "", "", at(4)), ridgeline.NotFound, "no notice n-9")
	two.Status, two.Build, two.Ended = ridgeline.Succeeded, "b-7", at(3)
	same(t, must(s.Notices(ctx, NoticeFilter{Build: "b-7"}))(t), []ridgeline.Notice{two})
	same(t, must(s.Notices(ctx, NoticeFilter{Project: p, Remote: "hub", Digest: "d1"}))(t), []ridgeline.Notice{two, one})
	same(t, len(must(s.Notices(ctx, NoticeFilter{Due: at(59).Add(500 * time.Millisecond)}))(t)), 0)
	same(t, len(must(s.Notices(ctx, NoticeFilter{Project: "iris"}))(t)), 0)
}
