package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline/bench"
	"github.com/ridgeline-mlops/ridgeline/test/browser"
)

// An address of a page, and its budgets in milliseconds; 0: none.
type address struct {
	what, path           string
	paint, server, drawn float64
}

// served is how long the server takes, from the request to the last byte.
func (s *site) served(ctx context.Context, p address) (row, error) {
	client, err := s.signIn(ctx)
	if err != nil {
		return row{}, err
	}
	var took []float64
	for i := range s.times + 1 {
		began := time.Now()
		res, err := s.ask(ctx, client, http.MethodGet, p.path, nil)
		if err != nil {
			return row{}, err
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			return row{}, fmt.Errorf("%s: %w", p.path, err)
		}
		if res.StatusCode != http.StatusOK {
			return row{}, fmt.Errorf("%s: %s: %.300s", p.path, res.Status, text)
		}
		if i > 0 { // the first one fills caches
			took = append(took, float64(time.Since(began))/1e6)
		}
	}
	return row{What: p.what, Tool: "server", Runs: s.runs, Millis: bench.Median(took), P95: bench.Quantile(took, 0.95), Budget: p.server}, nil
}

// signIn is a client with a session.
func (s *site) signIn(ctx context.Context) (*http.Client, error) {
	token, err := os.ReadFile(filepath.Join(s.folder, "token"))
	if err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Jar: jar, Timeout: time.Minute}
	res, err := s.ask(ctx, client, http.MethodPost, "/sign-in", url.Values{"token": {strings.TrimSpace(string(token))}})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("sign in: %s", res.Status)
	}
	return client, nil
}

// ask asks as a browser does: what is no browser is not sent to sign in.
func (s *site) ask(ctx context.Context, client *http.Client, method, path string, form url.Values) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/html")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return client.Do(req)
}

// noting is run before each page's own scripts: it notes when the last chart
// was drawn, how long frames took, and tasks that kept the page from answering.
const noting = `window.noted = {drawn: 0, long: [], frames: []};
document.addEventListener("chart", () => { noted.drawn = performance.now(); });
new PerformanceObserver((list) => noted.long.push(...list.getEntries().map((e) => e.duration))).observe({type: "longtask", buffered: true});
const frame = (at) => { noted.frames.push(at); requestAnimationFrame(frame); };
requestAnimationFrame(frame);`

// tab opens a browser that is signed in and notes.
func (s *site) tab(ctx context.Context) (b *browser.Browser, end func(), err error) {
	link, err := s.ridgeline(ctx, s.folder, "sign-in")
	if err != nil {
		return nil, nil, err
	}
	b, end, err = browser.Open(ctx, s.base)
	if err != nil {
		return nil, nil, err
	}
	if err = b.First(noting); err == nil {
		_, path, _ := strings.Cut(strings.TrimSpace(link), s.base)
		err = b.Go(strings.Fields(path)[0])
	}
	if err != nil {
		end()
		return nil, nil, err
	}
	return b, end, nil
}

// shown is how long the browser takes until something is to be seen and, of
// pages with charts, until the last one is drawn.
func (s *site) shown(ctx context.Context, pages []address) (rows []row, err error) {
	b, end, err := s.tab(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	for _, p := range pages {
		var painted, drawn []float64
		for i := range s.times/2 + 1 {
			var at struct{ Paint, Drawn float64 }
			if err := b.Go(p.path); err != nil {
				return nil, err
			}
			err := b.Until(`performance.getEntriesByName("first-contentful-paint").length && document.querySelectorAll("[data-chart]").length === document.querySelectorAll("[data-chart] canvas").length`)
			if err == nil {
				err = b.Eval(`({Paint: performance.getEntriesByName("first-contentful-paint")[0].startTime, Drawn: noted.drawn})`, &at)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.what, err)
			}
			if i > 0 {
				painted, drawn = append(painted, at.Paint), append(drawn, at.Drawn)
			}
		}
		rows = append(rows, row{What: p.what, Tool: "browser, first paint", Runs: s.runs, Millis: bench.Median(painted), P95: bench.Quantile(painted, 0.95), Budget: p.paint})
		if p.drawn > 0 {
			rows = append(rows, row{What: p.what, Tool: "browser, all charts drawn", Runs: s.runs, Millis: bench.Median(drawn), P95: bench.Quantile(drawn, 0.95), Budget: p.drawn})
		}
	}
	return rows, nil
}
