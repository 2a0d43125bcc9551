package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// The fates of attempts, beside exit codes. Retries know the first three.
const (
	fateTimeout = "timeout"
	fateMemory  = "memory"
	fateLost    = "lost"
	fateKilled  = "cancelled"
	fateMoved   = "displaced"   // the pool took its place away
	fateNever   = "not started" // the command could not be run at all
	fateOutput  = "output"      // exit code 0, but what it left is not what was asked for
)

// attempts runs the step's command, as often as its retries allow. The rows of
// the attempts say how far it has come.
func (r *Runner) attempts(ctx context.Context, p *passage, w work, row ridgeline.Step) (outcome, error) {
	for {
		number := len(row.Attempts) + 1
		if n := len(row.Attempts); n > 0 {
			last := row.Attempts[n-1]
			if last.Status == ridgeline.Running {
				number = last.Number // it was under way when the server ended
			} else {
				asked, err := r.pause(ctx, p.Run.ID, last.Ended.Add(backoff(w.Step.Retries, counted(row.Attempts))))
				if err != nil {
					return outcome{}, err
				}
				if asked {
					return r.end(ctx, row, outcome{Status: ridgeline.Cancelled, Reason: "cancelled before attempt " + strconv.Itoa(n+1), Asked: true})
				}
			}
		}
		try, o, err := r.attempt(ctx, p, w, &row, number)
		if err != nil {
			return outcome{}, err
		}
		row.Attempts = append(row.Attempts[:number-1:number-1], try)
		if o.Status == ridgeline.Failed && again(w.Step.Retries, row.Attempts) {
			most := number + 1 + w.Step.Retries.Count - counted(row.Attempts) // what was taken away comes on top
			row.Message = fmt.Sprintf("attempt %d of %d failed (%s); the next one at %s", number, most, fateText(try.Fate),
				try.Ended.Add(backoff(w.Step.Retries, counted(row.Attempts))).Format("15:04:05 UTC"))
			if err := r.save(ctx, row, try); err != nil {
				return outcome{}, err
			}
			continue
		}
		finish(&row, o)
		if err := r.save(ctx, row, try); err != nil {
			return outcome{}, err
		}
		// What it left is kept; its folder is of no more use.
		return o, os.RemoveAll(filepath.Join(p.Dir, w.task()+"-"+strconv.Itoa(number)))
	}
}

// maxMoves bounds how often a pool may take a step's place away: then the pool
// is not one that this step can finish in.
const maxMoves = 50

// again reports whether another attempt follows these.
func again(retries project.Retries, tries []ridgeline.Attempt) bool {
	last := tries[len(tries)-1]
	switch last.Fate {
	case fateKilled, fateNever, fateOutput:
		return false
	case fateMoved:
		return len(tries)-counted(tries) < maxMoves
	}
	return counted(tries) <= retries.Count && (len(retries.On) == 0 || slices.Contains(retries.On, last.Fate))
}

// counted are the attempts that use up retries: all but those whose place was
// taken away, which is not their fault.
func counted(tries []ridgeline.Attempt) int {
	n := 0
	for _, t := range tries {
		if t.Fate != fateMoved {
			n++
		}
	}
	return n
}

// backoff is how long to wait after the attempt of that number.
func backoff(retries project.Retries, number int) time.Duration {
	wait := retries.Backoff
	for i := 1; i < number && wait < retries.Longest; i++ {
		wait *= 2
	}
	return min(wait, retries.Longest)
}

func fateText(fate string) string {
	if _, err := strconv.Atoi(fate); err == nil {
		return "exit code " + fate
	}
	return fate
}

// pause waits until the given moment, or until somebody asks for the run's end.
func (r *Runner) pause(ctx context.Context, run ridgeline.RunID, until time.Time) (asked bool, err error) {
	for {
		row, err := r.Store.Run(ctx, run)
		if err != nil {
			return false, err
		}
		left := time.Until(until)
		if row.CancelRequested || left <= 0 {
			return row.CancelRequested, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(min(left, 500*time.Millisecond)):
		}
	}
}

// save keeps a step and an attempt at it in one transaction.
func (r *Runner) save(ctx context.Context, row ridgeline.Step, try ridgeline.Attempt) error {
	return r.Store.InTx(ctx, func(tx *store.Store) error {
		if err := tx.SaveStep(ctx, row); err != nil {
			return err
		}
		return tx.SaveAttempt(ctx, row.Run, row.Name, try)
	})
}

