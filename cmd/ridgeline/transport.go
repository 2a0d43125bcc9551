package main

import (
	"bytes"
	"io"
	"net/http"
)

// inProcess sends a registry client's requests straight to the handler.
type inProcess struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper. What is asked for is streamed while the
// handler still writes it. Any other answer waits until the handler has ended: as
// over a connection, where a small answer goes out last, who sends the next part
// of an upload can rely on this one being in its place.
func (t inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	in := req.Clone(req.Context())
	in.RequestURI = req.URL.RequestURI()
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	in.RemoteAddr = "127.0.0.1:0"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	reader, writer := io.Pipe()
	w := &pipedResponse{header: http.Header{}, body: writer, ready: make(chan struct{}), held: req.Method != http.MethodGet && req.Method != http.MethodHead}
	go func() {
		defer in.Body.Close()
		defer func() {
			broken := recover() != nil
			w.WriteHeader(http.StatusOK)
			w.release()
			if broken {
				writer.CloseWithError(io.ErrUnexpectedEOF)
			}
			writer.Close()
		}()
		t.handler.ServeHTTP(w, in)
	}()
	select {
	case <-w.ready:
	case <-req.Context().Done():
		reader.CloseWithError(req.Context().Err())
		return nil, req.Context().Err()
	}
	res := &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: reader, Request: req, ContentLength: -1,
	}
	if req.Method == http.MethodHead || w.status == http.StatusNoContent {
		reader.Close()
		res.Body = http.NoBody
	}
	if n := w.sent.Get("Content-Length"); n != "" {
		res.ContentLength = parseLength(n)
	}
	return res, nil
}

func parseLength(text string) int64 {
	var n int64
	for _, c := range text {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// pipedResponse is the handler's side of an in-process answer.
type pipedResponse struct {
	header http.Header
	sent   http.Header // a copy, from the moment the status is out
	body   *io.PipeWriter
	status int
	ready  chan struct{} // closed when the status is out
	held   bool
	text   bytes.Buffer // of a body that is held
}

func (w *pipedResponse) Header() http.Header { return w.header }

func (w *pipedResponse) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	if w.status, w.sent = status, w.header.Clone(); !w.held {
		close(w.ready)
	}
}

func (w *pipedResponse) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.held {
		return w.text.Write(p)
	}
	return w.body.Write(p)
}

// release sends what was held.
func (w *pipedResponse) release() {
	if w.held {
		close(w.ready)
		_, _ = w.text.WriteTo(w.body)
	}
}

func (w *pipedResponse) Flush() {}
