package git_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
)

// refs are what a server shows of a project.
func refs(t *testing.T, r *remote, project string) string {
	t.Helper()
	return must(t, t.TempDir(), "ls-remote", "--refs", r.at(ridgeline.Viewer, project))
}

// TestKept: what was pushed to one server is at the other, whatever it had.
func TestKept(t *testing.T) {
	both := servers(t, 2)
	one, two := both[0], both[1]
	dir := project(t, "iris")
	for i, step := range [][]string{
		{"push", "main"},
		{"branch", "a"}, {"push", "a", "main:b"},
		{"tag", "-a", "v1", "-m", "v1"}, {"push", "v1"},
		{"branch", "-D", "a"}, {"push", "--delete", "a"},
		{"branch", "a/b"}, {"push", "a/b"}, // where a was
		{"commit", "--amend", "-q", "-m", "other"}, {"push", "--force", "main"},
		{"push", "--delete", "b", "v1"},
	} {
		if step[0] != "push" {
			must(t, dir, step...)
			continue
		}
		server, other := both[i%2], both[(i+1)%2]
		args := append([]string{"push", server.at(ridgeline.Writer, "iris")}, step[1:]...)
		if strings.HasPrefix(step[1], "--") {
			args = append([]string{"push", step[1], server.at(ridgeline.Writer, "iris")}, step[2:]...)
		}
		must(t, dir, args...)
		if a, b := refs(t, server, "iris"), refs(t, other, "iris"); a != b || a == "" {
			t.Fatalf("after %v one server has\n%s\nand the other\n%s", step, a, b)
		}
	}
	clone := filepath.Join(t.TempDir(), "clone")
	must(t, t.TempDir(), "clone", "-q", two.at(ridgeline.Viewer, "iris"), clone)
	if a, b := must(t, clone, "rev-parse", "HEAD"), must(t, dir, "rev-parse", "HEAD"); a != b {
		t.Fatalf("cloned %s, pushed %s", a, b)
	}
	must(t, clone, "fsck", "--full", "--strict")

	t.Run("a copy that is gone, or half of one, is made again", func(t *testing.T) {
		ok(t, os.RemoveAll(one.Dir))
		want := refs(t, two, "iris")
		if got := refs(t, one, "iris"); got != want {
			t.Fatalf("after its copy was removed a server has\n%s\nand not\n%s", got, want)
		}
		ok(t, os.Remove(filepath.Join(one.Dir, "iris.git", "ridgeline-version"))) // killed before it was written
		if got := refs(t, one, "iris"); got != want {
			t.Fatalf("%s\nand not\n%s", got, want)
		}
	})
	t.Run("a push that cannot be stored is refused, and nowhere", func(t *testing.T) {
		want := refs(t, one, "iris")
		good := one.Blob
		defer func() { one.Blob = good }()
		folder := filepath.Join(t.TempDir(), "away")
		var err error
		one.Blob, err = blob.Open(t.Context(), folder)
		ok(t, err)
		defer one.Blob.Close()
		ok(t, os.RemoveAll(folder))
		ok(t, os.WriteFile(folder, nil, 0o600))
		commit(t, dir, "while it is away")
		out, err := run(t, dir, "push", one.at(ridgeline.Writer, "iris"), "main")
		if err == nil || !strings.Contains(out, "! [remote rejected] main -> main (the server could not keep it; its log says why)") {
			t.Fatalf("%v\n%s", err, out)
		}
		one.Blob = good
		for _, r := range both {
			if got := refs(t, r, "iris"); got != want {
				t.Fatalf("%s\nand not\n%s", got, want)
			}
		}
		must(t, dir, "push", one.at(ridgeline.Writer, "iris"), "main")
		if a, b := refs(t, one, "iris"), refs(t, two, "iris"); a != b || a == want {
			t.Fatalf("%s\nand\n%s", a, b)
		}
	})
	t.Run("many packs become one", func(t *testing.T) {
		for range 51 { // as if as many pushes had brought the newest pack
			was, err := one.Store.Repository(t.Context(), "iris")
			ok(t, err)
			packs, err := one.Store.Packs(t.Context(), "iris", 0)
			ok(t, err)
			ok(t, one.Store.PushRepository(t.Context(), "iris", was, was.Refs, packs[len(packs)-1:]))
		}
		ok(t, one.Repack(t.Context(), "iris"))
		packs, err := one.Store.Packs(t.Context(), "iris", 0)
		ok(t, err)
		if len(packs) != 1 {
			t.Fatalf("%d packs", len(packs))
		}
		commit(t, dir, "after")
		must(t, dir, "push", two.at(ridgeline.Writer, "iris"), "main")
		ok(t, os.RemoveAll(one.Dir))
		clone := filepath.Join(t.TempDir(), "clone")
		must(t, t.TempDir(), "clone", "-q", one.at(ridgeline.Viewer, "iris"), clone)
		must(t, clone, "fsck", "--full", "--strict")
		if a, b := must(t, clone, "rev-parse", "HEAD"), must(t, dir, "rev-parse", "HEAD"); a != b {
			t.Fatalf("cloned %s, pushed %s", a, b)
		}
	})
}

// TestKept_at_once: of pushes at the same time to two servers each is taken or
// refused, and none that was taken is lost.
func TestKept_at_once(t *testing.T) {
	both := servers(t, 2)
	dir := project(t, "iris")
	must(t, dir, "push", both[0].at(ridgeline.Writer, "iris"), "main")
	var all sync.WaitGroup
	for i := range 6 {
		clone := filepath.Join(t.TempDir(), fmt.Sprint("clone", i))
		must(t, t.TempDir(), "clone", "-q", dir, clone)
		commit(t, clone, fmt.Sprint("by ", i))
		all.Go(func() {
			for try := 0; ; try++ {
				out, err := run(t, clone, "push", both[i%2].at(ridgeline.Writer, "iris"), fmt.Sprint("HEAD:refs/heads/topic-", i))
				if err == nil {
					return
				}
				if !strings.Contains(out, "somebody else pushed to iris at the same time") || try == 20 {
					t.Errorf("try %d: %v\n%s", try, err, out)
					return
				}
			}
		})
	}
	all.Wait()
	one, two := refs(t, both[0], "iris"), refs(t, both[1], "iris")
	if one != two || strings.Count(one, "refs/heads/topic-") != 6 {
		t.Fatalf("one server has\n%s\nand the other\n%s", one, two)
	}
}
