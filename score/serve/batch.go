package serve

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/score"
	"github.com/ridgeline-mlops/ridgeline/score/exchange"
)

// A BatchAnswer is one line of a batch's responses.
type BatchAnswer struct {
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body"` // a string when the script answered something that is not JSON
	MS     float64         `json:"ms"`   // from handing the request over to having its answer
	Error  string          `json:"error,omitempty"`
}

// A BatchSummary is what a batch came to.
type BatchSummary struct {
	Requests int     `json:"requests"`
	Failed   int     `json:"failed"` // status 400 and above
	Latency  Latency `json:"latency"`
}

// Latency is a distribution in milliseconds; percentiles by nearest rank.
type Latency struct {
	Samples int     `json:"samples"`
	Mean    float64 `json:"mean_ms"`
	P50     float64 `json:"p50_ms"`
	P95     float64 `json:"p95_ms"`
	P99     float64 `json:"p99_ms"`
}

// maxDeaths ends a batch whose script keeps killing its worker.
const maxDeaths = 5

// Batch sends every line of requests, one JSON body each, in order and one
// after the other, through the path that HTTP requests take, and writes one
// BatchAnswer per line. Empty lines are skipped. A request that fails is a line
// like any other.
//
// With latency > 0, so many more requests follow, the first lines that succeeded
// over and over, and the summary's latency is theirs alone: a steady state instead of
// one that contains the first call's warm-up. Otherwise it is that of the lines.
//
// path is where they are sent, as in /score.
//
// It returns a *worker.StartError when the scoring script or the model cannot be made ready.
func Batch(ctx context.Context, c Config, path string, requests io.Reader, responses io.Writer, latency int) (BatchSummary, error) {
	c = c.withDefaults()
	c.Workers = 1          // one after the other: more would stand idle
	defer c.collect(nil)() // a script that collects runs here, too; nothing is kept
	f := score.New(c.Config)
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- f.Run(working) }()
	b := batcher{front: f, path: path, routes: routes(f, c), limit: c.BodyLimit}
	summary, err := b.run(ctx, requests, responses, latency)
	stop()
	if start := <-ended; start != nil {
		return summary, start // the cause of whatever else went wrong
	}
	return summary, err
}

type batcher struct {
	front  *score.Front
	routes http.Handler
	path   string
	limit  int64
}

func (b *batcher) run(ctx context.Context, requests io.Reader, responses io.Writer, latency int) (BatchSummary, error) {
	var summary BatchSummary
	if err := b.front.Await(ctx); err != nil { // an init() that fails shall show even when there is no line
		return summary, err
	}

	in := bufio.NewReaderSize(requests, 64<<10)
	out := bufio.NewWriter(responses)
	var times []float64
	var again [][]byte
	for number := 1; ; number++ {
		line, err := readLine(in, b.limit)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return summary, fmt.Errorf("requests, line %d: %w", number, err)
		}
		if len(line) == 0 {
			continue
		}
		answer, err := b.one(ctx, line)
		if err != nil {
			return summary, fmt.Errorf("requests, line %d: %w", number, err)
		}
		text := append(encode(answer), '\n')
		if _, err := out.Write(text); err != nil {
			return summary, fmt.Errorf("write responses: %w", err)
		}
		summary.Requests++
		if answer.Status >= 400 {
			summary.Failed++
		}
		times = append(times, answer.MS)
		if len(again) < latency && answer.Status < 400 {
			again = append(again, line)
		}
	}
	if err := out.Flush(); err != nil {
		return summary, fmt.Errorf("write responses: %w", err)
	}
	if latency > 0 {
		times = times[:0]
		for n := range latency {
			if len(again) == 0 {
				break // a failure's latency says nothing about the model
			}
			answer, err := b.one(ctx, again[n%len(again)])
			if err != nil {
				return summary, fmt.Errorf("measure latency: %w", err)
			}
			times = append(times, answer.MS)
		}
	}
	summary.Latency = distribution(times)
	return summary, nil
}

func (b *batcher) one(ctx context.Context, line []byte) (BatchAnswer, error) {
	x := &exchange.Exchange{Began: time.Now()}
	r, err := http.NewRequestWithContext(exchange.With(ctx, x), http.MethodPost, b.path, bytes.NewReader(line))
	if err != nil {
		return BatchAnswer{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Host = "batch"
	w := &held{header: http.Header{}}
	b.routes.ServeHTTP(w, r)
	took := time.Since(x.Began)
	if err := ctx.Err(); err != nil {
		return BatchAnswer{}, err
	}
	a := BatchAnswer{Status: w.status, Body: rawJSON(w.body.Bytes()), MS: thousandths(float64(took) / 1e6)}
	if x.Failure != nil {
		if x.Failure.Reason == exchange.Stopped {
			return BatchAnswer{}, ridgeline.Errorf(ridgeline.Unavailable, "%w", x.Failure) // no worker comes back
		}
		a.Error = x.Failure.Error()
	}
	if deaths, _, last := b.front.Deaths(); deaths >= maxDeaths {
		return BatchAnswer{}, fmt.Errorf("the worker ended %d times in a row; at last: %w", deaths, last)
	}
	return a, nil
}

// held keeps an answer.
type held struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *held) Header() http.Header         { return h.header }
func (h *held) WriteHeader(status int)      { h.status = status }
func (h *held) Write(p []byte) (int, error) { return h.body.Write(p) }

// readLine returns a line without its end; the last one needs none.
func readLine(in *bufio.Reader, limit int64) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if int64(len(line)) > limit {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "longer than the limit of %d bytes (RIDGELINE_BODY_LIMIT)", limit)
		}
		switch {
		case err == nil, errors.Is(err, io.EOF) && len(line) > 0:
			return bytes.TrimSpace(line), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// rawJSON is the body on one line.
func rawJSON(body []byte) json.RawMessage {
	var b bytes.Buffer
	if err := json.Compact(&b, body); err != nil {
		return encode(string(body))
	}
	return b.Bytes()
}

func distribution(ms []float64) Latency {
	if len(ms) == 0 {
		return Latency{}
	}
	sorted := slices.Sorted(slices.Values(ms))
	rank := func(p float64) float64 {
		return sorted[max(0, int(math.Ceil(p*float64(len(sorted))))-1)]
	}
	var sum float64
	for _, v := range sorted {
		sum += v
	}
	return Latency{Samples: len(sorted), Mean: thousandths(sum / float64(len(sorted))), P50: rank(0.5), P95: rank(0.95), P99: rank(0.99)}
}

func thousandths(v float64) float64 { return math.Round(v*1e3) / 1e3 }
