package score

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

func failure(t *testing.T, err error) *exchange.Failure {
	t.Helper()
	var f *exchange.Failure
	if !errors.As(err, &f) {
		t.Fatalf("got %v, want an *exchange.Failure", err)
	}
	return f
}

func (b *bench) call(body string) (string, error) {
	r, err := b.Call(context.Background(), worker.Request{Body: []byte(body)})
	return string(r.Body), err
}

// A request that finds a worker idle does not wait; those that come meanwhile
// are answered together; each gets its own rows.
func TestFront_joins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakes(t, Config{}, func(_ int, w *fake) {
			w.model, w.took = aModel, func(rows int) time.Duration { return time.Millisecond }
		})
		defer b.stop()
		var wg sync.WaitGroup
		for n := range 30 {
			wg.Go(func() {
				x := &exchange.Exchange{}
				rows := 1 + n%3
				out, err := b.Predict(exchange.With(context.Background(), x), number(float64(n), rows))
				if err != nil || !holds(out, float64(n), rows) {
					t.Errorf("%d got %+v, %v", n, out, err)
				}
				switch {
				case n == 0 && (x.Queued != 0 || x.Batch != 1):
					t.Errorf("the first one waited %v, in a batch of %d", x.Queued, x.Batch)
				case n > 0 && (x.Queued != time.Millisecond && x.Queued != 2*time.Millisecond+gatherTime || x.Batch < 2 || x.Worker != 100):
					t.Errorf("request %d waited %v, in a batch of %d", n, x.Queued, x.Batch)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if got := b.fakes[0].groups; len(got) != 3 || got[0] != 1 || got[1] > firstLimit {
			t.Errorf("batches of %v rows", got)
		}
	})
}

func TestFront_joins_only_what_is_alike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakes(t, Config{}, func(_ int, w *fake) { w.model = aModel })
		defer b.stop()
		var wg sync.WaitGroup
		for n := range 9 {
			wg.Go(func() {
				in := number(float64(n), 1)
				if n%2 == 0 {
					in.Tensors[0].Name = "other"
				}
				out, err := b.Predict(context.Background(), in)
				if err != nil || !holds(out, float64(n), 1) || out.Tensors[0].Name != in.Tensors[0].Name {
					t.Errorf("%d got %+v, %v", n, out, err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if got := b.fakes[0].groups; !slices.Equal(got, []int{1, 4, 4}) {
			t.Errorf("batches of %v rows", got)
		}
	})
}

// What fails together is tried again by itself: only the one to blame fails.
func TestFront_joined_failure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakes(t, Config{}, func(_ int, w *fake) {
			w.model = aModel
			w.reply = func(a worker.Answer) worker.Answer {
				data := a.Predicted.Output.Tensors[0].Data
				for i := 0; i < len(data); i += 8 {
					if math.Float64frombits(binary.LittleEndian.Uint64(data[i:])) == 3 {
						a.Predicted = worker.Predicted{Reason: "raised", Error: "ValueError: 3"}
						break
					}
				}
				return a
			}
		})
		defer b.stop()
		var wg sync.WaitGroup
		for n := range 8 {
			wg.Go(func() {
				out, err := b.Predict(context.Background(), number(float64(n), 1))
				if n == 3 {
					if f := failure(t, err); f.Reason != exchange.Raised || f.Error() != "ValueError: 3" {
						t.Errorf("the one to blame got %+v", f)
					}
				} else if err != nil || !holds(out, float64(n), 1) {
					t.Errorf("%d got %+v, %v", n, out, err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
	})
}

// A model whose answers cannot be told apart is asked one request at a time
// from then on.
func TestFront_unjoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakes(t, Config{Log: slog.New(slog.DiscardHandler)}, func(_ int, w *fake) {
			w.model = aModel
			w.reply = func(a worker.Answer) worker.Answer {
				a.Predicted.Output = number(float64(a.Predicted.Output.Rows), 1) // one row for all
				return a
			}
		})
		defer b.stop()
		for range 2 {
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					out, err := b.Predict(context.Background(), number(7, 2))
					if err != nil || !holds(out, 2, 1) {
						t.Errorf("got %+v, %v", out, err)
					}
				})
				synctest.Wait()
			}
			wg.Wait()
		}
		if got := b.fakes[0].groups; !slices.Equal(got, []int{2, 8, 2, 2, 2, 2, 2, 2, 2, 2, 2}) {
			t.Errorf("groups of %v rows", got)
		}
	})
}

