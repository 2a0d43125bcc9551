package browser_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
)

const manyRuns = 3000

// manage fills a state folder with runs: run i has the loss i, and one of three
// kinds.
func manage(t *testing.T, dir string) {
	t.Helper()
	ctx := t.Context()
	s, err := store.Open(ctx, "sqlite:"+filepath.Join(dir, "ridgeline.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	begun := time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)
	if _, err := s.EnsureProject(ctx, "iris", begun); err != nil {
		t.Fatal(err)
	}
	for from := 0; from < manyRuns; from += 500 {
		err := s.InTx(ctx, func(tx *store.Store) error {
			for i := from; i < from+500; i++ {
				if err := keep(ctx, tx, i, begun.Add(time.Duration(i)*time.Minute)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for more := true; more; {
		if more, err = s.ValueRuns(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func keep(ctx context.Context, tx *store.Store, i int, at time.Time) error {
	id := ridgeline.RunID(fmt.Sprintf("r-%014d", i))
	kind := []string{"ridge", "forest", "boost"}[i%3]
	if err := tx.CreateRun(ctx, ridgeline.Run{ID: id, Project: "iris", Pipeline: 1, Cause: "cli", Params: map[string]string{"kind": kind}, Status: ridgeline.Running, Created: at, Started: at}); err != nil {
		return err
	}
	if err := tx.PlanSteps(ctx, id, []ridgeline.Step{{Name: "train"}}); err != nil {
		return err
	}
	if err := tx.SaveStep(ctx, ridgeline.Step{Run: id, Name: "train", Status: ridgeline.Succeeded, Started: at, Ended: at, Result: ridgeline.Result{Metrics: ridgeline.Metrics{"loss": float64(i)}}}); err != nil {
		return err
	}
	return tx.FinishRun(ctx, id, ridgeline.Succeeded, "", at.Add(time.Second))
}

// A person goes through thousands of runs by scrolling and by keys, sorts and
// groups them, and finds the place again by its address.
func TestRuns(t *testing.T) {
	dir := t.TempDir()
	manage(t, dir)
	p := sit(t, serveAt(t, dir))
	name := func(i int) string { return fmt.Sprintf("r-%014d", i) }
	inSight := func(what string, i int) { t.Helper(); p.inSight(what, name(i)) }
	few := func() {
		t.Helper()
		if n := asks[int](p, `document.querySelectorAll("[data-rows] tbody tr").length`); n > 120 {
			t.Errorf("%d rows are in the document", n)
		}
	}

	p.opens("/runs")
	p.sees(name(manyRuns-1), "3,000 runs")
	p.has(`table[aria-rowcount="3001"]`)
	p.scrolls("1e9")
	inSight("at the end", 0)
	p.has(`tr[aria-rowindex="3001"]`)
	few()
	p.until("the address says where", func() bool {
		return asks[int](p, `Number(new URL(location.href).searchParams.get("skip"))`) > manyRuns-100
	})
	p.scrolls("0")
	inSight("at the beginning again", manyRuns-1)
	p.until("the address is short again", func() bool { return p.at() == "/runs" })

	// What is ticked stays ticked out of sight, and is compared.
	p.clicks(`input[value="`+name(manyRuns-2)+`"]`, "")
	p.types(kb.End)
	inSight("by a key", 0)
	p.until("the focus has come along", func() bool { return asks[string](p, `document.activeElement.value ?? ""`) == name(0) })
	p.types(" ")
	p.clicks("[data-ticked]", "Compare 2 ticked")
	p.sees("Compare 2 runs", name(manyRuns-2), name(0))

	p.opens("/runs?skip=1500&upto=" + name(manyRuns-1))
	inSight("by its address", manyRuns-1-1500)
	few()
	p.types(kb.Tab)
	asks[bool](p, `(document.querySelector("[data-rows]").focus(), true)`)
	p.types(kb.ArrowDown)
	p.until("a row has the focus", func() bool { return asks[string](p, `document.activeElement.innerText`) == name(manyRuns-1-1500) })
	p.types(kb.PageDown + kb.PageUp + kb.ArrowDown)
	p.until("the next one has", func() bool { return asks[string](p, `document.activeElement.innerText`) == name(manyRuns-2-1500) })

	// A run that starts meanwhile moves nothing.
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "ridgeline.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before := asks[float64](p, `document.getElementById(%s).getBoundingClientRect().top`, name(manyRuns-2-1500))
	if err := keep(t.Context(), s, manyRuns, time.Now()); err != nil {
		t.Fatal(err)
	}
	p.sees("There are newer ones")
	if after := asks[float64](p, `document.getElementById(%s).getBoundingClientRect().top`, name(manyRuns-2-1500)); after != before {
		t.Errorf("the row has moved from %v to %v", before, after)
	}
	p.clicks("[data-extent] button", "There are newer ones")
	inSight("the new one", manyRuns)

	p.clicks("th a", "loss")
	inSight("by loss", 0)
	p.opens("/runs?sort=m.loss&where=p.kind+%3D+ridge&skip=900")
	inSight("sorted, of a kind, by its address", 2700)

	// Under a name it is found again by the menu.
	p.opens("/runs?project=iris&where=p.kind+%3D+ridge&sort=m.loss&down=1&column=m.loss")
	inSight("the worst of a kind", manyRuns)
	p.clicks(".menu.views > summary", "Views")
	p.acts("Save this table", "name", "worst <ridge>")
	p.reads(".menu.views > summary", "worst <ridge>")
	p.goes("Models", "No model")
	p.goes("Runs", "newest first")
	p.clicks(".menu.views > summary", "Views")
	p.clicks(".menu.views .list a", "worst <ridge>")
	p.reads(".menu.views > summary", "worst <ridge>")
	inSight("by the view", manyRuns)
	p.clicks("th a", "loss") // and by another table, once asked
	inSight("the best of a kind", 0)
	p.clicks(".menu.views > summary", "Views")
	p.content()
	p.acts("Save this table", "name", "worst <ridge>")
	p.reads(".menu.views .problem", "another view of this name")
	p.until("the browser tells of the refusal", func() bool { return strings.Contains(strings.Join(p.tab.Complaints(), " "), "409") })
	p.acts("Replace worst")
	p.reads(".menu.views > summary", "worst <ridge>")
	inSight("by what it was replaced with", 0)
	p.clicks(".menu.views > summary", "worst")
	p.acts("Remove this view")
	p.reads(".menu.views > summary", "Views")

	p.opens("/runs?group=p.kind&of=m.loss")
	p.sees("forest", "boost", "1,000 succeeded", "1,500")
	p.clicks("a[data-open]", "forest")
	p.sees(name(2998), "All as a table")
	p.until("the address has what is open", func() bool { return p.at() == "/runs?group=p.kind&of=m.loss&open=forest" })
	p.opens(p.at())
	p.sees(name(2998))
	p.goes("All as a table", "All groups")
	p.has(`table[aria-rowcount="1001"]`)
	p.content()
}
