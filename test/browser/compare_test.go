package browser_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/track"
)

// seeds fills a state folder with runs of three kinds, each tried with three
// seeds, that have logged their loss; it returns the address that compares them.
func seeds(t *testing.T, dir string) string {
	t.Helper()
	ctx, begun, address := t.Context(), time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC), "/compare?"
	s, err := store.Open(ctx, "sqlite:"+filepath.Join(dir, "ridgeline.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	logged, err := track.Open(ctx, track.Options{URL: "sqlite:" + filepath.Join(dir, "tracking.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer logged.Close()
	if _, err := s.EnsureProject(ctx, "iris", begun); err != nil {
		t.Fatal(err)
	}
	experiment, err := logged.CreateExperiment(ctx, track.NewExperiment{Name: "iris"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 9 {
		id := ridgeline.RunID(fmt.Sprintf("r-%014d", i))
		if err := s.InTx(ctx, func(tx *store.Store) error { return keep(ctx, tx, i, begun.Add(time.Duration(i)*time.Minute)) }); err != nil {
			t.Fatal(err)
		}
		if err := loses(ctx, logged, experiment, id, float64(i%3)+float64(i/3)/4); err != nil {
			t.Fatal(err)
		}
		address += "&run=" + string(id)
	}
	return address
}

// loses logs a loss that falls to a value.
func loses(ctx context.Context, logged *track.Store, experiment int64, run ridgeline.RunID, to float64) error {
	r, err := logged.CreateRun(ctx, track.NewRun{Experiment: experiment, Name: "train", Tags: []track.Pair{{Key: "ridgeline.run", Value: string(run)}}})
	if err != nil {
		return err
	}
	var b track.Batch
	for step := range 40 {
		b.Metrics = append(b.Metrics, track.Metric{Key: "loss", Step: int64(step), Time: int64(step), Value: to + 4/float64(step+1)})
	}
	return logged.Log(ctx, r.ID, b)
}

// A person puts compared runs together by a parameter, and sees the bands.
func TestCompare(t *testing.T) {
	dir := t.TempDir()
	address := seeds(t, dir)
	p := sit(t, serveAt(t, dir))
	// soft is how many pixels of the last chart are about as transparent as a band,
	// which but for their edges no line is.
	soft := func() int {
		return asks[int](p, `(() => {
			const box = [...document.querySelectorAll(".chart-box")].at(-1), canvas = box?.querySelector("canvas");
			if (!canvas) return -1;
			const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
			copy.drawImage(canvas, 0, 0);
			const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
			let n = 0;
			for (let i = 3; i < data.length; i += 4) if (data[i] > 34 && data[i] < 48) n++;
			return n;
		})()`)
	}
	p.opens(address)
	p.sees("Compare 9 runs")
	p.until("the curves are drawn", func() bool { return soft() >= 0 })
	edges := soft() // of lines and letters
	p.fills(`select[name="by"]`, "kind")
	p.clicks("form.filters button", "Draw")
	p.sees("loss by kind, mean ± standard deviation", "forest", "5.25 ± 0.25", "1.35 ± 0.25")
	p.until("the bands are drawn", func() bool { return soft() > 4*edges })
	p.fills(`select[name="by"]`, "all")
	p.fills(`select[name="of"]`, "greatest")
	p.clicks("form.filters button", "Draw")
	p.sees("loss by all runs", "each the greatest that the run logged")
	p.content()
}
