package test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestGitPush_killed kills the server as soon as git has moved the branch,
// three times: each pushed commit is built, and once.
func TestGitPush_killed(t *testing.T) {
	r := newRidgeline(t)
	dir := filepath.Join(t.TempDir(), "killed")
	if err := mkProject(dir, "killed"); err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(r.dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	branch := filepath.Join(r.dir, "git", "killed.git", "refs", "heads", "main")
	pushed := map[string]bool{}
	for range 3 {
		if err := commit(dir, "again"); err != nil {
			t.Fatal(err)
		}
		head, err := exec.Command("git", "-C", dir, "rev-parse", "HEAD").Output()
		if err != nil {
			t.Fatal(err)
		}
		hash := strings.TrimSpace(string(head))
		pushed[hash] = true
		address, err := os.ReadFile(filepath.Join(r.dir, "url"))
		if err != nil {
			t.Fatal(err)
		}
		url := strings.Replace(strings.TrimSpace(string(address)), "://", "://me:"+strings.TrimSpace(string(token))+"@", 1) + "/git/killed.git"
		push := exec.Command("git", "push", "-q", url, "main")
		push.Dir = dir
		if err := push.Start(); err != nil {
			t.Fatal(err)
		}
		moved := func() bool {
			text, _ := os.ReadFile(branch)
			return strings.TrimSpace(string(text)) == hash
		}
		for deadline := time.Now().Add(30 * time.Second); !moved(); { // no pause: it has to be at once
			if time.Now().After(deadline) {
				t.Fatal("git never moved the branch")
			}
		}
		r.kill()
		_ = push.Wait() // it may or may not have been told
		r.start()
	}
	var built map[string]int
	eventually(t, 30*time.Second, "the last commit is built", func() bool {
		var builds []struct{ Commit, Cause string }
		if err := json.Unmarshal([]byte(r.must(dir, "builds", "--project", "killed", "--json")), &builds); err != nil {
			t.Fatal(err)
		}
		built = map[string]int{}
		for _, b := range builds {
			built[b.Commit]++
		}
		return len(built) == len(pushed)
	})
	for hash, n := range built {
		if !pushed[hash] || n != 1 {
			t.Errorf("commit %s has %d builds", hash, n)
		}
	}
}
