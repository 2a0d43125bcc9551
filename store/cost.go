package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// A SpentAttempt is an attempt with the run it belongs to and what that made.
type SpentAttempt struct {
	Run     ridgeline.RunID
	Project ridgeline.ProjectName
	Model   ridgeline.ModelName // empty: the run made none
	Version int
	Step    string
	Attempt ridgeline.Attempt
}

// Spent lists the attempts of runs that were created since, newest run first;
// of all projects when none is named.
func (s *Store) Spent(ctx context.Context, project ridgeline.ProjectName, since time.Time) ([]SpentAttempt, error) {
	const query = `SELECT r.id, r.project, r.model, r.version, a.step, a.number, a.task, a.status, a.message, a.fate,
			a.wall_seconds, a.cpu_seconds, a.peak_memory, a.started, a.ended, a.pool, a.spot, a.held_cpu, a.held_memory, a.held_gpu
		FROM attempts a JOIN runs r ON r.id = a.run
		WHERE (r.project = $1 OR $1 = '') AND r.created >= $2 ORDER BY r.created DESC, r.id, a.started, a.step, a.number`
	scan := func(row sqlq.Row) (s SpentAttempt, err error) {
		a := &s.Attempt
		err = row.Scan(&s.Run, &s.Project, &s.Model, &s.Version, &s.Step, &a.Number, &a.Task, &a.Status, &a.Message, &a.Fate,
			&a.Usage.WallSeconds, &a.Usage.CPUSeconds, &a.Usage.PeakMemory, asTime(&a.Started), asTime(&a.Ended),
			&a.Pool, asBool(&a.Spot), &a.Held.CPU, &a.Held.Memory, &a.Held.GPU)
		return s, err
	}
	list, err := collect(ctx, s.q(), scan, query, project, since)
	if err != nil {
		return nil, fmt.Errorf("read what runs have used: %w", err)
	}
	return list, nil
}

// A Served is what a deployment has used and answered up to now.
type Served struct {
	Deployment  ridgeline.DeploymentID
	Project     ridgeline.ProjectName
	Environment string
	Model       ridgeline.ModelName
	Version     int
	Host        string
	CopySeconds float64
	Spent       ridgeline.Spent
	Requests    int64
	Updated     time.Time
}

// AddServed adds to what a deployment has used and answered.
func (s *Store) AddServed(ctx context.Context, id ridgeline.DeploymentID, copySeconds float64, spent ridgeline.Spent, requests int64, at time.Time) error {
	const upsert = `INSERT INTO deployment_usage (deployment, copy_seconds, cpu_seconds, memory_seconds, gpu_seconds, requests, updated)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (deployment) DO UPDATE SET
			copy_seconds = deployment_usage.copy_seconds + excluded.copy_seconds, cpu_seconds = deployment_usage.cpu_seconds + excluded.cpu_seconds,
			memory_seconds = deployment_usage.memory_seconds + excluded.memory_seconds, gpu_seconds = deployment_usage.gpu_seconds + excluded.gpu_seconds,
			requests = deployment_usage.requests + excluded.requests, updated = excluded.updated`
	return s.doing(ctx, fmt.Sprintf("add to what deployment %s has used", id), func(tx *Store) error {
		_, err := tx.tx.Exec(ctx, upsert, id, copySeconds, spent.CPU, spent.Memory, spent.GPU, requests, at)
		return err
	})
}

// Served lists what deployments have used and answered, newest first; of all
// projects when none is named.
func (s *Store) Served(ctx context.Context, project ridgeline.ProjectName) ([]Served, error) {
	const query = `SELECT d.id, d.project, d.environment, d.model, d.version, d.host, u.copy_seconds, u.cpu_seconds, u.memory_seconds, u.gpu_seconds, u.requests, u.updated
		FROM deployment_usage u JOIN deployments d ON d.id = u.deployment
		WHERE d.project = $1 OR $1 = '' ORDER BY d.created DESC, d.id`
	scan := func(row sqlq.Row) (s Served, err error) {
		err = row.Scan(&s.Deployment, &s.Project, &s.Environment, &s.Model, &s.Version, &s.Host, &s.CopySeconds, &s.Spent.CPU, &s.Spent.Memory, &s.Spent.GPU,
			&s.Requests, asTime(&s.Updated))
		return s, err
	}
	list, err := collect(ctx, s.q(), scan, query, project)
	if err != nil {
		return nil, fmt.Errorf("read what deployments have used: %w", err)
	}
	return list, nil
}
