package store

import (
	"context"
	"fmt"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func testViews(t *testing.T, s *Store) {
	ctx := t.Context()
	must(s.EnsureProject(ctx, "iris", at(1)))(t)
	must(s.EnsureProject(ctx, "wine", at(1)))(t)
	view := func(project ridgeline.ProjectName, name, query string) ridgeline.View {
		return ridgeline.View{Project: project, Name: name, Query: query, Caller: "ann", Saved: at(2)}
	}
	best, every, theirs := view("iris", "模型 / best", "sort=m.loss"), view("", "failed", "status=failed"), view("wine", "模型 / best", "sort=m.mse")
	for _, v := range []ridgeline.View{best, every, theirs} {
		ok(t, s.SaveView(ctx, v, false))
	}
	same(t, must(s.View(ctx, "iris", best.Name))(t), best)
	same(t, must(s.Views(ctx))(t), []ridgeline.View{every, best, theirs})
	same(t, must(s.Views(ctx, "iris"))(t), []ridgeline.View{best})
	same(t, must(s.Views(ctx, "wine", ""))(t), []ridgeline.View{every, theirs})

	// The same again is harmless and leaves no trace; another one is not taken
	// unless somebody says so.
	again := best
	again.Caller, again.Saved = "bob", at(3)
	save := func(v ridgeline.View, replace bool) error {
		return s.Audited(ctx, ridgeline.AuditEvent{Who: "bob", Action: "save-view", Subject: "views"}, func(ctx context.Context) error { return s.SaveView(ctx, v, replace) })
	}
	ok(t, save(again, false))
	same(t, must(s.View(ctx, "iris", best.Name))(t), best)
	same(t, len(trail(t, s, "projects/iris/views")), 0)
	again.Query = "down=1&sort=m.loss"
	refused(t, save(again, false), ridgeline.Conflict, "saved by ann")
	same(t, must(s.View(ctx, "iris", best.Name))(t), best)
	ok(t, save(again, true))
	same(t, must(s.View(ctx, "iris", best.Name))(t), again)
	done := trail(t, s, "projects/iris/views")
	same(t, len(done), 2)
	same(t, done[0], ridgeline.AuditEvent{Who: "bob", Action: "save-view", Subject: "projects/iris/views/模型 / best", Outcome: ridgeline.AuditDone})

	for says, v := range map[string]ridgeline.View{
		"needs a name": view("iris", "", ""), `no "colour"`: view("iris", "x", "colour=red"), "expected a name, one of": view("iris", "x", "where=loss"), "as ViewQuery spells it": view("iris", "x", "project=wine"),
	} {
		refused(t, s.SaveView(ctx, v, false), ridgeline.Invalid, says)
	}
	refused(t, s.SaveView(ctx, view("urs", "x", ""), false), ridgeline.NotFound, "urs")

	ok(t, s.InTx(ctx, func(tx *Store) error {
		for i := 1; i < MostViews; i++ {
			ok(t, tx.SaveView(ctx, view("wine", fmt.Sprintf("v%03d", i), ""), false))
		}
		return nil
	}))
	refused(t, s.SaveView(ctx, view("wine", "one too many", ""), false), ridgeline.Invalid, "remove one first")
	same(t, len(must(s.Views(ctx, "wine"))(t)), MostViews)

	same(t, must(s.RemoveView(ctx, "", "failed"))(t), every)
	_, err := s.RemoveView(ctx, "", "failed")
	refused(t, err, ridgeline.NotFound, `no view "failed" of all projects`)
	_, err = s.RemoveView(ctx, "iris", "v001")
	refused(t, err, ridgeline.NotFound, `no view "v001" of project iris`)
	same(t, must(s.Views(ctx, "iris", ""))(t), []ridgeline.View{again})
}

// Groups are kept in whatever order there is.
func TestView_of_groups(t *testing.T) {
	for order := range groupOrders {
		if _, _, err := ridgeline.ViewQuery("group=p.kind&by=" + order); err != nil {
			t.Errorf("by %s: %v", order, err)
		}
	}
}
