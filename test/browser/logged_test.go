package browser_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/ridgeline-mlops/ridgeline/track"
)

const manyLogged = 2200

// notebook fills a state folder with runs of an experiment: run i has the loss i.
func notebook(t *testing.T, dir string) (s *track.Store, experiment int64) {
	t.Helper()
	ctx := t.Context()
	s, err := track.Open(ctx, track.Options{URL: "sqlite:" + filepath.Join(dir, "tracking.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if experiment, err = s.CreateExperiment(ctx, track.NewExperiment{Name: "notebooks"}); err != nil {
		t.Fatal(err)
	}
	const clients = 32 // that share commits
	var all sync.WaitGroup
	for first := range clients {
		all.Go(func() {
			for i := first; i < manyLogged; i += clients {
				tried(t, s, experiment, i)
			}
		})
	}
	all.Wait()
	return s, experiment
}

func tried(t *testing.T, s *track.Store, experiment int64, i int) {
	started, finished := time.Date(2026, 11, 1, 9, i, 0, 0, time.UTC).UnixMilli(), track.Finished
	r, err := s.CreateRun(t.Context(), track.NewRun{Experiment: experiment, Name: fmt.Sprintf("trial-%d", i), User: "ann", Started: started})
	if err == nil {
		err = s.Log(t.Context(), r.ID, track.Batch{Metrics: []track.Metric{{Key: "loss", Value: float64(i)}}, Params: []track.Pair{{Key: "kind", Value: []string{"ridge", "forest"}[i%2]}}})
	}
	if err == nil {
		_, err = s.ChangeRun(t.Context(), r.ID, track.RunChange{Status: &finished})
	}
	if err != nil {
		t.Error(err)
	}
}

// What notebooks log is gone through like the runs of pipelines: by scrolling,
// by order and by filter; what one of them begins meanwhile moves nothing.
func TestLogged(t *testing.T) {
	dir := t.TempDir()
	s, experiment := notebook(t, dir)
	p := sit(t, serveAt(t, dir))
	inSight := func(what string, i int) { t.Helper(); p.inSight(what, fmt.Sprintf("trial-%d", i)) }

	address := fmt.Sprintf("/logged?experiment=%d", experiment)
	p.opens(address)
	p.sees("2,200 runs")
	inSight("the latest", manyLogged-1)
	p.scrolls("1e9")
	inSight("at the end", 0)
	p.has(`tr[aria-rowindex="2201"]`)
	if n := asks[int](p, `document.querySelectorAll("[data-rows] tbody tr").length`); n > 120 {
		t.Errorf("%d rows are in the document", n)
	}
	p.until("the address says where", func() bool {
		return asks[int](p, `Number(new URL(location.href).searchParams.get("skip"))`) > manyLogged-100
	})

	// A run that begins meanwhile moves nothing, and is offered.
	tried(t, s, experiment, manyLogged)
	p.sees("There are newer ones")
	inSight("where it was", 0)
	p.clicks("[data-extent] button", "There are newer ones")
	inSight("the new one", manyLogged)
	tried(t, s, experiment, manyLogged+1) // who is at the beginning sees it by itself
	inSight("by itself", manyLogged+1)

	p.clicks("th a", "loss")
	inSight("by loss", 0)
	p.opens(address + "&filter=params.kind+%3D+%27ridge%27&skip=1099")
	p.sees("1,101 runs")
	inSight("of a kind, behind a mark", 2)
	asks[bool](p, `(document.querySelector("[data-rows]").focus(), true)`)
	p.types(kb.Home)
	inSight("by a key", manyLogged)

	p.clicks(".menu > summary", "Columns")
	asks[bool](p, `(document.querySelector('input[name=column][value="m.loss"]').click(), true)`)
	p.clicks(".filters button", "Show")
	p.until("one column is chosen", func() bool { return asks[int](p, `document.querySelectorAll("[data-rows] th.num").length`) == 2 })
	p.content()
}
