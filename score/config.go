package score

import (
	"context"
	"log/slog"
	"time"

	"github.com/ridgeline-mlops/ridgeline/worker"
)

// Config is everything a Front can be told. Zero values mean the defaults.
type Config struct {
	Worker       worker.Config
	Workers      int           // Python processes; 1
	StartTimeout time.Duration // of import and init(), or of loading the model; 10 min

	Timeout    time.Duration // of a request, from its arrival to its answer; 60 s
	RunTimeout time.Duration // of one run(), which a worker ends by itself, and is killed when it cannot; none but Timeout
	Queue      int           // requests that may wait for a worker; 1000
	QueueTime  time.Duration // how long a request may be expected to wait: beyond, it is refused at once; half of Timeout

	Unjoined    bool          // every request is answered by itself
	BatchMax    int           // rows, or requests of a script, that are answered together; 1024
	BatchTarget time.Duration // of one answer to a batch: as many are joined as it takes no longer; 10 ms
	NoNative    bool          // workers are asked for linear models' answers, too

	MaxRequests int   // a worker that has answered so many is replaced; 0: never
	MaxMemory   int64 // a worker that has more bytes resident is replaced; 0: never

	Log *slog.Logger // slog.Default()

	start func(context.Context, worker.Config, func(worker.Answer)) (process, error) // for tests: worker.Start
}

func (c Config) withDefaults() Config {
	set(&c.Workers, 1)
	set(&c.StartTimeout, 10*time.Minute)
	set(&c.Timeout, time.Minute)
	set(&c.Queue, 1000)
	set(&c.QueueTime, c.Timeout/2)
	set(&c.BatchMax, 1024)
	set(&c.BatchTarget, 10*time.Millisecond)
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.start == nil {
		c.start = func(ctx context.Context, wc worker.Config, answer func(worker.Answer)) (process, error) {
			w, err := worker.Start(ctx, wc, answer)
			if err != nil {
				return nil, err // not a nil *Worker within an interface
			}
			return w, nil
		}
	}
	return c
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
