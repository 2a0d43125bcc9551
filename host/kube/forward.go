package kube

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/ridgeline-mlops/ridgeline"
)

// forwards are sockets of this machine that lead to pods through the API
// server, as kubectl port-forward does. A socket, and not a port: the scorers
// behind it ask for no key, and a private folder keeps other users away.
type forwards struct {
	mu  sync.Mutex
	dir string
	all map[types.UID]*forward
}

// A forward is one pod's socket. One connection to the API server carries all
// connections to it.
type forward struct {
	c        *Cluster
	pod      string
	labelled string // the deployment that the pod belongs to
	path     string
	listener net.Listener

	mu      sync.Mutex
	way     httpstream.Connection
	streams int
}

// to returns the socket that leads to the pod, and opens it when it is not
// there yet. Nothing is sent before somebody connects.
func (f *forwards) to(c *Cluster, p *corev1.Pod) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.all[p.UID]; known != nil {
		return known.path, nil
	}
	if f.dir == "" {
		dir, err := os.MkdirTemp("", "ridgeline-pods-")
		if err != nil {
			return "", fmt.Errorf("make a folder for the ways to pods: %w", err)
		}
		f.dir, f.all = dir, map[types.UID]*forward{}
	}
	sum := sha256.Sum256([]byte(p.UID))
	made := &forward{c: c, pod: p.Name, labelled: p.Labels[DeploymentLabel], path: filepath.Join(f.dir, hex.EncodeToString(sum[:6])+".sock")}
	var err error
	if made.listener, err = net.Listen("unix", made.path); err != nil {
		return "", fmt.Errorf("open a way to pod %s: %w", p.Name, err)
	}
	f.all[p.UID] = made
	go made.serve()
	return made.path, nil
}

// keep closes the sockets of a deployment's pods that are not there any more.
// What is under way in them goes on.
func (f *forwards) keep(id ridgeline.DeploymentID, pods []*corev1.Pod) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for uid, one := range f.all {
		there := one.labelled != string(id)
		for _, p := range pods {
			there = there || p.UID == uid
		}
		if !there {
			_ = one.listener.Close()
			delete(f.all, uid)
		}
	}
}

func (f *forwards) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.all {
		_ = one.listener.Close()
		one.drop(nil)
	}
	if f.all = nil; f.dir != "" {
		_ = os.RemoveAll(f.dir)
	}
	f.dir = ""
}

func (f *forward) serve() {
	for {
		local, err := f.listener.Accept()
		if err != nil {
			return // closed
		}
		go f.lead(local)
	}
}

// lead copies both ways until either side has ended.
func (f *forward) lead(local net.Conn) {
	defer local.Close()
	data, trouble, err := f.open()
	if err != nil {
		f.c.log.Warn("a pod cannot be reached through the API server", "pod", f.pod, "error", err)
		return
	}
	go func() {
		_, _ = io.Copy(data, local)
		_ = data.Close()
	}()
	_, _ = io.Copy(local, data)
	_ = data.Reset() // what is not sent yet would hold up the others
	if said, _ := io.ReadAll(trouble); len(said) > 0 {
		f.c.log.Debug("a connection to a pod through the API server broke off", "pod", f.pod, "error", string(said))
	}
}

// open begins a connection within the one to the API server; when that has
// ended, within another one.
func (f *forward) open() (data, trouble httpstream.Stream, err error) {
	for range 2 {
		var way httpstream.Connection
		var number int
		if way, number, err = f.through(); err != nil {
			break
		}
		h := http.Header{}
		h.Set(corev1.PortHeader, strconv.Itoa(scorerPort))
		h.Set(corev1.PortForwardRequestIDHeader, strconv.Itoa(number))
		h.Set(corev1.StreamType, corev1.StreamTypeError)
		if trouble, err = way.CreateStream(h); err == nil {
			_ = trouble.Close() // nothing is written to it
			h.Set(corev1.StreamType, corev1.StreamTypeData)
			if data, err = way.CreateStream(h); err == nil {
				return data, trouble, nil
			}
		}
		f.drop(way)
	}
	return nil, nil, err
}

// through is the connection to the API server, and the number of the next one
// within it.
func (f *forward) through() (httpstream.Connection, int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.way != nil {
		select {
		case <-f.way.CloseChan():
			f.way = nil
		default:
		}
	}
	if f.way == nil {
		way, err := f.c.portForward(f.c.ctx, f.pod)
		if err != nil {
			return nil, 0, err
		}
		f.way = way
	}
	f.streams++
	return f.way, f.streams, nil
}

// drop closes the connection to the API server: the given one, if it is still
// the one in use; nil: whichever is.
func (f *forward) drop(way httpstream.Connection) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.way != nil && (way == nil || way == f.way) {
		_ = f.way.Close()
		f.way = nil
	}
}

// dialTime bounds how long a way to a pod through the API server may take.
const dialTime = 10 * time.Second

// portForward connects to a pod by the API server: over a WebSocket, else, with
// one older than 1.30 or behind a proxy that knows none, by SPDY.
func (c *Cluster) portForward(ctx context.Context, pod string) (httpstream.Connection, error) {
	config, _, err := load(c.opt) // as it is now: the sign-in may have been renewed
	if err != nil {
		return nil, err
	}
	at := c.core().Post().Namespace(c.namespace).Resource("pods").Name(pod).SubResource("portforward").URL()
	tunnel, err := portforward.NewSPDYOverWebsocketDialerForStreaming(at, config)
	if err != nil {
		return nil, err
	}
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	dialer := portforward.NewFallbackDialerForStreaming(tunnel, spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, at), func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	type result struct {
		way httpstream.Connection
		err error
	}
	made := make(chan result)
	go func() { // it knows no context
		way, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
		select {
		case made <- result{way, err}:
		case <-ctx.Done():
			if err == nil {
				_ = way.Close()
			}
		}
	}()
	select {
	case <-ctx.Done():
		return nil, classify(ctx.Err(), "forward a port of", "Pod", pod)
	case r := <-made:
		return r.way, classify(r.err, "forward a port of", "Pod", pod)
	}
}
