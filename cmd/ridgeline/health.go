package main

import (
	"context"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// settle is how long a server that has started waits for the copies of what is
// live before it takes requests all the same: one that never comes must not
// keep the others from answering.
const settle = time.Minute

// ready says why this server should get no requests now, or nil: it stops, its
// database is away, or it has just started and does not reach a copy of
// everything that is live yet.
func (n *node) ready(ctx context.Context) error {
	if n.stopping.Load() {
		return ridgeline.Errorf(ridgeline.Unavailable, "this server stops")
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	live, err := n.store.Deployments(ctx, store.DeploymentFilter{States: []ridgeline.DeploymentState{ridgeline.DeploymentLive}})
	if err != nil {
		return ridgeline.Errorf(ridgeline.Unavailable, "the database does not answer: %w", err)
	}
	if n.settled.Load() {
		return nil
	}
	if time.Since(n.began) < settle {
		for _, d := range live {
			if d.Asleep || d.Weight == 0 {
				continue
			}
			if copies, err := n.gateway.Ready(ctx, d.ID); err != nil || copies == 0 {
				return ridgeline.Errorf(ridgeline.Unavailable, "no copy of %s in %s of %s is reached yet", d.Name(), d.Environment, d.Project)
			}
		}
	}
	n.settled.Store(true)
	return nil
}

// drain goes on answering for a while after it has said that it is not ready,
// so that whoever sends requests here stops before they are refused; those who
// keep a connection are told with their next answer.
func (n *node) drain(patience time.Duration) {
	n.stopping.Store(true)
	n.server.Leave()
	time.Sleep(patience)
}
