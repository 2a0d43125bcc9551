package track

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// RunNameTag is the tag that is a run's name at the same time.
const RunNameTag = "mlflow.runName"

// The statuses of a run, as MLflow names them.
const (
	Running   = "RUNNING"
	Scheduled = "SCHEDULED"
	Finished  = "FINISHED"
	Failed    = "FAILED"
	Killed    = "KILLED"
)

// A Run is one execution of a training script and what it logged.
type Run struct {
	ID          string
	Experiment  int64
	Name        string
	User        string
	Status      string
	Started     int64  // milliseconds, as the client gave it
	Ended       *int64 // nil: not yet
	ArtifactURI string
	Stage       string

	Metrics []Metric // the last value of each, by name
	Params  []Pair
	Tags    []Pair
	Inputs  []Input
	Read    []string // ids of logged models
	Made    []Output

	number int64
}

// An Output is a logged model that a run made.
type Output struct {
	Model string
	Step  int64
}

// NewRun is what a run is made of.
type NewRun struct {
	ID         string // empty: one is made; a run that has it already is returned as it is
	Experiment int64
	Name       string // empty: one is made up
	User       string
	Started    int64
	Tags       []Pair
	// Request tells one request from all others, empty when nothing does. A
	// client that repeats it because the first answer got lost, by the server's
	// end or by the network (see Unanswered), gets the same run.
	Request string
}

// CreateRun makes a run in an active experiment.
func (s *Store) CreateRun(ctx context.Context, n NewRun) (run Run, err error) {
	err = s.group.Do(ctx, func(q sqlq.Querier) error {
		run, err = s.createRun(ctx, q, n)
		return err
	})
	return run, doing(err, "create a run")
}

func (s *Store) createRun(ctx context.Context, q sqlq.Querier, n NewRun) (Run, error) {
	if old, err := s.madeBefore(ctx, q, n); err != nil || old.ID != "" {
		return old, err
	}
	e, err := experiment(ctx, q, n.Experiment)
	if err != nil {
		return Run{}, err
	}
	if err := e.mustBeActive(); err != nil {
		return Run{}, err
	}
	tagged := ""
	for _, t := range n.Tags {
		if t.Key == RunNameTag {
			tagged = t.Value
		}
	}
	if n.Name != "" && tagged != "" && n.Name != tagged {
		return Run{}, ridgeline.Errorf(ridgeline.Invalid, "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with "+
			"different values (run_name='%s', mlflow.runName='%s').", n.Name, tagged)
	}
	run := Run{ID: n.ID, Experiment: n.Experiment, Name: n.Name, User: clean(n.User), Status: Running, Started: n.Started, Stage: Active}
	if run.ID == "" {
		run.ID = newID()
	}
	if run.Name == "" {
		run.Name = tagged
	}
	if run.Name == "" {
		run.Name = madeUpName()
	}
	run.Name = clean(run.Name)
	run.ArtifactURI = strings.TrimSuffix(e.ArtifactLocation, "/") + "/" + run.ID + "/artifacts"
	run.Tags = n.Tags
	if tagged == "" {
		run.Tags = append(run.Tags[:len(run.Tags):len(run.Tags)], Pair{RunNameTag, run.Name})
	}
	if run.number, err = count(ctx, q, "run"); err != nil {
		return Run{}, err
	}
	const insert = `INSERT INTO runs (number, id, experiment, name, user_id, status, started, ended, artifact_uri, stage, deleted)
		VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, $8, 'active', NULL)`
	if _, err := q.Exec(ctx, insert, run.number, run.ID, run.Experiment, run.Name, run.User, run.Status, run.Started, run.ArtifactURI); err != nil {
		return Run{}, err
	}
	if n.Request != "" {
		const remember = `INSERT INTO creations (request, run, process, at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (request) DO UPDATE SET run = excluded.run, process = excluded.process, at = excluded.at`
		if _, err := q.Exec(ctx, remember, n.Request, run.ID, s.process, now()); err != nil {
			return Run{}, err
		}
	}
	return run, putPairs(ctx, q, "tags", "run", run.number, run.Tags)
}

