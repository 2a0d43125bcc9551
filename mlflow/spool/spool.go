// Package spool lets a step's script go on while the tracking server is away:
// it stands between the two, and what the script writes meanwhile is kept in a
// file and delivered in order afterwards.
//
// It runs beside the script, as program cmd/spool, and knows of MLflow's
// protocol only which requests need no answer of the server's; whether they are
// right, the server says when it is back. The server takes in what is left when
// a script has ended (Deliver).
package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Options say what a proxy stands between.
type Options struct {
	Server string // the tracking server's address
	Token  string // the step's: only what is written with it is kept
	Dir    string // where it is kept; made when it is needed
	// Run and Experiment, the id of the step's run and the name of its
	// experiment, are asked for at once, so that they are known when a script
	// asks for them while the server is away.
	Run, Experiment string
	Log             io.Writer // is told when the server goes and comes, and what it refused
	// Patience is how long the script's client waits for an answer; zero: 120 s,
	// as MLflow's does by itself. Requests that need the server's answer are held
	// for five sixths of it, and after that it is the client's to repeat them.
	Patience time.Duration
	// Remind is how often the log is told what a request waits for; zero: 1 min.
	Remind time.Duration
}

// A Proxy answers a script in the server's place while that is away.
//
// While the server answers, everything passes through. When it does not, a
// write that needs no answer is acknowledged as soon as it is on the disk, and
// so is every such write that follows, until all have been delivered; reads are
// answered from what the script was told before, where that will do, and
// everything else waits for the server.
type Proxy struct {
	options  Options
	journal  *journal
	delivery *delivery
	memory   memory
	listener net.Listener
	wake     chan struct{} // something was kept
	reminded atomic.Int64  // when the log was last told what a request waits for, in nanoseconds
}

// How long a client waits by itself, and the server may take.
const (
	usual    = 120 * time.Second     // MLflow's client
	answers  = 100 * time.Second     // the server, whatever it is asked
	look     = 50 * time.Millisecond // between two looks whether it is there again
	takes    = 10 * time.Second      // to answer a write
	inMemory = 8 << 20               // bodies up to here can be sent again
)

// Open opens what an earlier proxy left in the folder, and listens on a port of
// the loopback interface.
func Open(o Options) (*Proxy, error) {
	if _, err := url.Parse(o.Server); err != nil || o.Server == "" {
		return nil, fmt.Errorf("the tracking server's address %q: use http://host:port", o.Server)
	}
	j, err := openJournal(o.Dir)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the script: %w", err)
	}
	o.Server = strings.TrimSuffix(o.Server, "/")
	o.Patience, o.Remind = cmp.Or(o.Patience, usual), cmp.Or(o.Remind, time.Minute)
	p := &Proxy{options: o, journal: j, listener: l, wake: make(chan struct{}, 1)}
	p.delivery = &delivery{journal: j, client: newClient(), server: o.Server, token: o.Token, log: o.Log}
	return p, nil
}

func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			DisableCompression: true, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: answers,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// URL is what MLFLOW_TRACKING_URI has to be for the script.
func (p *Proxy) URL() string { return "http://" + p.listener.Addr().String() }

// Run answers and delivers until the context is done. What is not delivered by
// then stays in the folder.
func (p *Proxy) Run(ctx context.Context) error {
	defer p.journal.close()
	serving := &http.Server{Handler: p, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- serving.Serve(p.listener) }()
	go p.remember(ctx)
	delivered := make(chan struct{})
	go func() {
		defer close(delivered)
		p.deliver(ctx)
	}()
	select {
	case <-ctx.Done():
	case err := <-ended:
		return fmt.Errorf("answer the script: %w", err)
	}
	err := serving.Close()
	<-delivered
	return err
}

// Delivered waits until nothing is kept any more.
func (p *Proxy) Delivered(ctx context.Context) error {
	for p.journal.waiting() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(look):
		}
	}
	return nil
}

