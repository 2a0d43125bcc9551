package store

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

// writerAddress makes the test program a writer that never ends by itself.
const writerAddress = "RIDGELINE_TEST_WRITER"

// writeForEver takes one run after the other to its end and says so on stdout
// after each write that the store has acknowledged.
func writeForEver(address string) {
	ctx := context.Background()
	check := func(err error) {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	s, err := Open(ctx, address, nil)
	check(err)
	p, err := s.EnsureProject(ctx, "diabetes", at(0))
	check(err)
	for i := 1; ; i++ {
		id := ridgeline.RunID(fmt.Sprintf("r-%d", i))
		check(s.CreateRun(ctx, ridgeline.Run{ID: id, Project: p.Name, Status: ridgeline.Queued, Created: at(i)}))
		fmt.Println("created", i)
		version, err := s.ReserveVersion(ctx, "ridge", id)
		check(err)
		check(s.RegisterVersion(ctx, ridgeline.ModelVersion{Model: "ridge", Version: version, Project: p.Name, Run: id, Verdict: ridgeline.Promoted, Created: at(i)}))
		fmt.Println("registered", i)
		check(s.FinishRun(ctx, id, ridgeline.Succeeded, "", at(i)))
		fmt.Println("finished", i)
	}
}

// testKill: a kill -9 at any moment loses nothing acknowledged and leaves
// nothing half done.
func testKill(t *testing.T, address string) {
	ctx := t.Context()
	acknowledged := map[string]int{}
	for round := range 3 {
		before := acknowledged["finished"]
		child := exec.CommandContext(ctx, os.Args[0])
		child.Env = append(os.Environ(), writerAddress+"="+address)
		child.Stderr = os.Stderr
		out := must(child.StdoutPipe())(t)
		ok(t, child.Start())
		lines := bufio.NewScanner(out)
		for lines.Scan() { // to the end of the pipe: what was said before the kill counts
			what, rest, _ := strings.Cut(lines.Text(), " ")
			if what == "error" {
				t.Fatal(rest)
			}
			n := must(strconv.Atoi(rest))(t)
			acknowledged[what] = max(acknowledged[what], n)
			if what == "created" && n == before+20+round {
				ok(t, child.Process.Kill())
			}
		}
		_ = child.Wait() // killed: that is the point
	}

	s := opened(t, address)
	versions := map[ridgeline.RunID]ridgeline.ModelVersion{}
	champions := 0
	for _, v := range must(s.ModelVersions(ctx, "ridge"))(t) {
		versions[v.Run] = v
		if v.Champion {
			champions++
		}
	}
	same(t, champions, 1)
	if acknowledged["finished"] < 60 {
		t.Fatalf("too little was written before the kills: %v", acknowledged)
	}
	for what, last := range acknowledged {
		for i := 1; i <= last; i++ {
			id := ridgeline.RunID(fmt.Sprintf("r-%d", i))
			r := must(s.Run(ctx, id))(t)
			if what == "registered" && versions[id].Version != i {
				t.Errorf("run %s: version %d is registered, want %d", id, versions[id].Version, i)
			}
			if what == "finished" && r.Status != ridgeline.Succeeded {
				t.Errorf("run %s was finished, now it is %s", id, r.Status)
			}
		}
	}
}
