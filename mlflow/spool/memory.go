package spool

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// What is remembered: so many answers, each so long at most.
const (
	most    = 256
	longest = 1 << 20
)

// memory is what the script was told before: runs, experiments and logged
// models as they were when it asked last.
type memory struct {
	mu      sync.Mutex
	answers map[string][]byte
}

// memorable names what a request asks for, so that the same question in other
// words has the same name; empty when the answer is not to be remembered.
func memorable(method string, u *url.URL) string {
	path, found := strings.CutPrefix(u.Path, "/api/2.0/mlflow/")
	if method != http.MethodGet || !found {
		return ""
	}
	q := u.Query()
	switch {
	case path == "runs/get" && q.Get("run_id") != "":
		return "run " + q.Get("run_id")
	case path == "runs/get":
		return "run " + q.Get("run_uuid")
	case path == "experiments/get" || path == "experiments/get-by-name":
		return path + "?" + q.Encode()
	case strings.HasPrefix(path, "logged-models/") && strings.Count(path, "/") == 1:
		return path
	}
	return ""
}

func (m *memory) keep(name string, answer []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.answers == nil {
		m.answers = map[string][]byte{}
	}
	for old := range m.answers {
		if len(m.answers) < most {
			break
		}
		delete(m.answers, old)
	}
	m.answers[name] = answer
}

func (m *memory) find(name string) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	answer, ok := m.answers[name]
	return answer, ok && name != ""
}

// updated is what the server will answer to runs/update: the run as it was,
// changed. It is nil when the run is not known.
func (m *memory) updated(body []byte) []byte {
	var asked map[string]json.RawMessage
	if json.Unmarshal(body, &asked) != nil {
		return nil
	}
	var id string
	for _, name := range []string{"run_id", "run_uuid"} {
		if json.Unmarshal(asked[name], &id) == nil && id != "" {
			break
		}
	}
	answer, ok := m.find("run " + id)
	if !ok || id == "" {
		return nil
	}
	var known struct {
		Run struct {
			Info map[string]json.RawMessage `json:"info"`
		} `json:"run"`
	}
	if json.Unmarshal(answer, &known) != nil || known.Run.Info == nil {
		return nil
	}
	for _, name := range []string{"status", "end_time", "run_name"} {
		if v, ok := asked[name]; ok {
			known.Run.Info[name] = v
		}
	}
	out, err := json.Marshal(map[string]any{"run_info": known.Run.Info})
	if err != nil {
		return nil
	}
	return out
}

// remember asks for the step's run and its experiment, until they are known.
func (p *Proxy) remember(ctx context.Context) {
	var ask []string
	if p.options.Run != "" {
		ask = append(ask, "/api/2.0/mlflow/runs/get?run_id="+url.QueryEscape(p.options.Run))
	}
	if p.options.Experiment != "" {
		ask = append(ask, "/api/2.0/mlflow/experiments/get-by-name?experiment_name="+url.QueryEscape(p.options.Experiment))
	}
	for pause := firstPause; len(ask) > 0; pause = min(2*pause, lastPause) {
		if u, err := url.Parse(ask[0]); err != nil || p.learn(ctx, u) {
			ask = ask[1:]
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// learn reports whether the server answered, whatever it said.
func (p *Proxy) learn(ctx context.Context, u *url.URL) bool {
	ctx, cancel := context.WithTimeout(ctx, takes)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.options.Server+u.RequestURI(), http.NoBody)
	if err != nil {
		return true
	}
	r.Header.Set("Authorization", "Bearer "+p.options.Token)
	w, err := p.delivery.client.Do(r)
	if err != nil {
		return false
	}
	defer w.Body.Close()
	text, err := io.ReadAll(io.LimitReader(w.Body, longest+1))
	if err != nil || isAway(w.StatusCode) {
		return false
	}
	if w.StatusCode == http.StatusOK && len(text) <= longest {
		p.memory.keep(memorable(http.MethodGet, u), text)
	}
	return true
}
