package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// An Act is what somebody is doing at this moment, on its way into the audit
// trail. The methods of a nil Act do nothing, so that what is done for nobody
// need not know.
type Act struct {
	mu      sync.Mutex
	event   ridgeline.AuditEvent
	nothing bool // it turned out to change nothing
	written bool // the event is in the trail, as it was when it was written
	late    bool // and has come to say more since
}

type actKey struct{}

// ActOf is the act that the context carries; nil when there is none.
func ActOf(ctx context.Context) *Act {
	act, _ := ctx.Value(actKey{}).(*Act)
	return act
}

// On says what it is done to, where an address does not tell.
func (a *Act) On(subject string) { a.say(func(e *ridgeline.AuditEvent) { e.Subject = subject }) }

// Because says the reason that was given.
func (a *Act) Because(reason string) {
	if reason != "" {
		a.say(func(e *ridgeline.AuditEvent) { e.Reason = reason })
	}
}

// Made says what came of it.
func (a *Act) Made(subject string) { a.say(func(e *ridgeline.AuditEvent) { e.Made = subject }) }

// Nothing says that it changes nothing after all, so that there is nothing to
// keep, unless it is refused.
func (a *Act) Nothing() {
	if a != nil {
		a.mu.Lock()
		a.nothing = true
		a.mu.Unlock()
	}
}

func (a *Act) say(change func(*ridgeline.AuditEvent)) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.event
	change(&a.event)
	a.late = a.late || a.written && a.event != before
}

// Audited does what somebody asks for, and keeps in the audit trail that it was
// done, refused or has failed. The first transaction of do that commits writes
// the event, too, so that what was done is never without it; what needs none of
// ours is written down once it is done. e.Outcome is not looked at.
func (s *Store) Audited(ctx context.Context, e ridgeline.AuditEvent, do func(ctx context.Context) error) error {
	e.Outcome, e.Code = ridgeline.AuditDone, ""
	e, err := s.named(e)
	if err != nil {
		return err
	}
	act := &Act{event: e}
	err = do(context.WithValue(ctx, actKey{}, act))
	if failed := s.conclude(context.WithoutCancel(ctx), act, err); failed != nil {
		// It is done, or not, whatever the trail says: to answer that it has failed
		// would have it done a second time.
		s.log.Error("the audit trail lacks an event", "id", e.ID, "who", e.Who, "action", e.Action, "subject", e.Subject, "error", failed)
	}
	return err
}

// named gives an event its id and its time.
func (s *Store) named(e ridgeline.AuditEvent) (ridgeline.AuditEvent, error) {
	var err error
	e.At, e.Times = s.stamp.next(), max(e.Times, 1)
	e.ID, err = ridgeline.NewID("x", e.At, rand.Read)
	return e, err
}

// conclude writes down what came of the act.
func (s *Store) conclude(ctx context.Context, act *Act, result error) error {
	act.mu.Lock()
	e, written, late, nothing := act.event, act.written, act.late, act.nothing
	act.mu.Unlock()
	if result != nil {
		e.Outcome, e.Code, late, nothing = ridgeline.AuditFailed, ridgeline.CodeOf(result), true, nothing && ridgeline.CodeOf(result) != ridgeline.Denied
		if e.Code == ridgeline.Denied {
			e.Outcome = ridgeline.AuditRefused
		}
	}
	if written && !late || nothing && !written {
		return nil
	}
	return s.doing(ctx, "write into the audit trail", func(tx *Store) error {
		if !written {
			return tx.addAudit(ctx, e)
		}
		return tx.changeAudit(ctx, e)
	})
}

// note writes the event in a transaction that is about to commit, unless an
// earlier one has.
func (a *Act) note(ctx context.Context, tx *Store) error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	e, there := a.event, a.written || a.nothing
	a.mu.Unlock()
	if there {
		return nil
	}
	return tx.addAudit(ctx, e)
}

// noted says that the transaction has committed.
func (a *Act) noted() {
	if a != nil {
		a.mu.Lock()
		a.written = !a.nothing || a.written
		a.mu.Unlock()
	}
}

// audit writes down, in the transaction of the change itself, what a person has
// decided: with the act that is under way or, of a decision that is carried out
// later, as an event of its own.
func (s *Store) audit(ctx context.Context, action, subject, who, reason string, at time.Time) error {
	if act := ActOf(ctx); act != nil {
		act.On(subject)
		act.Because(reason)
		return nil
	}
	id, err := ridgeline.NewID("x", at, rand.Read)
	if err != nil {
		return err
	}
	return s.addAudit(ctx, ridgeline.AuditEvent{ID: id, At: at, Who: who, Action: action, Subject: subject, Reason: reason, Outcome: ridgeline.AuditDone, Times: 1})
}

