package outpost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/gateway"
	"github.com/ridgeline-mlops/ridgeline/host"
)

// lookupTime bounds asking for the addresses of copies: a name server that is
// away must not keep requests from the copies that it last told.
const lookupTime = time.Second

// known is what an outpost knows: the table, where copies answered last, and
// what it has to tell the server.
type known struct {
	keep string // file of the last good table; empty: nowhere
	log  *slog.Logger
	// labels brings labels to the server.
	labels func(ctx context.Context, list []ridgeline.Feedback) error
	kick   chan struct{} // holds one when the server should be told at once

	mu          sync.RWMutex
	table       Table
	digest      string // "": no table yet
	endpoints   map[string]Endpoint
	deployments map[ridgeline.DeploymentID]Deployment
	copies      map[ridgeline.DeploymentID]host.Observed
	asked       map[ridgeline.DeploymentID]time.Time
	toldAsked   map[ridgeline.DeploymentID]time.Time // which of them the server knows
	wake        map[ridgeline.DeploymentID]bool
}

var (
	_ gateway.Live   = (*known)(nil)
	_ gateway.Doors  = (*known)(nil)
	_ gateway.Copies = (*known)(nil)
)

func newKnown(keep string, log *slog.Logger) *known {
	return &known{
		keep: keep, log: log, kick: make(chan struct{}, 1), copies: map[ridgeline.DeploymentID]host.Observed{},
		asked: map[ridgeline.DeploymentID]time.Time{}, toldAsked: map[ridgeline.DeploymentID]time.Time{}, wake: map[ridgeline.DeploymentID]bool{},
	}
}

// read takes a table from a file, when it is later than the one at hand. A
// file that is not there says nothing.
func (k *known) read(file string) error {
	text, err := os.ReadFile(file)
	if file == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var t Table
	if err == nil {
		err = json.Unmarshal(text, &t)
	}
	if err != nil {
		return fmt.Errorf("read the table of endpoints: %w", err)
	}
	k.mu.RLock()
	later := k.digest == "" || t.Made > k.table.Made
	k.mu.RUnlock()
	if later {
		k.learn(t)
	}
	return nil
}

// learn makes a table the one that counts, and tells which endpoints it has
// and which deployments are gone.
func (k *known) learn(t Table) (endpoints []string, gone []ridgeline.DeploymentID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	byName, deployments := map[string]Endpoint{}, map[ridgeline.DeploymentID]Deployment{}
	for _, e := range t.Endpoints {
		name := string(e.Project) + "/" + e.Environment
		byName[name] = e
		endpoints = append(endpoints, name)
		for _, d := range e.Deployments {
			deployments[d.ID] = d
		}
	}
	for id := range k.deployments {
		if _, stays := deployments[id]; !stays {
			gone = append(gone, id)
			delete(k.copies, id)
			delete(k.asked, id)
			delete(k.toldAsked, id)
			delete(k.wake, id)
		}
	}
	k.table, k.digest, k.endpoints, k.deployments = t, t.Digest(), byName, deployments
	return endpoints, gone
}

// save keeps the table for the next process of this pod, which may begin while
// the server is away and before the mounted table is fresh.
func (k *known) save() error {
	if k.keep == "" {
		return nil
	}
	k.mu.RLock()
	text, err := json.Marshal(k.table)
	k.mu.RUnlock()
	if err != nil {
		return err
	}
	if err := os.WriteFile(k.keep+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(k.keep+".new", k.keep)
}

func (k *known) ready() bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.digest != ""
}

// Serving implements gateway.Live.
func (k *known) Serving(_ context.Context, p ridgeline.ProjectName, environment string) (ridgeline.Endpoint, []ridgeline.Deployment, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	e, ok := k.endpoints[string(p)+"/"+environment]
	if !ok {
		return ridgeline.Endpoint{}, nil, ridgeline.Errorf(ridgeline.NotFound, "%s/%s is not on this cluster: its requests go to the Ridgeline server", p, environment)
	}
	live := make([]ridgeline.Deployment, len(e.Deployments))
	for i, d := range e.Deployments {
		live[i] = d.deployment(e)
		live[i].Asked = k.asked[d.ID]
	}
	return ridgeline.Endpoint{Project: e.Project, Environment: e.Environment, Live: e.Live}, live, nil
}

// EndpointKeys implements gateway.Doors.
func (k *known) EndpointKeys(e ridgeline.Endpoint) auth.Keys {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.endpoints[string(e.Project)+"/"+e.Environment].keys()
}

// Principal implements gateway.Doors: tokens of people are the server's.
func (k *known) Principal(context.Context, string, time.Time) (auth.Principal, error) {
	return auth.Principal{}, ridgeline.Errorf(ridgeline.Denied, "only an endpoint's own keys open it here")
}

// Asked implements gateway.Live; the server is told with the next report.
func (k *known) Asked(_ context.Context, id ridgeline.DeploymentID, at time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked[id] = at.Truncate(time.Microsecond) // as a report has it
	return nil
}

// Wake asks the server to bring copies back, at once. While it is away they
// stay away, and the request waits for both.
func (k *known) Wake(_ context.Context, id ridgeline.DeploymentID) error {
	k.mu.Lock()
	already := k.wake[id]
	k.wake[id] = true
	k.mu.Unlock()
	if !already {
		select {
		case k.kick <- struct{}{}:
		default:
		}
	}
	return nil
}

// SaveFeedback implements gateway.Live: labels are the server's to keep.
func (k *known) SaveFeedback(ctx context.Context, list []ridgeline.Feedback) error {
	return k.labels(ctx, list)
}

// Observe implements gateway.Copies: the ready copies are the addresses of the
// deployment's name. While nobody can tell them, those told last count.
func (k *known) Observe(ctx context.Context, id ridgeline.DeploymentID) (host.Observed, error) {
	k.mu.RLock()
	d, ok := k.deployments[id]
	last := k.copies[id]
	k.mu.RUnlock()
	if !ok {
		return host.Observed{}, nil
	}
	name, port, err := net.SplitHostPort(d.Address)
	if err != nil {
		return host.Observed{}, ridgeline.Errorf(ridgeline.Internal, "address of %s: %w", id, err)
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if unknown := (*net.DNSError)(nil); err != nil && (!errors.As(err, &unknown) || !unknown.IsNotFound) {
		k.log.Warn("the copies of a deployment cannot be looked up; those last known answer", "deployment", id, "error", err)
		return last, nil
	}
	now := observed(found, port)
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, still := k.deployments[id]; still {
		k.copies[id] = now
	}
	return now, nil
}

func observed(all []netip.Addr, port string) (o host.Observed) {
	for _, a := range all {
		o.Copies = append(o.Copies, host.Copy{Address: "http://" + net.JoinHostPort(a.Unmap().String(), port), Ready: true})
	}
	return o
}
