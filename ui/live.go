package ui

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// liveParam asks for a stream of a page's changes; its value is the hash of
// what is shown.
const liveParam = "_live"

// How often a stream looks whether something has changed, how often it makes a
// page again that is busy, and how often it says that it is still there.
const (
	lookEvery = 500 * time.Millisecond
	busyEvery = time.Second
	beatEvery = 20 * time.Second
)

// stream sends a page's main part again whenever it has become another. It
// makes it anew when the feed of events has gone on or, while something on it
// moves, each second; so a page is as true as its view, whatever it shows.
func (u *UI) stream(w http.ResponseWriter, r *http.Request, view View) {
	ctx, s := r.Context(), newStream(w)
	shown, at := r.URL.Query().Get(liveParam), int64(-1)
	busy, look, beat := time.Time{}, time.NewTicker(lookEvery), time.NewTicker(beatEvery)
	defer look.Stop()
	defer beat.Stop()
	s.beat()
	for {
		last, err := u.Store.Events(ctx, store.EventFilter{Newest: true, Limit: 1})
		now := time.Now()
		if err == nil && (len(last) > 0 && last[0].Seq != at || at < 0 || !busy.IsZero() && now.After(busy)) {
			at = 0
			if len(last) > 0 {
				at = last[0].Seq
			}
			if _, ok := u.again(r); !ok {
				s.send("gone", nil)
				return
			}
			var p Page
			var l layout
			var main []byte
			if p, err = view(ctx, r); err == nil {
				l, err = u.around(r, p)
			}
			if err == nil {
				main, err = u.render("content", l)
			}
			busy = time.Time{}
			if p.Busy {
				busy = now.Add(busyEvery)
			}
			if h := hash(main); err == nil && h != shown {
				shown, l.Live, l.Content = h, h, content(main)
				if main, err = u.render("main", l); err == nil {
					s.send("main", main)
				}
			}
			if ridgeline.CodeOf(err) == ridgeline.NotFound {
				s.send("gone", nil)
				return
			}
		}
		if err != nil && ctx.Err() == nil {
			u.Log.Error("pages", "stream", r.URL.Path, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-u.stopped:
			return
		case <-beat.C:
			s.beat()
		case <-look.C:
		}
		if s.err != nil {
			return
		}
	}
}

// events is a stream of server-sent events.
type events struct {
	w   http.ResponseWriter
	out *http.ResponseController
	id  string // of the next event, which a browser tells when it comes again; empty: none
	err error  // the first that sending met: the reader has gone
}

func newStream(w http.ResponseWriter) *events {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy in front is not to wait for more
	guard(h)
	return &events{w: w, out: http.NewResponseController(w)}
}

// send sends one event. Empty data are sent as such, since browsers ignore an
// event without any.
func (s *events) send(name string, data []byte) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "event: %s\n", name)
	if s.id != "" {
		fmt.Fprintf(&b, "id: %s\n", s.id)
	}
	for line := range bytes.Lines(data) {
		b.WriteString("data: ")
		b.Write(bytes.TrimRight(line, "\r\n"))
		b.WriteByte('\n')
	}
	if len(data) == 0 {
		b.WriteString("data:\n")
	}
	b.WriteByte('\n')
	s.put(b.Bytes())
}

// beat says that the stream is alive, so that nothing between closes it.
func (s *events) beat() { s.put([]byte(": \n\n")) }

func (s *events) put(text []byte) {
	if s.err != nil {
		return
	}
	if _, s.err = s.w.Write(text); s.err == nil {
		s.err = s.out.Flush()
	}
}