// deliver delivers whatever is kept, as soon as the server takes it.
func (p *Proxy) deliver(ctx context.Context) {
	for {
		if p.journal.waiting() > 0 {
			if _, err := p.delivery.all(ctx); err != nil && ctx.Err() == nil {
				p.delivery.say("%v; what is kept in %s is taken in when this step has ended", err, p.options.Dir)
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
	}
}

// Deliver delivers what a proxy that is no more left in a folder, which need
// not exist, and returns how many writes that were. What the server refuses is
// written to log, and does not hold up the rest.
func Deliver(ctx context.Context, dir, server, token string, log io.Writer) (int, error) {
	j, err := openJournal(dir)
	if err != nil {
		return 0, err
	}
	defer j.close()
	d := &delivery{journal: j, client: newClient(), server: strings.TrimSuffix(server, "/"), token: token, log: log, final: true}
	defer d.client.CloseIdleConnections()
	return d.all(ctx)
}

// delivery brings a journal to the server, write by write.
type delivery struct {
	journal *journal
	client  *http.Client
	server  string
	token   string
	log     io.Writer
	final   bool        // a token that is refused will not become better
	away    atomic.Bool // the last attempt found no server
}

// The pauses between attempts, and for how long a write on which the server
// fails (500) is tried again, so that one cannot hold up all others for ever.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
	failsFor   = 5 * time.Minute
)

func (d *delivery) say(format string, args ...any) {
	fmt.Fprintf(d.log, "ridgeline: "+format+"\n", args...)
}

// all delivers until nothing is left. It waits for a server that is away.
func (d *delivery) all(ctx context.Context) (n int, err error) {
	pause, failing := firstPause, time.Time{}
	for {
		e, end, ok, err := d.journal.next()
		if err != nil || !ok {
			return n, err
		}
		status, refusal, err := d.send(ctx, e)
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
		again := err != nil || isAway(status) || status == http.StatusTooManyRequests || status == http.StatusUnauthorized && !d.final
		if d.away.Swap(again) != again && !d.final {
			d.turn(again)
		}
		if status == http.StatusInternalServerError {
			if failing.IsZero() {
				failing = time.Now()
			}
			again = time.Since(failing) < failsFor
		}
		if again {
			select {
			case <-ctx.Done():
				return n, ctx.Err()
			case <-time.After(pause):
			}
			pause = min(2*pause, lastPause)
			continue
		}
		if status/100 != 2 {
			d.say("the server refused what was logged while it was away: %s %s: %d %s", e.Method, e.Path, status, refusal)
		}
		if err := d.journal.done(e, end); err != nil {
			return n, fmt.Errorf("note what is delivered: %w", err)
		}
		pause, failing = firstPause, time.Time{}
		n++
	}
}

// turn tells the step's log that the server went or came.
func (d *delivery) turn(away bool) {
	if away {
		d.say("the tracking server does not answer; what this step logs is kept and delivered in order when it is back")
		return
	}
	d.say("the tracking server is back; %d kept writes go to it now", d.journal.waiting())
}

func (d *delivery) send(ctx context.Context, e entry) (status int, refusal string, err error) {
	body, size, err := d.journal.body(e)
	if err != nil {
		return http.StatusGone, err.Error(), nil // its file is lost: reported as a refusal
	}
	defer body.Close()
	limit := takes + time.Duration(size)*time.Second/(1<<20) // 1 MiB/s at least
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, e.Method, d.server+e.Path, body)
	if err != nil {
		return http.StatusBadRequest, err.Error(), nil
	}
	r.ContentLength = size
	if size == 0 {
		r.Body = http.NoBody
	}
	r.Header.Set("Authorization", "Bearer "+d.token)
	if e.Type != "" {
		r.Header.Set("Content-Type", e.Type)
	}
	w, err := d.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer w.Body.Close()
	text, err := io.ReadAll(io.LimitReader(w.Body, 4096))
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, "", err
	}
	_, _ = io.Copy(io.Discard, w.Body)
	return w.StatusCode, strings.TrimSpace(string(text)), nil
}

// isAway tells statuses by which a proxy or a server that is stopping says that
// there is no server now.
func isAway(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}