// addAudit adds an event and its link. Two transactions of one act may both come
// to it; the second changes nothing.
func (s *Store) addAudit(ctx context.Context, e ridgeline.AuditEvent) error {
	e = plain(e)
	const insert = `INSERT INTO audit_events (id, at, who, via, address, action, subject, made, reason, outcome, code, times, linked)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1) ON CONFLICT (id) WHERE id <> '' DO NOTHING`
	n, err := s.tx.Exec(ctx, insert, e.ID, e.At, e.Who, e.Via, e.Address, e.Action, e.Subject, e.Made, e.Reason, e.Outcome, e.Code, e.Times)
	if err != nil || n == 0 {
		return err
	}
	return s.chain(ctx, false, e)
}

// changeAudit adds to an event what is known by now, and a link that says so.
func (s *Store) changeAudit(ctx context.Context, e ridgeline.AuditEvent) error {
	e = plain(e)
	const update = `UPDATE audit_events SET subject = $1, made = $2, reason = $3, outcome = $4, code = $5, times = $6 WHERE id = $7`
	if _, err := s.tx.Exec(ctx, update, e.Subject, e.Made, e.Reason, e.Outcome, e.Code, e.Times, e.ID); err != nil {
		return err
	}
	return s.chain(ctx, false, e)
}

// plain leaves of what somebody has sent, such as an address, what both databases
// take as text.
func plain(e ridgeline.AuditEvent) ridgeline.AuditEvent {
	for _, text := range []*string{&e.Who, &e.Subject, &e.Made, &e.Reason} {
		*text = strings.ReplaceAll(strings.ToValidUTF8(*text, "\ufffd"), "\x00", "\ufffd")
	}
	return e
}

// NoteAudit writes down what has happened without a transaction of ours, and
// returns the event with its id. The same one with another count later replaces
// it.
func (s *Store) NoteAudit(ctx context.Context, e ridgeline.AuditEvent) (ridgeline.AuditEvent, error) {
	write := (*Store).changeAudit
	if e.ID == "" {
		var err error
		if e, err = s.named(e); err != nil {
			return e, err
		}
		write = (*Store).addAudit
	}
	return e, s.doing(ctx, "write into the audit trail", func(tx *Store) error { return write(tx, ctx, e) })
}

// An AuditFilter chooses events of the audit trail; what is empty chooses all.
type AuditFilter struct {
	Since, Until time.Time // Until itself is not among them
	Who          string
	Action       string
	Outcome      ridgeline.AuditOutcome
	// Subject is what it was done to, or what came of it; also what is below that
	// path.
	Subject string
	Before  string // an event's id: only those further down the list
	Limit   int    // 0: all
}

const selectAudit = `SELECT id, at, who, via, address, action, subject, made, reason, outcome, code, times FROM audit_events`

func scanAudit(row sqlq.Row) (e ridgeline.AuditEvent, err error) {
	return e, row.Scan(&e.ID, asTime(&e.At), &e.Who, &e.Via, &e.Address, &e.Action, &e.Subject, &e.Made, &e.Reason, &e.Outcome, &e.Code, &e.Times)
}

// AuditEvents returns what was done, newest first.
func (s *Store) AuditEvents(ctx context.Context, want AuditFilter) ([]ridgeline.AuditEvent, error) {
	var f filter
	if !want.Since.IsZero() {
		f.and("at >= ?", want.Since)
	}
	if !want.Until.IsZero() {
		f.and("at < ?", want.Until)
	}
	for _, c := range [][2]string{{"who", want.Who}, {"action", want.Action}, {"outcome", string(want.Outcome)}} {
		if c[1] != "" {
			f.and(c[0]+" = ?", c[1])
		}
	}
	if want.Subject != "" {
		below := want.Subject + "/"
		f.and("(subject = ? OR made = ? OR substr(subject, 1, ?) = ?)", want.Subject, want.Subject, int64(len([]rune(below))), below)
	}
	if want.Before != "" {
		last, err := collect(ctx, s.q(), scanAudit, selectAudit+` WHERE id = $1`, want.Before)
		if err == nil && len(last) == 0 {
			err = ridgeline.Errorf(ridgeline.NotFound, "no event %s in the audit trail", want.Before)
		}
		if err != nil {
			return nil, fmt.Errorf("read the audit trail: %w", err)
		}
		f.and("(at < ? OR at = ? AND id < ?)", last[0].At, last[0].At, want.Before)
	}
	query, args := f.sql(selectAudit, "at DESC, id DESC", want.Limit)
	all, err := collect(ctx, s.q(), scanAudit, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read the audit trail: %w", err)
	}
	return all, nil
}
