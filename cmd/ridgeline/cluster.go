package main

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/host/courier"
	"github.com/ridgeline-mlops/ridgeline/host/kube"
	"github.com/ridgeline-mlops/ridgeline/image"
	"github.com/ridgeline-mlops/ridgeline/pipeline"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/server"
)

// openCluster is the cluster of the server's settings, or nil. public is the
// server's own address, for what the settings leave out.
func openCluster(s project.Settings, public string, access *auth.Authenticator, log *slog.Logger) (*kube.Cluster, error) {
	k := s.Kubernetes
	if k == nil {
		return nil, nil
	}
	registry := k.Registry
	if u, err := url.Parse(public); err == nil && registry == "" {
		registry = u.Host
	}
	o := kube.Options{
		Kubeconfig: k.Kubeconfig, Context: k.Context, Namespace: k.Namespace, Pods: k.Pods, Server: access.ServerID(), Log: log,
		Registry: registry, Username: "ridgeline", Password: access.PullToken(),
	}
	if host := s.Images.Host(); host != "" {
		o.Elsewhere = func(ctx context.Context) (string, kube.Login, error) {
			login, err := image.SignIn(ctx, host)
			return host, kube.Login(login), err
		}
	}
	return kube.Open(o)
}

// logTime is how long a deployment may bring its inference log by one token:
// longer than any is live.
const logTime = 10 * 365 * 24 * time.Hour

// remoteLog says where scorers bring their inference log that do not write to its
// folder: those on the cluster and, when it is in a bucket, those of this machine.
func remoteLog(k *project.Kubernetes, local, public string, access *auth.Authenticator) func(ridgeline.Deployment) (string, string) {
	if k != nil {
		public = cmp.Or(k.URL, public)
	}
	return func(d ridgeline.Deployment) (string, string) {
		address := public
		if d.Host == "process" {
			address = local
		}
		return address + "/api/v1/deployments/" + string(d.ID) + "/log", access.LogToken(d.ID, d.Created.Add(logTime))
	}
}

// pools are where steps compute: this machine and, when there is a cluster,
// any of its nodes and what the settings set apart.
func (n *node) pools(public string) map[string]pipeline.Pool {
	all := map[string]pipeline.Pool{pipeline.Local: {Name: pipeline.Local, Tasks: n.host}}
	if n.cluster == nil {
		return all
	}
	address := cmp.Or(n.options.Settings.Kubernetes.URL, public)
	for _, p := range append([]project.Pool{{Name: project.PoolKube}}, n.options.Settings.Pools...) {
		k := kube.Pool{
			Name: p.Name, Desk: n.desk, Server: address, NodeSelector: p.NodeSelector, PriorityClass: p.PriorityClass, Queue: p.Queue, Spot: p.Spot,
		}
		for _, t := range p.Tolerations {
			k.Tolerations = append(k.Tolerations, kube.Toleration(t))
		}
		all[p.Name] = pipeline.Pool{
			Name: p.Name, Tasks: n.cluster.Tasks(k), Server: address, Spot: p.Spot, Resources: host.Resources{CPU: p.CPU, Memory: p.Memory, GPU: p.GPU},
		}
	}
	return all
}

// registry is where images go: to the embedded one, which is asked in process,
// or where the settings say.
func (n *node) registry(embedded http.RoundTripper) pipeline.Registry {
	r := pipeline.Registry{Address: n.listener.Addr().String(), Connection: image.Connection{Insecure: true, Transport: embedded}}
	if i := n.options.Settings.Images; i.Push != "" {
		r.Elsewhere = &pipeline.Elsewhere{Address: i.Push, Connection: image.Connection{Insecure: i.Insecure, Docker: true}}
	}
	return r
}

// registryHost is where people and nodes pull images from.
func (n *node) registryHost() string {
	if k := n.options.Settings.Kubernetes; k != nil && k.Registry != "" {
		return k.Registry
	}
	if u, err := url.Parse(n.options.PublicURL); err == nil && u.Host != "" {
		return u.Host
	}
	return n.listener.Addr().String()
}

// leads says whether this server runs the flows.
func (n *node) leads() bool { return n.engine.Load() != nil }

// filesOfTasks serves the containers of tasks that run elsewhere, who prove
// themselves by their task's own token.
func (n *node) filesOfTasks() server.Mount {
	return server.Mount{Surface: "task", Paths: []string{courier.Pattern}, Handler: n.desk, Open: true}
}
