package sqldb

import (
	"database/sql/driver"
	"math"
	"sync"

	"modernc.org/sqlite"
)

// addDeviation gives SQLite PostgreSQL's STDDEV_SAMP, so that one text of SQL
// has it on both. The driver keeps functions for the whole process, and takes
// each name once.
var addDeviation = sync.OnceValue(func() error {
	return sqlite.RegisterFunction("stddev_samp", &sqlite.FunctionImpl{
		NArgs: 1, Deterministic: true,
		MakeAggregate: func(sqlite.FunctionContext) (sqlite.AggregateFunction, error) { return &deviation{}, nil },
	})
})

// A deviation is the standard deviation of a sample, of values as they come:
// NULL of fewer than two. It never subtracts two sums of squares, of which
// nothing would be left where values are large and differ little (B. P.
// Welford, Note on a Method for Calculating Corrected Sums of Squares and
// Products, 1962).
type deviation struct{ n, mean, squares float64 }

// Step adds a value; NULL is none.
func (d *deviation) Step(_ *sqlite.FunctionContext, args []driver.Value) error {
	v, ok := number(args[0])
	if !ok {
		return nil
	}
	d.n++
	from := v - d.mean
	d.mean += from / d.n
	d.squares += from * (v - d.mean)
	return nil
}

// WindowInverse takes a value away again.
func (d *deviation) WindowInverse(_ *sqlite.FunctionContext, args []driver.Value) error {
	v, ok := number(args[0])
	switch {
	case !ok:
		return nil
	case d.n <= 1:
		*d = deviation{}
		return nil
	}
	from := v - d.mean
	d.n--
	d.mean -= from / d.n
	d.squares = max(0, d.squares-from*(v-d.mean))
	return nil
}

// WindowValue is the deviation of what has come so far.
func (d *deviation) WindowValue(*sqlite.FunctionContext) (driver.Value, error) {
	if d.n < 2 {
		return nil, nil
	}
	return math.Sqrt(d.squares / (d.n - 1)), nil
}

// Final has nothing to let go of.
func (d *deviation) Final(*sqlite.FunctionContext) {}

// number is what SQLite hands over as a number.
func number(v driver.Value) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	}
	return 0, false
}
