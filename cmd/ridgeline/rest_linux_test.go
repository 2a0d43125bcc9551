package main

import (
	"slices"
	"strings"
	"testing"
)

// TestCleanMappings: only what the kernel can read again from the program's file
// is given back.
func TestCleanMappings(t *testing.T) {
	const smaps = `00400000-00a99000 r--p 00000000 fe:00 123                        /opt/ridgeline
Rss:                4096 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
00a99000-052dd000 r-xp 00699000 fe:00 123                        /opt/ridgeline
Anonymous:             0 kB
0a028000-0a0a7000 r--p 09c28000 fe:00 123                        /opt/ridgeline
Anonymous:           508 kB
0a0a7000-0a20c000 rw-p 09ca7000 fe:00 123                        /opt/ridgeline
Anonymous:             0 kB
0a20c000-0c47f000 rw-p 00000000 00:00 0
Anonymous:             0 kB
7f0000000000-7f0000001000 r-xp 00000000 fe:00 99                 /usr/lib/libc.so.6
Anonymous:             0 kB
`
	want := []mapping{{0x400000, 0xa99000}, {0xa99000, 0x52dd000}}
	if got := cleanMappings(strings.NewReader(smaps), "/opt/ridgeline"); !slices.Equal(got, want) {
		t.Fatalf("%x, want %x", got, want)
	}
	rest() // twice is harmless, and this program goes on
	rest()
}
