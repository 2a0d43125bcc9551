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

// Pool is the one whose prices its host has: a process runs on the server's own
// machine.
func (s Served) Pool() string { return poolOf(s.Host) }

func poolOf(host string) string {
	if host == "process" {
		return "local"
	}
	return host
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

// A Bill is what one project has taken of one pool, in runs or by answering.
type Bill struct {
	Project  ridgeline.ProjectName
	Pool     string
	Spot     bool
	Serving  bool // else: in runs
	Spent    ridgeline.Spent
	Requests int64 // answered with success
}

// Bills sums what was taken since: in runs that were created since, and on days
// that began since. It is of all projects when none is named.
func (s *Store) Bills(ctx context.Context, project ridgeline.ProjectName, since time.Time) ([]Bill, error) {
	// The sums of Attempt.Spent.
	const runs = `SELECT project, pool, spot,
			SUM(CASE WHEN held_cpu * wall > cpu_seconds THEN held_cpu * wall ELSE cpu_seconds END),
			SUM(CASE WHEN held_memory > peak_memory THEN held_memory * wall ELSE peak_memory * wall END), SUM(held_gpu * wall)
		FROM (SELECT r.project, a.pool, a.spot, a.held_cpu, a.held_memory, a.held_gpu, a.cpu_seconds, a.peak_memory,
				CASE WHEN a.wall_seconds = 0 AND a.ended > 0 THEN (a.ended - a.started) / 1e6 ELSE a.wall_seconds END AS wall
			FROM runs r JOIN attempts a ON a.run = r.id WHERE (r.project = $1 OR $1 = '') AND r.created >= $2) AS taken
		GROUP BY project, pool, spot ORDER BY project, pool, spot`
	const serving = `SELECT d.project, d.host, SUM(v.cpu_seconds), SUM(v.memory_seconds), SUM(v.gpu_seconds), SUM(v.succeeded)
		FROM serving v JOIN deployments d ON d.id = v.deployment WHERE v.span = $1 AND v.at >= $2 AND (d.project = $3 OR $3 = '')
		GROUP BY d.project, d.host ORDER BY d.project, d.host`
	list, err := collect(ctx, s.q(), func(row sqlq.Row) (b Bill, err error) {
		err = row.Scan(&b.Project, &b.Pool, asBool(&b.Spot), &b.Spent.CPU, &b.Spent.Memory, &b.Spent.GPU)
		return b, err
	}, runs, project, since)
	if err != nil {
		return nil, fmt.Errorf("sum what runs have used: %w", err)
	}
	served, err := collect(ctx, s.q(), func(row sqlq.Row) (Bill, error) {
		b, host := Bill{Serving: true}, ""
		err := row.Scan(&b.Project, &host, &b.Spent.CPU, &b.Spent.Memory, &b.Spent.GPU, &b.Requests)
		b.Pool = poolOf(host)
		return b, err
	}, serving, int64(SlotDay/time.Second), since, project)
	if err != nil {
		return nil, fmt.Errorf("sum what deployments have used: %w", err)
	}
	return append(list, served...), nil
}
