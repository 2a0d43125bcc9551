package kube

import (
	"context"
	"net"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// The ways to pods. PodsAuto goes straight where that is possible, and else
// through the API server, whose network reaches them anyway.
const (
	PodsAuto    = "auto"
	PodsDirect  = "direct"  // to their addresses: from within the cluster, or a network that is routed to it
	PodsForward = "forward" // through the API server, as kubectl port-forward does
)

// How long a pod has to take a connection, and how long the way that was found
// is believed: somebody may open a VPN, or leave it.
const (
	podDialTime = time.Second
	wayAge      = 30 * time.Second
)

// A reach is the way to pods that was found.
type reach struct {
	deciding sync.Mutex // held while the first way is looked for

	mu      sync.Mutex
	way     string // empty: none yet
	at      time.Time
	looking bool
}

// address is where a ready pod's scorer answers. It changes only when the way
// to pods does.
func (c *Cluster) address(ctx context.Context, p *corev1.Pod) string {
	direct := "http://" + podAddress(p)
	if c.way(ctx, p) != PodsForward {
		return direct
	}
	socket, err := c.forwards.to(c, p)
	if err != nil {
		c.log.Error("no way through the API server; the pod's own address is tried", "pod", p.Name, "error", err)
		return direct
	}
	return "unix://" + socket
}

func podAddress(p *corev1.Pod) string {
	return net.JoinHostPort(p.Status.PodIP, strconv.Itoa(scorerPort))
}

// way is how pods are reached, by the settings or by trying it with this one.
// Only the very first who asks waits for that.
func (c *Cluster) way(ctx context.Context, p *corev1.Pod) string {
	if c.opt.Pods == PodsDirect || c.opt.Pods == PodsForward {
		return c.opt.Pods
	}
	if way, found := c.reach.found(); found {
		if c.reach.old() {
			go c.look(c.ctx, p)
		}
		return way
	}
	c.reach.deciding.Lock()
	defer c.reach.deciding.Unlock()
	if way, found := c.reach.found(); found {
		return way
	}
	c.look(ctx, p)
	way, _ := c.reach.found()
	return way
}

func (r *reach) found() (way string, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.way, r.way != ""
}

// old says, to one caller, that it is time to look again.
func (r *reach) old() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.looking || time.Since(r.at) < wayAge {
		return false
	}
	r.looking = true
	return true
}

// look tries both ways to a ready pod. When neither leads to it, the pod or its
// node is gone, and nothing is learned.
func (c *Cluster) look(ctx context.Context, p *corev1.Pod) {
	way := ""
	dialer := net.Dialer{Timeout: podDialTime}
	if conn, err := dialer.DialContext(ctx, "tcp", podAddress(p)); err == nil {
		_ = conn.Close()
		way = PodsDirect
	} else if through, forbidden := c.portForward(ctx, p.Name); forbidden == nil {
		_ = through.Close()
		way = PodsForward
	} else {
		c.log.Debug("neither way leads to a pod", "pod", p.Name, "direct", err, "forward", forbidden)
	}
	c.reach.mu.Lock()
	defer c.reach.mu.Unlock()
	c.reach.looking, c.reach.at = false, time.Now()
	if way != "" && way != c.reach.way {
		c.log.Info("pods are reached this way", "way", way)
		c.reach.way = way
	}
}
