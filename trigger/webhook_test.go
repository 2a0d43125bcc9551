package trigger

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/store/storetest"
	"github.com/ridgeline-mlops/ridgeline/vault"
)

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		ok(t, err)
		return v
	}
}

func refused(t testing.TB, err error, code ridgeline.Code, words string) {
	t.Helper()
	if ridgeline.CodeOf(err) != code || !strings.Contains(err.Error(), words) {
		t.Fatalf("got error %q (%s), want %s with %q", err, ridgeline.CodeOf(err), code, words)
	}
}

func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatal("this never happened: " + what)
}

func openStore(t testing.TB) *store.Store {
	t.Helper()
	s := must(store.Open(t.Context(), storetest.Address(t), nil))(t)
	t.Cleanup(func() { _ = s.Close() })
	must(s.EnsureProject(t.Context(), "iris", time.Now()))(t)
	return s
}

// A receiver takes webhooks, checks each with the library that receivers use,
// and answers what it is told to.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	secret string
	answer func(event message) int
	got    []message
	wrong  []string
}

type message struct {
	ID, Type, Subject, Source, Specversion, Sequence string
	Data                                             json.RawMessage
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{answer: func(message) int { return http.StatusNoContent }}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	var m message
	hook, err := standardwebhooks.NewWebhook(r.secret)
	if err == nil {
		err = hook.Verify(body, req.Header)
	}
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	if err == nil && (m.ID != req.Header.Get("webhook-id") || !strings.HasPrefix(req.Header.Get("Content-Type"), "application/cloudevents+json")) {
		err = fmt.Errorf("headers %v", req.Header)
	}
	if err != nil {
		r.wrong = append(r.wrong, err.Error())
	}
	code := r.answer(m)
	if code/100 == 2 {
		r.got = append(r.got, m)
	}
	w.WriteHeader(code)
	fmt.Fprintln(w, "as I was told")
}

func (r *receiver) types() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.got {
		all = append(all, m.Subject+" "+strings.TrimPrefix(m.Type, ridgeline.EventPrefix))
	}
	return all
}

var loopback = Networks{netip.MustParsePrefix("127.0.0.0/8")}

func webhooks(t testing.TB, s *store.Store) *Webhooks {
	t.Helper()
	return NewWebhooks(s, must(vault.Open(t.TempDir()))(t), loopback, "http://ridgeline.test:8470")
}

