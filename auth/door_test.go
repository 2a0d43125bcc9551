package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// trail keeps events by their ids.
type trail struct {
	mu  sync.Mutex
	all []ridgeline.AuditEvent
	err error
}

func (t *trail) NoteAudit(_ context.Context, e ridgeline.AuditEvent) (ridgeline.AuditEvent, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return e, t.err
	}
	for i := range t.all {
		if t.all[i].ID == e.ID {
			t.all[i] = e
			return e, nil
		}
	}
	e.ID, e.Times = fmt.Sprint("x-", len(t.all)), max(e.Times, 1)
	t.all = append(t.all, e)
	return e, nil
}

func (t *trail) told() (all []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.all {
		all = append(all, fmt.Sprintf("%s %s %s %s %d", e.Who, e.Address, e.Action, e.Reason, e.Times))
	}
	return all
}

var errUnknown = ridgeline.Errorf(ridgeline.Denied, "this token is not known here: use another")

func TestDoor_Wait(t *testing.T) {
	d := &Door{Trail: &trail{}, Log: slog.New(slog.DiscardHandler)}
	defer d.Close()
	now := time.Now()
	d.Opened("10.0.0.7", "good")
	for range failuresAtOnce {
		if wait := d.Wait("10.0.0.7", "guess", now); wait > 0 {
			t.Fatalf("waits %s", wait)
		}
		d.Failed(t.Context(), Principal{Address: "10.0.0.7"}, "tokens", now, errUnknown)
	}
	if wait := d.Wait("10.0.0.7", "guess", now); wait != failureEvery {
		t.Errorf("after %d failures one waits %s, want %s", failuresAtOnce, wait, failureEvery)
	}
	// Who was in before, and who comes from elsewhere, need not.
	for _, c := range [][2]string{{"10.0.0.7", "good"}, {"10.0.0.8", "guess"}} {
		if wait := d.Wait(c[0], c[1], now); wait > 0 {
			t.Errorf("%s with %s waits %s", c[0], c[1], wait)
		}
	}
	if wait := d.Wait("10.0.0.8", "good", now); wait > 0 {
		t.Errorf("waits %s", wait)
	}
	later := now.Add(failureEvery)
	if wait := d.Wait("10.0.0.7", "guess", later); wait > 0 {
		t.Errorf("still waits %s", wait)
	}
	d.Failed(t.Context(), Principal{Address: "10.0.0.7"}, "tokens", later, errUnknown)
	if wait := d.Wait("10.0.0.7", "guess", later); wait <= 0 {
		t.Error("one more than may fail, and no wait")
	}
	// One subscriber's network is one address.
	for i := range failuresAtOnce {
		d.Failed(t.Context(), Principal{Address: fmt.Sprintf("2001:db8::%x", i+1)}, "tokens", now, errUnknown)
	}
	if d.Wait("2001:db8::ffff", "guess", now) <= 0 || d.Wait("2001:db8:1::1", "guess", now) > 0 {
		t.Error("IPv6 is not counted by network")
	}
}

func TestDoor_Refused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &trail{}
		d := &Door{Trail: kept, Log: slog.New(slog.DiscardHandler)}
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if got := kept.told(); strings.Join(got, "; ") != strings.Join(want, "; ") {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		for range 5 {
			d.Failed(t.Context(), Principal{Address: "10.0.0.7"}, "tokens", time.Now(), errUnknown)
		}
		d.Failed(t.Context(), Principal{Name: "ci", Address: "10.0.0.7"}, "tokens", time.Now(), ridgeline.Errorf(ridgeline.Denied, "token %q was revoked", "ci"))
		expect("stranger 10.0.0.7 sign-in this token is not known here 1", `ci 10.0.0.7 sign-in token "ci" was revoked 1`)
		time.Sleep(refusalsTogether)
		expect("stranger 10.0.0.7 sign-in this token is not known here 5", `ci 10.0.0.7 sign-in token "ci" was revoked 1`)

		// Another minute is another event; so is what could not be written at first.
		kept.mu.Lock()
		kept.all, kept.err = nil, errors.New("the disk is full")
		kept.mu.Unlock()
		d.Failed(t.Context(), Principal{Address: "10.0.0.7"}, "tokens", time.Now(), errUnknown)
		d.Failed(t.Context(), Principal{Address: "10.0.0.7"}, "tokens", time.Now(), errUnknown)
		expect()
		kept.mu.Lock()
		kept.err = nil
		kept.mu.Unlock()
		d.Close()
		expect("stranger 10.0.0.7 sign-in this token is not known here 2")

		// A flood is not listed.
		for i := range 10 * mostRefusals {
			d.Failed(t.Context(), Principal{Address: fmt.Sprintf("10.0.%d.%d", i/200, i%200)}, "tokens", time.Now(), errUnknown)
		}
		d.Close()
		all := kept.told()
		if len(all) != 1+mostRefusals+1 || !strings.HasSuffix(all[len(all)-1], fmt.Sprint(" ", 9*mostRefusals)) {
			t.Errorf("%d events, the last one %q", len(all), all[len(all)-1])
		}
	})
}
