package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
)

// rest gives back what starting took and an idle server does not need: free
// pages of the heap, and the pages of the program itself. Starting reads most of
// those, to lay out the programs that are embedded and to set up every library;
// what is needed of them comes back from the file as it is touched.
func rest() {
	debug.FreeOSMemory()
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return // no /proc here: the pages stay
	}
	defer maps.Close()
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	for _, m := range cleanMappings(maps, program) {
		// The kernel drops its entries for the pages, which are the file's.
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, m.from, m.to-m.from, syscall.MADV_DONTNEED)
	}
}

// A mapping is a range of addresses.
type mapping struct{ from, to uintptr }

// cleanMappings are those of a file in the text of /proc/PID/smaps (proc(5)) that
// cannot be written and of which no page differs from the file.
func cleanMappings(smaps io.Reader, file string) (all []mapping) {
	var at mapping
	candidate := false
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 6 && strings.Contains(fields[0], "-") {
			_, err := fmt.Sscanf(fields[0], "%x-%x", &at.from, &at.to)
			candidate = err == nil && fields[5] == file && (fields[1] == "r--p" || fields[1] == "r-xp")
		}
		if candidate && len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] == "0" {
			all = append(all, at)
		}
	}
	return all
}
