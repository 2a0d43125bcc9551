package auth

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// How many sign-ins may fail that come from one address: at once, and how soon
// there is another one after that.
const (
	failuresAtOnce = 30
	failureEvery   = 2 * time.Second
)

// How much the trail takes of what is refused. The same within a minute is one
// event with a count; so is, beyond a number of different ones, all the rest.
const (
	refusalsTogether = time.Minute
	mostRefusals     = 100
)

// mostRemembered bounds what a Door keeps of addresses and callers.
const mostRemembered = 10_000

// Stranger is who the trail says it was when nobody knows.
const Stranger = "stranger"

// A Trail keeps events for good: it gives one an id that has none, and otherwise
// takes its count anew.
type Trail interface {
	NoteAudit(ctx context.Context, e ridgeline.AuditEvent) (ridgeline.AuditEvent, error)
}

// A Door is where callers come in: it has an address wait whose sign-ins fail
// too often, and writes down who was refused. All of its methods may be called
// at any time, from any goroutine.
type Door struct {
	Trail Trail
	Log   *slog.Logger

	mu       sync.Mutex
	free     map[string]time.Time            // when all failures of an address are forgotten
	known    map[[sha256.Size]byte]bool      // credentials that were good, with the address they came from
	refusals map[ridgeline.AuditEvent]*tally // of the last minute, by all but their ids, times and counts
}

// tally counts one refusal.
type tally struct {
	event ridgeline.AuditEvent // as it is in the trail
	times int
	timer *time.Timer
}

// network is what shares a limit: an address or, of IPv6, the network of one
// subscriber.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Unmap().Is4() {
		return address
	}
	p, _ := a.WithZone("").Prefix(64) // never fails: 64 of 128
	return p.String()
}

func credential(address, secret string) [sha256.Size]byte {
	return sha256.Sum256([]byte(network(address) + "\x00" + secret))
}

// Wait is for how long nobody gets in from that address, since too many have
// failed. A secret that was good there before need not wait for others' mistakes.
func (d *Door) Wait(address, secret string, now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	free, failed := d.free[network(address)]
	if !failed {
		return 0
	}
	wait := free.Sub(now) - (failuresAtOnce-1)*failureEvery
	if wait <= 0 || d.known[credential(address, secret)] {
		return 0
	}
	return wait
}

// TooMany is what somebody is told who has to wait.
func TooMany(wait time.Duration) error {
	return ridgeline.Errorf(ridgeline.Unavailable, "too many sign-ins from this address have failed: try again in %d s", RetryAfter(wait))
}

// RetryAfter is the header of that name, in seconds.
func RetryAfter(wait time.Duration) int { return int((wait + time.Second - 1) / time.Second) }

// Opened says that a secret was good.
func (d *Door) Opened(address, secret string) {
	key := credential(address, secret)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known[key] {
		return
	}
	if d.known == nil || len(d.known) >= mostRemembered {
		d.known = map[[sha256.Size]byte]bool{}
	}
	d.known[key] = true
}

// Failed counts a sign-in that was refused, and has it written down. who is whose
// secret it would have been, as far as that is known.
func (d *Door) Failed(ctx context.Context, who Principal, subject string, now time.Time, err error) {
	d.mu.Lock()
	if d.free == nil {
		d.free = map[string]time.Time{}
	}
	if len(d.free) >= mostRemembered {
		for address, free := range d.free {
			if !free.After(now) {
				delete(d.free, address)
			}
		}
	}
	at := network(who.Address)
	if free := d.free[at]; free.After(now) {
		d.free[at] = free.Add(failureEvery)
	} else if len(d.free) < mostRemembered {
		d.free[at] = now.Add(failureEvery)
	}
	d.mu.Unlock()
	d.Refused(ctx, who, "sign-in", subject, err)
}

// Refused has written down that somebody was kept from something: the same
// within a minute once, with how often it was.
func (d *Door) Refused(ctx context.Context, who Principal, action, subject string, err error) {
	why, _, _ := strings.Cut(err.Error(), ": ")
	key := ridgeline.AuditEvent{
		Who: who.Name, Via: who.Via, Address: who.Address, Action: action, Subject: clip(subject), Reason: clip(why),
		Outcome: ridgeline.AuditRefused, Code: ridgeline.Denied,
	}
	if key.Who == "" {
		key.Who = Stranger
	}
	d.mu.Lock()
	if d.refusals == nil {
		d.refusals = map[ridgeline.AuditEvent]*tally{}
	}
	if d.refusals[key] == nil && len(d.refusals) >= mostRefusals {
		key = ridgeline.AuditEvent{Who: Stranger, Action: action, Reason: "more than the trail lists in a minute", Outcome: key.Outcome, Code: key.Code}
	}
	t := d.refusals[key]
	if t != nil {
		t.times++
		d.mu.Unlock()
		return
	}
	t = &tally{event: key, times: 1}
	d.refusals[key] = t
	t.timer = time.AfterFunc(refusalsTogether, func() { d.conclude(key) })
	d.mu.Unlock()

	ctx = context.WithoutCancel(ctx) // who hangs up was refused all the same
	e, err := d.Trail.NoteAudit(ctx, key)
	if err != nil {
		d.Log.Error("the audit trail lacks a refusal", "who", key.Who, "action", key.Action, "error", err)
		return
	}
	d.mu.Lock()
	t.event = e
	d.mu.Unlock()
}

// Strayed has written down that a token of one project was used for what is
// another's, or is about the whole server. asked is what for.
func (d *Door) Strayed(ctx context.Context, who Principal, asked, subject string) {
	d.Refused(ctx, who, "enter", subject, ridgeline.Errorf(ridgeline.Denied, "%s with a token of project %s", asked, who.Project))
}

// conclude writes down how often something was refused.
func (d *Door) conclude(key ridgeline.AuditEvent) {
	d.mu.Lock()
	t := d.refusals[key]
	if t == nil {
		d.mu.Unlock()
		return
	}
	delete(d.refusals, key)
	t.timer.Stop()
	e, times := t.event, t.times
	d.mu.Unlock()
	if times == 1 && e.ID != "" {
		return
	}
	e.Times = times
	if _, err := d.Trail.NoteAudit(context.Background(), e); err != nil {
		d.Log.Error("the audit trail lacks how often", "who", e.Who, "action", e.Action, "times", times, "error", err)
	}
}

// Close writes down what is still counted.
func (d *Door) Close() {
	d.mu.Lock()
	var keys []ridgeline.AuditEvent
	for key := range d.refusals {
		keys = append(keys, key)
	}
	d.mu.Unlock()
	for _, key := range keys {
		d.conclude(key)
	}
}

// clip bounds what a stranger may have written into the trail.
func clip(text string) string {
	const most = 300
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
