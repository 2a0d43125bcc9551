package courier

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline/blob/archive"
	"github.com/ridgeline-mlops/ridgeline/host"
)

// stall is how long nothing may move on a connection before it is given up.
const stall = time.Minute

// line is the container's way to the server.
type line struct {
	errand Errand
	client *http.Client
}

func newLine(e Errand) *line {
	return &line{e, &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: 30 * time.Second,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 5 * time.Minute, // a large tree is digested before it is answered
	}}}
}

// A refusal is an answer that asking again will not change.
type refusal struct{ error }

// do asks once. The answer's status is 2xx, or one of those that are expected.
func (l *line) do(ctx context.Context, method, url string, body io.Reader, expected ...int) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+l.errand.Token)
	resp, err := l.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	for _, s := range expected {
		if resp.StatusCode == s {
			return resp, nil
		}
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
	resp.Body.Close()
	err = fmt.Errorf("the server says %s: %s", resp.Status, strings.TrimSpace(string(text)))
	switch {
	case resp.StatusCode == gone:
		return nil, refusal{errGone}
	case resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusNotFound:
		return nil, refusal{err} // not found: a proxy's word while the server restarts
	}
	return nil, err
}

// again asks until the server takes it, refuses it, or ctx is done.
func again(ctx context.Context, ask func() error) error {
	for pause := 200 * time.Millisecond; ; pause = min(pause*2, 5*time.Second) {
		err := ask()
		var no refusal
		if err == nil || errors.As(err, &no) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// fetch puts one thing in its place, whole or not at all.
func (l *line) fetch(ctx context.Context, f host.Fetch) error {
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return err
	}
	return again(ctx, func() error {
		ctx, cut := context.WithCancel(ctx)
		defer cut()
		resp, err := l.do(ctx, http.MethodGet, l.errand.url(partFetch)+"?digest="+f.Digest, nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body := &watched{r: resp.Body, timer: time.AfterFunc(stall, cut)}
		defer body.timer.Stop()
		temp := f.Path + ".part"
		if err := os.RemoveAll(temp); err != nil {
			return refusal{err}
		}
		sum := sha256.New()
		if err := place(io.TeeReader(body, sum), temp, f.Tree); err != nil {
			return err
		}
		if got := hex.EncodeToString(sum.Sum(nil)); got != f.Digest {
			return fmt.Errorf("sha256 %s was expected, %s came", f.Digest, got)
		}
		if err := os.Rename(temp, f.Path); err != nil {
			return refusal{err}
		}
		return nil
	})
}

// place writes a file, or unpacks a folder, to the last byte of r.
func place(r io.Reader, path string, tree bool) error {
	if tree {
		if err := archive.Read(r, path); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, r)
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, r)
	return errors.Join(err, file.Close())
}

// watched ends a request on which nothing moves.
type watched struct {
	r     io.Reader
	timer *time.Timer
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.timer.Reset(stall)
	return n, err
}

// keep brings a folder back.
func (l *line) keep(ctx context.Context, dir string) error {
	return again(ctx, func() error {
		ctx, cut := context.WithCancel(ctx)
		defer cut()
		r, w := io.Pipe()
		packed := make(chan error, 1)
		go func() {
			err := archive.Write(w, dir)
			packed <- err
			w.CloseWithError(err)
		}()
		body := &watched{r: r, timer: time.AfterFunc(stall, cut)}
		defer body.timer.Stop()
		resp, err := l.do(ctx, http.MethodPut, l.errand.url(partKept), body)
		if err == nil {
			resp.Body.Close()
			return nil
		}
		r.CloseWithError(errCut)
		if bad := <-packed; bad != nil && !errors.Is(bad, errCut) {
			return refusal{bad} // what cannot be read will not be readable later
		}
		return err
	})
}

// errCut is what an archive ends with that the server did not take whole.
var errCut = errors.New("the server stopped reading")

// log sends a piece of the log, and returns how much of it the server has. It
// tries once, or insists.
func (l *line) log(ctx context.Context, offset int64, p []byte, insist bool) (have int64, err error) {
	ask := func() error {
		ctx, cut := context.WithTimeout(ctx, stall)
		defer cut()
		resp, err := l.do(ctx, http.MethodPost, l.errand.url(partLog)+"?offset="+strconv.FormatInt(offset, 10), bytes.NewReader(p), http.StatusConflict)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var s size
		err = json.NewDecoder(resp.Body).Decode(&s)
		have = s.Size
		return err
	}
	if insist {
		return have, again(ctx, ask)
	}
	err = ask()
	return have, err
}

// report says what was used, as it comes, once each: the end says it, too.
func (l *line) report(ctx context.Context, used <-chan host.Measure) {
	for u := range used {
		text, err := json.Marshal(u)
		if err != nil {
			return
		}
		ctx, cut := context.WithTimeout(ctx, stall/6)
		resp, err := l.do(ctx, http.MethodPut, l.errand.url(partUsed), bytes.NewReader(text))
		if err == nil {
			resp.Body.Close()
		}
		cut()
	}
}

// tell says how it ended.
func (l *line) tell(ctx context.Context, end host.TaskState) error {
	text, err := json.Marshal(end)
	if err != nil {
		return err
	}
	return again(ctx, func() error {
		ctx, cut := context.WithTimeout(ctx, stall)
		defer cut()
		resp, err := l.do(ctx, http.MethodPut, l.errand.url(partEnd), bytes.NewReader(text))
		if err == nil {
			resp.Body.Close()
		}
		return err
	})
}
