package outpost

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/gateway"
)

const (
	// reportEvery is how often the server is asked for the table: a change of
	// weights or keys takes no longer to be in force.
	reportEvery = time.Second
	// callTime bounds one call of the server.
	callTime = 5 * time.Second
)

// a reporter tells the server what its outpost does, and learns from its
// answers.
type reporter struct {
	known   *known
	gateway *gateway.Gateway
	options Config
	client  *http.Client

	told map[ridgeline.DeploymentID]ridgeline.Answers // answered requests that the server knows of
	away bool                                         // the server, at the last try
}

// run reports until ctx is done, and then once more.
func (r *reporter) run(ctx context.Context) {
	for {
		r.once(ctx)
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			r.once(last)
			return
		case <-r.known.kick:
		case <-time.After(reportEvery):
		}
	}
}

// once reports. While the server is away the mounted table is looked at, too:
// it may be the outpost that has no way to the server.
func (r *reporter) once(ctx context.Context) {
	err := r.report(ctx)
	switch {
	case err == nil && r.away:
		r.options.Log.Info("the Ridgeline server is there again")
	case err != nil && !r.away && ctx.Err() == nil:
		r.options.Log.Warn("the Ridgeline server cannot be asked; what was last known goes on", "error", err)
	}
	if r.away = err != nil; r.away {
		if err := r.known.read(r.options.Table); err != nil {
			r.options.Log.Warn("the mounted table cannot be used", "error", err)
		}
	}
}

func (r *reporter) report(ctx context.Context) error {
	in, counted := r.compose()
	var out Answer
	if err := r.call(ctx, syncPath, in, &out); err != nil {
		return err
	}
	maps.Copy(r.told, counted)
	r.known.reported(in)
	if out.Table == nil {
		return nil
	}
	endpoints, gone := r.known.learn(*out.Table)
	for _, name := range endpoints { // in force now, and not when a route is a second old
		project, environment, _ := strings.Cut(name, "/")
		_ = r.gateway.Switched(ctx, ridgeline.ProjectName(project), environment) // a request would try again
	}
	for _, id := range gone {
		delete(r.told, id)
		go func() { _ = r.gateway.Drained(context.WithoutCancel(ctx), id) }() // its counters go with its last request
	}
	if err := r.known.save(); err != nil {
		r.options.Log.Warn("the table could not be kept for a restart", "error", err)
	}
	return nil
}

// compose is what the server has not been told yet, and what it will then know.
func (r *reporter) compose() (Report, map[ridgeline.DeploymentID]ridgeline.Answers) {
	k := r.known
	k.mu.RLock()
	defer k.mu.RUnlock()
	in := Report{Copy: r.options.Copy, Table: k.digest, Answered: map[ridgeline.DeploymentID]ridgeline.Answers{}, Asked: map[ridgeline.DeploymentID]int64{}, Wake: slices.Sorted(maps.Keys(k.wake))}
	counted := map[ridgeline.DeploymentID]ridgeline.Answers{}
	for id := range k.deployments {
		all := r.gateway.Answered(id)
		if more := all.Since(r.told[id]); more.Latency.Count() > 0 {
			in.Answered[id], counted[id] = more, all
		}
	}
	for id, at := range k.asked {
		if at.After(k.toldAsked[id]) {
			in.Asked[id] = at.UnixMicro()
		}
	}
	return in, counted
}

// reported notes what the server now knows.
func (k *known) reported(in Report) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, at := range in.Asked {
		k.toldAsked[id] = time.UnixMicro(at)
	}
	for _, id := range in.Wake {
		delete(k.wake, id)
	}
}

// labels brings labels to the server.
func (r *reporter) labels(ctx context.Context, list []ridgeline.Feedback) error {
	err := r.call(ctx, labelsPath, list, &struct{}{})
	if ridgeline.CodeOf(err) == ridgeline.Unavailable {
		return ridgeline.Errorf(ridgeline.Unavailable, "labels are kept by the Ridgeline server, which cannot be reached now; send them again later")
	}
	return err
}

// call asks the server.
func (r *reporter) call(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.options.Server+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+r.options.Token)
	req.Header.Set("Content-Type", "application/json")
	res, err := r.client.Do(req)
	if err != nil {
		return ridgeline.Errorf(ridgeline.Unavailable, "%w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return problemOf(res)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxReport)).Decode(out); err != nil {
		return ridgeline.Errorf(ridgeline.Unavailable, "read the server's answer: %w", err)
	}
	return nil
}
