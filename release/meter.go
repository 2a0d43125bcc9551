package release

import (
	"context"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
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
	answered ridgeline.Answers
	told     map[string]told // by the copies' addresses; nil: another server asks them
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
	if !known {
		before = reading{at: now}
	}
	copies, seconds := float64(o.Ready()), now.Sub(before.at).Seconds()
	if d.Host == "process" || leads {
		next.told = r.listen(ctx, o, before.told)
	} else {
		copies = 0
	}
	if before.told == nil { // what they did before this server asked them is counted
		before.told = next.told
	}
	slot.Held = ridgeline.Held{CPU: w.Resources.CPU, Memory: w.Resources.Memory, GPU: w.Resources.GPU}
	held := ridgeline.Held{CPU: w.Resources.CPU * copies, Memory: int64(float64(w.Resources.Memory) * copies), GPU: w.Resources.GPU * int(copies)}
	slot.CopySeconds = copies * seconds
	memory := 0.0
	slot.Used, memory = used(next.told, before.told, seconds)
	slot.Spent = held.Over(seconds, slot.Used.CPU, memory*seconds)
	slot.Answers = next.answered.Since(before.answered)
	for address, t := range next.told {
		was := before.told[address]
		slot.Model, slot.Batch = slot.Model.Plus(t.model.Since(was.model)), slot.Batch.Plus(t.batch.Since(was.batch))
	}
	return next, slot, nil
}

// used is what the copies have used since before, some seconds ago, and the
// bytes of memory that they have now.
func used(now, before map[string]told, seconds float64) (u ridgeline.Used, memory float64) {
	for address, t := range now {
		if !t.measured {
			continue
		}
		cpu := t.cpu - before[address].cpu
		if cpu < 0 { // it was started again, and counts from nothing
			cpu = t.cpu
		}
		u = u.Plus(ridgeline.Used{Seconds: seconds, CPU: cpu, Peak: t.peak})
		memory += t.memory
	}
	return u, memory
}
