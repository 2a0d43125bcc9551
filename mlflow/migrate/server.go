package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

// server is an MLflow server, asked by its REST routes: the one to copy from,
// or ours.
type server struct {
	url, token, user, password string
	client                     *http.Client
	known                      bool // it has answered: when it is away, it comes back
}

func newServer(ctx context.Context, o Options) (*server, error) {
	u, err := url.Parse(o.From)
	if err != nil {
		return nil, fmt.Errorf("the address %q: %w", o.From, err)
	}
	s := &server{token: o.Token, user: o.User, password: o.Password, client: &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 8, ResponseHeaderTimeout: 5 * time.Minute,
	}}}
	if u.User != nil {
		s.user = u.User.Username()
		s.password, _ = u.User.Password()
		u.User = nil
	}
	s.url = strings.TrimSuffix(u.String(), "/")
	err = s.get(ctx, "experiments/search", url.Values{"max_results": {"1"}}, nil)
	if refused(err, http.StatusUnauthorized, http.StatusForbidden) {
		err = fmt.Errorf("%w; it wants to know who asks: set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD", err)
	}
	s.known = true
	return s, err
}

func (s *server) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// refusal is an answer that is no success.
type refusal struct {
	status        int
	Code, Message string
	asked         string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s: %d %s %s", r.asked, r.status, r.Code, r.Message)
}

// refused reports whether the server answered with one of the statuses.
func refused(err error, status ...int) bool {
	var r *refusal
	return errors.As(err, &r) && slices.Contains(status, r.status)
}

// send asks for a path below the server's address, and again while it is not
// there: a server that restarts holds up a copy, and does not end it.
func (s *server) send(ctx context.Context, method, at string, body func() (io.Reader, error)) (*http.Response, error) {
	for pause := 100 * time.Millisecond; ; pause *= 2 {
		w, err := s.try(ctx, method, at, body)
		if err == nil && w.StatusCode/100 == 2 {
			return w, nil
		}
		if err == nil {
			r := &refusal{status: w.StatusCode, asked: method + " " + at}
			text, _ := io.ReadAll(io.LimitReader(w.Body, 1<<16))
			w.Body.Close()
			var told struct {
				Code    string `json:"error_code"`
				Message string `json:"message"`
			}
			if json.Unmarshal(text, &told) == nil {
				r.Code, r.Message = told.Code, told.Message
			}
			err = r
		}
		if away := refused(err, 429, 502, 503, 504); ctx.Err() != nil || !s.known || pause > 30*time.Second || !away && errors.As(err, new(*refusal)) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (s *server) try(ctx context.Context, method, at string, body func() (io.Reader, error)) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		var err error
		if content, err = body(); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, s.url+at, content)
	if err != nil {
		return nil, err
	}
	if method == http.MethodPost || method == http.MethodPatch {
		r.Header.Set("Content-Type", "application/json")
	}
	switch {
	case s.token != "":
		r.Header.Set("Authorization", "Bearer "+s.token)
	case s.user != "" || s.password != "":
		r.SetBasicAuth(s.user, s.password)
	}
	return s.client.Do(r)
}

func (s *server) ask(ctx context.Context, method, at string, in, out any) error {
	var body func() (io.Reader, error)
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = func() (io.Reader, error) { return bytes.NewReader(text), nil }
	}
	w, err := s.send(ctx, method, at, body)
	if err != nil {
		return err
	}
	defer w.Body.Close()
	if out == nil {
		_, err := io.Copy(io.Discard, w.Body)
		return err
	}
	if err := json.NewDecoder(w.Body).Decode(out); err != nil {
		return fmt.Errorf("read the answer to %s %s: %w", method, at, err)
	}
	return nil
}

const protocol = "/api/2.0/mlflow/"

func (s *server) get(ctx context.Context, at string, q url.Values, out any) error {
	return s.ask(ctx, http.MethodGet, protocol+at+"?"+q.Encode(), nil, out)
}

func (s *server) post(ctx context.Context, at string, in, out any) error {
	return s.ask(ctx, http.MethodPost, protocol+at, in, out)
}

// page is what searches answer with, whatever they search.
type page struct {
	Experiments []Experiment `json:"experiments"`
	Runs        []Run        `json:"runs"`
	Models      []Model      `json:"models"`
	Metrics     []Metric     `json:"metrics"`
	Registered  []Registered `json:"registered_models"`
	Versions    []Version    `json:"model_versions"`
	Next        string       `json:"next_page_token"`
}

// pages calls ask with one page token after the other.
func pages(ask func(token string) (page, error), take func(page) error) error {
	for token := ""; ; {
		p, err := ask(token)
		if err != nil {
			return err
		}
		if err := take(p); err != nil {
			return err
		}
		if token = p.Next; token == "" {
			return nil
		}
	}
}

// search pages through a search that is asked by POST.
func (s *server) search(ctx context.Context, at string, in map[string]any, take func(page) error) error {
	return pages(func(token string) (p page, err error) {
		if token != "" {
			in["page_token"] = token
		}
		return p, s.post(ctx, at, in, &p)
	}, take)
}

