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
	Created time.Time // of the run
	Step    string
	Attempt ridgeline.Attempt
}

const selectSpent = `SELECT r.id, r.project, r.model, r.version, r.created, a.step, a.number, a.task, a.status, a.message, a.fate,
		a.wall_seconds, a.cpu_seconds, a.peak_memory, a.started, a.ended, a.pool, a.spot, a.held_cpu, a.held_memory, a.held_gpu
	FROM attempts a JOIN runs r ON r.id = a.run`

const spentOrder = "r.created DESC, r.id, a.started, a.step, a.number"

func scanSpent(row sqlq.Row) (s SpentAttempt, err error) {
	a := &s.Attempt
	err = row.Scan(&s.Run, &s.Project, &s.Model, &s.Version, asTime(&s.Created), &s.Step, &a.Number, &a.Task, &a.Status, &a.Message, &a.Fate,
		&a.Usage.WallSeconds, &a.Usage.CPUSeconds, &a.Usage.PeakMemory, asTime(&a.Started), asTime(&a.Ended),
		&a.Pool, asBool(&a.Spot), &a.Held.CPU, &a.Held.Memory, &a.Held.GPU)
	return s, err
}

// Spent lists the attempts of runs that were created since, newest run first;
// of all projects when none is named.
func (s *Store) Spent(ctx context.Context, project ridgeline.ProjectName, since time.Time) ([]SpentAttempt, error) {
	const query = selectSpent + ` WHERE (r.project = $1 OR $1 = '') AND r.created >= $2 ORDER BY ` + spentOrder
	list, err := collect(ctx, s.q(), scanSpent, query, project, since)
	return list, about(err, "read what runs have used")
}

// SpentBy lists the attempts of these runs, each run's together.
func (s *Store) SpentBy(ctx context.Context, runs []ridgeline.RunID) (all []SpentAttempt, err error) {
	err = inBatches(runs, func(batch []ridgeline.RunID) error {
		var f filter
		in(&f, "a.run", batch)
		query, args := f.sql(selectSpent, spentOrder, 0)
		list, err := collect(ctx, s.q(), scanSpent, query, args...)
		all = append(all, list...)
		return err
	})
	return all, about(err, "read what runs have used")
}

// Heaviest lists the runs that were created in the month that begins then and
// have ended, by their weights, the heaviest first; of all projects when none is
// named.
func (s *Store) Heaviest(ctx context.Context, project ridgeline.ProjectName, month time.Time, skip, limit int) ([]Weighed, error) {
	var f filter
	f.and("month = ?", month)
	if project != "" {
		f.and("project = ?", project)
	}
	query, args := f.page(`SELECT run, weight FROM run_weights`, "weight DESC, run DESC", limit, skip)
	list, err := collect(ctx, s.q(), func(row sqlq.Row) (w Weighed, err error) { return w, row.Scan(&w.Run, &w.Weight) }, query, args...)
	return list, about(err, "look for the runs that took most")
}

// A Weighed is a run and how much it took.
type Weighed struct {
	Run    ridgeline.RunID
	Weight float64 // ridgeline.Spent.Weight of all its attempts
}

// weigh writes down how much a run that has ended took.
func (s *Store) weigh(ctx context.Context, r ridgeline.Run, attempts []ridgeline.Attempt) error {
	const insert = `INSERT INTO run_weights (run, project, month, weight) VALUES ($1, $2, $3, $4)`
	var all ridgeline.Spent
	for _, a := range attempts {
		all = all.Plus(a.Spent())
	}
	if all.Weight() == 0 {
		return nil
	}
	_, err := s.tx.Exec(ctx, insert, r.ID, r.Project, ridgeline.MonthOf(r.Created), all.Weight())
	return err
}

