package courier

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
)

// maxChunk bounds what one request may add to a log.
const maxChunk = 4 << 20

// maxUsed bounds what a task says it has used, and freshUsed is how old it may
// be when it is read.
const (
	maxUsed   = 64 << 10
	freshUsed = 4 * time.Second
)

// Contents are the blob store.
type Contents interface {
	Get(ctx context.Context, digest string) (io.ReadCloser, error)
	Put(ctx context.Context, r io.Reader) (digest string, size int64, err error)
}

// Logs keep what tasks write, under names of their own.
type Logs interface {
	host.LogSink
	Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error)
}

// Notes are small files: what is known of each task.
type Notes interface {
	Put(ctx context.Context, name string, r io.Reader) error
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	Remove(ctx context.Context, name string) error
}

// A Desk is where containers get what their tasks work on and leave what these
// have made. All that it knows is in the store, so that any server that shares
// the store can answer. All fields are needed.
type Desk struct {
	Contents Contents
	Logs     Logs
	Notes    Notes
	// Seal makes the token of a task, and Whose reads it: the task, or Denied.
	Seal  func(task string, expires time.Time) string
	Whose func(secret string, now time.Time) (task string, err error)
	Log   *slog.Logger

	mu    sync.Mutex
	bells map[string]chan struct{} // by task: closed when its end has arrived here
	used  map[string]seenUsed      // by task
}

// The notes on a task.
func openNote(task string) string { return task + "/open.json" }
func keptNote(task string) string { return task + "/kept.json" }
func usedNote(task string) string { return task + "/used.json" }
func endNote(task string) string  { return task + "/end.json" }

// logOf is the name of a task's log as it came, beside the one that the
// follower of the task keeps, in which secrets are hidden.
func logOf(task string) string { return "away." + task }

// open is what a task's container may fetch.
type open struct {
	Fetch []string `json:"fetch"`
}

// Open makes the desk expect the container of a task, and returns what that
// has to know, to reach the desk at server. Twice is harmless.
func (d *Desk) Open(ctx context.Context, t host.Task, server string, until time.Time) (Errand, error) {
	var o open
	for _, f := range t.Fetch {
		o.Fetch = append(o.Fetch, f.Digest)
	}
	if err := d.note(ctx, openNote(t.Name), o); err != nil {
		return Errand{}, err
	}
	return Errand{Task: t, Server: strings.TrimSuffix(server, "/"), Token: d.Seal(t.Name, until), MaxLog: 64 << 20}, nil
}

// End is how the task's container says it ended; whether it has said so.
func (d *Desk) End(ctx context.Context, task string) (host.TaskState, bool, error) {
	var st host.TaskState
	there, err := d.read(ctx, endNote(task), &st)
	if err != nil || !there {
		return host.TaskState{}, false, err
	}
	// What was kept is what was brought here, not what is claimed.
	st.Kept = ""
	_, err = d.read(ctx, keptNote(task), &st.Kept)
	return st, true, err
}

// Used is what the task's container has said that its command used up to now;
// zero when it has not said so. What it says is read each freshUsed at most:
// it is asked for more often than it changes.
func (d *Desk) Used(ctx context.Context, task string) (m host.Measure, err error) {
	d.mu.Lock()
	last, there := d.used[task]
	d.mu.Unlock()
	if there && time.Since(last.at) < freshUsed {
		return last.Measure, nil
	}
	if there, err = d.read(ctx, usedNote(task), &m); err != nil || !there {
		return m, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.used == nil {
		d.used = map[string]seenUsed{}
	}
	d.used[task] = seenUsed{m, time.Now()}
	return m, nil
}

// seenUsed is what a note said, and when it was read.
type seenUsed struct {
	host.Measure
	at time.Time
}

// Settle writes down how a task ended that will not tell so itself. When an end
// is known already, that one stays and is returned. What it used is what its
// container said last.
func (d *Desk) Settle(ctx context.Context, task string, st host.TaskState) (host.TaskState, error) {
	if known, there, err := d.End(ctx, task); err != nil || there {
		return known, err
	}
	if st.Usage == (ridgeline.Usage{}) {
		var used host.Measure
		if _, err := d.read(ctx, usedNote(task), &used); err != nil {
			return host.TaskState{}, err
		}
		if used.Usage != (ridgeline.Usage{}) { // it held its place until now
			used.WallSeconds = max(used.WallSeconds, st.Ended.Sub(st.Started).Seconds())
		}
		st.Usage, st.Course = used.Usage, used.Course
	}
	if err := d.note(ctx, endNote(task), st); err != nil {
		return host.TaskState{}, err
	}
	d.ring(task)
	return st, nil
}

// Ended is closed when a task's end has arrived at this server.
func (d *Desk) Ended(task string) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bells == nil {
		d.bells = map[string]chan struct{}{}
	}
	if d.bells[task] == nil {
		d.bells[task] = make(chan struct{})
	}
	return d.bells[task]
}

func (d *Desk) ring(task string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if bell := d.bells[task]; bell != nil {
		close(bell)
		delete(d.bells, task)
	}
}

// Begun says whether the task's command has been heard of: hosts learn late
// that a container runs.
func (d *Desk) Begun(ctx context.Context, task string) bool {
	n, err := d.Logs.Size(ctx, logOf(task))
	return err == nil && n > 0
}

