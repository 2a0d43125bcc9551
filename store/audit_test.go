package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// trail is what the audit trail has of a subject, without ids and times.
func trail(t *testing.T, s *Store, subject string) []ridgeline.AuditEvent {
	t.Helper()
	all := must(s.AuditEvents(t.Context(), AuditFilter{Subject: subject}))(t)
	for i := range all {
		if all[i].ID == "" || time.Since(all[i].At) > time.Hour {
			t.Errorf("event %q of %s", all[i].ID, all[i].At)
		}
		if all[i].Times != 1 {
			t.Errorf("event %q happened %d times", all[i].ID, all[i].Times)
		}
		all[i].ID, all[i].At, all[i].Times = "", time.Time{}, 0
	}
	return all
}

func testAudit(t *testing.T, s *Store) {
	ctx := t.Context()
	asked := ridgeline.AuditEvent{Who: "ann", Via: "cli", Address: "10.0.0.7", Action: "create-token", Subject: "tokens"}
	token := func(id string) ridgeline.Token {
		return ridgeline.Token{ID: ridgeline.TokenID(id), Name: id, Role: ridgeline.Viewer, Hash: "hash of " + id, Created: at(1)}
	}

	// One commit has both, and what is known later is added.
	ok(t, s.Audited(ctx, asked, func(ctx context.Context) error {
		ok(t, s.CreateToken(ctx, token("t-1")))
		same(t, len(trail(t, s, "tokens")), 1)
		ok(t, s.RevokeToken(ctx, "t-1", at(2)))
		ActOf(ctx).Made("tokens/t-1")
		ActOf(ctx).Because("for the new colleague")
		return nil
	}))
	want := asked
	want.Made, want.Reason, want.Outcome = "tokens/t-1", "for the new colleague", ridgeline.AuditDone
	same(t, trail(t, s, "tokens/t-1"), []ridgeline.AuditEvent{want})

	// A transaction that fails takes the event with it; the failure is kept.
	err := s.Audited(ctx, ridgeline.AuditEvent{Who: "bob", Action: "promote", Subject: "models/a_b/versions/1"}, func(ctx context.Context) error {
		return s.InTx(ctx, func(tx *Store) error {
			ok(t, tx.CreateToken(ctx, token("t-2")))
			return ridgeline.Errorf(ridgeline.Conflict, "already champion; the secret is xyzzy")
		})
	})
	refused(t, err, ridgeline.Conflict, "already champion")
	same(t, trail(t, s, "models/a_b"), []ridgeline.AuditEvent{{Who: "bob", Action: "promote", Subject: "models/a_b/versions/1", Outcome: ridgeline.AuditFailed, Code: ridgeline.Conflict}})
	same(t, len(trail(t, s, "models/axb")), 0)

	// What was done in part has failed; what is refused is kept even of an act that
	// would have changed nothing; one that changes nothing leaves nothing.
	fails := func(result error, do func(ctx context.Context)) func(ctx context.Context) error {
		return func(ctx context.Context) error { do(ctx); return result }
	}
	half := errors.New("the disk is full")
	if got := s.Audited(ctx, ridgeline.AuditEvent{Who: "cy", Subject: "half"}, fails(half, func(ctx context.Context) { ok(t, s.CreateToken(ctx, token("t-3"))) })); !errors.Is(got, half) {
		t.Errorf("got %v", got)
	}
	same(t, trail(t, s, "half"), []ridgeline.AuditEvent{{Who: "cy", Subject: "half", Outcome: ridgeline.AuditFailed, Code: ridgeline.Internal}})
	_ = s.Audited(ctx, ridgeline.AuditEvent{Who: "cy", Subject: "no"}, fails(ridgeline.Errorf(ridgeline.Denied, "no"), func(ctx context.Context) { ActOf(ctx).Nothing() }))
	same(t, trail(t, s, "no"), []ridgeline.AuditEvent{{Who: "cy", Subject: "no", Outcome: ridgeline.AuditRefused, Code: ridgeline.Denied}})
	ok(t, s.Audited(ctx, ridgeline.AuditEvent{Who: "cy", Subject: "looks"}, fails(nil, func(ctx context.Context) { ActOf(ctx).Nothing() })))
	same(t, len(trail(t, s, "looks")), 0)
	ok(t, s.Audited(ctx, ridgeline.AuditEvent{Who: "cy", Subject: "elsewhere"}, fails(nil, func(context.Context) {})))
	same(t, trail(t, s, "elsewhere"), []ridgeline.AuditEvent{{Who: "cy", Subject: "elsewhere", Outcome: ridgeline.AuditDone}})

	// Someone who hangs up is in the trail nevertheless.
	gone, cancel := context.WithCancel(ctx)
	_ = s.Audited(gone, ridgeline.AuditEvent{Who: "di", Subject: "gone"}, func(ctx context.Context) error { cancel(); return ctx.Err() })
	same(t, len(trail(t, s, "gone")), 1)

	// Page by page, each event comes once, newest first.
	var pages []string
	for f := (AuditFilter{Who: "cy", Limit: 1}); ; {
		page := must(s.AuditEvents(ctx, f))(t)
		if len(page) == 0 {
			break
		}
		pages, f.Before = append(pages, page[0].Subject), page[0].ID
	}
	same(t, pages, []string{"elsewhere", "no", "half"})
	same(t, len(must(s.AuditEvents(ctx, AuditFilter{Outcome: ridgeline.AuditRefused}))(t)), 1)
	same(t, len(must(s.AuditEvents(ctx, AuditFilter{Action: "promote"}))(t)), 1)
	same(t, len(must(s.AuditEvents(ctx, AuditFilter{Until: at(1)}))(t)), 0)
	_, err = s.AuditEvents(ctx, AuditFilter{Before: "x-none"})
	refused(t, err, ridgeline.NotFound, "no event x-none")
}
