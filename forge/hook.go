package forge

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// maxBody is the largest payload taken, in bytes: what GitHub sends at most.
const maxBody = 25 << 20

// maxAge is how old an event may be that says when it happened: as long as
// GitHub lets people send a delivery again.
const maxAge = 72 * time.Hour

// Taken is the answer to a delivery.
type Taken struct {
	Status  string        `json:"status" enum:"accepted,known,ignored"`
	Reason  string        `json:"reason,omitempty"`
	Notices []TakenNotice `json:"notices,omitempty"`
}

// TakenNotice is a commit that will be fetched and built.
type TakenNotice struct {
	ID          ridgeline.NoticeID `json:"id"`
	Branch      string             `json:"branch"`
	PullRequest string             `json:"pull_request,omitempty"`
	Commit      string             `json:"commit"`
	URL         string             `json:"url" doc:"what becomes of it"`
}

// ServeHTTP takes a delivery at HookPath. Nobody has signed in: what counts is
// that the sender knows the remote's secret. One who does not learns nothing,
// not even whether there is such a remote; the log says what was wrong.
//
// The answer is sent after everything that will be done is written down.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case h.reads <- struct{}{}: // a stranger may hold no more memory than this
		defer func() { <-h.reads }()
	case <-r.Context().Done():
		return
	}
	project, name := ridgeline.ProjectName(r.PathValue("project")), r.PathValue("name")
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a delivery has at most %d MiB", maxBody>>20))
		}
		return
	}
	remote, v, err := h.verified(r, project, name, body)
	switch {
	case ridgeline.CodeOf(err) == ridgeline.Denied:
		h.Log.Warn("a webhook was refused", "project", project, "remote", name, "from", r.RemoteAddr, "reason", err)
		problem(w, http.StatusUnauthorized, "this delivery is not accepted")
	case err != nil:
		h.fail(w, "check a webhook", err)
	default:
		h.take(w, r, remote, v, body)
	}
}

// verified finds the remote and checks that the delivery is of its forge.
func (h *Hub) verified(r *http.Request, project ridgeline.ProjectName, name string, body []byte) (ridgeline.Remote, vouched, error) {
	remote, err := h.Store.Remote(r.Context(), project, name)
	absent := ridgeline.CodeOf(err) == ridgeline.NotFound
	if err != nil && !absent {
		return remote, vouched{}, err
	}
	secret := []byte(newSecret()) // for a remote that does not exist: as much work as for one that does
	if absent {
		remote.Forge = ridgeline.GitHub
	} else {
		plain, err := h.open(remote, "secret", remote.Secret)
		if err != nil {
			return remote, vouched{}, err
		}
		secret = []byte(plain)
	}
	v, err := verify(remote.Forge, secret, r.Header, body, time.Now())
	switch {
	case absent:
		return remote, v, ridgeline.Errorf(ridgeline.Denied, "there is no such remote")
	case err != nil:
		return remote, v, ridgeline.Errorf(ridgeline.Denied, "%v", err)
	}
	return remote, v, nil
}

