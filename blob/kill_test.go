package blob

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// writerDir makes the test program a writer that never ends by itself.
const writerDir = "RIDGELINE_TEST_WRITER"

// writerBucket is the bucket that it writes to, if it is one.
const writerBucket = "RIDGELINE_TEST_WRITER_BUCKET"

// writerSize is that of what it puts: to a bucket in parts.
func writerSize() int {
	if os.Getenv(writerBucket) != "" {
		return 11 << 20
	}
	return 1 << 20
}

const logLine = "the same line over and over\n"

// writeForEver stores contents, trees and log chunks, and says so on stdout
// after each that was acknowledged.
func writeForEver(dir string) {
	ctx := context.Background()
	check := func(err error) {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	s, err := Open(ctx, filepath.Join(dir, "blobs"))
	if address := os.Getenv(writerBucket); address != "" {
		s, err = OpenBucket(ctx, address, filepath.Join(dir, "cache"), 1<<30)
	}
	check(err)
	l := s.Logs()
	offset, err := l.Size(ctx, "log")
	check(err)
	for seed := byte(0); ; seed++ {
		digest, _, err := s.Put(ctx, bytes.NewReader(noise(writerSize()+int(offset), seed)))
		check(err)
		fmt.Println("put", digest)
		check(l.Append(ctx, "log", offset, []byte(logLine)))
		offset += int64(len(logLine))
		fmt.Println("log", offset)
		tree, _, err := s.PutTree(ctx, filepath.Join(dir, "sample"))
		check(err)
		check(s.GetTree(ctx, tree, filepath.Join(dir, "trees", strconv.FormatInt(offset, 10))))
		fmt.Println("tree", offset)
	}
}

// TestKill: a kill -9 at any moment loses nothing acknowledged, leaves nothing
// half done under any name, and the next process tidies up.
func TestKill(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	sample(t, filepath.Join(dir, "sample"), 0)
	want := listing(t, filepath.Join(dir, "sample"))
	said := map[string][]string{}
	for round := range 5 {
		child := exec.CommandContext(ctx, os.Args[0])
		child.Env = append(os.Environ(), writerDir+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		ok(t, err)
		ok(t, child.Start())
		lines, n := bufio.NewScanner(out), 0
		for lines.Scan() { // to the end of the pipe: what was said before the kill counts
			what, rest, _ := strings.Cut(lines.Text(), " ")
			if what == "error" {
				t.Fatal(rest)
			}
			said[what] = append(said[what], rest)
			if n++; n == 9+round { // each time after another kind of write
				ok(t, child.Process.Kill())
			}
		}
		_ = child.Wait() // killed: that is the point
	}

	s := opened(t, filepath.Join(dir, "blobs"))
	for _, digest := range said["put"] {
		r, err := s.Get(ctx, digest)
		ok(t, err)
		_, err = io.Copy(io.Discard, r) // verifies
		ok(t, err)
		ok(t, r.Close())
	}
	ok(t, filepath.WalkDir(filepath.Join(s.dir, "sha256"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if b, err := os.ReadFile(path); err != nil || sum(b) != e.Name() {
				t.Errorf("%s is only a part (%v)", e.Name(), err)
			}
		}
		return err
	}))
	last, err := strconv.ParseInt(said["log"][len(said["log"])-1], 10, 64)
	ok(t, err)
	size, err := s.Logs().Size(ctx, "log")
	ok(t, err)
	r, err := s.Logs().Open(ctx, "log", 0)
	if got := read(t, r, err); size < last || string(got) != strings.Repeat(logLine, int(size)/len(logLine)) {
		t.Errorf("the log has %d bytes, acknowledged were %d", size, last)
	}
	digest, _, err := s.PutTree(ctx, filepath.Join(dir, "sample"))
	ok(t, err)
	ok(t, s.GetTree(ctx, digest, filepath.Join(dir, "trees", "last")))
	trees, err := os.ReadDir(filepath.Join(dir, "trees"))
	ok(t, err)
	if len(trees) < len(said["tree"]) {
		t.Errorf("%d trees, acknowledged were %d", len(trees), len(said["tree"]))
	}
	for _, tree := range trees {
		if got := listing(t, filepath.Join(dir, "trees", tree.Name())); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("tree %s is not whole: %q", tree.Name(), got)
		}
	}
	if left := leftovers(t, s); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}
