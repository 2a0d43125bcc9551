package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// UserAgent is what the Client calls itself, so that the audit trail tells the
// command line from other programs.
const UserAgent = "ridgeline-cli"

// A Client speaks to a server's API. It is safe for concurrent use.
type Client struct {
	URL   string // such as http://127.0.0.1:8470
	Token string
	HTTP  *http.Client
}

// Do sends in as JSON, unless it is nil, and decodes the answer into out,
// unless that is nil. A refusal comes back as a classified error with the
// server's own words.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	var reader io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(text)
	}
	res, err := c.send(ctx, method, path, "application/json", reader)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fmt.Errorf("the server's answer to %s %s cannot be read: %w", method, path, err)
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, path, contentType string, in io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+path, in)
	if err != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "server address %q: %v", c.URL, err)
	}
	if in != nil {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("User-Agent", UserAgent)
	res, err := c.HTTP.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			return nil, ridgeline.Errorf(ridgeline.Unavailable, "no server answers at %s: start one with ridgeline up, or name another with --server", c.URL)
		}
		return nil, err
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	return nil, refusal(res)
}

// refusal reads an RFC 9457 answer.
func refusal(res *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	var problem struct {
		Detail string `json:"detail"`
		Errors []struct {
			Message  string `json:"message"`
			Location string `json:"location"`
		} `json:"errors"`
	}
	message := strings.TrimSpace(string(text))
	if json.Unmarshal(text, &problem) == nil && problem.Detail != "" {
		message = problem.Detail
		for _, e := range problem.Errors {
			message += fmt.Sprintf("; %s: %s", e.Location, e.Message)
		}
	}
	if message == "" {
		message = "the server answered " + res.Status
	}
	code := ridgeline.Internal
	switch res.StatusCode {
	case http.StatusUnauthorized:
		code = ridgeline.Denied
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		code = ridgeline.Invalid
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		code = ridgeline.Unavailable
	default:
		for _, known := range ridgeline.Codes() {
			if Status(known) == res.StatusCode {
				code = known
			}
		}
	}
	return ridgeline.Errorf(code, "%s", message)
}

// Push hands over a source archive; of a commit that is for a pull request,
// with its number.
func (c *Client) Push(ctx context.Context, commit ridgeline.Commit, pullRequest string, archive io.Reader) (Build, error) {
	q := url.Values{"commit": {commit.Hash}, "branch": {commit.Branch}, "message": {commit.Message}, "author": {commit.Author}, "pull_request": {pullRequest}}
	if commit.Dirty {
		q.Set("dirty", "true")
	}
	res, err := c.send(ctx, http.MethodPost, "/api/v1/projects/"+url.PathEscape(string(commit.Project))+"/builds?"+q.Encode(), "application/x-tar", archive)
	if err != nil {
		return Build{}, err
	}
	defer res.Body.Close()
	var b Build
	return b, json.NewDecoder(res.Body).Decode(&b)
}

// Log copies a task's log from offset on to w, and returns how much that was.
func (c *Client) Log(ctx context.Context, task string, offset int64, w io.Writer) (int64, error) {
	res, err := c.send(ctx, http.MethodGet, "/api/v1/logs/"+url.PathEscape(task)+"?offset="+strconv.FormatInt(offset, 10), "", nil)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	return io.Copy(w, res.Body)
}

// Search returns the lines of a task's log that contain the text, each as
// NUMBER:LINE; to be closed.
func (c *Client) Search(ctx context.Context, task, text string) (io.ReadCloser, error) {
	res, err := c.send(ctx, http.MethodGet, "/api/v1/logs/"+url.PathEscape(task)+"?q="+url.QueryEscape(text), "", nil)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

// Tail reads a log's last n bytes.
func (c *Client) Tail(ctx context.Context, task string, n int64) ([]byte, error) {
	return c.text(ctx, "/api/v1/logs/"+url.PathEscape(task)+"?tail="+strconv.FormatInt(n, 10))
}

// Download copies a file of rows to w, and returns how many rows it has.
func (c *Client) Download(ctx context.Context, path string, w io.Writer) (int64, error) {
	res, err := c.send(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	rows, err := strconv.ParseInt(res.Header.Get("X-Ridgeline-Rows"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the server's answer to GET %s does not say how many rows it has", path)
	}
	_, err = io.Copy(w, res.Body)
	return rows, err
}

func (c *Client) text(ctx context.Context, path string) ([]byte, error) {
	res, err := c.send(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

// Get reads one thing.
func Get[T any](ctx context.Context, c *Client, path string) (T, error) {
	var out T
	return out, c.Do(ctx, http.MethodGet, path, nil, &out)
}

// Post asks for one thing to be done.
func Post[T any](ctx context.Context, c *Client, path string, in any) (T, error) {
	var out T
	return out, c.Do(ctx, http.MethodPost, path, in, &out)
}
