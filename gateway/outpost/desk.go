package outpost

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
)

// Path is below which the server's Desk answers outposts.
const Path = "/api/v1/gateway/"

// The two things that an outpost comes with, below Path.
const (
	syncPath   = Path + "sync"
	labelsPath = Path + "labels"
)

// What a report and a list of labels may be.
const maxReport = 32 << 20

// A Desk is the server's side: it makes the table, hands it to the outposts
// that ask, and takes in what they report.
type Desk struct {
	// Endpoints are all there are.
	Endpoints func(ctx context.Context) ([]ridgeline.Endpoint, error)
	// Live are the live deployments of all of them, newest first.
	Live func(ctx context.Context) ([]ridgeline.Deployment, error)
	// Keys are what opens an endpoint.
	Keys func(ridgeline.Endpoint) auth.Keys
	// Address is where the copies of a deployment answer in the cluster, and
	// whether they are there.
	Address func(ridgeline.Deployment) (string, bool)
	// Opens says whether a secret is the outposts' token.
	Opens func(secret string) bool
	// Asked, Wake and Labels are done for the gateway of an outpost.
	Asked  func(ctx context.Context, id ridgeline.DeploymentID, at time.Time) error
	Wake   func(ctx context.Context, id ridgeline.DeploymentID) error
	Labels func(ctx context.Context, list []ridgeline.Feedback) error
	Log    *slog.Logger

	mu       sync.Mutex
	answered map[ridgeline.DeploymentID]ridgeline.Answers
}

// Table says how things stand now.
func (k *Desk) Table(ctx context.Context) (Table, error) {
	t := Table{Made: time.Now().UnixMicro(), Endpoints: []Endpoint{}}
	all, err := k.Endpoints(ctx)
	if err != nil {
		return t, err
	}
	live, err := k.Live(ctx)
	if err != nil {
		return t, err
	}
	for _, row := range all {
		e := Endpoint{Project: row.Project, Environment: row.Environment, Live: row.Live}
		for i, sum := range k.Keys(row) {
			e.Keys[i] = hex.EncodeToString(sum[:])
		}
		for _, d := range live {
			address, here := k.Address(d)
			if d.Project != row.Project || d.Environment != row.Environment || !here {
				continue
			}
			e.Deployments = append(e.Deployments, Deployment{
				ID: d.ID, Version: d.Version, Weight: d.Weight, Mirror: d.Mirror, Concurrent: d.Limit.Concurrent, TimeoutMS: d.Limit.Timeout.Milliseconds(),
				IdleMS: d.Idle.Milliseconds(), Asleep: d.Asleep, Address: address,
			})
		}
		if len(e.Deployments) > 0 {
			t.Endpoints = append(t.Endpoints, e)
		}
	}
	return t, nil
}

// Answered is what outposts have reported of the deployment to this process.
func (k *Desk) Answered(id ridgeline.DeploymentID) ridgeline.Answers {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.answered[id]
}

// ServeHTTP answers outposts, who prove themselves by their token.
func (k *Desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secret, _ := auth.Bearer(r.Header.Get("Authorization"))
	switch {
	case !k.Opens(secret):
		refuse(w, http.StatusUnauthorized, "this is no token of a gateway of this server (RIDGELINE_GATEWAY_TOKEN)")
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "gateways POST")
	case r.URL.Path == syncPath:
		var in Report
		k.answer(w, r, &in, func(ctx context.Context) (any, error) { return k.take(ctx, in) })
	case r.URL.Path == labelsPath:
		var list []ridgeline.Feedback
		k.answer(w, r, &list, func(ctx context.Context) (any, error) { return struct{}{}, k.Labels(ctx, list) })
	default:
		refuse(w, http.StatusNotFound, "there is nothing at "+r.URL.Path)
	}
}

func (k *Desk) answer(w http.ResponseWriter, r *http.Request, in any, do func(ctx context.Context) (any, error)) {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxReport)).Decode(in); err != nil {
		refuse(w, http.StatusUnprocessableEntity, "what a gateway sent cannot be read; is it of another version? "+err.Error())
		return
	}
	out, err := do(r.Context())
	switch code := ridgeline.CodeOf(err); {
	case err == nil:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out)
	case code == ridgeline.Invalid:
		refuse(w, http.StatusUnprocessableEntity, err.Error())
	case r.Context().Err() != nil: // nobody is there to be answered
	default:
		k.Log.Error("answer a gateway on the cluster", "error", err)
		refuse(w, http.StatusServiceUnavailable, "the server's log says why")
	}
}

// take takes a report in. What it says of a deployment that is gone meanwhile
// changes nothing.
func (k *Desk) take(ctx context.Context, in Report) (Answer, error) {
	for id, at := range in.Asked {
		if err := k.Asked(ctx, id, earlier(time.UnixMicro(at).UTC(), time.Now().UTC())); err != nil {
			return Answer{}, err
		}
	}
	for _, id := range in.Wake {
		if err := k.Wake(ctx, id); err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
			return Answer{}, err
		}
	}
	t, err := k.Table(ctx)
	if err != nil {
		return Answer{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.answered == nil {
		k.answered = map[ridgeline.DeploymentID]ridgeline.Answers{}
	}
	for id, n := range in.Answered {
		k.answered[id] = k.answered[id].Plus(n)
	}
	if in.Table == t.Digest() {
		return Answer{}, nil
	}
	k.Log.Debug("a gateway on the cluster gets another table", "copy", in.Copy, "endpoints", len(t.Endpoints))
	return Answer{Table: &t}, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}

// problemOf reads what refuse has written.
func problemOf(res *http.Response) error {
	var p struct {
		Detail string `json:"detail"`
	}
	_ = json.NewDecoder(res.Body).Decode(&p) // else the status has to do
	code := ridgeline.Unavailable
	switch res.StatusCode {
	case http.StatusUnauthorized:
		code = ridgeline.Denied
	case http.StatusUnprocessableEntity:
		code = ridgeline.Invalid
	}
	return ridgeline.Errorf(code, "%w", errors.New(strings.TrimSpace("the Ridgeline server answered "+res.Status+": "+p.Detail)))
}
