package main

import (
	"context"
	"fmt"
	"time"
)

// A table is scrolled as by a wheel that is turned without a pause: so many
// pixels each frame, about a hundred rows a second.
const scrolling = `noted.long = []; noted.frames = [];
(() => { const box = document.querySelector("[data-whole]"), step = () => { box.scrollTop += 80; requestAnimationFrame(step); }; step(); })()`

// scrolled is how smoothly the table of runs goes while somebody scrolls
// through it, and whether rows came in time to be seen.
func (s *site) scrolled(ctx context.Context) ([]row, error) {
	b, end, err := s.tab(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := b.Go("/runs"); err != nil {
		return nil, err
	}
	if err := b.Until(fmt.Sprintf(`Number(document.querySelector("[data-whole] table")?.ariaRowCount) > %d`, s.runs)); err != nil {
		return nil, fmt.Errorf("the table did not count its rows: %w", err)
	}
	began := time.Now()
	if err := b.Eval(scrolling, nil); err != nil {
		return nil, err
	}
	time.Sleep(s.log)
	return smoothness(b, "runs, scrolled without a pause", time.Since(began).Seconds())
}
