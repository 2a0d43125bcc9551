// Package journal is a scorer's inference log: it appends every request and
// its answer to a segment file before the answer goes, turns finished segments
// into Parquet, and brings those to their storage.
//
// What is looked up in the files, how long they are kept, and what a scorer
// that never came back left behind is seen to by package prediction.
package journal

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

// Config is everything a Journal can be told. Zero values mean the defaults.
type Config struct {
	Origin                   // names of letters, digits, dots, dashes and underscores, for they become file names
	Dir        string        // of the segments; one Journal at a time
	Store      Store         // where Parquet goes
	Disk       int64         // bytes that may wait in Dir; the oldest are dropped beyond; 1 GB
	Sample     float64       // share of requests to keep, by the hash of their id; 1
	Redact     []string      // inputs, outputs, columns, and dotted paths of JSON bodies that are never written
	NoPayloads bool          // keep neither inputs nor outputs
	MaxBytes   int64         // a segment is finished at this size; 64 MB
	MaxAge     time.Duration // or this old; 5 min
	Log        *slog.Logger

	patience time.Duration // with another process that has the folder; 20 s
}

func (c Config) withDefaults() Config {
	if c.Disk == 0 {
		c.Disk = 1 << 30
	}
	if c.Sample == 0 {
		c.Sample = 1
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 64 << 20
	}
	// A few segments have to fit, or the first is dropped before it is finished.
	c.MaxBytes = min(c.MaxBytes, c.Disk/4)
	if c.MaxAge == 0 {
		c.MaxAge = 5 * time.Minute
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.patience == 0 {
		c.patience = 20 * time.Second
	}
	return c
}

// maxLayouts bounds how many shapes of inputs and outputs a segment holds,
// because each may add columns to its Parquet file.
const maxLayouts = 64

// A Journal is open in one process at a time. Its methods may be called from
// any goroutine.
type Journal struct {
	c      Config
	lock   *os.File
	redact *redaction
	rolled chan struct{} // a segment is finished, or the disk is full

	mu      sync.Mutex
	file    *os.File // nil: the next record makes one
	began   time.Time
	hour    int64
	size    int64
	layouts []layout
	buf     []byte
	stats   Stats
	failing bool // the last write failed
	closed  bool
}

// Stats tell how a Journal fares.
type Stats struct {
	Records      int64     // written since the start
	Dropped      int64     // acknowledged requests whose records were lost: no disk space, or dropped to keep within it; kept over restarts
	Files        int64     // Parquet files brought to their storage since the start
	PendingBytes int64     // in segments that are not in their storage yet
	PendingSince time.Time // when the oldest of these began; zero: none
	Problem      string    // why the storage did not take the last file; empty when it did
}

// Open takes the folder, which it makes if need be. Segments that an earlier
// process left there are taken up by Run. It is a Conflict when another
// process has the folder.
func Open(c Config) (*Journal, error) {
	c = c.withDefaults()
	for name, value := range map[string]string{"project": c.Project, "environment": c.Environment, "model": c.Model, "version": c.Version, "deployment": c.Deployment, "copy": c.Copy} {
		if !safe(value) {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "inference log: the %s %q becomes part of a file's name: use letters, digits, dots, dashes and underscores", name, value)
		}
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("inference log: %w", err)
	}
	lock, err := lockDir(c.Dir)
	for deadline := time.Now().Add(c.patience); ridgeline.CodeOf(err) == ridgeline.Conflict && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond) // whoever adopts what an earlier process left is done soon
		lock, err = lockDir(c.Dir)
	}
	if err != nil {
		return nil, err
	}
	tidy(c.Dir)
	j := &Journal{c: c, lock: lock, redact: newRedaction(c.Redact), rolled: make(chan struct{}, 1)}
	j.stats.Dropped = readDropped(c.Dir)
	return j, j.measure()
}

// safe reports whether a name can be part of a file's.
func safe(name string) bool {
	ok := name != "" && len(name) <= 100 && name[0] != '.'
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-", c) >= 0)
	}
	return ok
}

// lockDir makes sure that a folder's segments have one owner.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("inference log: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ridgeline.Errorf(ridgeline.Conflict, "inference log: another process writes to %s: give each copy a folder of its own (RIDGELINE_LOG_DIR)", dir)
		}
		return nil, fmt.Errorf("inference log: lock %s: %w", dir, err)
	}
	return f, nil
}