// madeBefore finds the run that an earlier, lost answer was about: one of the
// given id, or one whose identical request was answered by a process that is no
// more, or not at all. Within one process identical requests that were all
// answered are as many runs.
func (s *Store) madeBefore(ctx context.Context, q sqlq.Querier, n NewRun) (Run, error) {
	id := n.ID
	if id == "" && n.Request != "" {
		var process string
		err := q.QueryRow(ctx, `SELECT run, process FROM creations WHERE request = $1`, n.Request).Scan(&id, &process)
		if errors.Is(err, sql.ErrNoRows) || err == nil && process == s.process {
			return Run{}, nil
		}
		if err != nil {
			return Run{}, err
		}
		if _, err := q.Exec(ctx, `DELETE FROM creations WHERE request = $1`, n.Request); err != nil {
			return Run{}, err
		}
	}
	if id == "" {
		return Run{}, nil
	}
	run, err := runByID(ctx, q, id)
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return Run{}, nil
	}
	if err != nil {
		return run, err
	}
	if err := refresh(ctx, q, run.number); err != nil {
		return run, err
	}
	all := []Run{run}
	err = fill(ctx, q, all)
	return all[0], err
}

// Unanswered notes that the answer to this request did not reach the client:
// the same request again is about the same run.
func (s *Store) Unanswered(ctx context.Context, request string) error {
	return s.group.Do(ctx, func(q sqlq.Querier) error {
		_, err := q.Exec(ctx, `UPDATE creations SET process = '' WHERE request = $1`, request)
		return err
	})
}

const selectRun = `SELECT ` + runColumnsAll + ` FROM runs r`

func scanRun(row sqlq.Row, more ...any) (r Run, err error) {
	err = row.Scan(append([]any{&r.number, &r.ID, &r.Experiment, &r.Name, &r.User, &r.Status, &r.Started, &r.Ended, &r.ArtifactURI, &r.Stage}, more...)...)
	return r, err
}

func runByID(ctx context.Context, q sqlq.Querier, id string) (Run, error) {
	r, err := scanRun(q.QueryRow(ctx, selectRun+` WHERE r.id = $1`, clean(id)))
	if errors.Is(err, sql.ErrNoRows) {
		err = ridgeline.Errorf(ridgeline.NotFound, "Run with id=%s not found", id)
	}
	return r, err
}

func activeRun(ctx context.Context, q sqlq.Querier, id string) (Run, error) {
	r, err := runByID(ctx, q, id)
	if err == nil && r.Stage != Active {
		err = ridgeline.Errorf(ridgeline.Invalid, "The run %s must be in the 'active' state. Current state is %s.", id, r.Stage)
	}
	return r, err
}

// Run returns the run, deleted or not, with all that was logged but the
// histories.
func (s *Store) Run(ctx context.Context, id string) (Run, error) {
	r, err := runByID(ctx, s.db.Reader(), id)
	if err != nil {
		return r, doing(err, "read run %s", id)
	}
	stale, err := s.readable(ctx, s.refreshRun(ctx, r.number))
	if err != nil {
		return r, doing(err, "read run %s", id)
	}
	all := []Run{r}
	err = fill(ctx, s.db.Reader(), all)
	if err == nil && stale {
		err = merge(ctx, s.db.Reader(), all)
	}
	return all[0], doing(err, "read run %s", id)
}

// A RunChange is what to change of a run; nil stays as it is.
type RunChange struct {
	Status *string
	Ended  *int64
	Name   *string
}

// ChangeRun changes an active run and returns it without what was logged.
func (s *Store) ChangeRun(ctx context.Context, id string, c RunChange) (run Run, err error) {
	err = s.group.Do(ctx, func(q sqlq.Querier) error {
		if run, err = activeRun(ctx, q, id); err != nil {
			return err
		}
		if c.Status != nil {
			run.Status = *c.Status
		}
		if c.Ended != nil {
			run.Ended = c.Ended
		}
		if c.Name != nil && *c.Name != "" {
			run.Name = clean(*c.Name)
			if err := putPairs(ctx, q, "tags", "run", run.number, []Pair{{RunNameTag, run.Name}}); err != nil {
				return err
			}
		}
		const update = `UPDATE runs SET status = $1, ended = $2, name = $3 WHERE number = $4`
		if _, err := q.Exec(ctx, update, run.Status, run.Ended, run.Name, run.number); err != nil {
			return err
		}
		if run.Status == Running || run.Status == Scheduled {
			return nil
		}
		return settle(ctx, q, run.number)
	})
	return run, doing(err, "change run %s", id)
}

