package host

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// Together are several hosts as one, each under the name by which a workload
// asks for it. Which of them has a workload is not remembered: all are asked.
type Together map[string]Services

var _ Services = Together{}

// Apply implements Services on the host that the workload names.
func (t Together) Apply(ctx context.Context, want Workload) error {
	h, ok := t[want.Host]
	if !ok {
		return ridgeline.Errorf(ridgeline.Invalid, "workload %s asks for host %s, and this server has %s: name a Kubernetes cluster in the server's settings (server.yaml), or another host in ridgeline.yaml",
			want.ID, want.Host, strings.Join(t.names(), ", "))
	}
	return h.Apply(ctx, want)
}

func (t Together) names() []string {
	names := make([]string, 0, len(t))
	for name := range t {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Observe implements Services. A host that cannot be asked matters only when
// no other one has the workload.
func (t Together) Observe(ctx context.Context, id ridgeline.DeploymentID) (out Observed, err error) {
	for _, name := range t.names() {
		seen, failed := t[name].Observe(ctx, id)
		out.Copies = append(out.Copies, seen.Copies...)
		err = errors.Join(err, failed)
	}
	if len(out.Copies) > 0 {
		return out, nil
	}
	return out, err
}

// Remove implements Services.
func (t Together) Remove(ctx context.Context, id ridgeline.DeploymentID) (err error) {
	for _, name := range t.names() {
		err = errors.Join(err, t[name].Remove(ctx, id))
	}
	return err
}

// Log implements Services.
func (t Together) Log(ctx context.Context, id ridgeline.DeploymentID, tail int64) ([]byte, error) {
	var all [][]byte
	var err error
	for _, name := range t.names() {
		log, failed := t[name].Log(ctx, id, tail)
		all = append(all, log)
		err = errors.Join(err, failed)
	}
	log := bytes.Join(all, nil)
	if len(log) > 0 {
		err = nil
	}
	return log[max(0, len(log)-int(tail)):], err
}

// Workloads implements Services. Those of the hosts that answer are listed
// beside the error of one that does not.
func (t Together) Workloads(ctx context.Context) (out []ridgeline.DeploymentID, err error) {
	for _, name := range t.names() {
		ids, failed := t[name].Workloads(ctx)
		out, err = append(out, ids...), errors.Join(err, failed)
	}
	return out, err
}
