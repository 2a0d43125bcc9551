package plain

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// both serves a handler here and by net/http alone.
func both(t *testing.T, h http.HandlerFunc) (ours, theirs string) {
	t.Helper()
	settings := func() *http.Server {
		return &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	}
	start := func(serve func(net.Listener) error, end func() error) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = serve(l) }()
		t.Cleanup(func() { _ = end() })
		return l.Addr().String()
	}
	a, b := &Server{Server: settings()}, settings()
	return start(a.Serve, a.Close), start(b.Serve, b.Close)
}

// said is all that comes back for what is sent in pieces, from a client that
// then reads until there is no more.
func said(t *testing.T, address string, answers int, pieces ...string) []string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second)) // a test that hangs shall say where
	go func() {
		for _, piece := range pieces {
			_, _ = c.Write([]byte(piece))
			time.Sleep(5 * time.Millisecond) // so that they are pieces; nothing depends on it
		}
	}()
	in := bufio.NewReader(c)
	var all []string
	for range answers {
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			return append(all, "the end")
		}
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Del("Date")
		all = append(all, fmt.Sprint(r.Status, r.Proto, r.Header, r.ContentLength, r.TransferEncoding, r.Close, string(text)))
	}
	return all
}

func post(body string, fields ...string) string {
	return fmt.Sprintf("POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s", len(body), strings.Join(fields, "\r\n")+strings.Repeat("\r\n", min(1, len(fields))), body)
}

// Whoever asks cannot tell the two apart.
func TestServer_answers_as_net_http(t *testing.T) {
	t.Parallel()
	ours, theirs := both(t, func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		h := w.Header()
		switch string(text) {
		case "panic":
			panic("on purpose")
		case "abort":
			panic(http.ErrAbortHandler)
		case "204":
			w.WriteHeader(http.StatusNoContent)
			return
		case "304":
			h.Set("Etag", "x")
			w.WriteHeader(http.StatusNotModified)
			return
		case "nothing":
			return
		case "twice":
			_, _ = io.WriteString(w, "one ")
			w.WriteHeader(http.StatusTeapot) // too late
			_, _ = io.WriteString(w, "two")
			return
		case "close":
			h.Set("Connection", "close")
		case "split":
			h["X-Split"] = []string{"a\r\nX-Made: up"}
		case "html":
			_, _ = io.WriteString(w, "<html><body>")
			return
		case "length":
			h.Set("Content-Type", "text/plain")
			h.Set("Content-Length", "3")
			_, _ = io.WriteString(w, "abc")
			return
		}
		h.Set("Content-Type", "text/plain")
		h.Set("X-Path", r.URL.String())
		h.Set("X-Of", fmt.Sprint(r.Method, r.Host, r.RequestURI, r.Proto, r.ContentLength, r.Header, r.TransferEncoding))
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write(text[:min(len(text), 100)])
	})
	large := strings.Repeat("x", 20_000)
	for name, c := range map[string]struct {
		answers int
		pieces  []string
	}{
		"plain":                   {1, []string{post("body")}},
		"fields":                  {1, []string{post("body", "x-one: 1", "X-One: 2", "Accept:  a , b ", "Connection: Keep-Alive", "Cookie: a=b")}},
		"empty":                   {1, []string{post("")}},
		"a body by itself":        {1, []string{post("body")[:len(post("body"))-4], "bo", "dy"}},
		"a header in pieces":      {1, []string{"POST / HT", post("body")[10:]}},
		"a large body":            {2, []string{post(large), post("more")}},
		"a large body in pieces":  {2, []string{post(large)[:3000], post(large)[3000:], post("more")}},
		"two at once":             {2, []string{post("1") + post("2")}},
		"one and a half":          {2, []string{post("1") + post("2")[:30], post("2")[30:]}},
		"then another method":     {3, []string{post("1"), "GET /g HTTP/1.1\r\nHost: x\r\n\r\n", post("2")}},
		"both at once":            {2, []string{post("1") + "GET /g HTTP/1.1\r\nHost: x\r\n\r\n"}},
		"then chunks":             {3, []string{post("1") + "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n7\r\n0\r\n\r\n" + post("2")}},
		"then HTTP/1.0":           {3, []string{post("1") + "POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\n1", post("2")}},
		"then nonsense":           {3, []string{post("1") + "nonsense\r\n\r\n"}},
		"then no host":            {2, []string{post("1") + "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n1"}},
		"two hosts":               {1, []string{"POST / HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: 1\r\n\r\n1"}},
		"two lengths":             {1, []string{post("1", "Content-Length: 2")}},
		"a field without a name":  {1, []string{post("1", ": 2")}},
		"a blank before a colon":  {1, []string{post("1", "A : 2")}},
		"a folded field":          {1, []string{post("1", "A: 1", " 2")}},
		"a NUL in a field":        {1, []string{post("1", "A: \x00")}},
		"expecting":               {1, []string{post("1", "Expect: 100-continue")}},
		"asked to close":          {2, []string{post("1", "Connection: close")}},
		"an absolute address":     {1, []string{"POST http://y/z HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1"}},
		"a star":                  {1, []string{"POST * HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1"}},
		"panic":                   {1, []string{post("panic")}},
		"abort":                   {1, []string{post("abort")}},
		"204":                     {2, []string{post("204"), post("1")}},
		"304":                     {2, []string{post("304"), post("1")}},
		"an answer of nothing":    {2, []string{post("nothing"), post("1")}},
		"an answer in two pieces": {2, []string{post("twice"), post("1")}},
		"closing":                 {2, []string{post("close") + post("1")}},
		"a split field":           {1, []string{post("split")}},
		"a guessed type":          {1, []string{post("html")}},
		"a length that was said":  {1, []string{post("length")}},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := said(t, ours, c.answers, c.pieces...), said(t, theirs, c.answers, c.pieces...)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

// A request's context ends when its client leaves, and not because he asks the
// next before he has his answer.
func TestServer_notices_who_leaves(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	left := make(chan error, 1)
	ours, _ := both(t, func(w http.ResponseWriter, r *http.Request) {
		switch text, _ := io.ReadAll(r.Body); string(text) {
		case "stay":
			select {
			case <-r.Context().Done():
				t.Error("a client that waits is taken as gone")
			case <-time.After(3 * patience):
			}
		case "leave":
			asked.Add(1)
			select {
			case <-r.Context().Done():
				left <- nil
			case <-time.After(10 * time.Second):
				left <- errors.New("a client that left is still waited for")
			}
		}
	})
	if got := said(t, ours, 2, post("stay"), post("next")); len(got) != 2 || !strings.HasPrefix(got[1], "200") {
		t.Errorf("got %q", got)
	}
	c, err := net.Dial("tcp", ours)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, post("leave"))
	for deadline := time.Now().Add(10 * time.Second); asked.Load() == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	_ = c.Close()
	if err := <-left; err != nil {
		t.Error(err)
	}
}