// list pages through a search that is asked by GET.
func (s *server) list(ctx context.Context, at string, q url.Values, take func(page) error) error {
	return pages(func(token string) (p page, err error) {
		if token != "" {
			q.Set("page_token", token)
		}
		return p, s.get(ctx, at, q, &p)
	}, take)
}

func (s *server) Experiments(ctx context.Context) (all []Experiment, err error) {
	err = s.search(ctx, "experiments/search", map[string]any{"max_results": 1000, "view_type": "ALL"}, func(p page) error {
		all = append(all, p.Experiments...)
		return nil
	})
	return all, err
}

func (s *server) Runs(ctx context.Context, experiment string, take func(Run) error) error {
	in := map[string]any{"experiment_ids": []string{experiment}, "max_results": 500, "run_view_type": "ALL"}
	return s.search(ctx, "runs/search", in, func(p page) error {
		for _, r := range p.Runs {
			if err := take(r); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *server) History(ctx context.Context, run Run, key string) (all []Metric, err error) {
	q := url.Values{"run_id": {run.Info.ID}, "metric_key": {key}, "max_results": {"25000"}}
	err = s.list(ctx, "metrics/get-history", q, func(p page) error {
		all = append(all, p.Metrics...)
		return nil
	})
	return all, err
}

func (s *server) Models(ctx context.Context, experiment string) (all []Model, err error) {
	in := map[string]any{"experiment_ids": []string{experiment}, "max_results": 50}
	err = s.search(ctx, "logged-models/search", in, func(p page) error {
		all = append(all, p.Models...)
		return nil
	})
	if refused(err, 404, 405, 501) { // MLflow 2
		return nil, nil
	}
	return all, err
}

func (s *server) Files(ctx context.Context, at Place) (all []File, err error) {
	folders := []string{""}
	for len(folders) > 0 {
		folder := folders[0]
		folders = folders[1:]
		var answer struct {
			Files []struct {
				Path   string `json:"path"`
				Folder bool   `json:"is_dir"`
				Size   any    `json:"file_size"`
			} `json:"files"`
		}
		ask, q := "artifacts/list", url.Values{"run_id": {at.Run}, "path": {folder}}
		if at.Model != "" {
			ask, q = "logged-models/"+url.PathEscape(at.Model)+"/artifacts/directories", url.Values{"artifact_directory_path": {folder}}
		}
		if err := s.get(ctx, ask, q, &answer); err != nil {
			return nil, err
		}
		for _, f := range answer.Files {
			if f.Folder {
				folders = append(folders, f.Path)
				continue
			}
			var size Float = -1
			if text, err := json.Marshal(f.Size); err == nil {
				_ = json.Unmarshal(text, &size) // not said, then
			}
			all = append(all, File{f.Path, int64(size)})
		}
	}
	return all, nil
}

func (s *server) Open(ctx context.Context, at Place, file string) (io.ReadCloser, error) {
	ask := "/get-artifact?" + url.Values{"path": {file}, "run_uuid": {at.Run}}.Encode()
	if at.Model != "" {
		ask = "/ajax-api/2.0/mlflow/logged-models/" + url.PathEscape(at.Model) + "/artifacts/files?" + url.Values{"artifact_file_path": {file}}.Encode()
	}
	if rest, ok := strings.CutPrefix(at.URI, "mlflow-artifacts:/"); ok {
		if u, err := url.Parse(at.URI); err == nil && u.Host != "" {
			rest = u.Path
		}
		ask = artifactPath(path.Join(strings.TrimPrefix(rest, "/"), file))
	}
	w, err := s.send(ctx, http.MethodGet, ask, nil)
	if err != nil {
		return nil, err
	}
	return w.Body, nil
}

func artifactPath(p string) string {
	return "/api/2.0/mlflow-artifacts/artifacts/" + strings.ReplaceAll(url.PathEscape(p), "%2F", "/")
}

func (s *server) Registered(ctx context.Context) (all []Registered, err error) {
	err = s.list(ctx, "registered-models/search", url.Values{"max_results": {"100"}}, func(p page) error {
		all = append(all, p.Registered...)
		return nil
	})
	if refused(err, 404, 501) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for i, m := range all {
		q := url.Values{"filter": {"name = '" + strings.ReplaceAll(m.Name, "'", "''") + "'"}, "max_results": {"1000"}}
		err := s.list(ctx, "model-versions/search", q, func(p page) error {
			all[i].Versions = append(all[i].Versions, p.Versions...)
			return nil
		})
		if err != nil {
			return nil, err
		}
		inOrder(all[i].Versions)
	}
	return slices.DeleteFunc(all, func(m Registered) bool { return isPrompt(m.Tags) }), nil
}

func inOrder(versions []Version) {
	slices.SortFunc(versions, func(a, b Version) int { return int(a.Version - b.Version) })
}

// isPrompt tells prompts, which MLflow keeps in its registry.
func isPrompt(tags []Pair) bool {
	return slices.ContainsFunc(tags, func(t Pair) bool { return t.Key == "mlflow.prompt.is_prompt" && strings.EqualFold(t.Value, "true") })
}