// DeleteRun marks the run as deleted. Twice is harmless and keeps the first
// time.
func (s *Store) DeleteRun(ctx context.Context, id string) error {
	return s.stageRun(ctx, id, `UPDATE runs SET stage = 'deleted', deleted = COALESCE(deleted, $1) WHERE number = $2`, now())
}

// RestoreRun undoes DeleteRun.
func (s *Store) RestoreRun(ctx context.Context, id string) error {
	return s.stageRun(ctx, id, `UPDATE runs SET stage = 'active', deleted = NULL WHERE number = $1`)
}

func (s *Store) stageRun(ctx context.Context, id, update string, args ...any) error {
	err := s.group.Do(ctx, func(q sqlq.Querier) error {
		run, err := runByID(ctx, q, id)
		if err != nil {
			return err
		}
		_, err = q.Exec(ctx, update, append(args[:len(args):len(args)], run.number)...)
		return err
	})
	return doing(err, "delete or restore run %s", id)
}

// DeleteTag removes a tag of an active run; one that is not there is NotFound.
func (s *Store) DeleteTag(ctx context.Context, id, key string) error {
	err := s.group.Do(ctx, func(q sqlq.Querier) error {
		run, err := activeRun(ctx, q, id)
		if err != nil {
			return err
		}
		n, err := q.Exec(ctx, `DELETE FROM tags WHERE run = $1 AND key = $2`, run.number, clean(key))
		if err == nil && n == 0 {
			return ridgeline.Errorf(ridgeline.NotFound, "No tag with name: %s in run with id %s", key, id)
		}
		return err
	})
	return doing(err, "delete a tag of run %s", id)
}

var (
	adjectives = strings.Fields("able bold brave bright calm clean clever crisp dapper eager fair fine fleet fresh gentle glad grand handsome honest jolly keen kind lively lucky merry mellow neat nimble noble placid polite proud quick quiet rare robust serene sharp sincere sleek smart smooth steady stoic sturdy swift tidy upbeat vivid warm wise witty zesty")
	nouns      = strings.Fields("ant auk bass bat bear bee bird boar bug calf carp cat chimp cod colt conch cow crab crane crow cub deer doe dog dolphin dove duck eel elk fawn finch fish flea fly foal fowl fox frog gnat goat goose grouse gull hare hawk hen hog horse hound jay kit kite koi lamb lark loon lynx mare midge mink mole moose moth mouse mule newt owl ox panda penguin perch pig pug quail ram rat ray robin roo rook seal shad shark sheep shoat shrew shrike shrimp skink skunk sloth slug smelt snail snake snipe sow sponge squid squirrel stag steed stork swan tern toad trout turtle vole wasp whale wolf worm wren yak zebra")
)

// madeUpName is an adjective, a noun and a number, for runs without a name.
func madeUpName() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand
	n := binary.LittleEndian.Uint64(b[:])
	a, n := adjectives[n%uint64(len(adjectives))], n/uint64(len(adjectives))
	return fmt.Sprintf("%s-%s-%d", a, nouns[n%uint64(len(nouns))], n/uint64(len(nouns))%1000)
}

// ExperimentOf returns the name of the experiment that a run is kept under.
func (s *Store) ExperimentOf(ctx context.Context, id string) (name string, err error) {
	err = s.db.Reader().QueryRow(ctx, `SELECT e.name FROM runs r JOIN experiments e ON e.id = r.experiment WHERE r.id = $1`, clean(id)).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		err = ridgeline.Errorf(ridgeline.NotFound, "Run with id=%s not found", id)
	}
	return name, doing(err, "read run %s", id)
}
