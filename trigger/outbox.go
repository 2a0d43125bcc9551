// Package trigger is what makes things happen without a person: schedules and
// events from outside start runs, and what happened here is told to others.
//
// What a run is, and whether there may be another one, is pipeline's business;
// how new data is taken in is intake's; what an event says, and that there is
// one for each change, is store's.
package trigger

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// A Subscriber says which deliveries an event leads to: their Kind, Target and
// Body. It is called once for each event that lasts, in the transaction that
// passes the event on, so it only reads from tx and does no I/O beside it. An
// error holds all events back until it is gone.
type Subscriber func(ctx context.Context, tx *store.Store, e ridgeline.Event) ([]ridgeline.Delivery, error)

// A Sender sends a delivery and returns the HTTP status of the answer, 0 when
// there was none. Sent once more after a crash is possible, so the receiver
// needs something stable to know it by, such as d.Event. An error means that
// it is tried again; a *Refusal says more.
type Sender func(ctx context.Context, d ridgeline.Delivery) (code int, err error)

// A Refusal is an error of a Sender that knows how to go on.
type Refusal struct {
	Message string
	Final   bool          // trying again is of no use
	After   time.Duration // try again no earlier; 0: as usual
}

// Error returns the message.
func (r *Refusal) Error() string { return r.Message }

// An Outbox passes events on and sends deliveries until they are taken. Only
// the leading server runs one. All fields are needed.
type Outbox struct {
	Store       *store.Store
	Subscribers []Subscriber
	Senders     map[string]Sender // by the deliveries' kind
	Log         *slog.Logger
}

const (
	pollEvery = 250 * time.Millisecond
	sendsMost = 32               // targets at once
	sendsFor  = 30 * time.Second // until an attempt is broken off
	// Patience is how long a delivery is tried.
	Patience = 72 * time.Hour
	keepFor  = 30 * 24 * time.Hour // what has ended
)

// Run works until ctx is done. What was sent but not yet recorded as sent is
// then sent again by the next one.
func (o *Outbox) Run(ctx context.Context) error {
	var group sync.WaitGroup
	defer group.Wait()
	busy := &targets{free: sendsMost, busy: map[store.Target]bool{}}
	forget := time.Now()
	for ctx.Err() == nil {
		err := o.relay(ctx)
		if err == nil {
			err = o.dispatch(ctx, &group, busy)
		}
		if err == nil && time.Now().After(forget) {
			_, err = o.Store.ForgetEvents(ctx, time.Now().Add(-keepFor), 1000)
			forget = time.Now().Add(time.Minute)
		}
		pause := pollEvery
		if err != nil && ctx.Err() == nil {
			o.Log.Error("pass events on", "error", err)
			pause = 5 * time.Second
		}
		wait(ctx, pause)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// relay asks the subscribers about every new event.
func (o *Outbox) relay(ctx context.Context) error {
	for {
		n, err := o.Store.RelayEvents(ctx, 100, func(ctx context.Context, tx *store.Store, e ridgeline.Event) (all []ridgeline.Delivery, err error) {
			for _, s := range o.Subscribers {
				more, err := s(ctx, tx, e)
				if err != nil {
					return nil, err
				}
				all = append(all, more...)
			}
			return all, nil
		})
		if n == 0 || err != nil {
			return err
		}
	}
}

// targets are those that somebody sends to just now. Each has one sender at a
// time, so that one that is slow or dead delays nobody but itself.
type targets struct {
	mu   sync.Mutex
	free int
	busy map[store.Target]bool
}

func (t *targets) take(to store.Target) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free == 0 || t.busy[to] {
		return false
	}
	t.free--
	t.busy[to] = true
	return true
}

func (t *targets) give(to store.Target) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free++
	delete(t.busy, to)
}

func (o *Outbox) dispatch(ctx context.Context, group *sync.WaitGroup, busy *targets) error {
	due, err := o.Store.DueTargets(ctx, time.Now())
	if err != nil {
		return err
	}
	// In another order each time: when there are more than may be sent to at
	// once, dead ones must not come first every time.
	rand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	for _, to := range due {
		if !busy.take(to) {
			continue
		}
		group.Go(func() {
			defer busy.give(to)
			if err := o.sendAll(ctx, to); err != nil && ctx.Err() == nil {
				o.Log.Error("send what is due", "kind", to.Kind, "target", to.Name, "error", err)
			}
		})
	}
	return nil
}

// sendAll sends what is due to one target, one after the other.
func (o *Outbox) sendAll(ctx context.Context, to store.Target) error {
	for ctx.Err() == nil {
		d, found, err := o.Store.NextDelivery(ctx, to, time.Now())
		if err != nil || !found {
			return err
		}
		code, err := o.send(ctx, d)
		if ctx.Err() != nil && err != nil {
			return nil // it was broken off by us: no attempt
		}
		a := judge(d, code, err, time.Now(), jitter)
		if a.State == ridgeline.DeliveryGivenUp {
			o.Log.Warn("a delivery is given up", "kind", d.Kind, "target", d.Target, "delivery", d.ID, "type", d.Type, "reason", a.Message)
		}
		// What was taken is written down even while we stop.
		if err := o.Store.RecordAttempt(context.WithoutCancel(ctx), d.ID, a); err != nil {
			return err
		}
	}
	return nil
}

func (o *Outbox) send(ctx context.Context, d ridgeline.Delivery) (int, error) {
	sender := o.Senders[d.Kind]
	if sender == nil {
		return 0, &Refusal{Message: "this server sends nothing of the kind " + d.Kind, Final: true}
	}
	ctx, cancel := context.WithTimeout(ctx, sendsFor)
	defer cancel()
	return sender(ctx, d)
}

// judge decides what becomes of a delivery after an attempt.
func judge(d ridgeline.Delivery, code int, err error, now time.Time, jitter func() float64) store.Attempt {
	if err == nil {
		return store.Attempt{State: ridgeline.DeliveryDone, Code: code, At: now}
	}
	a := store.Attempt{State: ridgeline.DeliveryPending, Code: code, Message: err.Error(), At: now}
	delay := time.Duration(float64(backoff(d.Attempts)) * (1 + jitter()))
	var refusal *Refusal
	if errors.As(err, &refusal) {
		delay = max(delay, min(refusal.After, longestPause))
		if refusal.Final {
			a.State = ridgeline.DeliveryGivenUp
			return a
		}
	}
	end := d.Since.Add(Patience)
	if !now.Before(end) {
		a.State = ridgeline.DeliveryGivenUp
		a.Message = "given up after " + Patience.String() + ": " + a.Message
		return a
	}
	a.Next = now.Add(delay)
	if a.Next.After(end) {
		a.Next = end // the last attempt
	}
	return a
}

const (
	firstPause   = 5 * time.Second
	longestPause = 6 * time.Hour
)

// backoff is the pause after an attempt: 5 s after the first, three times as
// much after each further one, 6 h at most. That is some 19 attempts in the
// three days.
func backoff(before int) time.Duration {
	pause := firstPause
	for range before {
		if pause *= 3; pause >= longestPause {
			return longestPause
		}
	}
	return pause
}

// jitter spreads what failed together: up to a fifth more or less.
func jitter() float64 { return rand.Float64()*0.4 - 0.2 } //nolint:gosec // no secret
