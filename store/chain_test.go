package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/pgtest"
)

// verified is what a look over a trail finds that has nothing wrong with it.
func verified(t *testing.T, s *Store) ridgeline.AuditCheck {
	t.Helper()
	check := must(s.VerifyAudit(t.Context(), ""))(t)
	if check.Fault != nil {
		t.Fatalf("found %+v in a trail that nobody has touched", *check.Fault)
	}
	return check
}

func testAuditChain(t *testing.T, s *Store) {
	ctx := t.Context()
	same(t, verified(t, s), ridgeline.AuditCheck{})

	// Many write at once: some whose outcome is known with the first commit, some
	// of whom more is learned later, some that fail.
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			e := ridgeline.AuditEvent{Who: fmt.Sprintf("ann %d", i), Via: "api", Action: "create-token", Subject: "tokens\x00\xff"}
			_ = s.Audited(ctx, e, func(ctx context.Context) error {
				token := ridgeline.Token{ID: ridgeline.TokenID(fmt.Sprint("t-", i)), Hash: fmt.Sprint(i), Role: ridgeline.Viewer, Created: at(1)}
				if err := s.CreateToken(ctx, token); err != nil {
					t.Error(err)
				}
				switch i % 3 {
				case 1:
					ActOf(ctx).Made("tokens/" + string(token.ID))
				case 2:
					return errors.New("the disk is full")
				}
				return nil
			})
		})
	}
	all.Wait()
	check := verified(t, s)
	if check.Events != 30 || check.Links != 50 || check.Joined != 0 || check.Hash == "" || check.Last.IsZero() {
		t.Errorf("found %+v", check)
	}
	often := must(s.NoteAudit(ctx, ridgeline.AuditEvent{Who: "stranger", Action: "sign-in", Outcome: ridgeline.AuditRefused, Code: ridgeline.Denied}))(t)
	often.Times = 7
	must(s.NoteAudit(ctx, often))(t)
	same(t, must(s.AuditEvents(ctx, AuditFilter{Who: "stranger"}))(t), []ridgeline.AuditEvent{often})
	now := verified(t, s)
	same(t, []int{now.Events, now.Links}, []int{31, 52})

	// The end that was noted earlier is still in it; another one is not.
	same(t, must(s.VerifyAudit(ctx, check.Hash))(t), now)
	if unknown := must(s.VerifyAudit(ctx, "0123"))(t); unknown.Fault == nil {
		t.Error("a hash that was never in the chain is taken for known")
	}

	// Whatever is done by hand is found, and where.
	for name, tamper := range map[string]struct {
		sql  []string
		at   int64
		says string
	}{
		"a change":           {[]string{`UPDATE audit_events SET who = 'eve' WHERE id = (SELECT event FROM audit_links WHERE position = 5)`}, 0, "not what it was"},
		"a count":            {[]string{`UPDATE audit_events SET times = 1 WHERE id = '` + often.ID + `'`}, 52, "not what it was"},
		"a removal":          {[]string{`DELETE FROM audit_events WHERE id = '` + often.ID + `'`}, 52, "gone"},
		"a removal of all":   {[]string{`DELETE FROM audit_events WHERE id = '` + often.ID + `'`, `DELETE FROM audit_links WHERE event = '` + often.ID + `'`}, 51, "ends at link 50"},
		"a link":             {[]string{`DELETE FROM audit_links WHERE position = 7`}, 7, "gone"},
		"a changed link":     {[]string{`UPDATE audit_links SET content = 'x' WHERE position = 9`}, 9, "does not fit"},
		"a link made anew":   {[]string{`UPDATE audit_links SET hash = 'x' WHERE position = 9`}, 9, "does not fit"},
		"an event put in":    {[]string{`INSERT INTO audit_events (id, at, who, action, subject, reason) VALUES ('x-forged', 5, 'ann', 'promote', 's', '')`}, 53, "no link"},
		"everything":         {[]string{`DELETE FROM audit_links`, `DELETE FROM audit_events`}, 1, "ends at link 0"},
		"an end that is new": {[]string{`UPDATE audit_head SET position = 60`}, 53, "and not at 60"},
	} {
		undone := errors.New("undone")
		err := s.InTx(ctx, func(tx *Store) error {
			for _, sql := range tamper.sql {
				must(tx.tx.Exec(ctx, sql))(t)
			}
			found := must(tx.VerifyAudit(ctx, ""))(t)
			if found.Fault == nil || tamper.at > 0 && found.Fault.Position != tamper.at {
				t.Errorf("%s: found %+v", name, found.Fault)
			} else {
				refused(t, ridgeline.Errorf(ridgeline.Conflict, "%s", found.Fault.Problem), ridgeline.Conflict, tamper.says)
			}
			return undone
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
	}
	same(t, verified(t, s), now)
}

// What is older than the chain is its beginning; what a server of an older
// program writes beside newer ones joins it, and is counted.
func testOldAudit(t *testing.T, address string) {
	ctx := t.Context()
	old := openedBefore(t, address, "0031")
	const insert = `INSERT INTO audit_events (id, at, who, action, subject, reason) VALUES ($1, $2, 'ann', 'promote', 'models/iris/versions/1', $3)`
	ok(t, old.InTx(ctx, func(tx *Store) error {
		for i := range joinBatch + 5 {
			id := ""
			if i > 3 {
				id = fmt.Sprint("x-", i)
			}
			must(tx.tx.Exec(ctx, insert, id, at(i%9), "because"))(t)
		}
		return nil
	}))
	ok(t, old.Close())
	s := opened(t, address)
	check := verified(t, s)
	same(t, []int{check.Events, check.Links, check.Joined}, []int{joinBatch + 5, joinBatch + 5, joinBatch + 5})
	for _, e := range must(s.AuditEvents(ctx, AuditFilter{}))(t) {
		if e.ID == "" || e.Times != 1 {
			t.Fatalf("an old event is %+v", e)
		}
	}
	ok(t, s.InTx(ctx, func(tx *Store) error {
		_, err := tx.tx.Exec(ctx, insert, "x-beside", at(20), "")
		return err
	}))
	if found := must(s.VerifyAudit(ctx, ""))(t); found.Fault == nil || found.Fault.Event != "x-beside" {
		t.Errorf("found %+v", found.Fault)
	}
	same(t, verified(t, opened(t, address)).Joined, joinBatch+6)
}

// BenchmarkStore_Audited is what a change with its event costs, of eight who
// write at once.
func BenchmarkStore_Audited(b *testing.B) {
	for name, address := range map[string]string{"SQLite": "sqlite:" + filepath.Join(b.TempDir(), "app.db"), "PostgreSQL": pgtest.URL(b)} {
		b.Run(name, func(b *testing.B) {
			s := must(Open(b.Context(), address, nil))(b)
			defer s.Close()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					err := s.Audited(b.Context(), ridgeline.AuditEvent{Who: "ann", Action: "wake", Subject: "endpoints/iris/qa"}, func(ctx context.Context) error {
						_, err := s.EnsureProject(ctx, "iris", at(1))
						return err
					})
					if err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
