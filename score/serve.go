package score

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Serve answers on c.Listen until ctx is done, then drains: it is unready at
// once, goes on taking requests for DrainDelay (telling each client to close
// its connection), finishes what is under way, and returns nil.
//
// It returns a *worker.StartError when the scoring script cannot be made ready
// (see Front.Run).
func Serve(ctx context.Context, c Config) error {
	c = c.withDefaults()
	listener, err := Listen(c.Listen)
	if err != nil {
		return err
	}
	return serveOn(ctx, c, listener)
}

func serveOn(ctx context.Context, c Config, listener net.Listener) error {
	f := New(c)
	c = f.c
	server := &http.Server{
		Handler:           f.Handler(),
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
		// The deadlines of bodies and answers move with the traffic: see body and write.
	}
	working, stopWorkers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorkers()
	workers := make(chan error, 1)
	go func() { workers <- f.Run(working) }()
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(listener) }()
	c.Log.Info("listening", "address", c.Listen, "workers", c.Workers)

	select {
	case err := <-workers: // whoever waits for a worker has been refused by now
		finish, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(finish)
		_ = server.Close()
		return err
	case err := <-serving:
		stopWorkers()
		<-workers
		return fmt.Errorf("serve on %s: %w", c.Listen, err)
	case <-ctx.Done():
	}
	return f.stop(server, stopWorkers, workers)
}

func (f *Front) stop(server *http.Server, stopWorkers func(), workers chan error) error {
	f.Drain()
	f.mu.Lock()
	was := f.was
	f.mu.Unlock()
	f.c.Log.Info("draining", "delay", f.c.DrainDelay, "timeout", f.c.DrainTimeout)
	var err error
	if was { // nobody sends requests to what never was ready
		select {
		case <-time.After(f.c.DrainDelay):
		case err = <-workers:
			workers <- nil
		}
	} else {
		stopWorkers()
	}
	finish, cancel := context.WithTimeout(context.Background(), f.c.DrainTimeout)
	defer cancel()
	if shut := server.Shutdown(finish); shut != nil {
		_ = server.Close()
		err = errors.Join(err, fmt.Errorf("requests were still running %v after the end was asked for and have been cut off", f.c.DrainDelay+f.c.DrainTimeout))
	}
	stopWorkers()
	<-workers
	f.c.Log.Info("stopped")
	return err
}
