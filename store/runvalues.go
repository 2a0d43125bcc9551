package store

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// Took is the value of a run that says for how many seconds it ran. The others
// are its parameters, p.NAME, and its metrics, m.NAME.
const Took = "took"

// aWord stands in place of a number for what is none, so that words come behind
// all numbers.
const aWord = 1e308

// A RunCondition is about a value of a run, such as m.loss < 0.5.
type RunCondition struct {
	Names []string // any of these
	Op    string   // <, <=, =, !=, >= or >; Is or Lacks
	Value string   // compared as a number when it is one, but by Is; of Lacks none
}

// The operators of conditions that a group of runs is: on a value as it is
// written, where 1 is not 1.0, and on runs that have no such value.
const (
	Is    = "is"
	Lacks = "lacks"
)

// ops are the operators, the longer ones first, so that they are found first.
var ops = []string{"<=", ">=", "!=", "<", ">", "="}

// ParseRunConditions reads conditions that are joined by "and", each a name, an
// operator and a value: m.loss < 0.5 and p.kind = ridge. A name without p. or m.
// is a metric's or a parameter's.
func ParseRunConditions(text string) (all []RunCondition, err error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, " and ") {
		at, op := -1, ""
		for _, o := range ops {
			if i := strings.Index(part, o); i >= 0 && (at < 0 || i < at) {
				at, op = i, o
			}
		}
		if at < 0 {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "%q: expected a name, one of < <= = != >= >, and a value, such as m.loss < 0.5 and p.kind = ridge", strings.TrimSpace(part))
		}
		name, value := strings.TrimSpace(part[:at]), strings.Trim(strings.TrimSpace(part[at+len(op):]), `"'`)
		if name == "" || value == "" {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "%q: expected a name before %s and a value behind it, such as m.loss < 0.5", strings.TrimSpace(part), op)
		}
		c := RunCondition{Names: []string{name}, Op: op, Value: value}
		if name != Took && !strings.HasPrefix(name, "m.") && !strings.HasPrefix(name, "p.") {
			c.Names = []string{"m." + name, "p." + name}
		}
		all = append(all, c)
	}
	return all, nil
}

// over adds the condition on rows of run_values. Where a run's own rows are
// asked, column is "+number": else SQLite takes the index of the numbers, and
// goes for each run through all that meet the condition.
func (c RunCondition) over(f *filter, column string) {
	in(f, "name", c.Names)
	op := c.Op
	if op == "!=" {
		op = "<>"
	}
	if op == Is {
		f.and(column+" = ?", numberOf(c.Value))
		f.and("text = ?", c.Value)
		return
	}
	if number, err := strconv.ParseFloat(c.Value, 64); err == nil && !math.IsNaN(number) && math.Abs(number) < aWord {
		f.and(column+" "+op+" ?", number)
		f.and(column+" < ?", aWord)
		return
	}
	f.and(column+" = ?", aWord)
	f.and("text "+op+" ?", c.Value)
}

// fewRuns is of how many runs at most a condition's are gathered first; of more,
// each run that is looked at is asked whether it meets the condition.
const fewRuns = 2000

// add adds the condition on runs.
func (s *Store) addCondition(ctx context.Context, f *filter, c RunCondition) error {
	if c.Op == Lacks {
		f.and("NOT EXISTS (SELECT 1 FROM run_values WHERE run_values.run = runs.id AND name = ? AND text <> '')", c.Names[0])
		return nil
	}
	var values filter
	c.over(&values, "number")
	query, args := values.sql("SELECT run FROM run_values", "run", fewRuns)
	query = strings.Replace(query, " ORDER BY run", "", 1)
	var n int64
	if err := s.q().QueryRow(ctx, "SELECT COUNT(*) FROM ("+query+") AS few", args...).Scan(&n); err != nil {
		return err
	}
	few, column := n < fewRuns, "+number"
	if few {
		column = "number"
	}
	again := filter{args: f.args}
	c.over(&again, column)
	f.args = again.args
	where := strings.Join(again.conditions, " AND ")
	if few {
		f.conditions = append(f.conditions, "runs.id IN (SELECT run FROM run_values WHERE "+where+")")
	} else {
		f.conditions = append(f.conditions, "EXISTS (SELECT 1 FROM run_values WHERE run_values.run = runs.id AND "+where+")")
	}
	return nil
}

// RunsByValue returns the runs that have a value of that name and have ended, in
// its order: numbers by size, then words.
func (s *Store) RunsByValue(ctx context.Context, want RunFilter, name string, down bool) ([]ridgeline.Run, error) {
	f, err := s.chosenValues(ctx, want, name, down)
	if err != nil {
		return nil, fmt.Errorf("list runs by %s: %w", name, err)
	}
	query, args := f.page("SELECT v.run FROM run_values v", valueOrder(down), want.Limit, want.Skip)
	ids, err := collect(ctx, s.q(), scanRunID, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list runs by %s: %w", name, err)
	}
	return s.RunsOf(ctx, ids)
}

func scanRunID(row sqlq.Row) (id ridgeline.RunID, err error) { return id, row.Scan(&id) }

func valueOrder(down bool) string {
	if down {
		return "v.number DESC, v.text DESC, v.run DESC"
	}
	return "v.number, v.text, v.run"
}

