package track

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// DefaultExperiment is there from the start.
const DefaultExperiment = 0

// An Experiment is what runs are kept under.
type Experiment struct {
	ID               int64
	Name             string
	ArtifactLocation string // URI
	Stage            string
	Created, Updated int64 // milliseconds
	Tags             []Pair
}

func artifactLocation(experiment int64) string {
	return "mlflow-artifacts:/" + strconv.FormatInt(experiment, 10)
}

func (s *Store) ensureDefault(ctx context.Context) error {
	const insert = `INSERT INTO experiments (id, name, artifact_location, stage, created, updated)
		VALUES ($1, $2, $3, 'active', $4, $4) ON CONFLICT DO NOTHING`
	err := s.group.Do(ctx, func(q sqlq.Querier) error {
		_, err := q.Exec(ctx, insert, int64(DefaultExperiment), "Default", artifactLocation(DefaultExperiment), now())
		return err
	})
	if err != nil {
		return fmt.Errorf("make the experiment Default: %w", err)
	}
	return nil
}

// NewExperiment is what an experiment is made of.
type NewExperiment struct {
	Name     string
	Location string // of artifacts; empty: the usual one
	Tags     []Pair
	Created  int64 // milliseconds; 0: now
}

// CreateExperiment makes an experiment and returns its id. A name that is taken
// is Conflict.
func (s *Store) CreateExperiment(ctx context.Context, e NewExperiment) (id int64, err error) {
	const insert = `INSERT INTO experiments (id, name, artifact_location, stage, created, updated)
		VALUES ($1, $2, $3, 'active', $4, $4) ON CONFLICT (name) DO NOTHING`
	if err := checkRetention(e.Tags); err != nil {
		return 0, err
	}
	err = s.group.Do(ctx, func(q sqlq.Querier) error {
		if old, err := experimentByName(ctx, q, e.Name); err == nil {
			return taken(e.Name, old.Stage)
		} else if ridgeline.CodeOf(err) != ridgeline.NotFound {
			return err
		}
		number, err := count(ctx, q, "experiment")
		if err != nil {
			return err
		}
		n, err := q.Exec(ctx, insert, number, clean(e.Name), clean(cmp.Or(e.Location, artifactLocation(number))), cmp.Or(e.Created, now()))
		if err != nil {
			return err
		}
		if n == 0 { // another server was faster
			return taken(e.Name, Active)
		}
		id = number
		return putPairs(ctx, q, "experiment_tags", "experiment", number, e.Tags)
	})
	return id, doing(err, "create experiment %q", e.Name)
}

func taken(name, stage string) error {
	if stage == Deleted {
		return ridgeline.Errorf(ridgeline.Conflict, "Experiment(name=%s) already exists, in deleted state: restore it, or choose another name", name)
	}
	return ridgeline.Errorf(ridgeline.Conflict, "Experiment(name=%s) already exists.", name)
}

const selectExperiment = `SELECT id, name, artifact_location, stage, created, updated FROM experiments`

func scanExperiment(row sqlq.Row) (e Experiment, err error) {
	err = row.Scan(&e.ID, &e.Name, &e.ArtifactLocation, &e.Stage, &e.Created, &e.Updated)
	return e, err
}

// Experiment returns the experiment, deleted or not, with its tags.
func (s *Store) Experiment(ctx context.Context, id int64) (Experiment, error) {
	e, err := experiment(ctx, s.db.Reader(), id)
	if err != nil {
		return e, doing(err, "read experiment %d", id)
	}
	return s.withTags(ctx, e)
}