// A Served is what a deployment has used and answered up to now.
type Served struct {
	Deployment  ridgeline.DeploymentID
	Project     ridgeline.ProjectName
	Environment string
	Model       ridgeline.ModelName
	Version     int
	Run         ridgeline.RunID // that made the version; empty: none did
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

const (
	selectServed = `SELECT d.id, d.project, d.environment, d.model, d.version, COALESCE(m.run, ''), d.host, v.copy_seconds, v.cpu_seconds, v.memory_seconds, v.gpu_seconds, v.requests, u.updated,
			u.used_seconds, u.used_cpu, u.used_peak, u.held_cpu, u.held_memory, u.held_gpu
		FROM deployment_usage u JOIN deployments d ON d.id = u.deployment LEFT JOIN model_versions m ON m.model = d.model AND m.version = d.version `
	servedOrder = ` WHERE d.project = $1 OR $1 = '' ORDER BY d.created DESC, d.id`
)

func scanServed(row sqlq.Row) (s Served, err error) {
	err = row.Scan(&s.Deployment, &s.Project, &s.Environment, &s.Model, &s.Version, &s.Run, &s.Host, &s.CopySeconds, &s.Spent.CPU, &s.Spent.Memory, &s.Spent.GPU,
		&s.Requests, asTime(&s.Updated), &s.Used.Seconds, &s.Used.CPU, &s.Used.Peak, &s.Held.CPU, &s.Held.Memory, &s.Held.GPU)
	return s, err
}

// Served lists what deployments have used and answered, newest first; of all
// projects when none is named.
func (s *Store) Served(ctx context.Context, project ridgeline.ProjectName) ([]Served, error) {
	const query = selectServed + `JOIN deployment_usage v ON v.deployment = u.deployment` + servedOrder
	list, err := collect(ctx, s.q(), scanServed, query, project)
	return list, about(err, "read what deployments have used")
}

// ServedOn is Served of days that begin from one time on and before another.
// What was really used, and what is asked for, is of all the deployment's time.
func (s *Store) ServedOn(ctx context.Context, project ridgeline.ProjectName, from, to time.Time) ([]Served, error) {
	const query = selectServed + `JOIN (SELECT deployment, SUM(copy_seconds) AS copy_seconds, SUM(cpu_seconds) AS cpu_seconds, SUM(memory_seconds) AS memory_seconds,
			SUM(gpu_seconds) AS gpu_seconds, CAST(SUM(succeeded) AS BIGINT) AS requests
			FROM serving WHERE span = $2 AND at >= $3 AND at < $4 GROUP BY deployment) v ON v.deployment = u.deployment` + servedOrder
	list, err := collect(ctx, s.q(), scanServed, query, project, int64(SlotDay/time.Second), from, to)
	return list, about(err, "read what deployments have used")
}

// A Bill is what one project has taken of one pool on a day, in runs or by
// answering.
type Bill struct {
	Day      time.Time // when it begins, in UTC
	Project  ridgeline.ProjectName
	Pool     string
	Spot     bool
	Serving  bool // else: in runs
	Spent    ridgeline.Spent
	Requests int64 // answered with success
}

// Bills sums what was taken on days that begin from one time on and before
// another: in runs that were created on such a day and have ended, and by
// answering. It is of all projects when none is named, by day.
func (s *Store) Bills(ctx context.Context, project ridgeline.ProjectName, from, to time.Time) ([]Bill, error) {
	const runs = `SELECT day, project, pool, spot, cpu_seconds, memory_seconds, gpu_seconds FROM spending
		WHERE (project = $1 OR $1 = '') AND day >= $2 AND day < $3 ORDER BY day, project, pool, spot`
	const serving = `SELECT v.at, d.project, d.host, SUM(v.cpu_seconds), SUM(v.memory_seconds), SUM(v.gpu_seconds), CAST(SUM(v.succeeded) AS BIGINT)
		FROM serving v JOIN deployments d ON d.id = v.deployment WHERE v.span = $1 AND v.at >= $2 AND v.at < $3 AND (d.project = $4 OR $4 = '')
		GROUP BY v.at, d.project, d.host ORDER BY v.at, d.project, d.host`
	list, err := collect(ctx, s.q(), func(row sqlq.Row) (b Bill, err error) {
		err = row.Scan(asTime(&b.Day), &b.Project, &b.Pool, asBool(&b.Spot), &b.Spent.CPU, &b.Spent.Memory, &b.Spent.GPU)
		return b, err
	}, runs, project, from, to)
	if err != nil {
		return nil, fmt.Errorf("sum what runs have used: %w", err)
	}
	served, err := collect(ctx, s.q(), func(row sqlq.Row) (Bill, error) {
		b, host := Bill{Serving: true}, ""
		err := row.Scan(asTime(&b.Day), &b.Project, &host, &b.Spent.CPU, &b.Spent.Memory, &b.Spent.GPU, &b.Requests)
		b.Pool = poolOf(host)
		return b, err
	}, serving, int64(SlotDay/time.Second), from, to, project)
	if err != nil {
		return nil, fmt.Errorf("sum what deployments have used: %w", err)
	}
	return append(list, served...), nil
}

// ExceedBudget writes down that a month has cost more than its budget, and the
// event that tells of it: once, or again where the budget was raised and is
// exceeded, too. data is what the event tells. No project means the server's own
// budget. It reports whether that was new.
func (s *Store) ExceedBudget(ctx context.Context, project ridgeline.ProjectName, month time.Time, amount float64, at time.Time, data any) (fresh bool, err error) {
	const insert = `INSERT INTO exceeded_budgets (project, month, amount, at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (project, month) DO UPDATE SET amount = excluded.amount, at = excluded.at WHERE exceeded_budgets.amount < excluded.amount`
	err = s.doing(ctx, "write down that a budget is exceeded", func(tx *Store) error {
		n, err := tx.tx.Exec(ctx, insert, project, month, amount, at)
		if fresh = err == nil && n > 0; !fresh {
			return err
		}
		subject := "costs/month?month=" + month.Format("2006-01")
		if project != "" {
			subject += "&project=" + string(project)
		}
		return tx.emit(ctx, ridgeline.EventBudgetExceeded, project, subject, data)
	})
	return fresh, err
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
