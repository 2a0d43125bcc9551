package release

import (
	"context"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// metering is how often is written down what copies have used. What a server
// that is killed has not written is missing from the bill.
const metering = 15 * time.Second

// A meter is what was seen of the deployments when it was last written down.
type meter struct {
	mu        sync.Mutex
	last      map[ridgeline.DeploymentID]reading
	forgotten time.Time
}

type reading struct {
	at       time.Time
	cpu      float64
	answered ridgeline.Answers
	told     map[string]told // by the copies' addresses
}

// forgetting is how often slots are removed that are kept no longer.
const forgetting = time.Hour

// Metering adds up what the live copies take and answer, until ctx is done.
// Of several servers each counts its own machine's copies and the requests that
// it forwards; leads says which of them counts those of the cluster.
func (r *Releaser) Metering(ctx context.Context, leads func() bool) {
	for {
		if err := r.Meter(ctx, leads()); err != nil && ctx.Err() == nil {
			r.Log.Error("write down what deployments use", "error", err)
		}
		select {
		case <-ctx.Done():
			last, done := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			_ = r.Meter(last, leads()) // what is lost is a few seconds of a bill
			done()
			return
		case <-time.After(metering):
		}
	}
}

// Meter looks once. The time of a deployment that is seen for the first time
// begins there.
func (r *Releaser) Meter(ctx context.Context, leads bool) error {
	r.metered.mu.Lock()
	defer r.metered.mu.Unlock()
	if r.metered.last == nil {
		r.metered.last = map[ridgeline.DeploymentID]reading{}
	}
	last, now := r.metered.last, time.Now()
	live, err := r.Store.Deployments(ctx, store.DeploymentFilter{States: []ridgeline.DeploymentState{ridgeline.DeploymentLive}})
	if err != nil {
		return err
	}
	if now.Sub(r.metered.forgotten) > forgetting {
		if err := r.Store.ForgetSlots(ctx, now); err != nil {
			return err
		}
		r.metered.forgotten = now
	}
	seen := map[ridgeline.DeploymentID]bool{}
	for _, d := range live {
		seen[d.ID] = true
		before, known := last[d.ID]
		next, slot, err := r.read(ctx, d, before, known, leads, now)
		if err != nil {
			return err
		}
		if next == nil {
			continue // a host that does not answer is not known to take anything
		}
		if err := r.Store.AddServed(ctx, slot, now); err != nil {
			return err
		}
		last[d.ID] = *next
	}
	for id := range last {
		if !seen[id] {
			delete(last, id)
		}
	}
	return nil
}

// read looks at one deployment, and says what came since it was last looked at.
func (r *Releaser) read(ctx context.Context, d ridgeline.Deployment, before reading, known, leads bool, now time.Time) (*reading, store.Slot, error) {
	slot := store.Slot{Deployment: d.ID}
	w, err := r.workload(ctx, d)
	if err != nil {
		return nil, slot, err
	}
	o, err := r.Services.Observe(ctx, d.ID)
	if err != nil {
		return nil, slot, nil //nolint:nilerr // see Meter
	}
	next := &reading{at: now, answered: r.Traffic.Answered(d.ID)}
	memory := 0.0
	if h, ok := r.Services.(host.Metered); ok {
		if next.cpu, memory, err = h.Used(ctx, d.ID); err != nil {
			return nil, slot, err
		}
	}
	if !known {
		before = reading{at: now, cpu: next.cpu}
	}
	copies, seconds := float64(o.Ready()), now.Sub(before.at).Seconds()
	if d.Host == "process" || leads {
		next.told = r.listen(ctx, o, before.told)
	} else {
		copies = 0
	}
	if !known { // what they answered before this server was there is counted
		before.told = next.told
	}
	held := ridgeline.Held{CPU: w.Resources.CPU * copies, Memory: int64(float64(w.Resources.Memory) * copies), GPU: w.Resources.GPU * int(copies)}
	slot.CopySeconds = copies * seconds
	// A copy that was started again counts from nothing.
	slot.Spent = held.Over(seconds, max(next.cpu-before.cpu, 0), memory*seconds)
	slot.Answers = next.answered.Since(before.answered)
	for address, t := range next.told {
		was := before.told[address]
		slot.Model, slot.Batch = slot.Model.Plus(t.model.Since(was.model)), slot.Batch.Plus(t.batch.Since(was.batch))
	}
	return next, slot, nil
}