// chosenValues is what a filter says of the values of that name, as v.
func (s *Store) chosenValues(ctx context.Context, want RunFilter, name string, down bool) (f filter, err error) {
	f.and("v.name = ?", name)
	if want.Project != "" {
		f.and("v.project = ?", want.Project)
	}
	if want.Before != "" {
		behind := ">"
		if down {
			behind = "<"
		}
		f.and("(v.number, v.text, v.run) "+behind+" (SELECT b.number, b.text, b.run FROM run_values b WHERE b.run = ? AND b.name = ?)", want.Before, name)
	}
	var runs filter
	runs.args = f.args
	if err := s.aboutRuns(ctx, &runs, want); err != nil {
		return f, err
	}
	if f.args = runs.args; len(runs.conditions) > 0 {
		f.conditions = append(f.conditions, "EXISTS (SELECT 1 FROM runs WHERE runs.id = v.run AND "+strings.Join(runs.conditions, " AND ")+")")
	}
	return f, nil
}

// RunsOf returns the runs of those ids, in their order. Unknown ones are left
// out.
func (s *Store) RunsOf(ctx context.Context, ids []ridgeline.RunID) ([]ridgeline.Run, error) {
	at := make(map[ridgeline.RunID]ridgeline.Run, len(ids))
	err := inBatches(ids, func(batch []ridgeline.RunID) error {
		var f filter
		in(&f, "id", batch)
		query, args := f.sql(selectRuns, "id", 0)
		rows, err := collect(ctx, s.q(), scanRun, query, args...)
		for _, r := range rows {
			at[r.ID] = r
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read runs: %w", err)
	}
	all := make([]ridgeline.Run, 0, len(ids))
	for _, id := range ids {
		if r, ok := at[id]; ok {
			all = append(all, r)
		}
	}
	return all, nil
}

// valuedAtOnce is how many runs' values are written in one transaction.
const valuedAtOnce = 500

// ValueRuns writes down the values of runs that have ended since it was called
// last, and adds what they took to their days: of some hundred runs at most. It
// reports whether there may be more.
func (s *Store) ValueRuns(ctx context.Context) (more bool, err error) {
	const ended = selectRuns + ` WHERE valued < 2 AND status IN ('succeeded', 'failed', 'cancelled') ORDER BY id LIMIT $1`
	const done = `UPDATE runs SET valued = 2 WHERE id = $1 AND valued = 0`
	const older = `UPDATE runs SET valued = 2 WHERE id = $1 AND valued = 1` // only their weights are missing
	runs, err := collect(ctx, s.q(), scanRun, ended, int64(valuedAtOnce))
	if err != nil || len(runs) == 0 {
		return false, about(err, "look for runs that have ended")
	}
	ids := make([]ridgeline.RunID, len(runs))
	for i, r := range runs {
		ids[i] = r.ID
	}
	metrics, err := s.RunMetrics(ctx, ids)
	if err != nil {
		return false, err
	}
	attempts, err := s.attemptsOf(ctx, ids)
	if err != nil {
		return false, err
	}
	err = s.doing(ctx, "write down the values of runs", func(tx *Store) error {
		var args []any
		for _, r := range runs {
			n, err := tx.tx.Exec(ctx, done, r.ID)
			switch {
			case err != nil:
				return err
			case n > 0: // else another server was quicker
				args = append(args, valuesOf(r, metrics[r.ID])...)
				err = tx.spend(ctx, r, attempts[r.ID])
			default:
				n, err = tx.tx.Exec(ctx, older, r.ID)
			}
			if err == nil && n > 0 {
				err = tx.weigh(ctx, r, attempts[r.ID])
			}
			if err != nil {
				return err
			}
		}
		for part := range slices.Chunk(args, 100*valueColumns) {
			if err := tx.putValues(ctx, part); err != nil {
				return err
			}
		}
		return nil
	})
	return len(runs) == valuedAtOnce, err
}

// valueColumns is how many columns a row of run_values has.
const valueColumns = 5

func (s *Store) putValues(ctx context.Context, args []any) error {
	var places []string
	for i := 0; i < len(args); i += valueColumns {
		places = append(places, fmt.Sprintf("($%d, $%d, $%d, $%d, $%d)", i+1, i+2, i+3, i+4, i+5))
	}
	_, err := s.tx.Exec(ctx, `INSERT INTO run_values (run, project, name, number, text) VALUES `+strings.Join(places, ", ")+` ON CONFLICT (run, name) DO NOTHING`, args...)
	return err
}

// valuesOf are the rows of a run, one after another.
func valuesOf(r ridgeline.Run, metrics ridgeline.Metrics) (args []any) {
	add := func(name, text string) {
		args = append(args, r.ID, r.Project, name, numberOf(text), text)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Params)) {
		add("p."+name, r.Params[name])
	}
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		add("m."+name, strconv.FormatFloat(metrics[name], 'g', -1, 64))
	}
	if !r.Started.IsZero() && !r.Ended.IsZero() {
		add(Took, strconv.FormatFloat(float64(r.Ended.Sub(r.Started))/float64(time.Second), 'g', -1, 64))
	}
	return args
}

// numberOf is a value's place in the order of numbers.
func numberOf(text string) float64 {
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(number) || math.Abs(number) >= aWord {
		return aWord
	}
	return number
}