// Observe implements serve.Observer. When it returns, the record is in the
// kernel's hands: no end of this process can lose it.
func (j *Journal) Observe(x *exchange.Exchange, r *http.Request) {
	if r.Method == http.MethodOptions || !sampled(x.RequestID, j.c.Sample) {
		return
	}
	e := entry{latency: time.Since(x.Began)}
	if !j.c.NoPayloads {
		j.fill(&e.input, x.Body, &x.Input)
		j.fill(&e.output, x.Answer, &x.Output)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.append(func(b []byte) []byte {
		b = j.number(b, &e.input)
		b = j.number(b, &e.output)
		return appendExchange(b, x, &e)
	})
}

// sampled decides by the id alone, so that whoever knows it knows the answer.
func sampled(id string, share float64) bool {
	if share >= 1 {
		return true
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	// FNV leaves the high bits of short texts alike; one round of mixing evens them.
	v := h.Sum64()
	v ^= v >> 33
	v *= 0xff51afd7ed558ccd
	v ^= v >> 33
	return float64(v) < share*math.MaxUint64
}

// fill decides what is kept of an input or output.
func (j *Journal) fill(p *payload, body []byte, b *tensor.Batch) {
	switch {
	case len(b.Tensors) > 0:
		if j.redact != nil {
			redacted := j.redact.batch(*b)
			b = &redacted
		}
		p.kind, p.batch = payloadTensors, b
		for i := range b.Tensors {
			p.size += len(b.Tensors[i].Data)
		}
	case len(body) > 0:
		if j.redact != nil {
			body = j.redact.body(body)
		}
		p.kind, p.bytes, p.size = payloadBytes, body, len(body)
	}
	if p.size > maxPayload || p.kind == payloadTensors && len(b.Tensors) == 0 {
		p.kind = payloadOmitted
	}
}

// number gives tensors the number of their layout in this segment, and appends
// a new layout's record. The caller holds j.mu.
func (j *Journal) number(b []byte, p *payload) []byte {
	if p.kind != payloadTensors {
		return b
	}
	for i := range j.layouts {
		if j.layouts[i].fits(p.batch) {
			p.layout = i
			return b
		}
	}
	if len(j.layouts) == maxLayouts {
		p.kind = payloadOmitted
		return b
	}
	l := layoutOf(*p.batch)
	b, err := appendJSON(b, recordLayout, l)
	if err != nil { // only what is text and numbers is encoded
		p.kind = payloadOmitted
		return b
	}
	p.layout = len(j.layouts)
	j.layouts = append(j.layouts, l)
	return b
}

// append writes the records that encode appends to a buffer. The caller holds
// j.mu.
func (j *Journal) append(encode func(b []byte) []byte) {
	if j.closed {
		return
	}
	now := time.Now()
	if j.file != nil && (j.size > j.c.MaxBytes || now.Unix()/3600 != j.hour) {
		j.finish()
	}
	if j.file == nil {
		if err := j.create(now); err != nil {
			j.lost(err)
			return
		}
	}
	j.buf = encode(j.buf[:0])
	n, err := j.file.Write(j.buf)
	j.size += int64(n)
	if cap(j.buf) > 1<<20 {
		j.buf = nil
	}
	if err != nil { // what follows a half-written record could not be read
		j.finish()
		j.lost(err)
		return
	}
	j.stats.Records++
	j.stats.PendingBytes += int64(n)
	j.failing = false
}

// lost notes that a record could not be written: answers go out all the same.
func (j *Journal) lost(err error) {
	j.stats.Dropped++
	if !j.failing {
		j.failing = true
		j.c.Log.Error("the inference log cannot be written; requests are answered without being kept", "error", err)
	}
	j.wake()
}

func (j *Journal) create(now time.Time) error {
	f, err := createSegment(j.c.Dir, head{Origin: j.c.Origin, Began: now, Sample: j.c.Sample})
	if err != nil {
		return err
	}
	j.file, j.began, j.hour, j.size, j.layouts = f, now, now.Unix()/3600, 0, nil
	if j.stats.PendingSince.IsZero() {
		j.stats.PendingSince = now
	}
	return nil
}

// finish ends the segment. The caller holds j.mu.
func (j *Journal) finish() {
	if j.file != nil {
		j.file.Close()
		j.file = nil
		j.wake()
	}
}

func (j *Journal) wake() {
	select {
	case j.rolled <- struct{}{}:
	default:
	}
}

// Stats tell how the journal fares now.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.stats
}

// Close finishes the segment and brings what waits to the storage, as far as
// that is possible until ctx is done; the rest stays for the next Open.
func (j *Journal) Close(ctx context.Context) error {
	j.mu.Lock()
	j.finish()
	j.closed = true
	j.mu.Unlock()
	err := j.ship(ctx)
	return errors.Join(err, j.lock.Close())
}
