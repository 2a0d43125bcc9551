package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score"
)

// raw is a connection to a scorer with its real listener's settings.
type raw struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

// listening serves a script with the settings of the real listener, and
// returns where.
func listening(t *testing.T, script string, change ...func(*Config)) (serving, string) {
	t.Helper()
	s := serve(t, script, change...)
	c, _ := config(t, script)
	for _, f := range change {
		f(&c)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(Handler(s.Front, c), slog.New(slog.NewTextHandler(s.log, nil)))
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	s.url = "http://" + l.Addr().String()
	return s, l.Addr().String()
}

func dial(t *testing.T, address string) *raw {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second)) // a test that hangs shall say where
	return &raw{t, c, bufio.NewReader(c)}
}

// send writes, in one piece.
func (r *raw) send(text string) *raw {
	r.t.Helper()
	if _, err := r.Write([]byte(text)); err != nil {
		r.t.Fatal(err)
	}
	return r
}

// half closes the sending half.
func (r *raw) half() *raw {
	r.t.Helper()
	if err := r.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		r.t.Fatal(err)
	}
	return r
}

// answer reads one answer; status 0 when the connection ended instead.
func (r *raw) answer() (int, string) {
	r.t.Helper()
	got, err := http.ReadResponse(r.in, nil)
	if err != nil {
		var slow net.Error
		if errors.As(err, &slow) && slow.Timeout() {
			r.t.Fatal("no answer, and no end either")
		}
		return 0, ""
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) { // what it did not read of us resets its last words
		r.t.Fatal(err)
	}
	return got.StatusCode, string(text)
}