func experiment(ctx context.Context, q sqlq.Querier, id int64) (Experiment, error) {
	e, err := scanExperiment(q.QueryRow(ctx, selectExperiment+` WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		err = ridgeline.Errorf(ridgeline.NotFound, "No Experiment with id=%d exists", id)
	}
	return e, err
}

// ExperimentByName returns the experiment of that name, deleted or not.
func (s *Store) ExperimentByName(ctx context.Context, name string) (Experiment, error) {
	e, err := experimentByName(ctx, s.db.Reader(), name)
	if err != nil {
		return e, doing(err, "read experiment %q", name)
	}
	return s.withTags(ctx, e)
}

func experimentByName(ctx context.Context, q sqlq.Querier, name string) (Experiment, error) {
	e, err := scanExperiment(q.QueryRow(ctx, selectExperiment+` WHERE name = $1`, clean(name)))
	if errors.Is(err, sql.ErrNoRows) {
		err = ridgeline.Errorf(ridgeline.NotFound, "Could not find experiment with name '%s'", name)
	}
	return e, err
}

func (s *Store) withTags(ctx context.Context, e Experiment) (Experiment, error) {
	all := []Experiment{e}
	err := s.tagExperiments(ctx, all)
	return all[0], err
}

// tagExperiments reads the tags of all of them at once.
func (s *Store) tagExperiments(ctx context.Context, all []Experiment) error {
	byID := map[int64]*Experiment{}
	var ids []any
	for i := range all {
		byID[all[i].ID] = &all[i]
		ids = append(ids, all[i].ID)
	}
	for part := range slices.Chunk(ids, maxPlaces) {
		text := `SELECT experiment, key, value FROM experiment_tags WHERE experiment IN (` + places(1, len(part)) + `) ORDER BY experiment, key`
		err := each(ctx, s.db.Reader(), func(row sqlq.Row) error {
			var id int64
			var p Pair
			if err := row.Scan(&id, &p.Key, &p.Value); err != nil {
				return err
			}
			byID[id].Tags = append(byID[id].Tags, p)
			return nil
		}, text, part...)
		if err != nil {
			return fmt.Errorf("read the tags of experiments: %w", err)
		}
	}
	return nil
}

// changeExperiment runs change on the experiment's row, locked.
func (s *Store) changeExperiment(ctx context.Context, id int64, what string, change func(q sqlq.Querier, e Experiment) error) error {
	err := s.group.Do(ctx, func(q sqlq.Querier) error {
		e, err := experiment(ctx, q, id)
		if err != nil {
			return err
		}
		return change(q, e)
	})
	return doing(err, "%s experiment %d", what, id)
}

// RenameExperiment gives an active experiment another name.
func (s *Store) RenameExperiment(ctx context.Context, id int64, name string) error {
	return s.changeExperiment(ctx, id, "rename", func(q sqlq.Querier, e Experiment) error {
		if e.Stage != Active {
			return ridgeline.Errorf(ridgeline.Invalid, "Cannot rename a non-active experiment.")
		}
		if old, err := experimentByName(ctx, q, name); err == nil && old.ID != id {
			return taken(name, old.Stage)
		} else if err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
			return err
		}
		_, err := q.Exec(ctx, `UPDATE experiments SET name = $1, updated = $2 WHERE id = $3`, clean(name), now(), id)
		return err
	})
}

// DeleteExperiment marks an active experiment and its runs as deleted. They
// can be restored until they are reclaimed.
func (s *Store) DeleteExperiment(ctx context.Context, id int64) error {
	return s.changeExperiment(ctx, id, "delete", func(q sqlq.Querier, e Experiment) error {
		if e.Stage != Active {
			return ridgeline.Errorf(ridgeline.NotFound, "No Experiment with id=%d exists", id)
		}
		if _, err := q.Exec(ctx, `UPDATE experiments SET stage = 'deleted', updated = $1 WHERE id = $2`, now(), id); err != nil {
			return err
		}
		_, err := q.Exec(ctx, `UPDATE runs SET stage = 'deleted', deleted = $1 WHERE experiment = $2 AND stage = 'active'`, now(), id)
		return err
	})
}

// RestoreExperiment undoes DeleteExperiment, for all runs of the experiment.
func (s *Store) RestoreExperiment(ctx context.Context, id int64) error {
	return s.changeExperiment(ctx, id, "restore", func(q sqlq.Querier, e Experiment) error {
		if e.Stage != Deleted {
			return ridgeline.Errorf(ridgeline.NotFound, "No Experiment with id=%d exists", id)
		}
		if _, err := q.Exec(ctx, `UPDATE experiments SET stage = 'active', updated = $1 WHERE id = $2`, now(), id); err != nil {
			return err
		}
		_, err := q.Exec(ctx, `UPDATE runs SET stage = 'active', deleted = NULL WHERE experiment = $1 AND stage = 'deleted'`, id)
		return err
	})
}

func (e Experiment) mustBeActive() error {
	if e.Stage != Active {
		return ridgeline.Errorf(ridgeline.Invalid, "The experiment %d must be in the 'active' state. Current state is %s.", e.ID, e.Stage)
	}
	return nil
}

// SetExperimentTag sets or replaces a tag of an active experiment.
func (s *Store) SetExperimentTag(ctx context.Context, id int64, tag Pair) error {
	if err := checkRetention([]Pair{tag}); err != nil {
		return err
	}
	return s.changeExperiment(ctx, id, "tag", func(q sqlq.Querier, e Experiment) error {
		if err := e.mustBeActive(); err != nil {
			return err
		}
		return putPairs(ctx, q, "experiment_tags", "experiment", id, []Pair{tag})
	})
}

// DeleteExperimentTag removes a tag; one that is not there is NotFound.
func (s *Store) DeleteExperimentTag(ctx context.Context, id int64, key string) error {
	return s.changeExperiment(ctx, id, "untag", func(q sqlq.Querier, e Experiment) error {
		if err := e.mustBeActive(); err != nil {
			return err
		}
		n, err := q.Exec(ctx, `DELETE FROM experiment_tags WHERE experiment = $1 AND key = $2`, id, clean(key))
		if err == nil && n == 0 {
			return ridgeline.Errorf(ridgeline.NotFound, "No tag with name: %s in experiment with id %d", key, id)
		}
		return err
	})
}

// putPairs sets or replaces pairs of one owner; of a key given twice the last
// one stays.
func putPairs(ctx context.Context, q sqlq.Querier, table, owner string, id any, pairs []Pair) error {
	last := map[string]int{}
	for i, p := range pairs {
		last[p.Key] = i
	}
	var args []any
	for i, p := range pairs {
		if last[p.Key] == i {
			args = append(args, id, clean(p.Key), clean(p.Value))
		}
	}
	return insertRows(ctx, q, `INSERT INTO `+table+` (`+owner+`, key, value) VALUES `,
		` ON CONFLICT (`+owner+`, key) DO UPDATE SET value = excluded.value`, 3, args)
}

// maxPlaces is how many placeholders a list of ids has at most.
const maxPlaces = 500

// insertRows inserts rows of so many columns by statements of 20, 5 and 1 rows,
// so that few texts have to be kept prepared. More in one would be slower: SQLite
// looks up the name of each placeholder in a list of all of them.
func insertRows(ctx context.Context, q sqlq.Querier, head, tail string, columns int, args []any) error {
	for len(args) > 0 {
		rows := 1
		for _, size := range []int{20, 5} {
			if len(args) >= size*columns {
				rows = size
				break
			}
		}
		if _, err := q.Exec(ctx, head+rowPlaces(rows, columns)+tail, args[:rows*columns]...); err != nil {
			return err
		}
		args = args[rows*columns:]
	}
	return nil
}

func rowPlaces(rows, columns int) string {
	var b strings.Builder
	for i := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(" + places(1+i*columns, columns) + ")")
	}
	return b.String()
}

// each calls fn for every row of a result.
func each(ctx context.Context, q sqlq.Querier, fn func(row sqlq.Row) error, text string, args ...any) error {
	rows, err := q.Query(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// doing wraps an error that is ours with what was being done; one that is the
// caller's says it all already, in the words that clients know.
func doing(err error, format string, args ...any) error {
	if err == nil || ridgeline.CodeOf(err) != ridgeline.Internal {
		return err
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