// At three times what the workers can do, what is accepted is answered as
// fast in the end as in the beginning, and the workers do nothing in vain.
func TestFront_overload(t *testing.T) {
	for name, model := range map[string]worker.Model{"script": aScript, "model": aModel} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const (
					timeout = 200 * time.Millisecond
					lasts   = 20 * time.Second
				)
				c := Config{Workers: 2, Timeout: timeout, BatchTarget: 20 * time.Millisecond, Queue: 100_000}
				b := fakes(t, c, func(_ int, w *fake) {
					w.model = model
					w.took = func(rows int) time.Duration { return 5*time.Millisecond + time.Duration(rows)*250*time.Microsecond }
				})
				defer b.stop()
				// A script: 1 request in 5.25 ms. A model: 60 rows in 20 ms, before its
				// limit goes to and fro.
				capacity := 2 / 0.00525
				if model.Kind == worker.KindModel {
					capacity = 2 * 60 / 0.020
				}
				var mu sync.Mutex
				answered := map[int][]time.Duration{} // by second
				refused := 0
				var wg sync.WaitGroup
				for start := time.Now(); time.Since(start) < lasts; time.Sleep(time.Duration(float64(time.Second) / (3 * capacity))) {
					second := int(time.Since(start) / time.Second)
					wg.Go(func() {
						began := time.Now()
						var err error
						if model.Kind == worker.KindModel {
							_, err = b.Predict(context.Background(), number(1, 1))
						} else {
							_, err = b.call("x")
						}
						mu.Lock()
						defer mu.Unlock()
						if err == nil {
							answered[second] = append(answered[second], time.Since(began))
							return
						}
						refused++
						if f := failure(t, err); f.Reason != exchange.Shed || f.RetryAfter < time.Second {
							t.Errorf("refused with %+v", f)
						}
					})
				}
				wg.Wait()
				p99 := func(second int) time.Duration {
					times := answered[second]
					slices.Sort(times)
					return times[len(times)*99/100]
				}
				total := 0
				for second, times := range answered {
					total += len(times)
					if slices.Max(times) > timeout {
						t.Errorf("in second %d, an answer took %v", second, slices.Max(times))
					}
				}
				early, late := p99(2), p99(int(lasts/time.Second)-2)
				if late > early*5/4 {
					t.Errorf("p99 was %v in the third second and %v near the end", early, late)
				}
				share := float64(total) / (capacity * lasts.Seconds())
				t.Logf("%d answered, %.0f %% of the capacity; %d refused; p99 %v, then %v; %+v", total, 100*share, refused, early, late, b.Stats())
				if share < 0.9 || refused == 0 {
					t.Errorf("%d answered, %.0f %% of what the workers can do, and %d refused", total, 100*share, refused)
				}
			})
		})
	}
}

func TestFront_queue_is_bounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakes(t, Config{Queue: 3}, func(_ int, w *fake) { w.model, w.took = aScript, func(int) time.Duration { return time.Second } })
		defer b.stop()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := b.call("x"); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		_, err := b.call("one too many")
		if f := failure(t, err); f.Reason != exchange.Shed || f.RetryAfter < time.Second || !strings.Contains(f.Message, "3 requests wait") {
			t.Errorf("got %+v", f)
		}
		wg.Wait()
	})
}

// A client that leaves gives up its place in the queue; what had begun is
// answered: he may only have closed his sending half.
func TestFront_leave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakes(t, Config{}, func(_ int, w *fake) { w.model, w.took = aScript, func(int) time.Duration { return time.Second } })
		defer b.stop()
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for n := range 2 { // one runs, one waits
			wg.Go(func() {
				_, err := b.Call(ctx, worker.Request{})
				if n == 0 && err != nil || n == 1 && failure(t, err).Reason != exchange.Broken {
					t.Errorf("request %d: %v", n, err)
				}
			})
			synctest.Wait()
		}
		if s := b.Stats(); s.Waiting != 1 || s.InFlight != 1 || s.Idle != 0 {
			t.Fatalf("%+v", s)
		}
		cancel()
		synctest.Wait()
		if s := b.Stats(); s.Waiting != 0 || s.InFlight != 1 {
			t.Errorf("%+v", s)
		}
		wg.Wait()
		if body, err := b.call("next"); err != nil || body != "next" {
			t.Errorf("the next one got %s, %v", body, err)
		}
		if n := len(b.fakes[0].groups); n != 2 {
			t.Errorf("the worker ran %d requests, want the first and the last", n)
		}
	})
}

