// Package flow makes work durable: a flow is a handler whose finished steps
// are kept in the database, so that after a crash it goes on where it was.
// It is the only door to DBOS Transact, and holds the lock that lets one
// server among several run flows.
//
// What the steps do belongs to their packages, opening the database to store.
package flow

import (
	"context"
	"database/sql"
	"encoding/gob"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite" // DBOS on the SQLite handle that store opened
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ridgeline-mlops/ridgeline"
)

// version names the generation of every handler's code, and recovery looks for
// its own only. DBOS's default, a hash of the binary, would leave whatever runs
// during an upgrade behind for ever; so this never changes, and a handler that
// has to change under running flows asks Context.Patch.
const version = "flow-1"

// workflow is the one DBOS workflow there is; its input says which handler.
const workflow = "flow"

// txPatience is far beyond any transaction of ours, and short of the patience
// of the person who finds that everything stands still.
const txPatience = time.Minute

// Options of New.
type Options struct {
	// SQLite is the single writer connection (at most one open connection, as
	// inside a transaction a second one would wait for the first), Postgres a
	// pool. Exactly one of the two; Shutdown closes it.
	SQLite   *sql.DB
	Postgres *pgxpool.Pool
	// Leader says that this process may run flows. It is needed where several
	// servers share a PostgreSQL: Lead first, then New. Shutdown gives it back.
	Leader *Leadership
	// Executor owns the work in the database. Whoever takes over from another
	// server does so under the same name. Default "ridgeline".
	Executor string
	// Log takes what flow has to say, and DBOS's warnings and errors. Default
	// slog.Default().
	Log *slog.Logger
}

// A Handler is the code of one kind of flow, called with the id that Start got.
//
// It runs from its beginning again after every crash, and finds the results of
// the steps that had finished. So it has to take the same way each time: all
// that reads a clock, a file or the database, and all that changes anything,
// goes inside Step, Tx or Parallel. An error that one of them returns because
// the flow was Interrupted needs no care: every later step refuses with the
// same error, and nothing is recorded.
//
// The error it returns ends the flow as Failed. Whatever a person should know
// of it, the handler has to put into its own rows with Tx.
type Handler func(c *Context, id string) error

// An Engine runs flows. Its life: New, Handle for each kind, Launch, then
// Start and State from any goroutine, then Shutdown once.
type Engine struct {
	root     dbos.Context
	rows     *dbos.DataSource
	leader   *Leadership
	log      *slog.Logger
	patience time.Duration // with a transaction
	handled  atomic.Bool   // Launch has begun: no kind may be added
	launched atomic.Bool   // and ended: DBOS takes flows

	mu       sync.RWMutex
	handlers map[string]Handler
	active   map[string]bool // the flows that this process executes now
}

// input is what a workflow is started with.
type input struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// New prepares the engine in the database, making and migrating DBOS's tables.
// Nothing runs before Launch. The context is only for New itself.
func New(ctx context.Context, o Options) (*Engine, error) {
	if (o.SQLite == nil) == (o.Postgres == nil) {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "flow needs either a SQLite or a PostgreSQL handle, and not both")
	}
	// These silently replace what we set, and with it strand or steal work.
	for _, name := range []string{"DBOS__APPVERSION", "DBOS__VMID", "DBOS__CLOUD"} {
		if os.Getenv(name) != "" {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "the environment variable %s would change which work this server owns: unset it", name)
		}
	}
	if o.Executor == "" {
		o.Executor = "ridgeline"
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	gob.Register(&failure{}) // DBOS keeps errors as gob

	// Not ctx: were it ever cancelled, DBOS would cancel all running work for good.
	root, err := dbos.NewContext(context.Background(), dbos.Config{
		AppName:                  "ridgeline",
		ApplicationVersion:       version,
		ExecutorID:               o.Executor,
		SQLiteSystemDB:           o.SQLite,
		SystemDBPool:             o.Postgres,
		Logger:                   slog.New(quiet{o.Log.With("by", "dbos").Handler()}),
		SchedulerPollingInterval: time.Hour, // we keep our own schedules
	})
	if err != nil {
		return nil, fmt.Errorf("prepare durable execution: %w", err)
	}
	e := &Engine{root: root, leader: o.Leader, log: o.Log, patience: txPatience, handlers: map[string]Handler{}, active: map[string]bool{}}
	if o.SQLite != nil {
		e.rows, err = dbos.NewDataSource(root, o.SQLite)
	} else {
		e.rows, err = dbos.NewDataSource(root, o.Postgres)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare durable transactions: %w", err)
	}
	// Zero: however often the server dies, work is taken up again.
	dbos.RegisterWorkflow(root, e.run, dbos.WithWorkflowName(workflow), dbos.WithMaxRecoveryAttempts(0))
	return e, nil
}

