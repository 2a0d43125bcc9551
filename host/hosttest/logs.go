package hosttest

import (
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/host"
)

func testLog(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	h := newHost(t)
	ensure(t, h, sh("log", "echo out; echo err >&2; printf end"))
	wait(t, h, "log")
	for offset, want := range map[int64]string{0: "out\nerr\nend", 4: "err\nend", 10: "d", 11: "", 12: "", 1 << 40: ""} {
		if got := readLog(t, h, "log", offset); got != want {
			t.Errorf("from %d: %q, want %q", offset, got, want)
		}
	}
}

func testBinaryLog(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	h := newHost(t)
	ensure(t, h, sh("bytes", `printf '\000\377\376 \033[1mgrün\r\n日本\n'; head -c 3000000 /dev/zero`))
	wait(t, h, "bytes")
	want := "\x00\xff\xfe \x1b[1mgrün\r\n日本\n" + strings.Repeat("\x00", 3000000)
	if got := readLog(t, h, "bytes", 0); got != want {
		t.Errorf("%d bytes that begin with %q; want %d", len(got), got[:min(len(got), 30)], len(want))
	}
}

func testGrowingLog(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	h := newHost(t)
	dir := folder(t, h)
	hold, open := held(t, h, dir)
	task := sh("growing", "echo first; "+hold+"; echo second")
	task.Dir = dir
	ensure(t, h, task)
	logged(t, h, "growing", 1)
	open()
	wait(t, h, "growing")
	if got := readLog(t, h, "growing", 6); got != "second\n" {
		t.Errorf("the rest is %q", got)
	}
}