// A worker that hangs is given up at the deadline. Who was behind in its pipe
// gets his answer from the next one.
func TestFront_hang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 2 * time.Second
		b := fakes(t, Config{Timeout: timeout, Log: slog.New(slog.DiscardHandler)}, func(n int, w *fake) {
			w.model = aScript
			w.reply = func(a worker.Answer) worker.Answer {
				if string(a.Response.Body) == "hang" {
					w.took = func(int) time.Duration { return time.Hour }
				}
				return a
			}
		})
		defer b.stop()
		if _, err := b.call("quick"); err != nil { // pipelines are for what is known to be quick
			t.Fatal(err)
		}
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := b.call("hang")
			if f := failure(t, err); f.Reason != exchange.Timeout || f.Message != "Scoring timeout after 2000 ms" || time.Since(start) != timeout {
				t.Errorf("after %v: %+v", time.Since(start), f)
			}
		})
		synctest.Wait()
		time.Sleep(time.Second)
		for n := range 2 {
			wg.Go(func() {
				if body, err := b.call(fmt.Sprint(n)); err != nil || body != fmt.Sprint(n) {
					t.Errorf("behind: %s, %v", body, err)
				}
			})
		}
		synctest.Wait()
		if s := b.Stats(); s.InFlight != 3 {
			t.Errorf("nothing is behind the one that hangs: %+v", s)
		}
		wg.Wait()
		if len(b.fakes) != 2 || b.Stats().Hung != 1 || b.Stats().Restarts != 1 {
			t.Errorf("%d workers, %+v", len(b.fakes), b.Stats())
		}
	})
}

// A request that had to wait for long and then runs past its deadline is
// answered in time, and its worker, which does nothing wrong, lives on.
func TestFront_late(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakes(t, Config{Timeout: 100 * time.Millisecond, QueueTime: time.Second}, func(_ int, w *fake) {
			w.model, w.took = aScript, func(int) time.Duration { return 60 * time.Millisecond }
		})
		defer b.stop()
		var wg sync.WaitGroup
		for n, want := range []exchange.Reason{0, exchange.Timeout, exchange.Shed} {
			wg.Go(func() {
				start := time.Now()
				_, err := b.call("x")
				if n == 0 && err == nil {
					return
				}
				if f := failure(t, err); f.Reason != want || time.Since(start) != 100*time.Millisecond {
					t.Errorf("request %d after %v: %+v", n, time.Since(start), f)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		time.Sleep(time.Second)
		if _, err := b.call("x"); err != nil || len(b.fakes) != 1 {
			t.Errorf("%d workers, %v", len(b.fakes), err)
		}
	})
}

// Who asks before anybody knows what the workers run is not sent to what he
// did not mean, which would end it.
func TestFront_kinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fake{model: aModel, pid: 7, frames: make(chan worker.Frame, 10), done: make(chan struct{}), took: func(int) time.Duration { return time.Millisecond }}
		f := New(Config{Log: slog.New(slog.DiscardHandler), start: func(_ context.Context, _ worker.Config, answer func(worker.Answer)) (process, error) {
			time.Sleep(time.Second)
			w.answer = answer
			go w.run()
			return w, nil
		}})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := f.Call(ctx, worker.Request{})
			if got := failure(t, err); got.Reason != exchange.Stopped || got.RetryAfter == 0 {
				t.Errorf("got %+v", got)
			}
		})
		wg.Go(func() {
			if out, err := f.Predict(ctx, number(1, 1)); err != nil || !holds(out, 1, 1) {
				t.Errorf("got %+v, %v", out, err)
			}
		})
		wg.Wait()
		_, err := f.Call(ctx, worker.Request{})
		if got := failure(t, err); got.Reason != exchange.Broken {
			t.Errorf("got %+v", got)
		}
		cancel()
		<-ended
	})
}