// attempt ensures the attempt's task, follows it to its end, and takes in what
// it left. It may be entered again after a crash: the task is found by name.
func (r *Runner) attempt(ctx context.Context, p *passage, w work, row *ridgeline.Step, number int) (ridgeline.Attempt, outcome, error) {
	step := w.Step
	pool, err := r.pool(step.Compute)
	if err != nil {
		return ridgeline.Attempt{}, outcome{}, err
	}
	held := pool.needs(step)
	try := ridgeline.Attempt{
		Number: number, Task: ridgeline.TaskName(p.Run.ID, w.task(), number), Status: ridgeline.Running, Started: time.Now().UTC(),
		Pool: pool.Name, Spot: pool.Spot, Held: ridgeline.Held{CPU: held.CPU, Memory: held.Memory, GPU: held.GPU},
	}
	if number <= len(row.Attempts) {
		try.Started = row.Attempts[number-1].Started
	}
	if row.Started.IsZero() {
		row.Started = try.Started
	}
	row.Status, row.Message = ridgeline.Running, ""
	if err := r.save(ctx, *row, try); err != nil {
		return try, outcome{}, err
	}
	j := job{Work: w, Name: try.Task, Lock: lockOf(p.Pipeline), Dir: filepath.Join(p.Dir, w.task()+"-"+strconv.Itoa(number)), Tracks: true}
	spec, err := r.task(ctx, p, pool, j)
	if err != nil {
		return try, outcome{}, err
	}
	follow, err := r.tracked(ctx, p, row.Name, try, pool, &spec)
	if err != nil {
		return try, outcome{}, err
	}
	follow.Waits = func(ctx context.Context, why string) {
		waiting := *row
		waiting.Message = why
		_ = r.Store.SaveStep(ctx, waiting) // for people; the next change says it again
	}
	follow.Used = func(ctx context.Context, c ridgeline.Course) {
		_ = r.Store.SaveCourse(ctx, p.Run.ID, row.Name, number, c) // for people; the next one says it again
	}
	state, err := host.Run(ctx, pool.Tasks, spec, follow)
	if err == nil && state.Course.Worth() {
		err = r.Store.SaveCourse(ctx, p.Run.ID, row.Name, number, state.Course)
	}
	if err == nil {
		err = r.bring(ctx, pool, j, state)
	}
	if err != nil {
		return try, outcome{}, err
	}
	if err := r.unspool(ctx, p.Run, try.Task, j.Dir); err != nil {
		return try, outcome{}, err
	}
	o, fate := outcome{Status: ridgeline.Succeeded}, ""
	if failed := r.failure(ctx, state, row.Name, try.Task); failed.Reason != "" {
		o, fate = outcome{Status: ridgeline.Failed, Reason: failed.Reason}, failed.Fate
		if fate == fateKilled {
			o.Status, o.Asked = ridgeline.Cancelled, true
		}
	} else if o, err = r.collect(ctx, step, try.Task, j.out()); err != nil {
		return try, outcome{}, err
	} else if o.Reason != "" {
		fate = fateOutput
	}
	try.Status, try.Message, try.Fate, try.Usage, try.Ended = o.Status, o.Reason, fate, state.Usage, time.Now().UTC()
	logged, err := r.Tracking.End(ctx, try.Task, try.Status, try.Ended)
	if err != nil {
		return try, outcome{}, err
	}
	if o.Status == ridgeline.Succeeded {
		o.Result.Metrics = withLogged(o.Result.Metrics, logged)
	}
	return try, o, nil
}

// checkout puts the code that the step sees into dir.
func (r *Runner) checkout(ctx context.Context, c ridgeline.Commit, step project.Step, dir string) error {
	if err := r.Blob.GetPart(ctx, c.Tree, dir, step.In.SeesCode); err != nil {
		return fmt.Errorf("check out %s: %w", c.Short(), err)
	}
	return nil
}

func (r *Runner) follow(run ridgeline.RunID) host.Follow {
	return host.Follow{Logs: r.Blob.Logs(), Secrets: r.Secrets, Cancelled: func(ctx context.Context) (bool, error) {
		row, err := r.Store.Run(ctx, run)
		return row.CancelRequested, err
	}}
}

// A failed task says why, and by which fate.
type failed struct {
	Reason string // with the last lines of its log; empty for success
	Fate   string
}

// failure says in a sentence why a task did not succeed.
func (r *Runner) failure(ctx context.Context, state host.TaskState, step, task string) failed {
	out := failed{Reason: state.Message}
	switch {
	case state.Phase == host.Lost:
		out = failed{cmp.Or(state.Message, "its process vanished without leaving an end (was the machine restarted?)"), fateLost}
	case state.Phase != host.Ended:
		out = failed{fmt.Sprintf("its task is %s", state.Phase), fateLost}
	case state.Reason == host.Killed:
		return failed{step + ": cancelled", fateKilled}
	case state.Reason == host.Exited && state.ExitCode == 0:
		return failed{}
	case state.Reason == host.TimedOut:
		out.Fate = fateTimeout
	case state.Reason == host.OutOfMemory:
		out.Fate = fateMemory
	case state.Reason == host.NotStarted:
		out.Fate = fateNever
	case state.Reason == host.Displaced:
		out.Fate = fateMoved
	default:
		out.Fate = strconv.Itoa(state.ExitCode)
	}
	out.Reason = fmt.Sprintf("%s: %s", step, out.Reason)
	if tail, err := r.Blob.Logs().Tail(ctx, task, 4096); err == nil && len(tail) > 0 {
		out.Reason += "\n" + host.LastLines(string(tail), 12)
	}
	return out
}
