package serve

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score/journal"
)

// A JournalConfig says how the inference log is kept.
type JournalConfig struct {
	journal.Config
	URL, Token string // of its storage, see journal.OpenStore

	journal *journal.Journal // once it is open
}

// logState is what /healthz/ready says of the inference log.
type logState struct {
	PendingBytes  int64   `json:"pending_bytes"`
	BehindSeconds float64 `json:"behind_seconds"` // age of the oldest request that is not in its storage
	Dropped       int64   `json:"dropped"`        // requests whose records were lost for lack of disk space
	Problem       string  `json:"problem,omitempty"`
}

func (j *JournalConfig) state() *logState {
	if j == nil || j.journal == nil {
		return nil
	}
	s := j.journal.Stats()
	state := &logState{PendingBytes: s.PendingBytes, Dropped: s.Dropped, Problem: s.Problem}
	if !s.PendingSince.IsZero() {
		state.BehindSeconds = math.Round(time.Since(s.PendingSince).Seconds())
	}
	return state
}

// journal reads what there is to know of the inference log from the
// environment; nil when none is to be kept.
func (e *env) journal() *JournalConfig {
	j := &JournalConfig{URL: e.getenv("RIDGELINE_LOG_URL"), Token: e.getenv("RIDGELINE_LOG_TOKEN")}
	if j.URL == "" {
		return nil
	}
	machine, _ := os.Hostname()
	j.Origin = journal.Origin{
		Project: e.text("RIDGELINE_PROJECT", "none"), Environment: e.text("RIDGELINE_ENVIRONMENT", "none"),
		Model: e.text("RIDGELINE_MODEL_NAME", "none"), Version: e.text("RIDGELINE_MODEL_VERSION", "0"),
		Deployment: e.text("RIDGELINE_DEPLOYMENT", "none"), Copy: e.text("RIDGELINE_COPY", cmp.Or(machine, "0")),
	}
	// Each copy has a folder of its own, for their log's sake and their disk space's.
	j.Dir = filepath.Join(e.text("RIDGELINE_LOG_DIR", filepath.Join(os.TempDir(), "ridgeline-log")), j.Copy)
	j.Disk = e.number("RIDGELINE_LOG_DISK", 1<<50)
	j.MaxAge = time.Duration(e.number("RIDGELINE_LOG_SECONDS", 3600)) * time.Second
	if v := e.getenv("RIDGELINE_LOG_SAMPLE"); v != "" {
		share, err := strconv.ParseFloat(v, 64)
		if err != nil || !(share > 0 && share <= 1) {
			e.mistakes = append(e.mistakes, fmt.Errorf("RIDGELINE_LOG_SAMPLE=%q: expected a number above 0 and up to 1", v))
		}
		j.Sample = share
	}
	j.NoPayloads = e.getenv("RIDGELINE_LOG_PAYLOADS") != "" && !e.flag("RIDGELINE_LOG_PAYLOADS")
	for name := range strings.SplitSeq(e.getenv("RIDGELINE_LOG_REDACT"), ",") {
		if name = strings.TrimSpace(name); name != "" {
			j.Redact = append(j.Redact, name)
		}
	}
	var err error
	if j.Store, err = journal.OpenStore(j.URL, j.Token); err != nil {
		e.mistakes = append(e.mistakes, fmt.Errorf("RIDGELINE_LOG_URL: %w", err))
	}
	return j
}

// A keeper runs the inference log beside the listener.
type keeper struct {
	journal *journal.Journal
	close   func() // the sink of Collectors
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// lastShipment is how long the last requests may take to get to the log's
// storage when the process stops; what does not is found at the next start.
const lastShipment = 3 * time.Second

// keep opens the inference log, if one is to be kept, and puts it in front of
// the other observers.
func (c *Config) keep() (*keeper, error) {
	if c.Journal == nil {
		return &keeper{close: c.collect(nil)}, nil
	}
	jc := c.Journal.Config
	jc.Log = c.Log
	j, err := journal.Open(jc)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.Journal = &JournalConfig{Config: jc, URL: c.Journal.URL, Token: c.Journal.Token, journal: j}
	k := &keeper{journal: j, close: c.collect(j), cancel: cancel}
	k.done.Go(func() { j.Run(ctx) })
	c.Observers = append([]Observer{j}, c.Observers...)
	c.Log.Info("the inference log is kept", "folder", jc.Dir, "storage", strings.SplitN(c.Journal.URL, "://", 2)[0])
	return k, nil
}

// stop ends the log when no answer can come any more.
func (k *keeper) stop() {
	k.close()
	if k.journal == nil {
		return
	}
	k.cancel()
	k.done.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), lastShipment)
	defer cancel()
	_ = k.journal.Close(ctx) // what stays is found again, and was said
}