// ReadLog opens what the task has written, from offset on.
func (d *Desk) ReadLog(ctx context.Context, task string, offset int64) (io.ReadCloser, error) {
	return d.Logs.Open(ctx, logOf(task), offset)
}

// Close forgets the task: its container, should it still run, is told so at
// its next word. Absent is success.
func (d *Desk) Close(ctx context.Context, task string) error {
	for _, name := range []string{openNote(task), usedNote(task), endNote(task), keptNote(task)} {
		if err := d.Notes.Remove(ctx, name); err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
			return err
		}
	}
	d.ring(task)
	d.mu.Lock()
	delete(d.used, task)
	d.mu.Unlock()
	return d.Logs.Remove(ctx, logOf(task))
}

func (d *Desk) note(ctx context.Context, name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return d.Notes.Put(ctx, name, bytes.NewReader(text))
}

func (d *Desk) read(ctx context.Context, name string, v any) (there bool, err error) {
	r, err := d.Notes.Get(ctx, name)
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer r.Close()
	return true, json.NewDecoder(r).Decode(v)
}

// ServeHTTP answers containers. Its statuses are its own: the other side is Run.
func (d *Desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	task, what := r.PathValue("task"), r.PathValue("what")
	secret, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	whose, err := d.Whose(secret, time.Now())
	if err == nil && whose != task {
		err = ridgeline.Errorf(ridgeline.Denied, "this token is for task %s alone", whose)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	var o open
	there, err := d.read(r.Context(), openNote(task), &o)
	if err == nil && !there {
		http.Error(w, "nobody waits for task "+task+" any more", gone)
		return
	}
	if err == nil {
		switch r.Method + " " + what {
		case "GET " + partFetch:
			err = d.serveContent(w, r, o)
		case "POST " + partLog:
			err = d.takeLog(w, r, task)
		case "PUT " + partKept:
			err = d.takeKept(w, r, task)
		case "PUT " + partUsed:
			err = d.takeUsed(w, r, task)
		case "PUT " + partEnd:
			err = d.takeEnd(w, r, task)
		default:
			http.NotFound(w, r)
		}
	}
	switch {
	case err == nil || r.Context().Err() != nil:
	case ridgeline.CodeOf(err) == ridgeline.Invalid:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		d.Log.Error("a task's container", "task", task, "asked", what, "error", err)
		http.Error(w, "the server could not do this; its log says why", http.StatusInternalServerError)
	}
}

func (d *Desk) serveContent(w http.ResponseWriter, r *http.Request, o open) error {
	digest := r.URL.Query().Get("digest")
	if !slices.Contains(o.Fetch, digest) {
		return ridgeline.Errorf(ridgeline.Invalid, "this task does not work on %q", digest)
	}
	content, err := d.Contents.Get(r.Context(), digest)
	if err != nil {
		return err
	}
	defer content.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	if _, err := io.Copy(w, content); err != nil {
		panic(http.ErrAbortHandler) // it has begun: only a broken connection says that it is not whole
	}
	return nil
}

func (d *Desk) takeLog(w http.ResponseWriter, r *http.Request, task string) error {
	offset, err := strconv.ParseInt(r.URL.Query().Get("offset"), 10, 64)
	if err != nil || offset < 0 {
		return ridgeline.Errorf(ridgeline.Invalid, "offset %q: a number of bytes was expected", r.URL.Query().Get("offset"))
	}
	p, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxChunk))
	if err != nil {
		return ridgeline.Errorf(ridgeline.Invalid, "read a piece of the log: %w", err)
	}
	have, err := d.Logs.Size(r.Context(), logOf(task))
	if err != nil {
		return err
	}
	status := http.StatusConflict // a hole would be left
	if offset <= have {
		if err := d.Logs.Append(r.Context(), logOf(task), offset, p); err != nil {
			return err
		}
		status, have = http.StatusOK, max(have, offset+int64(len(p)))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(size{have})
}

func (d *Desk) takeKept(w http.ResponseWriter, r *http.Request, task string) error {
	digest, _, err := d.Contents.Put(r.Context(), r.Body)
	if err != nil {
		return err
	}
	if err := d.note(r.Context(), keptNote(task), digest); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// takeUsed keeps what the task has used up to now, in place of what was there.
func (d *Desk) takeUsed(w http.ResponseWriter, r *http.Request, task string) error {
	var m host.Measure
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxUsed)).Decode(&m); err != nil {
		return ridgeline.Errorf(ridgeline.Invalid, "read what was used: %w", err)
	}
	if !m.Course.Whole() {
		return ridgeline.Errorf(ridgeline.Invalid, "the course of what was used is not one: columns of one length were expected, with times that rise")
	}
	if err := d.note(r.Context(), usedNote(task), m); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// takeEnd keeps the first end that comes; the same again is harmless.
func (d *Desk) takeEnd(w http.ResponseWriter, r *http.Request, task string) error {
	var st host.TaskState
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&st); err != nil {
		return ridgeline.Errorf(ridgeline.Invalid, "read the end: %w", err)
	}
	if !st.Course.Whole() { // an end is not lost for its ornament
		st.Course = ridgeline.Course{}
	}
	if st.Phase != host.Ended {
		return ridgeline.Errorf(ridgeline.Invalid, "an end was expected, got a task that is %q", st.Phase)
	}
	if _, err := d.Settle(r.Context(), task, st); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// errGone is what the container hears when nobody wants its task any more.
var errGone = errors.New("nobody waits for this task any more")