// The death of a worker fails what it had begun, and nobody else.
func TestFront_death(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakes(t, Config{Log: slog.New(slog.DiscardHandler)}, func(_ int, w *fake) {
			w.model = aScript
			w.reply = func(a worker.Answer) worker.Answer {
				if string(a.Response.Body) == "die" {
					w.took = func(int) time.Duration { w.Kill(); return time.Hour }
				}
				return a
			}
		})
		defer b.stop()
		if _, err := b.call("quick"); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for n := range 20 {
			wg.Go(func() {
				body := fmt.Sprint(n)
				if n == 2 {
					body = "die"
				}
				got, err := b.call(body)
				if n == 2 {
					if f := failure(t, err); f.Reason != exchange.Died || !strings.Contains(f.Error(), "last words") {
						t.Errorf("got %+v", f)
					}
				} else if err != nil || got != body {
					t.Errorf("%s got %s, %v", body, got, err)
				}
			})
		}
		wg.Wait()
		if deaths, _, last := b.Deaths(); deaths != 0 || !errors.Is(last, errGone) { // answers came after it
			t.Errorf("%d deaths in a row, the last %v", deaths, last)
		}
	})
}

// A worker that answers what nobody asked cannot be believed any more.
func TestFront_nonsense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakes(t, Config{Log: slog.New(slog.DiscardHandler)}, func(n int, w *fake) {
			w.model = aScript
			w.reply = func(a worker.Answer) worker.Answer {
				if n == 0 {
					a.ID += 7
				}
				return a
			}
		})
		defer b.stop()
		_, err := b.call("x")
		if f := failure(t, err); f.Reason != exchange.Died {
			t.Errorf("got %+v", f)
		}
		if body, err := b.call("y"); err != nil || body != "y" {
			t.Errorf("then %s, %v", body, err)
		}
	})
}

// A worker that has answered enough is replaced: by one that was ready before,
// and with nobody noticing.
func TestFront_recycle(t *testing.T) {
	for name, model := range map[string]worker.Model{"script": aScript, "model": aModel} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := fakes(t, Config{MaxRequests: 50, Log: slog.New(slog.DiscardHandler)}, func(_ int, w *fake) { w.model = model })
				defer b.stop()
				var wg sync.WaitGroup
				for range 8 {
					wg.Go(func() {
						for n := range 100 {
							var err error
							if model.Kind == worker.KindModel {
								_, err = b.Predict(context.Background(), number(float64(n), 1))
							} else {
								_, err = b.call("x")
							}
							if err != nil {
								t.Error(err)
							}
						}
					})
				}
				wg.Wait()
				time.Sleep(time.Second)
				if s := b.Stats(); s.Recycled < 3 || s.Restarts != 0 || s.Workers != 1 {
					t.Errorf("%+v", s)
				}
				for n, w := range b.fakes[:len(b.fakes)-1] {
					if w.Healthy() || !w.stop {
						t.Errorf("worker %d of %d was not stopped", n, len(b.fakes))
					}
				}
			})
		})
	}
}

func TestLimit(t *testing.T) {
	learnt := func(base, row time.Duration) int {
		l := newLimit(1024, 10*time.Millisecond)
		for i := range 2000 {
			n := l.rows()
			if i%50 == 0 { // one that finds the worker idle
				n = 1
			}
			l.learn(n, base+time.Duration(n)*row)
		}
		return l.rows()
	}
	for _, c := range []struct {
		name      string
		base, row time.Duration
		low, high int
	}{
		{"rows are free", 200 * time.Microsecond, time.Microsecond, 1024, 1024},
		{"rows cost", time.Millisecond, 100 * time.Microsecond, 75, 100},
		{"a slow model whose rows are free", 50 * time.Millisecond, time.Microsecond, 1024, 1024},
		{"a row is slow", time.Millisecond, 20 * time.Millisecond, 1, 10},
	} {
		if got := learnt(c.base, c.row); got < c.low || got > c.high {
			t.Errorf("%s: %d rows, want %d to %d", c.name, got, c.low, c.high)
		}
	}
	t.Run("one slow answer to few rows changes nothing", func(t *testing.T) {
		l := newLimit(1024, 10*time.Millisecond)
		l.learn(3, time.Second)
		if l.rows() != firstLimit {
			t.Errorf("%d rows", l.rows())
		}
	})
}
