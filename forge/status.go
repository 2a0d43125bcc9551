package forge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/trigger"
)

// state is what a commit's status says.
type state string

// The states of a status. Each forge has its own words for them.
const (
	pending   state = "pending"
	running   state = "running"
	success   state = "success"
	failure   state = "failure"
	cancelled state = "cancelled"
)

// A report is a commit's status on its way: the body of a delivery.
type report struct {
	Project     ridgeline.ProjectName `json:"project"`
	Remote      string                `json:"remote"`
	Hash        string                `json:"hash"`
	Branch      string                `json:"branch"`
	PullRequest string                `json:"pull_request,omitempty"`
	Repository  string                `json:"repository,omitempty"`
	Context     string                `json:"context"` // tells our statuses of one commit apart
	State       state                 `json:"state"`
	Text        string                `json:"text"` // one line
	URL         string                `json:"url"`
}

// Subscriber reports a build that a webhook led to, and the run that its
// pipeline starts, to the forge that announced the commit.
func (h *Hub) Subscriber(ctx context.Context, tx *store.Store, e ridgeline.Event) ([]ridgeline.Delivery, error) {
	var id ridgeline.BuildID
	var r report
	switch noun, subject, _ := strings.Cut(e.Subject, "/"); noun {
	case "builds":
		id = ridgeline.BuildID(subject)
	case "runs":
		run, err := tx.Run(ctx, ridgeline.RunID(subject))
		if err != nil {
			return nil, present(err)
		}
		r = runReport(e, run)
		id = ridgeline.BuildID(run.Cause[strings.LastIndex(run.Cause, " ")+1:]) // "webhook github b-…"
	}
	if !strings.HasPrefix(string(id), "b-") {
		return nil, nil
	}
	b, err := tx.Build(ctx, id)
	if err != nil {
		return nil, present(err)
	}
	if r.Context == "" {
		r = buildReport(e, b)
	}
	n, err := announced(ctx, tx, b)
	if err != nil || n.ID == "" || r.State == "" {
		return nil, err
	}
	remote, err := tx.Remote(ctx, n.Project, n.Remote)
	if err != nil || remote.Token == "" { // nothing to report with
		return nil, present(err)
	}
	r.Project, r.Remote, r.Hash, r.Branch, r.PullRequest, r.Repository = n.Project, n.Remote, b.Commit.Hash, n.Branch, n.PullRequest, n.Repository
	r.URL = h.URL + "/api/v1/" + e.Subject
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	// One commit's statuses go one after the other, so that the last one stays.
	return []ridgeline.Delivery{{Kind: ridgeline.DeliveryStatus, Target: Target(n), Body: body}}, nil
}

// Target is where the statuses of a notice's commit go, as the outbox knows
// it.
func Target(n ridgeline.Notice) string {
	return fmt.Sprintf("%s/%s/%s", n.Project, n.Remote, n.Hash)
}

// present takes what is not there for nothing to report: an error would hold
// back everybody's events.
func present(err error) error {
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return nil
	}
	return err
}

// announced is the notice that led to a build, or to the one that it repeats;
// none has no id.
func announced(ctx context.Context, tx *store.Store, b ridgeline.Build) (ridgeline.Notice, error) {
	id := b.ID
	for range 20 { // a build retried more often is not reported
		found, err := tx.Notices(ctx, store.NoticeFilter{Build: id, Limit: 1})
		if err != nil {
			return ridgeline.Notice{}, err
		}
		if len(found) > 0 {
			return found[0], nil
		}
		before, retried := strings.CutPrefix(b.Cause, "retry ")
		if !retried {
			break
		}
		id = ridgeline.BuildID(before)
		if b, err = tx.Build(ctx, id); err != nil {
			return ridgeline.Notice{}, present(err)
		}
	}
	return ridgeline.Notice{}, nil
}

// buildReport says what an event about a build means. The state is the
// event's, since the row may have gone on.
func buildReport(e ridgeline.Event, b ridgeline.Build) report {
	r := report{Context: "ridgeline/" + string(b.Project)}
	switch e.Type {
	case ridgeline.StatusEvent("build", ridgeline.Queued):
		r.State, r.Text = pending, "waits to be built"
	case ridgeline.StatusEvent("build", ridgeline.Running):
		r.State, r.Text = running, "is being built"
	case ridgeline.StatusEvent("build", ridgeline.Succeeded):
		r.State, r.Text = success, "all checks are green"
		if b.Pipeline > 0 {
			r.Text += fmt.Sprintf("; pipeline %d", b.Pipeline)
		}
	case ridgeline.StatusEvent("build", ridgeline.Failed):
		r.State, r.Text = failure, b.Reason
	case ridgeline.StatusEvent("build", ridgeline.Cancelled):
		r.State, r.Text = cancelled, "the build was cancelled"
	}
	return r
}

