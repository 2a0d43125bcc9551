package sqldb

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// maxGroup is how many writes share a transaction at most. What waits longer
// than one transaction is in the next.
const maxGroup = 256

// A Group commits what many ask for in one transaction: while one group is
// made durable, the next one gathers. A write that fails takes nobody with it.
type Group struct {
	db    *DB
	queue chan *member
	ended sync.WaitGroup

	mu     sync.RWMutex
	closed bool
}

type member struct {
	fn   func(q sqlq.Querier) error
	err  error
	done chan struct{}
}

// NewGroup starts gathering. Close ends it; the database stays open.
func NewGroup(db *DB) *Group {
	g := &Group{db: db, queue: make(chan *member, maxGroup)}
	g.ended.Add(1)
	go g.run()
	return g
}

// Do runs fn inside a transaction shared with others and returns when that is
// committed, or fn's error, of which then nothing is left. fn may be run more
// than once, always on one goroutine at a time, so it must set what it finds
// out and not add to it. It may not use the group itself.
//
// When ctx ends first, Do returns its error and the write may still happen.
func (g *Group) Do(ctx context.Context, fn func(q sqlq.Querier) error) error {
	m := &member{fn: fn, done: make(chan struct{})}
	g.mu.RLock()
	if g.closed {
		g.mu.RUnlock()
		return ridgeline.Errorf(ridgeline.Unavailable, "the server is stopping: try again in a moment")
	}
	select {
	case g.queue <- m:
		g.mu.RUnlock()
	case <-ctx.Done():
		g.mu.RUnlock()
		return ctx.Err()
	}
	select {
	case <-m.done:
		return m.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close lets what was asked for finish, and takes nothing further.
func (g *Group) Close() {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		close(g.queue)
	}
	g.mu.Unlock()
	g.ended.Wait()
}

func (g *Group) run() {
	defer g.ended.Done()
	for first := range g.queue {
		members := g.gather(first)
		g.commit(members)
		for _, m := range members {
			close(m.done)
		}
	}
}

// gather takes what is waiting already, and waits for nobody.
func (g *Group) gather(first *member) []*member {
	members := []*member{first}
	for len(members) < maxGroup {
		select {
		case m, open := <-g.queue:
			if !open {
				return members
			}
			members = append(members, m)
		default:
			return members
		}
	}
	return members
}

// errApart says that the members have to be run each in its own transaction.
var errApart = errors.New("one of a group failed after it had written")

// commit runs the members in one transaction. A member that refuses before it
// has written anything gets its error and the others go on; any other failure
// undoes all of them, and each is run again on its own. No context reaches the
// database: a caller that goes away must not undo its neighbours' writes.
func (g *Group) commit(members []*member) {
	ctx := context.Background()
	if len(members) > 1 {
		err := g.db.Write(ctx, func(q sqlq.Querier) error {
			for _, m := range members {
				watched := &watch{Querier: q}
				m.err = m.fn(watched)
				var refused *ridgeline.Error
				if m.err != nil && (watched.wrote || !errors.As(m.err, &refused)) {
					return errApart
				}
			}
			return nil
		})
		if err == nil {
			return
		}
	}
	for _, m := range members {
		m.err = g.db.Write(ctx, m.fn)
	}
}

// A watch notices writing.
type watch struct {
	sqlq.Querier
	wrote bool
}

func (w *watch) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	w.wrote = true
	return w.Querier.Exec(ctx, query, args...)
}

// A query may be an INSERT … RETURNING, so it counts as writing unless it
// plainly reads.
func (w *watch) Query(ctx context.Context, query string, args ...any) (sqlq.Rows, error) {
	w.wrote = w.wrote || !strings.HasPrefix(query, "SELECT")
	return w.Querier.Query(ctx, query, args...)
}

func (w *watch) QueryRow(ctx context.Context, query string, args ...any) sqlq.Row {
	w.wrote = w.wrote || !strings.HasPrefix(query, "SELECT")
	return w.Querier.QueryRow(ctx, query, args...)
}
