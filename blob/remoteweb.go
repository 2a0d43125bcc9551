package blob

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// webRemote is one file of a web server; its only key is the file's name.
type webRemote struct {
	url    *url.URL
	client *http.Client
}

func newWebRemote(u *url.URL) *webRemote {
	return &webRemote{url: u, client: &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: stall, TLSHandshakeTimeout: 30 * time.Second,
	}}}
}

func (w *webRemote) do(ctx context.Context, method string, offset int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.url.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "identity") // the bytes as they are; also keeps Range meaningful
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	res, err := w.client.Do(req)
	if err != nil {
		// url.Error repeats the address with all that may be secret in it.
		if inner, ok := err.(*url.Error); ok { //nolint:errorlint // the outermost one
			err = inner.Err
		}
		return nil, err
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	res.Body.Close()
	switch {
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return nil, ridgeline.Errorf(ridgeline.Denied, "the web server answered %s: only files that need no sign-in can be read", res.Status)
	case res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusGone:
		return nil, ridgeline.Errorf(ridgeline.NotFound, "the web server answered %s: check the address", res.Status)
	case res.StatusCode < 500 && res.StatusCode != http.StatusTooManyRequests && res.StatusCode != http.StatusRequestTimeout:
		return nil, ridgeline.Errorf(ridgeline.Invalid, "the web server answered %s", res.Status)
	}
	return nil, ridgeline.Errorf(ridgeline.Unavailable, "the web server answered %s", res.Status)
}

// stat asks for the headers, and of a server that refuses that for the file,
// which is then not read.
func (w *webRemote) stat(ctx context.Context, key string) (File, error) {
	res, err := w.do(ctx, http.MethodHead, 0)
	if ridgeline.CodeOf(err) == ridgeline.Invalid {
		res, err = w.do(ctx, http.MethodGet, 0)
	}
	if err != nil {
		return File{}, err
	}
	defer res.Body.Close()
	// An ETag is the server's word for the content; a weak one will do, as the
	// bytes are compared afterwards (RFC 9110, 8.8).
	tag := res.Header.Get("ETag")
	if tag == "" {
		tag = res.Header.Get("Last-Modified")
	}
	return File{Name: key, Size: res.ContentLength, Tag: tag}, nil
}

func (w *webRemote) list(context.Context, string, func(File) error) error { return nil }

func (w *webRemote) open(ctx context.Context, _ string, offset int64) (io.ReadCloser, error) {
	res, err := w.do(ctx, http.MethodGet, offset)
	if err != nil {
		return nil, err
	}
	if offset > 0 && res.StatusCode != http.StatusPartialContent {
		// It knows no ranges: pass over what is here already.
		if _, err := io.CopyN(io.Discard, res.Body, offset); err != nil {
			res.Body.Close()
			return nil, err
		}
	}
	return res.Body, nil
}

func (w *webRemote) explain(err error) error {
	if err == nil || ridgeline.CodeOf(err) != ridgeline.Internal {
		return err
	}
	return ridgeline.Errorf(ridgeline.Unavailable, "%s", oneLine(err))
}

func (w *webRemote) close() error {
	w.client.CloseIdleConnections()
	return nil
}
