package scoring

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Ten thousand connections that are kept, or as many as this machine allows,
// take no more memory than promised, and the next client is answered.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	s := start(t)
	client := &http.Client{Transport: &http.Transport{DialContext: s.dial}, Timeout: 20 * time.Second}
	answers := func() bool {
		r, err := client.Get("http://scorer/healthz/ready")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	}
	for deadline := time.Now().Add(30 * time.Second); !answers(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not ready within 30 s")
		}
	}
	want := 10_000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil && limit.Cur < uint64(want)+200 {
		want = int(limit.Cur) - 200
		t.Logf("open files are limited to %d", limit.Cur)
	}
	open := make([]net.Conn, 0, want)
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for len(open) < want {
		c, err := s.dial(context.Background(), "", "")
		if err != nil {
			t.Fatalf("connection %d: %v", len(open)+1, err)
		}
		open = append(open, c)
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("connection %d: %v, %v", len(open), r, err)
		}
		r.Body.Close()
	}
	if status, text, err := ask(client, 7); err != nil || status != 200 || text != `{"result": [7]}` {
		t.Errorf("beside %d connections: %d %s, %v", want, status, text, err)
	}
	s.mu.Lock()
	resident := resident(t, s.cmd.Process.Pid)
	s.mu.Unlock()
	most := 30_000 + 20*want
	t.Logf("%d connections: the scorer has %d kB resident, %d are promised", want, resident, most)
	if resident > most {
		t.Errorf("%d kB resident with %d connections, want at most %d", resident, want, most)
	}
}

// resident is a process's resident memory in kB, files that it maps left out.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kb int
		if n, _ := fmt.Sscanf(line, "RssAnon: %d kB", &kb); n == 1 {
			return kb
		}
	}
	t.Fatalf("no RssAnon in %s", text)
	return 0
}
