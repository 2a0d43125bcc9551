package release

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// smoke asks every copy of the deployment each of the environment's smoke
// cases, before any request of a client reaches it.
func (r *Releaser) smoke(ctx context.Context, p passage, d ridgeline.Deployment, files []string) (string, error) {
	// It may have been another server that waited for the copies, on its machine.
	if reason, err := r.ready(ctx, d); err != nil || reason != "" {
		return reason, err
	}
	seen, err := r.Services.Observe(ctx, d.ID)
	if err != nil {
		return "", err
	}
	tree, err := r.tree(ctx, p.Version)
	if err != nil {
		return "", err
	}
	cases := 0
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(tree, file))
		if err != nil {
			return fmt.Sprintf("smoke test %s: %v", file, err), nil
		}
		list, err := project.ParseSmoke(file, text)
		if err != nil {
			return err.Error(), nil
		}
		for i, want := range list {
			path := want.Path
			if path == "" {
				path = p.Config.Release.Path(p.Version.Model, want.Request)
			}
			name := fmt.Sprintf("%s, case %d", file, i+1)
			reason, err := r.check(ctx, d.Release, d.Environment, name, func() (string, string, error) {
				return r.probeAll(ctx, d, seen.Copies, name, path, want)
			})
			if err != nil || reason != "" {
				return reason, err
			}
			cases++
		}
	}
	row, err := r.Store.Release(ctx, d.Release)
	if err != nil {
		return "", err
	}
	for _, e := range row.Environments {
		if e.Name == d.Environment {
			e.Message = passed(cases)
			return "", r.Store.SaveReleaseEnvironment(ctx, d.Release, e)
		}
	}
	return "", nil
}

// Example is a request that the version knows how to answer, the first of its
// smoke tests; nil when it has none.
func (r *Releaser) Example(ctx context.Context, v ridgeline.ModelVersion) ([]byte, error) {
	cfg, err := r.config(ctx, v)
	if err != nil {
		return nil, err
	}
	tree, err := r.tree(ctx, v)
	if err != nil {
		return nil, err
	}
	for _, e := range cfg.Release.Environments {
		for _, file := range e.Checks {
			text, err := os.ReadFile(filepath.Join(tree, file))
			if err != nil {
				return nil, err
			}
			list, err := project.ParseSmoke(file, text)
			if err != nil {
				return nil, err
			}
			if len(list) > 0 {
				return list[0].Request, nil
			}
		}
	}
	return nil, nil
}

func passed(cases int) string {
	switch cases {
	case 0:
		return "no smoke test"
	case 1:
		return "its smoke test passed"
	}
	return fmt.Sprintf("%d smoke tests passed", cases)
}

// probeAll asks every copy one case, and tells of the slowest answer.
func (r *Releaser) probeAll(ctx context.Context, d ridgeline.Deployment, copies []host.Copy, name, path string, want project.SmokeCase) (reason, evidence string, err error) {
	var slowest time.Duration
	for _, copy := range copies {
		took, err := probe(ctx, copy.Address, path, want)
		if ctx.Err() != nil {
			return "", "", ctx.Err()
		}
		if err != nil {
			return r.withLog(ctx, d, fmt.Sprintf("smoke test %s: %v", name, err), ""), "", nil
		}
		slowest = max(slowest, took)
	}
	return "", fmt.Sprintf("POST %s answered as expected by each copy, in %.1f ms at most", path, float64(slowest.Microseconds())/1000), nil
}

// probe sends one smoke request and checks the answer, which took so long. Where a latency is asked
// for it is sent twice: the first request to a fresh process may pay for lazy
// imports, so only the second one is timed.
func probe(ctx context.Context, address, path string, want project.SmokeCase) (took time.Duration, err error) {
	transport, url := host.Transport(address)
	url += path
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	warm := want
	warm.MaxLatency = 0
	if took, err = ask(ctx, client, url, warm); err != nil || want.MaxLatency == 0 {
		return took, err
	}
	return ask(ctx, client, url, want)
}

func ask(ctx context.Context, client *http.Client, url string, want project.SmokeCase) (took time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(want.Request))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(ridgeline.PurposeHeader, ridgeline.PurposeSmoke)
	started := time.Now()
	res, err := client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("no answer: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return 0, fmt.Errorf("the answer broke off: %w", err)
	}
	took = time.Since(started)
	return took, want.Check(res.StatusCode, body, took)
}

// approval waits for a person. The answer is a row that a polling step reads.
func (r *Releaser) approval(ctx context.Context, p passage, e ridgeline.ReleaseEnvironment) (reason, evidence string, err error) {
	e.Status, e.Message = ridgeline.Waiting, fmt.Sprintf("waits for approval: ridgeline approve %s", p.Release.ID)
	row, err := r.Store.Release(ctx, p.Release.ID)
	if err != nil {
		return "", "", err
	}
	for _, now := range row.Environments {
		if now.Name == e.Name && now.Status == ridgeline.Queued {
			if err := r.Store.SaveReleaseEnvironment(ctx, p.Release.ID, e); err != nil {
				return "", "", err
			}
		}
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		row, err := r.Store.Release(ctx, p.Release.ID)
		if err != nil {
			return "", "", err
		}
		if row.CancelRequested {
			return "rejected", "", nil
		}
		for _, now := range row.Environments {
			if now.Name == e.Name && now.Status == ridgeline.Running {
				return "", now.Message, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", "", ctx.Err()
		case <-tick.C:
		}
	}
}

// Approve lets a waiting release go on.
func (r *Releaser) Approve(ctx context.Context, id ridgeline.ReleaseID, caller string) error {
	return r.Store.InTx(ctx, func(tx *store.Store) error {
		row, err := tx.Release(ctx, id)
		if err != nil {
			return err
		}
		for _, e := range row.Environments {
			if e.Status == ridgeline.Waiting {
				e.Status, e.Message = ridgeline.Running, "approved by "+caller
				return tx.SaveReleaseEnvironment(ctx, id, e)
			}
		}
		return ridgeline.Errorf(ridgeline.Conflict, "release %s does not wait for approval: it is %s", id, row.Status)
	})
}

// Reject ends a release that has not ended; what is live stays live.
func (r *Releaser) Reject(ctx context.Context, id ridgeline.ReleaseID) error {
	return r.Store.RequestReleaseCancel(ctx, id)
}
