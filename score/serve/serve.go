// Package serve is a scorer as a process: it reads the configuration from the
// environment, listens, puts the dialects side by side, logs, and drains; and
// it answers a file of requests for a gate.
//
// How requests are answered is package score's part, how they are spelled the
// dialects'.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score"
	"github.com/ridgeline-mlops/ridgeline/score/plain"
)

const (
	headerTime  = 10 * time.Second
	idleTime    = 2 * time.Minute
	headerBytes = 64 << 10
)

// Run answers on c.Listen until ctx is done, then drains: it is unready at
// once, goes on taking requests for DrainDelay (telling each client to close
// its connection), finishes what is under way, and returns nil.
//
// It returns a *worker.StartError when the scoring script cannot be made ready
// (see score.Front.Run).
func Run(ctx context.Context, c Config) error {
	listener, err := Listen(c.withDefaults().Listen)
	if err != nil {
		return err
	}
	return serveOn(ctx, c, listener)
}

func serveOn(ctx context.Context, c Config, listener net.Listener) error {
	c = c.withDefaults()
	kept, err := c.keep()
	if err != nil {
		listener.Close()
		return err
	}
	defer kept.stop()
	lastly, err := c.trace(ctx)
	if err != nil {
		listener.Close()
		return err
	}
	defer lastly()
	f := score.New(c.Config)
	server := newServer(Handler(f, c), c.Log)
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
	return stop(f, c, server, stopWorkers, workers)
}

// newServer leaves the deadlines of bodies and answers to the dialects, where
// they move with the traffic.
func newServer(h http.Handler, log *slog.Logger) *plain.Server {
	var protocols http.Protocols // gRPC comes on the same port, without TLS: whoever stands in front has ended it
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &plain.Server{Server: &http.Server{
		Handler:           h,
		Protocols:         &protocols,
		HTTP2:             &http.HTTP2Config{SendPingTimeout: time.Minute, PingTimeout: headerTime}, // a dead client's connection is found
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}
}

func stop(f *score.Front, c Config, server *plain.Server, stopWorkers func(), workers chan error) error {
	f.Drain()
	_, was, _ := f.Deaths()
	c.Log.Info("draining", "delay", c.DrainDelay, "timeout", c.DrainTimeout)
	var err error
	if was { // nobody sends requests to what never was ready
		select {
		case <-time.After(c.DrainDelay):
		case err = <-workers:
			workers <- nil
		}
	} else {
		stopWorkers()
	}
	finish, cancel := context.WithTimeout(context.Background(), c.DrainTimeout)
	defer cancel()
	if shut := server.Shutdown(finish); shut != nil {
		_ = server.Close()
		err = errors.Join(err, fmt.Errorf("requests were still running %v after the end was asked for and have been cut off", c.DrainDelay+c.DrainTimeout))
	}
	stopWorkers()
	<-workers
	c.Log.Info("stopped")
	return err
}
