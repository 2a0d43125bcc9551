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
	Used        ridgeline.Used
	Held        ridgeline.Held // what was asked for each copy
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
	const query = `SELECT d.id, d.project, d.environment, d.model, d.version, d.host, u.copy_seconds, u.cpu_seconds, u.memory_seconds, u.gpu_seconds, u.requests, u.updated,
			u.used_seconds, u.used_cpu, u.used_peak, u.held_cpu, u.held_memory, u.held_gpu
		FROM deployment_usage u JOIN deployments d ON d.id = u.deployment
		WHERE d.project = $1 OR $1 = '' ORDER BY d.created DESC, d.id`
	scan := func(row sqlq.Row) (s Served, err error) {
		err = row.Scan(&s.Deployment, &s.Project, &s.Environment, &s.Model, &s.Version, &s.Host, &s.CopySeconds, &s.Spent.CPU, &s.Spent.Memory, &s.Spent.GPU,
			&s.Requests, asTime(&s.Updated), &s.Used.Seconds, &s.Used.CPU, &s.Used.Peak, &s.Held.CPU, &s.Held.Memory, &s.Held.GPU)
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

// Bills sums what was taken since: in runs that were created on days that began
// since and have ended, and by answering on such days. It is of all projects
// when none is named.
func (s *Store) Bills(ctx context.Context, project ridgeline.ProjectName, since time.Time) ([]Bill, error) {
	const runs = `SELECT project, pool, spot, SUM(cpu_seconds), SUM(memory_seconds), SUM(gpu_seconds) FROM spending
		WHERE (project = $1 OR $1 = '') AND day >= $2 GROUP BY project, pool, spot ORDER BY project, pool, spot`
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

// spend adds what the attempts of a run that has ended took to its day.
func (s *Store) spend(ctx context.Context, r ridgeline.Run, attempts []ridgeline.Attempt) error {
	const add = `INSERT INTO spending (project, day, pool, spot, cpu_seconds, memory_seconds, gpu_seconds) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (project, day, pool, spot) DO UPDATE SET cpu_seconds = spending.cpu_seconds + excluded.cpu_seconds,
			memory_seconds = spending.memory_seconds + excluded.memory_seconds, gpu_seconds = spending.gpu_seconds + excluded.gpu_seconds`
	for _, a := range attempts {
		t := a.Spent()
		if _, err := s.tx.Exec(ctx, add, r.Project, r.Created.Truncate(SlotDay), a.Pool, a.Spot, t.CPU, t.Memory, t.GPU); err != nil {
			return err
		}
	}
	return nil
}

// attemptsOf are all attempts of each of the runs.
func (s *Store) attemptsOf(ctx context.Context, runs []ridgeline.RunID) (map[ridgeline.RunID][]ridgeline.Attempt, error) {
	type made struct {
		run ridgeline.RunID
		a   ridgeline.Attempt
	}
	all := map[ridgeline.RunID][]ridgeline.Attempt{}
	err := inBatches(runs, func(batch []ridgeline.RunID) error {
		var f filter
		in(&f, "run", batch)
		query, args := f.sql(`SELECT run, pool, spot, held_cpu, held_memory, held_gpu, wall_seconds, cpu_seconds, peak_memory, started, ended FROM attempts`, "run, step, number", 0)
		rows, err := collect(ctx, s.q(), func(row sqlq.Row) (m made, err error) {
			a := &m.a
			return m, row.Scan(&m.run, &a.Pool, asBool(&a.Spot), &a.Held.CPU, &a.Held.Memory, &a.Held.GPU, &a.Usage.WallSeconds, &a.Usage.CPUSeconds, &a.Usage.PeakMemory, asTime(&a.Started), asTime(&a.Ended))
		}, query, args...)
		for _, m := range rows {
			all[m.run] = append(all[m.run], m.a)
		}
		return err
	})
	return all, about(err, "read the attempts of runs")
}
