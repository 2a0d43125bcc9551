package score

import (
	"log/slog"
	"time"

	"github.com/ridgeline-mlops/ridgeline/worker"
)

// Config is everything a Front can be told. Zero values mean the defaults.
type Config struct {
	Worker       worker.Config
	Workers      int           // Python processes; 1
	Queue        int           // requests that may wait for a free worker; 1000
	Timeout      time.Duration // of one run(), and of the wait for a free worker before it; 1 h
	StartTimeout time.Duration // of import and init() together; 10 min
	Log          *slog.Logger  // slog.Default()
}

func (c Config) withDefaults() Config {
	set(&c.Workers, 1)
	set(&c.Queue, 1000)
	set(&c.Timeout, time.Hour)
	set(&c.StartTimeout, 10*time.Minute)
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
