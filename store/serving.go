package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// The lengths of slots, and how long those are kept. Days are kept for good,
// for the bill.
const (
	SlotShort = 15 * time.Second
	SlotLong  = 5 * time.Minute
	SlotDay   = 24 * time.Hour

	keepShort = 24 * time.Hour
	keepLong  = 31 * 24 * time.Hour
)

// A Slot is what a deployment took and answered in a span of time.
type Slot struct {
	Deployment  ridgeline.DeploymentID
	Version     int       // of the deployment's model
	At          time.Time // when it begins; days are UTC's
	CopySeconds float64
	Spent       ridgeline.Spent
	Used        ridgeline.Used // kept in all only, not by slots; as is Held
	Held        ridgeline.Held // what is asked for each copy now
	ridgeline.Answers
	Model ridgeline.Histogram // seconds in the model, by the latencies' bounds
	Batch ridgeline.Histogram // rows answered together, for each request
}

// Requests is how many there were, whatever their status.
func (s Slot) Requests() int64 { return s.Latency.Count() }

// AddServed adds to what a deployment has used and answered: in all, and to the
// slots that at is in. The slot's own Version and At do not matter.
func (s *Store) AddServed(ctx context.Context, add Slot, at time.Time) error {
	const total = `INSERT INTO deployment_usage (deployment, copy_seconds, cpu_seconds, memory_seconds, gpu_seconds, requests, updated,
			used_seconds, used_cpu, used_peak, held_cpu, held_memory, held_gpu)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (deployment) DO UPDATE SET
			copy_seconds = deployment_usage.copy_seconds + excluded.copy_seconds, cpu_seconds = deployment_usage.cpu_seconds + excluded.cpu_seconds,
			memory_seconds = deployment_usage.memory_seconds + excluded.memory_seconds, gpu_seconds = deployment_usage.gpu_seconds + excluded.gpu_seconds,
			requests = deployment_usage.requests + excluded.requests, updated = excluded.updated,
			used_seconds = deployment_usage.used_seconds + excluded.used_seconds, used_cpu = deployment_usage.used_cpu + excluded.used_cpu,
			used_peak = CASE WHEN excluded.used_peak > deployment_usage.used_peak THEN excluded.used_peak ELSE deployment_usage.used_peak END,
			held_cpu = excluded.held_cpu, held_memory = excluded.held_memory, held_gpu = excluded.held_gpu`
	return s.doing(ctx, fmt.Sprintf("add to what deployment %s has used", add.Deployment), func(tx *Store) error {
		_, err := tx.tx.Exec(ctx, total, add.Deployment, add.CopySeconds, add.Spent.CPU, add.Spent.Memory, add.Spent.GPU, add.Succeeded, at,
			add.Used.Seconds, add.Used.CPU, add.Used.Peak, add.Held.CPU, add.Held.Memory, add.Held.GPU)
		for _, span := range []time.Duration{SlotShort, SlotLong, SlotDay} {
			if err == nil {
				err = tx.addSlot(ctx, add, span, at)
			}
		}
		return err
	})
}

// addSlot adds to one slot. Adding the numbers locks its row for the buckets,
// which are added here.
func (s *Store) addSlot(ctx context.Context, add Slot, span time.Duration, at time.Time) error {
	const upsert = `INSERT INTO serving (deployment, span, at, copy_seconds, cpu_seconds, memory_seconds, gpu_seconds, succeeded, failed)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (deployment, span, at) DO UPDATE SET
			copy_seconds = serving.copy_seconds + excluded.copy_seconds, cpu_seconds = serving.cpu_seconds + excluded.cpu_seconds,
			memory_seconds = serving.memory_seconds + excluded.memory_seconds, gpu_seconds = serving.gpu_seconds + excluded.gpu_seconds,
			succeeded = serving.succeeded + excluded.succeeded, failed = serving.failed + excluded.failed
		RETURNING latency, model, batch`
	const buckets = `UPDATE serving SET latency = $1, model = $2, batch = $3 WHERE deployment = $4 AND span = $5 AND at = $6`
	begins, seconds := at.Truncate(span), int64(span/time.Second)
	var latency, model, batch ridgeline.Histogram
	err := s.tx.QueryRow(ctx, upsert, add.Deployment, seconds, begins, add.CopySeconds, add.Spent.CPU, add.Spent.Memory, add.Spent.GPU, add.Succeeded, add.Failed).
		Scan(asJSON(&latency), asJSON(&model), asJSON(&batch))
	if err != nil || add.Latency.Count()+add.Model.Count()+add.Batch.Count() == 0 {
		return err
	}
	_, err = s.tx.Exec(ctx, buckets, bucketsText(latency.Plus(add.Latency)), bucketsText(model.Plus(add.Model)), bucketsText(batch.Plus(add.Batch)), add.Deployment, seconds, begins)
	return err
}

// bucketsText leaves out the empty buckets at the end.
func bucketsText(h ridgeline.Histogram) string {
	for len(h) > 0 && h[len(h)-1] == 0 {
		h = h[:len(h)-1]
	}
	text, _ := json.Marshal(h) // numbers
	return string(text)
}

// Slots lists what the deployments of an endpoint took and answered, in slots
// of that length that begin since, by time.
func (s *Store) Slots(ctx context.Context, project ridgeline.ProjectName, environment string, span time.Duration, since time.Time) ([]Slot, error) {
	const query = `SELECT d.id, d.version, v.at, v.copy_seconds, v.cpu_seconds, v.memory_seconds, v.gpu_seconds, v.succeeded, v.failed, v.latency, v.model, v.batch
		FROM deployments d JOIN serving v ON v.deployment = d.id
		WHERE d.project = $1 AND d.environment = $2 AND v.span = $3 AND v.at >= $4 ORDER BY v.at, d.id`
	scan := func(row sqlq.Row) (o Slot, err error) {
		err = row.Scan(&o.Deployment, &o.Version, asTime(&o.At), &o.CopySeconds, &o.Spent.CPU, &o.Spent.Memory, &o.Spent.GPU, &o.Succeeded, &o.Failed,
			asJSON(&o.Latency), asJSON(&o.Model), asJSON(&o.Batch))
		return o, err
	}
	list, err := collect(ctx, s.q(), scan, query, project, environment, int64(span/time.Second), since)
	if err != nil {
		return nil, fmt.Errorf("read what %s in %s has answered: %w", project, environment, err)
	}
	return list, nil
}

// ForgetSlots removes the slots that are kept no longer.
func (s *Store) ForgetSlots(ctx context.Context, now time.Time) error {
	const query = `DELETE FROM serving WHERE span = $1 AND at < $2`
	return s.doing(ctx, "forget what was answered long ago", func(tx *Store) error {
		_, err := tx.tx.Exec(ctx, query, int64(SlotShort/time.Second), now.Add(-keepShort))
		if err == nil {
			_, err = tx.tx.Exec(ctx, query, int64(SlotLong/time.Second), now.Add(-keepLong))
		}
		return err
	})
}
