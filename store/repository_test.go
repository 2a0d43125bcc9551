package store

import (
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func testRepositories(t *testing.T, s *Store) {
	ctx := t.Context()
	same(t, must(s.Repository(ctx, "iris"))(t), Repository{})
	ok(t, s.PushRepository(ctx, "iris", Repository{}, "a refs/heads/main\n", []string{"p1"}))
	refused(t, s.PushRepository(ctx, "iris", Repository{}, "b refs/heads/main\n", []string{"p2"}), ridgeline.Conflict, "fetch, then push again")
	one := must(s.Repository(ctx, "iris"))(t)
	same(t, one, Repository{1, "a refs/heads/main\n"})
	ok(t, s.PushRepository(ctx, "iris", one, "b refs/heads/main\n", []string{"p3", "p2"}))
	refused(t, s.PushRepository(ctx, "iris", one, "c refs/heads/main\n", []string{"p4"}), ridgeline.Conflict, "somebody else")
	two := must(s.Repository(ctx, "iris"))(t)
	same(t, two, Repository{2, "b refs/heads/main\n"})
	same(t, must(s.Packs(ctx, "iris", 0))(t), []string{"p1", "p2", "p3"})
	same(t, must(s.Packs(ctx, "iris", 1))(t), []string{"p2", "p3"})

	refused(t, s.RepackRepository(ctx, "iris", 1, "all"), ridgeline.Conflict, "meanwhile")
	ok(t, s.RepackRepository(ctx, "iris", 2, "all"))
	same(t, must(s.Packs(ctx, "iris", 0))(t), []string{"all"})
	same(t, len(must(s.Packs(ctx, "iris", 2))(t)), 0)
	ok(t, s.PushRepository(ctx, "iris", two, "", nil)) // its branch is gone
	same(t, must(s.Repository(ctx, "iris"))(t), Repository{3, ""})
	same(t, must(s.Repositories(ctx))(t), []ridgeline.ProjectName{"iris"})
}

func testKnownHosts(t *testing.T, s *Store) {
	ctx := t.Context()
	ok(t, s.AddKnownHost(ctx, "b ssh-ed25519 BBBB", at(1)))
	ok(t, s.AddKnownHost(ctx, "a ssh-ed25519 AAAA", at(2)))
	ok(t, s.AddKnownHost(ctx, "b ssh-ed25519 BBBB", at(3)))
	same(t, must(s.KnownHosts(ctx))(t), []string{"b ssh-ed25519 BBBB", "a ssh-ed25519 AAAA"})
}
