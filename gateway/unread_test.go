package gateway_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/internal/unread"
)

// A client that sends all of its body before it reads anything reads why the
// body was not wanted, whether a copy or the gateway itself refuses it.
func TestGateway_refuses_large_bodies_readably(t *testing.T) {
	f := newFixture(t)
	at, _ := scorer(t, func(w http.ResponseWriter, r *http.Request) {
		unread.Allow(w)
		w.Header().Set("Connection", "close")
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		unread.Drop(w, r)
	})
	f.place("d-1", at)
	f.live("d-1")
	const size = 32 << 20 // more than lies in sockets' buffers
	body := strings.Repeat("x", size)
	to, err := url.Parse(f.url)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key, head string
		status    int
		says      string
	}{
		"by a copy":                 {f.key, fmt.Sprintf("Content-Length: %d\r\n\r\n", size), 413, "too large"},
		"by a copy, without length": {f.key, fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n", size), 413, "too large"},
		"by the gateway":            {"wrong", fmt.Sprintf("Content-Length: %d\r\n\r\n", size), 401, "key"},
	} {
		client, err := net.Dial("tcp", to.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		_ = client.SetDeadline(time.Now().Add(time.Minute)) // a test that hangs shall say where
		if _, err := fmt.Fprintf(client, "POST %s/score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s%s", to.Path, c.key, c.head, body); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		res, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		said := make([]byte, 300)
		n, _ := res.Body.Read(said)
		if res.StatusCode != c.status || !strings.Contains(string(said[:n]), c.says) {
			t.Errorf("%s: got %d %s", name, res.StatusCode, said[:n])
		}
	}
	at, _ = scorer(t, says("scored"))
	f.place("d-1", at)
	if err := f.gateway.Switched(t.Context(), "iris", "qa"); err != nil {
		t.Fatal(err)
	}
	if status, text, _ := post(t, f.url+"/score", f.key, strings.NewReader(body)); status != 200 || text != "scored" {
		t.Errorf("a wanted one: %d %s", status, text)
	}
}
