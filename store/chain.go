package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// The audit trail is a chain: with each event, and each time that more is
// learned of one, a link is written in the same transaction. It has the sha256
// of the event and a hash over the link before, so that nothing earlier can be
// changed, taken away or put in between unnoticed. An event's last link says
// what the event has to be.

// contentOf is the sha256 of an event, over its columns as netstrings
// (https://cr.yp.to/proto/netstrings.txt), times in microseconds.
func contentOf(e ridgeline.AuditEvent) string {
	var at int64 // as the column has it
	if !e.At.IsZero() {
		at = e.At.UnixMicro()
	}
	return digest(e.ID, strconv.FormatInt(at, 10), e.Who, e.Via, e.Address, e.Action, e.Subject, e.Made, e.Reason,
		string(e.Outcome), string(e.Code), strconv.Itoa(e.Times))
}

func digest(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%d:%s,", len(p), p)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

// A link of the chain.
type link struct {
	position int64
	event    string
	joined   bool // the event was there before
	content  string
	hash     string
}

// over is the hash of the link, given that of the one before it.
func (l link) over(before string) string {
	return digest(before, strconv.FormatInt(l.position, 10), l.event, strconv.FormatBool(l.joined), l.content)
}

// chain links events as they are now. It takes the end of the chain for the rest
// of the transaction: of several servers one writes at a time, so it belongs
// before the commit and not before other locks.
func (s *Store) chain(ctx context.Context, joined bool, events ...ridgeline.AuditEvent) error {
	const (
		take   = `UPDATE audit_head SET position = position + $1 RETURNING position, hash`
		insert = `INSERT INTO audit_links (position, event, joined, content, hash) VALUES ($1, $2, $3, $4, $5)`
	)
	var last int64
	var hash string
	if err := s.tx.QueryRow(ctx, take, int64(len(events))).Scan(&last, &hash); err != nil {
		return fmt.Errorf("take the end of the audit trail: %w", err)
	}
	for i, e := range events {
		l := link{position: last - int64(len(events)-1-i), event: e.ID, joined: joined, content: contentOf(e)}
		hash = l.over(hash)
		if _, err := s.tx.Exec(ctx, insert, l.position, l.event, l.joined, l.content, hash); err != nil {
			return err
		}
	}
	_, err := s.tx.Exec(ctx, `UPDATE audit_head SET hash = $1`, hash)
	return err
}

// joinBatch is how many events join the chain in one transaction.
const joinBatch = 2000

// joinAudit has events join the chain that are from before it, or from servers
// of an older program beside this one.
func (s *Store) joinAudit(ctx context.Context) error {
	for {
		n := 0
		err := s.doing(ctx, "begin the audit trail's chain", func(tx *Store) error {
			all, err := collect(ctx, tx.tx, scanAudit, selectAudit+` WHERE linked = 0 ORDER BY at, id LIMIT $1`, int64(joinBatch))
			if err != nil || len(all) == 0 {
				n = 0
				return err
			}
			// What another server has linked since is none of ours.
			var mine []ridgeline.AuditEvent
			for _, e := range all {
				claimed, err := tx.tx.Exec(ctx, `UPDATE audit_events SET linked = 1 WHERE id = $1 AND linked = 0`, e.ID)
				if err != nil {
					return err
				}
				if claimed > 0 {
					mine = append(mine, e)
				}
			}
			n = len(all)
			if len(mine) == 0 {
				return nil
			}
			return tx.chain(ctx, true, mine...)
		})
		if err != nil || n == 0 {
			return err
		}
	}
}

// AuditHead is how many links the chain has, and the hash of the last one.
func (s *Store) AuditHead(ctx context.Context) (position int64, hash string, err error) {
	if err := s.q().QueryRow(ctx, `SELECT position, hash FROM audit_head`).Scan(&position, &hash); err != nil {
		return 0, "", fmt.Errorf("read the end of the audit trail: %w", err)
	}
	return position, hash, nil
}

// VerifyAudit goes over the whole audit trail and says whether it is what was
// written. known is a hash that an earlier look has told: without it in the
// chain, the trail has been cut or made anew. Empty: none is known.
func (s *Store) VerifyAudit(ctx context.Context, known string) (ridgeline.AuditCheck, error) {
	v := verifier{known: known, open: map[string]int64{}}
	if err := v.links(ctx, s); err != nil {
		return v.AuditCheck, fmt.Errorf("verify the audit trail: %w", err)
	}
	if v.Fault == nil {
		if err := v.strays(ctx, s); err != nil {
			return v.AuditCheck, fmt.Errorf("verify the audit trail: %w", err)
		}
	}
	if v.Fault == nil && known != "" && !v.seen {
		v.fault(int64(v.Links), "", "no link has the hash that was known: the trail was cut, or made anew")
	}
	return v.AuditCheck, nil
}

// A verifier looks at one link after the other.
type verifier struct {
	ridgeline.AuditCheck

	known string
	seen  bool
	open  map[string]int64 // events that are not what their last link so far says, and its position
}

// fault keeps the first one.
func (v *verifier) fault(position int64, event, problem string) {
	if v.Fault == nil || position < v.Fault.Position {
		v.Fault = &ridgeline.AuditFault{Position: position, Event: event, Problem: problem}
	}
}

// links looks at the chain and the events in it, by one query, which sees one
// state of the database.
func (v *verifier) links(ctx context.Context, s *Store) error {
	const query = `SELECT h.position, h.hash, COALESCE(l.position, 0), COALESCE(l.event, ''), COALESCE(l.joined, 0), COALESCE(l.content, ''), COALESCE(l.hash, ''),
			COALESCE(e.id, ''), COALESCE(e.at, 0), COALESCE(e.who, ''), COALESCE(e.via, ''), COALESCE(e.address, ''), COALESCE(e.action, ''), COALESCE(e.subject, ''),
			COALESCE(e.made, ''), COALESCE(e.reason, ''), COALESCE(e.outcome, ''), COALESCE(e.code, ''), COALESCE(e.times, 0)
		FROM audit_head h LEFT JOIN audit_links l ON l.position IS NOT NULL LEFT JOIN audit_events e ON e.id = l.event AND e.id <> '' ORDER BY l.position`
	rows, err := s.q().Query(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	var end, before link
	for rows.Next() {
		var l link
		var e ridgeline.AuditEvent
		err := rows.Scan(&end.position, &end.hash, &l.position, &l.event, asBool(&l.joined), &l.content, &l.hash,
			&e.ID, asTime(&e.At), &e.Who, &e.Via, &e.Address, &e.Action, &e.Subject, &e.Made, &e.Reason, &e.Outcome, &e.Code, &e.Times)
		if err != nil {
			return err
		}
		if l.position == 0 { // an empty chain
			continue
		}
		v.link(before, l, e)
		before = l
	}
	if before.position != end.position || before.hash != end.hash {
		v.fault(before.position+1, "", fmt.Sprintf("the trail ends at link %d, and not at %d as was written", before.position, end.position))
	}
	v.Hash = before.hash
	for event, position := range v.open {
		v.fault(position, event, "the event is not what it was when it was written, or is gone")
	}
	return rows.Err()
}

func (v *verifier) link(before, l link, e ridgeline.AuditEvent) {
	switch {
	case l.position != before.position+1:
		v.fault(before.position+1, "", "the link is gone")
	case l.over(before.hash) != l.hash:
		v.fault(l.position, l.event, "the link does not fit the one before it")
	}
	v.Links, v.seen = int(l.position), v.seen || l.hash == v.known
	if l.joined {
		v.Joined++
	}
	if e.ID == "" || contentOf(e) != l.content {
		v.open[l.event] = l.position // until a later link says so
		return
	}
	delete(v.open, l.event)
	if e.At.After(v.Last) {
		v.Last = e.At
	}
}

// strays looks for events that nobody has linked.
func (v *verifier) strays(ctx context.Context, s *Store) error {
	const (
		count = `SELECT count(*) FROM audit_events`
		stray = `SELECT id FROM audit_events e WHERE NOT EXISTS (SELECT 1 FROM audit_links l WHERE l.event = e.id) ORDER BY at, id LIMIT 1`
	)
	if err := s.q().QueryRow(ctx, count).Scan(&v.Events); err != nil {
		return err
	}
	var id string
	switch err := s.q().QueryRow(ctx, stray).Scan(&id); {
	case absent(err):
		return nil
	case err != nil:
		return err
	}
	v.fault(int64(v.Links)+1, id, "the event has no link: it was put in by hand, or by a server of an older program, whose events join the chain when a server starts")
	return nil
}