// take reads a delivery that is known to be of its forge.
func (h *Hub) take(w http.ResponseWriter, r *http.Request, remote ridgeline.Remote, v vouched, body []byte) {
	p, err := read(remote, r.Header, body)
	if err == nil {
		err = acceptable(remote, p, time.Now())
	}
	if err != nil {
		h.Log.Warn("a webhook was refused", "project", remote.Project, "remote", remote.Name, "delivery", v.id, "reason", err)
		problem(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	notices, why, err := h.notices(r, remote, p, v)
	if err != nil {
		h.fail(w, "take a webhook", err)
		return
	}
	if len(notices) == 0 {
		answer(w, http.StatusOK, Taken{Status: "ignored", Reason: why})
		return
	}
	d := ridgeline.HookDelivery{Project: remote.Project, Remote: remote.Name, Digest: v.digest, ID: v.id, At: time.Now().UTC()}
	var earlier ridgeline.HookDelivery
	var known bool
	e := ridgeline.AuditEvent{
		Who: string(remote.Forge), Via: "webhook", Address: auth.Address(r.RemoteAddr), Action: "take-delivery", Subject: fmt.Sprintf("projects/%s/remotes/%s", remote.Project, remote.Name),
	}
	err = h.Store.Audited(r.Context(), e, func(ctx context.Context) (err error) {
		earlier, known, err = h.Store.TakeDelivery(ctx, d, notices)
		return err
	})
	if err != nil {
		h.fail(w, "take a webhook", err)
		return
	}
	if known {
		h.again(w, r, remote, v, earlier)
		return
	}
	h.wake()
	h.Log.Info("a webhook was taken", "project", remote.Project, "remote", remote.Name, "delivery", v.id, "changes", len(notices))
	w.Header().Set("Location", noticeURL(h.URL, notices[0]))
	answer(w, http.StatusAccepted, Taken{Status: "accepted", Notices: h.told(notices)})
}

// again answers a delivery that was taken before: nothing is done a second
// time. A forge that sends it again, because our answer was lost or a person
// asked for it, uses the same id. Anything else is a replay.
func (h *Hub) again(w http.ResponseWriter, r *http.Request, remote ridgeline.Remote, v vouched, earlier ridgeline.HookDelivery) {
	if earlier.ID != v.id {
		h.Log.Warn("a webhook was replayed", "project", remote.Project, "remote", remote.Name, "from", r.RemoteAddr, "delivery", v.id, "first", earlier.ID)
		problem(w, http.StatusConflict, "this delivery was taken at "+earlier.At.Format(time.RFC3339)+" under another id; it is not taken twice")
		return
	}
	notices, err := h.Store.Notices(r.Context(), store.NoticeFilter{Project: remote.Project, Remote: remote.Name, Digest: v.digest})
	if err != nil {
		h.fail(w, "take a webhook", err)
		return
	}
	answer(w, http.StatusOK, Taken{Status: "known", Reason: "taken at " + earlier.At.Format(time.RFC3339) + "; nothing is done twice", Notices: h.told(notices)})
}

// read reads the payload, which GitHub and Gitea may send as a form.
func read(remote ridgeline.Remote, header http.Header, body []byte) (payload, error) {
	kind, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	if kind == "application/x-www-form-urlencoded" {
		form, err := url.ParseQuery(string(body))
		if err != nil || form.Get("payload") == "" {
			return payload{}, ridgeline.Errorf(ridgeline.Invalid, "the form has no payload: choose application/json as the webhook's content type")
		}
		body = []byte(form.Get("payload"))
	}
	return parse(remote.Forge, header, body)
}

// acceptable refuses what is too old, and events of another repository: a
// secret that several webhooks share must not build one project's code as
// another's.
func acceptable(remote ridgeline.Remote, p payload, now time.Time) error {
	if age := now.Sub(p.at); !p.at.IsZero() && age > maxAge {
		return ridgeline.Errorf(ridgeline.Invalid, "the event is of %s, over %s ago: push again", p.at.UTC().Format(time.RFC3339), maxAge)
	}
	host, name := remote.Repository()
	if strings.EqualFold(p.host, host) && p.name != "" && !strings.EqualFold(p.name, name) {
		return ridgeline.Errorf(ridgeline.Invalid, "the event is of repository %s, but remote %s is %s: correct the webhook, or add a remote of its own", p.name, remote.Name, name)
	}
	return nil
}

// notices are what is to be done. A pull request's event that brings no new
// commit leads to nothing, nor does one of a fork, unless the remote allows
// it: anybody could have his own code run here.
func (h *Hub) notices(r *http.Request, remote ridgeline.Remote, p payload, v vouched) ([]ridgeline.Notice, string, error) {
	now, why := time.Now().UTC(), p.why
	var out []ridgeline.Notice
	for _, c := range p.changes {
		if c.fork && !remote.Forks {
			why = fmt.Sprintf("pull request %s comes from another repository; remote %s builds none of those (add it with --forks to allow it)", c.number, remote.Name)
			continue
		}
		if c.number != "" {
			earlier, err := h.Store.Notices(r.Context(), store.NoticeFilter{Project: remote.Project, Remote: remote.Name, PullRequest: c.number, Hash: c.hash})
			if err != nil {
				return nil, "", err
			}
			if len(earlier) > 0 && earlier[0].Digest != v.digest {
				why = fmt.Sprintf("pull request %s: commit %s was taken before", c.number, c.hash[:12])
				continue
			}
		}
		id, err := ridgeline.NewID("n", now, rand.Read)
		if err != nil {
			return nil, "", err
		}
		out = append(out, ridgeline.Notice{
			ID: ridgeline.NoticeID(id), Project: remote.Project, Remote: remote.Name, Digest: v.digest, Event: c.event, Branch: c.branch,
			PullRequest: c.number, Ref: c.ref, Hash: c.hash, Repository: p.id, Status: ridgeline.Queued, Next: now, Created: now,
		})
	}
	return out, why, nil
}

func noticeURL(base string, n ridgeline.Notice) string {
	return fmt.Sprintf("%s/api/v1/projects/%s/notices/%s", base, n.Project, n.ID)
}

func (h *Hub) told(notices []ridgeline.Notice) []TakenNotice {
	var out []TakenNotice
	for _, n := range notices {
		out = append(out, TakenNotice{n.ID, n.Branch, n.PullRequest, n.Hash, noticeURL(h.URL, n)})
	}
	return out
}

func (h *Hub) fail(w http.ResponseWriter, what string, err error) {
	h.Log.Error(what, "error", err)
	problem(w, http.StatusInternalServerError, "an unexpected error occurred; the server's log has it")
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}