func post(body string) string {
	return fmt.Sprintf("POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// Whatever a client sends, it gets an answer that fits or the end of its
// connection, and the next client is answered.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	s, address := listening(t, echo, func(c *Config) { c.BodyLimit = 1000 })
	const gone = 0
	for _, c := range []struct {
		name, sent string
		half       bool // the client sends no more
		status     int
		says       string
	}{
		{"nothing at all", "", true, gone, ""},
		{"half a request line", "POST /sco", true, 400, ""},
		{"half a header", "POST /score HTTP/1.1\r\nHo", true, 400, ""},
		{"no HTTP", "hello?\r\n\r\n", false, 400, ""},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", false, 400, ""},
		{"HTTP/2 preface, and no more", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true, gone, ""},
		{"no host", "POST /score HTTP/1.1\r\nContent-Length: 1\r\n\r\n1", false, 400, ""},
		{"header of 100 kB", "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 100_000) + "\r\n\r\n", false, 431, ""},
		{"10,000 headers", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 20_000) + "\r\n", false, 431, ""},
		{"truncated body", "POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"data\": [[1", true, 400, "to its end"},
		{"truncated chunk", "POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc", true, 400, "to its end"},
		{"a chunk's length that is none", "POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc", false, 400, ""},
		{"a chunk of 2^64 bytes", "POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\nabc", false, 400, ""},
		{"unknown transfer encoding", "POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nabc", false, 501, ""},
		{"length and chunked", "POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n7\r\n0\r\n\r\n", false, 200, `"7"`},
		{"two lengths", "POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12", false, 400, ""},
		{"negative length", "POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", false, 400, ""},
		{"a length beyond the limit", "POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", false, 413, "1000 bytes"},
		{"a length beyond all limits", "POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", false, 400, ""},
		{"chunks beyond the limit", "POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("64\r\n"+strings.Repeat("x", 100)+"\r\n", 11) + "0\r\n\r\n", false, 413, "1000 bytes"},
		{"a body that is announced and unwanted", "POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n", false, 413, "1000 bytes"},
		{"an upgrade", "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", false, 200, "Healthy"},
		{"a path that climbs", "GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", false, 307, ""},
		{"a path with a NUL", "GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", false, 404, "not found"},
		{"CONNECT", "CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n", false, 404, ""},
		{"invalid UTF-8", "POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n\xc3\x28", false, 400, "UTF-8"},
		{"HTTP/1.0", "POST /score HTTP/1.0\r\nContent-Length: 1\r\n\r\n7", false, 200, `"7"`},
		{"HTTP/1.0 without a length", "POST /score HTTP/1.0\r\n\r\n7", true, 200, `""`},
		{"whole, then half closed", post("7"), true, 200, `"7"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := dial(t, address).send(c.sent)
			if c.half {
				client.half()
			}
			// Who closes his half is taken as gone, if his answer is not quicker.
			status, text := client.answer()
			if left := c.half && c.status == 200 && status == 500; !left && (status != c.status || !strings.Contains(text, c.says)) {
				t.Errorf("got %d %.300q, want %d …%s…", status, text, c.status, c.says)
			}
			if status, text := dial(t, address).send(post("8")).answer(); status != 200 || text != `"8"` {
				t.Errorf("the next client got %d %q", status, text)
			}
		})
	}
	if r := s.do(t, "POST", "/score", "9"); r.status != 200 || r.body != `"9"` {
		t.Errorf("in the end: %+v", r)
	}
}

func TestPipelining(t *testing.T) {
	t.Parallel()
	_, address := listening(t, echo, func(c *Config) { c.Workers = 2 })
	client := dial(t, address)
	var all strings.Builder
	for n := range 200 {
		all.WriteString(post(fmt.Sprint(n)))
	}
	go func() { _, _ = client.Write([]byte(all.String())) }()
	for n := range 200 {
		if status, text := client.answer(); status != 200 || text != fmt.Sprintf(`"%d"`, n) {
			t.Fatalf("answer %d is %d %q", n, status, text)
		}
	}
}

// 100 MB are the limit unless it is configured: what is below is answered, what
// is above refused without being read.
func TestLargeBody(t *testing.T) {
	t.Parallel()
	s, address := listening(t, "import json\ndef init(): pass\ndef run(raw_data): return len(json.loads(raw_data)['data'])\n")
	text := `{"data": "` + strings.Repeat("x", 100_000_000-12) + `"}`
	if r := s.do(t, "POST", "/score", text); r.status != 200 || r.body != "99999988" {
		t.Errorf("100 MB: got %d %.300s", r.status, r.body)
	}
	client := dial(t, address).send("POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 100000001\r\n\r\n")
	if status, text := client.answer(); status != 413 {
		t.Errorf("beyond: got %d %s", status, text)
	}
	// Nested a million deep, JSON is refused by whoever parses it.
	deep := `{"data": ` + strings.Repeat("[", 1_000_000) + strings.Repeat("]", 1_000_000) + "}"
	if r := s.do(t, "POST", "/score", deep); r.status != 500 {
		t.Errorf("deep: got %d %.300s", r.status, r.body)
	}
	if r := s.do(t, "POST", "/score", `{"data": "abc"}`); r.status != 200 || r.body != "3" {
		t.Errorf("afterwards: %+v", r)
	}
}

// A client that sends all of a body that is too large, before it reads anything,
// reads why it was refused.
func TestTooLargeBodiesAreSentToTheirEnd(t *testing.T) {
	t.Parallel()
	s, address := listening(t, echo, func(c *Config) { c.BodyLimit = 1000 })
	const size = 32 << 20 // more than lies in sockets' buffers
	text := strings.Repeat("x", size)
	for name, head := range map[string]string{
		"by its length": fmt.Sprintf("Content-Length: %d\r\n\r\n", size),
		"in one chunk":  fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n", size),
	} {
		client := dial(t, address).send("POST /score HTTP/1.1\r\nHost: x\r\n" + head + text)
		if status, said := client.answer(); status != 413 || !strings.Contains(said, "1000 bytes") {
			t.Errorf("%s: got %d %s", name, status, said)
		}
	}
	if r := s.do(t, "POST", "/score", "9"); r.status != 200 {
		t.Errorf("in the end: %+v", r)
	}
}

// Clients that take no answers hold up nobody but themselves.
func TestAnswersNobodyTakes(t *testing.T) {
	t.Parallel()
	s, address := listening(t, "def init(): pass\ndef run(raw_data): return 'x' * int(raw_data)\n")
	for range 20 {
		dial(t, address).send(post("5000000"))
	}
	if r := s.do(t, "POST", "/score", "3"); r.status != 200 || r.body != `"xxx"` {
		t.Errorf("got %d %.100s", r.status, r.body)
	}
}

// A client that leaves while it waits takes nobody's answer with it.
func TestClientsThatLeave(t *testing.T) {
	t.Parallel()
	s, address := listening(t, "import time\ndef init(): pass\ndef run(raw_data):\n    time.sleep(0.002)\n    return raw_data\n")
	var wg sync.WaitGroup
	for n := range 100 {
		wg.Go(func() {
			if n%2 == 0 {
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = c.Write([]byte(post("left")))
				c.Close()
				return
			}
			body := fmt.Sprint("n", n)
			if r := s.do(t, "POST", "/score", body); r.status != 200 || r.body != `"`+body+`"` {
				t.Errorf("sent %s, got %d %s", body, r.status, r.body)
			}
		})
	}
	wg.Wait()
}

// pipeListener hands out connections made by net.Pipe, whose deadlines follow
// synctest's clock.
type pipeListener struct{ conns chan net.Conn }

func (l pipeListener) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l pipeListener) Close() error   { return nil }
func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func TestSlowClients(t *testing.T) {
	for _, c := range []struct {
		name, first string
		piece       string        // sent again and again
		pause       time.Duration // after each
		within      time.Duration // until it is over
		status      int           // of the answer, 0: none
	}{
		{"a header that never comes", "", "", time.Second, headerTime, 0},
		{"a header that trickles", "POST /score HTTP/1.1\r\n", "X: y\r\n", time.Second, headerTime, 0},
		{"a body that never comes", "POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", "", time.Second, 30 * time.Second, 408},
		{"a body that trickles", "POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", "x", 20 * time.Second, 10 * time.Minute, 408},
		{"a connection that is kept without a use", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "", time.Second, idleTime, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := slog.New(slog.DiscardHandler)
				front := score.New(score.Config{Log: log}) // no worker is reached
				server := newServer(Handler(front, Config{Config: score.Config{Log: log}}), log)
				l := pipeListener{make(chan net.Conn)}
				go func() { _ = server.Serve(l) }()
				ours, theirs := net.Pipe()
				l.conns <- theirs
				began := time.Now()
				var writing sync.WaitGroup
				writing.Go(func() {
					_, err := ours.Write([]byte(c.first))
					for err == nil && c.piece != "" {
						time.Sleep(c.pause)
						_, err = ours.Write([]byte(c.piece))
					}
				})
				got, err := io.ReadAll(ours)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > c.within+c.pause+time.Second {
					t.Errorf("it was over after %s, want %s", took, c.within)
				}
				if want := fmt.Sprintf("HTTP/1.1 %d ", c.status); c.status == 0 && strings.Contains(string(got), " 200 ") || c.status != 0 && !strings.HasPrefix(string(got), want) {
					t.Errorf("got %.200q, want %d", got, c.status)
				}
				ours.Close()
				writing.Wait()
				close(l.conns)
				_ = server.Shutdown(context.Background())
			})
		})
	}
}