// outbox runs one and returns what ends it.
func outbox(t testing.TB, s *store.Store, w *Webhooks) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	o := &Outbox{
		Store: s, Subscribers: []Subscriber{w.Subscriber}, Senders: map[string]Sender{ridgeline.DeliveryWebhook: w.Sender},
		Log: slog.New(slog.DiscardHandler),
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = o.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func subscribe(t testing.TB, w *Webhooks, r *receiver, sub ridgeline.Subscription) ridgeline.Subscription {
	t.Helper()
	sub.URL, sub.Caller = r.URL, "admin"
	sub, secret, err := w.Add(t.Context(), sub, "")
	ok(t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secret = secret
	return sub
}

func runOnce(t testing.TB, s *store.Store, id ridgeline.RunID, end ridgeline.Status) {
	t.Helper()
	ok(t, s.CreateRun(t.Context(), ridgeline.Run{ID: id, Project: "iris", Status: ridgeline.Queued, Cause: "cli", Created: time.Now()}))
	ok(t, s.StartRun(t.Context(), id, time.Now()))
	ok(t, s.FinishRun(t.Context(), id, end, "train: exit code 1", time.Now()))
}

func TestWebhooks(t *testing.T) {
	s := openStore(t)
	w := webhooks(t, s)
	r := newReceiver(t)
	sub := subscribe(t, w, r, ridgeline.Subscription{Project: "iris", Types: []string{"dev.ridgeline.run.*"}})
	if strings.Contains(sub.Secret, SecretPrefix) {
		t.Error("the secret is kept in the clear")
	}
	stop := outbox(t, s, w)
	runOnce(t, s, "r-1", ridgeline.Failed)
	must(s.EnsureEndpoint(t.Context(), "iris", "qa"))(t)
	eventually(t, "three messages", func() bool { return len(r.types()) == 3 })
	if got, want := r.types(), []string{"runs/r-1 run.queued", "runs/r-1 run.started", "runs/r-1 run.failed"}; !slices.Equal(got, want) || len(r.wrong) > 0 {
		t.Fatalf("got %v, want %v; wrong: %v", got, want, r.wrong)
	}
	m := r.got[2]
	if m.Specversion != "1.0" || m.Source != "http://ridgeline.test:8470" || m.Sequence != "0000000000000000003" || !strings.Contains(string(m.Data), `"reason":"train: exit code 1"`) {
		t.Errorf("%+v %s", m, m.Data)
	}
	d := must(w.Test(t.Context(), sub.ID))(t)
	eventually(t, "the test message", func() bool { return len(r.types()) == 4 })
	if r.got[3].Type != ridgeline.EventWebhookTest || r.got[3].ID != d.Event {
		t.Errorf("%+v", r.got[3])
	}
	stop()
	list := must(s.Deliveries(t.Context(), store.Target{Kind: ridgeline.DeliveryWebhook, Name: sub.ID}, 0))(t)
	if len(list) != 4 || list[0].State != ridgeline.DeliveryDone || list[0].Code != http.StatusNoContent || list[0].Attempts != 1 {
		t.Errorf("%+v", list)
	}
}

// A target that hangs does not keep another one waiting, and what was on its
// way when the outbox was stopped is sent again by the next one.
func TestOutbox_Run(t *testing.T) {
	s := openStore(t)
	w := webhooks(t, s)
	hangs, quick := newReceiver(t), newReceiver(t)
	release, reached := make(chan struct{}), make(chan struct{}, 100)
	hangs.answer = func(message) int { reached <- struct{}{}; <-release; return http.StatusOK }
	sub := subscribe(t, w, hangs, ridgeline.Subscription{})
	taken := subscribe(t, w, quick, ridgeline.Subscription{})
	stop := outbox(t, s, w)
	runOnce(t, s, "r-1", ridgeline.Succeeded)
	<-reached
	eventually(t, "the quick one has all three, and that is written down", func() bool {
		list := must(s.Deliveries(t.Context(), store.Target{Kind: ridgeline.DeliveryWebhook, Name: taken.ID}, 0))(t)
		return len(list) == 3 && !slices.ContainsFunc(list, func(d ridgeline.Delivery) bool { return d.State != ridgeline.DeliveryDone })
	})
	stop()
	if d := must(s.Deliveries(t.Context(), store.Target{Kind: ridgeline.DeliveryWebhook, Name: sub.ID}, 0))(t); len(d) != 3 || d[2].Attempts != 0 {
		t.Errorf("breaking an attempt off counted as one: %+v", d)
	}
	close(release)
	outbox(t, s, w)
	eventually(t, "the slow one has all three, in order", func() bool {
		got := hangs.types()
		return slices.Equal(slices.Compact(got), []string{"runs/r-1 run.queued", "runs/r-1 run.started", "runs/r-1 run.succeeded"})
	})
	if n := len(quick.types()); n != 3 {
		t.Errorf("the quick one got %d messages, want 3", n)
	}
}

// What is refused is tried again, is visible meanwhile, and holds back only
// what tells of the same subject.
func TestOutbox_Refused(t *testing.T) {
	s := openStore(t)
	w := webhooks(t, s)
	r := newReceiver(t)
	r.answer = func(m message) int {
		if m.Subject == "runs/r-1" {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	}
	sub := subscribe(t, w, r, ridgeline.Subscription{})
	outbox(t, s, w)
	runOnce(t, s, "r-1", ridgeline.Failed)
	runOnce(t, s, "r-2", ridgeline.Failed)
	eventually(t, "r-2 is told", func() bool { return len(r.types()) == 3 })
	to := store.Target{Kind: ridgeline.DeliveryWebhook, Name: sub.ID}
	list := must(s.Deliveries(t.Context(), to, 0))(t)
	first := list[len(list)-1]
	if first.State != ridgeline.DeliveryPending || first.Attempts != 1 || first.Code != 500 || !strings.Contains(first.Message, "as I was told") || first.Next.Before(time.Now()) {
		t.Errorf("%+v", first)
	}
	if second := list[len(list)-2]; second.Attempts != 0 {
		t.Errorf("run.started overtook run.queued: %+v", second)
	}
	r.mu.Lock()
	r.answer = func(message) int { return http.StatusOK }
	r.mu.Unlock()
	must(s.Redeliver(t.Context(), first.ID, time.Now()))(t)
	eventually(t, "r-1 is told", func() bool { return len(r.types()) == 6 })
	if got := r.types()[3:]; !slices.Equal(got, []string{"runs/r-1 run.queued", "runs/r-1 run.started", "runs/r-1 run.failed"}) {
		t.Error(got)
	}
}

func TestJudge(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	none := func() float64 { return 0 }
	for name, c := range map[string]struct {
		d    ridgeline.Delivery
		code int
		err  error
		want store.Attempt
	}{
		"taken":             {ridgeline.Delivery{Since: now}, 204, nil, store.Attempt{State: ridgeline.DeliveryDone, Code: 204, At: now}},
		"first failure":     {ridgeline.Delivery{Since: now}, 500, &Refusal{Message: "x"}, store.Attempt{State: ridgeline.DeliveryPending, Code: 500, Message: "x", At: now, Next: now.Add(5 * time.Second)}},
		"fourth failure":    {ridgeline.Delivery{Since: now, Attempts: 3}, 0, io.EOF, store.Attempt{State: ridgeline.DeliveryPending, Message: "EOF", At: now, Next: now.Add(135 * time.Second)}},
		"thousandth":        {ridgeline.Delivery{Since: now, Attempts: 999}, 0, io.EOF, store.Attempt{State: ridgeline.DeliveryPending, Message: "EOF", At: now, Next: now.Add(6 * time.Hour)}},
		"it says when":      {ridgeline.Delivery{Since: now}, 429, &Refusal{Message: "x", After: time.Hour}, store.Attempt{State: ridgeline.DeliveryPending, Code: 429, Message: "x", At: now, Next: now.Add(time.Hour)}},
		"it says next year": {ridgeline.Delivery{Since: now}, 503, &Refusal{Message: "x", After: 9000 * time.Hour}, store.Attempt{State: ridgeline.DeliveryPending, Code: 503, Message: "x", At: now, Next: now.Add(6 * time.Hour)}},
		"gone":              {ridgeline.Delivery{Since: now}, 410, &Refusal{Message: "x", Final: true}, store.Attempt{State: ridgeline.DeliveryGivenUp, Code: 410, Message: "x", At: now}},
		"one last time":     {ridgeline.Delivery{Since: now.Add(-71 * time.Hour), Attempts: 20}, 0, io.EOF, store.Attempt{State: ridgeline.DeliveryPending, Message: "EOF", At: now, Next: now.Add(time.Hour)}},
		"after three days":  {ridgeline.Delivery{Since: now.Add(-72 * time.Hour), Attempts: 20}, 0, io.EOF, store.Attempt{State: ridgeline.DeliveryGivenUp, Message: "given up after 72h0m0s: EOF", At: now}},
	} {
		if got := judge(c.d, c.code, c.err, now, none); got != c.want {
			t.Errorf("%s: got  %+v\nwant %+v", name, got, c.want)
		}
	}
	for range 100 {
		if j := jitter(); j < -0.2 || j > 0.2 {
			t.Fatal(j)
		}
	}
}

func TestWebhooks_Sender(t *testing.T) {
	s := openStore(t)
	w := webhooks(t, s)
	r := newReceiver(t)
	sub := subscribe(t, w, r, ridgeline.Subscription{})
	send := func(to string) (int, error) {
		return w.Sender(t.Context(), ridgeline.Delivery{ID: "w-1", Target: to, Event: "e-1", Body: []byte(`{}`)})
	}
	final := func(err error) bool { refusal, is := err.(*Refusal); return is && refusal.Final }
	if _, err := send("h-none"); !final(err) {
		t.Error(err)
	}
	for code, want := range map[int]bool{200: true, 202: true, 204: true, 301: false, 400: false, 404: false, 410: false, 429: false, 500: false} {
		r.answer = func(message) int { return code }
		got, err := send(sub.ID)
		if got != code || (err == nil) != want || final(err) != (code == 410) {
			t.Errorf("%d: got %d, %v", code, got, err)
		}
		if code == 301 && !strings.Contains(err.Error(), "redirects are not followed") {
			t.Error(err)
		}
	}
	r.Close()
	if code, err := send(sub.ID); code != 0 || err == nil || final(err) || strings.Contains(err.Error(), "http://") {
		t.Error(code, err)
	}
	ok(t, s.RemoveSubscription(t.Context(), sub.ID))

	// The server's own networks are refused when the webhook is made, and when
	// a message is sent.
	closed := NewWebhooks(s, must(vault.Open(t.TempDir()))(t), nil, "http://ridgeline.test")
	_, _, err := closed.Add(t.Context(), ridgeline.Subscription{URL: "http://localhost:1/"}, "")
	refused(t, err, ridgeline.Denied, "--webhook-networks")
	other := newReceiver(t)
	sub = subscribe(t, w, other, ridgeline.Subscription{})
	w.client = closed.client
	if _, err := send(sub.ID); err == nil || !strings.Contains(err.Error(), "no public address") || len(other.got) > 0 {
		t.Error(err)
	}
	for secret, want := range map[string]bool{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw": true, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw": true, "whsec_short": false, "correct horse battery staple": false} {
		if _, _, err := w.Add(t.Context(), ridgeline.Subscription{URL: other.URL}, secret); (err == nil) != want {
			t.Errorf("%s: %v", secret, err)
		}
	}
}

func TestNetworks_Allows(t *testing.T) {
	private := must(ParseNetworks("private, 169.254.7.7"))(t)
	for address, want := range map[string][2]bool{
		"93.184.215.14": {true, true}, "2606:2800:21f:cb07:6820:80da:af6b:8b2c": {true, true},
		"127.0.0.1": {}, "::1": {}, "0.0.0.0": {}, "::": {}, "::ffff:127.0.0.1": {}, "169.254.169.254": {}, "fe80::1": {}, "fd00:ec2::254": {false, true},
		"100.100.100.200": {}, "64:ff9b::7f00:1": {}, "2002:7f00:1::": {}, "224.0.0.1": {}, "255.255.255.255": {}, "0.1.2.3": {}, "198.18.0.1": {},
		"10.1.2.3": {false, true}, "172.31.0.1": {false, true}, "192.168.1.1": {false, true}, "::ffff:10.1.2.3": {false, true}, "169.254.7.7": {false, true}, "169.254.7.8": {},
	} {
		a := netip.MustParseAddr(address)
		if got := [2]bool{Networks(nil).Allows(a), private.Allows(a)}; got != want {
			t.Errorf("%s: got %v, want %v", address, got, want)
		}
	}
	_, err := ParseNetworks("10.0.0.0/8,intranet")
	refused(t, err, ridgeline.Invalid, `"intranet"`)
}