var kindRE = regexp.MustCompile(`^[a-z]+$`)

// Handle sets the code of a kind of flow, such as "run". It panics when the
// kind is not a word of small letters or has a handler, and after Launch: a
// recovered flow must find its handler.
func (e *Engine) Handle(kind string, h Handler) {
	if !kindRE.MatchString(kind) || h == nil {
		panic(fmt.Sprintf("flow: Handle needs a kind of small letters and a handler, not %q", kind))
	}
	if e.handled.Load() {
		panic(fmt.Sprintf("flow: Handle(%q) after Launch", kind))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.handlers[kind] != nil {
		panic(fmt.Sprintf("flow: kind %q has two handlers", kind))
	}
	e.handlers[kind] = h
}

func (e *Engine) handler(kind string) Handler {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.handlers[kind]
}

// Launch takes up the flows that an earlier process left running, and lets
// Start begin. The context is only for Launch itself; flows end by Shutdown.
// An engine whose Launch failed is of no further use.
func (e *Engine) Launch(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.handled.Store(true)
	if err := dbos.Launch(e.root); err != nil {
		return fmt.Errorf("launch durable execution: %w", err)
	}
	e.launched.Store(true)
	return nil
}

// Start sees to it that the flow of this kind and id runs, and returns once
// that is on disk. It may be called at any time by anybody: of a flow that
// runs, or has ended, there is nothing left to do. Until Launch has returned,
// and during Shutdown, the error is Unavailable.
//
// Retain makes the engine forget ended flows; started again after that, they
// run again. So a handler's first step looks whether its noun has ended.
func (e *Engine) Start(ctx context.Context, kind, id string) error {
	if e.handler(kind) == nil || id == "" {
		return ridgeline.Errorf(ridgeline.Invalid, "flow %q %q cannot start: no such kind, or no id", kind, id)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	unavailable := ridgeline.Errorf(ridgeline.Unavailable, "flow %s cannot start: this server is starting or stopping; try again in a moment", flowID(kind, id))
	if !e.launched.Load() || e.root.Err() != nil {
		return unavailable
	}
	if _, err := dbos.RunWorkflow(e.root, e.run, input{kind, id}, dbos.WithWorkflowID(flowID(kind, id))); err != nil {
		if e.root.Err() != nil { // Shutdown came between
			return unavailable
		}
		return fmt.Errorf("start flow %s: %w", flowID(kind, id), err)
	}
	return nil
}

// flowID cannot be ambiguous, as a kind has no dash.
func flowID(kind, id string) string { return kind + "-" + id }

// Shutdown interrupts all flows, waits for their steps to let go, and closes
// the database handle that New was given. Interrupted flows are taken up by
// the next Launch. Stop whatever else uses the handle, and the listener, first.
//
// Steps that do not watch their context make it return an Unavailable error
// after about timeout; the process should then exit all the same.
func (e *Engine) Shutdown(timeout time.Duration) error {
	stopped := make(chan error, 1)
	go func() { stopped <- dbos.Shutdown(e.root, timeout) }()
	select {
	case err := <-stopped:
		if err != nil {
			return ridgeline.Errorf(ridgeline.Unavailable, "stop durable execution: %w", err)
		}
	case <-time.After(timeout + time.Second): // DBOS counts timeout anew for each of its parts
		return ridgeline.Errorf(ridgeline.Unavailable, "durable execution did not stop within %s", timeout)
	}
	// Only now: whoever gets the lock next must not meet our steps. When they
	// have not stopped, the lock goes with the process.
	if e.leader != nil {
		return e.leader.Close()
	}
	return nil
}