// runReport is the same for a run. A model that is not better is a good end.
func runReport(e ridgeline.Event, run ridgeline.Run) report {
	r := report{Context: "ridgeline/" + string(run.Project) + "/model"}
	switch e.Type {
	case ridgeline.StatusEvent("run", ridgeline.Queued):
		r.State, r.Text = pending, "waits to be trained"
	case ridgeline.StatusEvent("run", ridgeline.Running):
		r.State, r.Text = running, "is being trained"
	case ridgeline.StatusEvent("run", ridgeline.Succeeded):
		r.State, r.Text = success, "done"
		if run.Verdict != "" {
			r.Text = string(run.Verdict)
		}
		if run.Version > 0 {
			r.Text = fmt.Sprintf("%s version %d: %s", run.Model, run.Version, r.Text)
		}
		if run.Reason != "" {
			r.Text += " — " + run.Reason
		}
	case ridgeline.StatusEvent("run", ridgeline.Failed):
		r.State, r.Text = failure, run.Reason
	case ridgeline.StatusEvent("run", ridgeline.Cancelled):
		r.State, r.Text = cancelled, "the run was cancelled"
	}
	return r
}

// Sender posts a report to the forge's API.
func (h *Hub) Sender(ctx context.Context, d ridgeline.Delivery) (int, error) {
	var r report
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return 0, &trigger.Refusal{Message: "the report cannot be read", Final: true}
	}
	remote, err := h.Store.Remote(ctx, r.Project, r.Remote)
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return 0, &trigger.Refusal{Message: "the remote was removed", Final: true}
	}
	if err != nil {
		return 0, err
	}
	token, err := h.open(remote, "token", remote.Token)
	if err != nil {
		return 0, err
	}
	if token == "" {
		return 0, &trigger.Refusal{Message: "the remote has no token any more", Final: true}
	}
	address, body, err := status(remote, r)
	if err != nil {
		return 0, &trigger.Refusal{Message: err.Error(), Final: true}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	return h.ask(ctx, remote, token, http.MethodPost, address, text)
}

// ask sends a request to the forge's API. Which networks it is in does not
// matter: whoever may add a remote may also have code run on this server.
func (h *Hub) ask(ctx context.Context, remote ridgeline.Remote, token, method, address string, body []byte) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return 0, &trigger.Refusal{Message: "the forge's address cannot be used", Final: true}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "ridgeline")
	authorize(req, remote, token)
	res, err := h.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return 0, err
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(res.Body, 2000))
	return res.StatusCode, answered(remote.Forge, res, said)
}

// answered reads an answer: what the forge will say tomorrow as well is final.
func answered(f ridgeline.Forge, res *http.Response, said []byte) error {
	switch {
	case res.StatusCode/100 == 2:
		return nil
	case f == ridgeline.GitLab && res.StatusCode == http.StatusBadRequest && bytes.Contains(said, []byte("Cannot transition status")):
		return nil // it is there already: sent twice, after a crash
	}
	r := &trigger.Refusal{Message: "answered " + res.Status}
	line, _, _ := strings.Cut(strings.TrimSpace(strings.ToValidUTF8(string(said), "")), "\n")
	if line != "" && !strings.HasPrefix(line, "<") {
		r.Message += ": " + clip(line, 300)
	}
	switch res.StatusCode {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusGone, http.StatusUnprocessableEntity, http.StatusUnauthorized, http.StatusMethodNotAllowed:
		r.Final = true
	case http.StatusForbidden: // GitHub also says that there were too many requests
		r.Final = res.Header.Get("Retry-After") == "" && res.Header.Get("X-RateLimit-Remaining") != "0"
	}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		r.After = time.Duration(min(seconds, 3600)) * time.Second
	}
	return r
}

// keyOf is a name of at most 40 characters, which is what Bitbucket takes.
func keyOf(name string) string {
	if len(name) <= 40 {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "ridgeline/" + hex.EncodeToString(sum[:12])
}

// clip makes one line of at most n characters.
func clip(s string, n int) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}