// A shutdown waits for answers, ends who waits for nothing, and takes no more.
func TestServer_Shutdown(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan struct{}), make(chan struct{})
	s := &Server{Server: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text, _ := io.ReadAll(r.Body); string(text) == "slow" {
			close(begun)
			<-finish
		}
		_, _ = io.WriteString(w, "answered")
	})}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	dial := func() (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		return c, bufio.NewReader(c)
	}
	read := func(in *bufio.Reader) string {
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			return "the end"
		}
		defer r.Body.Close()
		text, _ := io.ReadAll(r.Body)
		return string(text)
	}
	idle, fromIdle := dial()
	_, _ = io.WriteString(idle, post("1"))
	if got := read(fromIdle); got != "answered" {
		t.Fatal(got)
	}
	slow, fromSlow := dial()
	_, _ = io.WriteString(slow, post("slow"))
	<-begun
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a request under way it ended with %v", err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve ended with %v", err)
	}
	if got := read(fromIdle); got != "the end" {
		t.Errorf("who waits for nothing got %q", got)
	}
	close(finish)
	if got := read(fromSlow); got != "answered" {
		t.Errorf("who waited got %q", got)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("it still listens")
	}
}

type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// A connection that is not used is closed, one that is used now and then is
// not, however long it lives.
func TestServer_idle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := make(pipes)
		s := &Server{Server: &http.Server{IdleTimeout: 2 * time.Minute, ReadHeaderTimeout: 10 * time.Second,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answered") })}}
		go func() { _ = s.Serve(l) }()
		ours, theirs := net.Pipe()
		l <- theirs
		in := bufio.NewReader(ours)
		for range 20 {
			go func() { _, _ = io.WriteString(ours, post("1")) }()
			r, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, r.Body)
			time.Sleep(110 * time.Second)
		}
		began := time.Now()
		if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("it ended with %v", err)
		}
		if idle := 110*time.Second + time.Since(began); idle < 2*time.Minute || idle > 2*time.Minute+coarse {
			t.Errorf("it was closed after %s without a use", idle)
		}
		_ = s.Close()
		close(l)
	})
}

// What is taken for plain means the same to net/http.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{post("body"), post("", "x-one: 1", "X-One:2"), post("1", "Connection: keep-alive"), post("1", "Content-Length: 1"), "POST / HTTP/1.1\nHost: x\n\n",
		"POST /%zz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "POST //a?b=%20 HTTP/1.1\r\nHost:x:80\r\ncontent-length:  0 \r\n\r\n", post("1", "Content-Length: +1"), post("1", "A:\tb\t")} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, head := parse(b)
		if head == 0 {
			return
		}
		want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			t.Fatalf("taken for plain, and net/http says %v: %q", err, b)
		}
		if r.Method != want.Method || *r.URL != *want.URL || r.Host != want.Host || r.RequestURI != want.RequestURI || r.ContentLength != want.ContentLength || r.Proto != want.Proto || !reflect.DeepEqual(r.Header, want.Header) || want.Close || want.TransferEncoding != nil {
			t.Errorf("got %+v\nwant %+v", r, want)
		}
	})
}
