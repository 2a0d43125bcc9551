package ui

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// What a log's box shows at first and sends at once, in bytes, and how often
// its stream looks for more.
const (
	logShown = 256 << 10
	logBatch = 256 << 10
	logEvery = 250 * time.Millisecond
)

// followed is the box of a log that goes on, for a page that is made again: its
// stream begins with the end of the log, so that the box is the same each time.
func followed(task, label string) components.Log {
	return components.NewLog(label, components.Path("ui", "logs", task, "?end"), nil)
}

// logEnd is where the lines begin that a box shows at first.
func (u *UI) logEnd(ctx context.Context, task string) (int64, error) {
	size, err := u.Blob.Logs().Size(ctx, task)
	if err != nil || size <= logShown {
		return 0, err
	}
	text, err := u.Blob.Logs().Tail(ctx, task, logShown)
	return size - int64(len(text)) + int64(bytes.IndexByte(text, '\n')) + 1, err
}

// logBox is the end of a task's log, and the stream that goes on from there.
// live says that more may come.
func (u *UI) logBox(ctx context.Context, task, label string, live bool) (components.Log, error) {
	size, err := u.Blob.Logs().Size(ctx, task)
	if err != nil {
		return components.Log{}, err
	}
	text, err := u.Blob.Logs().Tail(ctx, task, logShown)
	if err != nil {
		return components.Log{}, err
	}
	whole := bytes.LastIndexByte(text, '\n') + 1 // a line that is still being written comes by the stream
	next := size - int64(len(text)) + int64(whole)
	if !live {
		whole = len(text)
	}
	cut := int64(len(text)) < size
	lines := splitLines(text[:whole])
	if cut && len(lines) > 0 {
		lines = lines[1:] // its beginning is not there
	}
	box := components.NewLog(label, "", lines)
	if live {
		box.Stream = components.Path("ui", "logs", task, "?offset="+strconv.FormatInt(next, 10))
	}
	return box, nil
}

// splitLines cuts text into lines that a page can show.
func splitLines(text []byte) []string {
	if len(text) == 0 {
		return nil
	}
	lines := strings.Split(strings.TrimSuffix(strings.ToValidUTF8(string(text), "\uFFFD"), "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSuffix(l, "\r")
	}
	return lines
}

// logs adds the streams of tasks' logs.
func (u *UI) logs(mux *http.ServeMux) {
	mux.HandleFunc("GET /ui/logs/{task}/all", u.wholeLog)
	mux.HandleFunc("GET /ui/logs/{task}", func(w http.ResponseWriter, r *http.Request) {
		r, ok := u.enter(w, r)
		if !ok {
			return
		}
		// A browser that lost its connection says how far it has come.
		offset, err := strconv.ParseInt(cmp.Or(r.Header.Get("Last-Event-ID"), r.URL.Query().Get("offset")), 10, 64)
		if err != nil || offset < 0 {
			offset = 0
			if r.URL.Query().Has("end") {
				if offset, err = u.logEnd(r.Context(), r.PathValue("task")); err != nil {
					u.fail(w, r, err)
					return
				}
			}
		}
		u.followLog(r.Context(), newStream(w), r.PathValue("task"), offset)
	})
}

// followLog sends whole lines from offset on, as they come, until the reader
// leaves.
func (u *UI) followLog(ctx context.Context, s *events, task string, offset int64) {
	tick, beat := time.NewTicker(logEvery), time.NewTicker(beatEvery)
	defer tick.Stop()
	defer beat.Stop()
	s.beat()
	for s.err == nil {
		n, err := u.sendLines(ctx, s, task, offset)
		if err != nil {
			if ctx.Err() == nil {
				u.Log.Error("pages", "log", task, "error", err)
			}
			return
		}
		if offset += n; n > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-u.stopped:
			return
		case <-beat.C:
			s.beat()
		case <-tick.C:
		}
	}
}

// sendLines sends the lines that are there, up to a batch, and returns how
// many bytes they were. A line that is longer than a batch is sent in parts.
func (u *UI) sendLines(ctx context.Context, s *events, task string, offset int64) (int64, error) {
	log, err := u.Blob.Logs().Open(ctx, task, offset)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	text, err := io.ReadAll(io.LimitReader(log, logBatch))
	if err != nil {
		return 0, err
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	if whole == 0 && len(text) == logBatch {
		whole = len(text)
	}
	if whole == 0 {
		return 0, nil
	}
	lines, err := json.Marshal(splitLines(text[:whole]))
	if err != nil {
		return 0, err
	}
	s.id = strconv.FormatInt(offset+int64(whole), 10)
	s.send("lines", lines)
	return int64(whole), nil
}
