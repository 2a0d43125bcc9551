package main

import (
	"cmp"
	"log/slog"
	"net/url"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/host/kube"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// openCluster is the cluster of the server's settings, or nil. public is the
// server's own address, for what the settings leave out.
func openCluster(k *project.Kubernetes, public string, access *auth.Authenticator, log *slog.Logger) (*kube.Cluster, error) {
	if k == nil {
		return nil, nil
	}
	registry := k.Registry
	if u, err := url.Parse(public); err == nil && registry == "" {
		registry = u.Host
	}
	return kube.Open(kube.Options{
		Kubeconfig: k.Kubeconfig, Context: k.Context, Namespace: k.Namespace, Server: access.ServerID(), Log: log,
		Registry: registry, Username: "ridgeline", Password: access.PullToken(),
	})
}

// logTime is how long a deployment may bring its inference log by one token:
// longer than any is live.
const logTime = 10 * 365 * 24 * time.Hour

// remoteLog says where scorers on the cluster bring their inference log.
func remoteLog(k *project.Kubernetes, public string, access *auth.Authenticator) func(ridgeline.Deployment) (string, string) {
	if k != nil {
		public = cmp.Or(k.URL, public)
	}
	return func(d ridgeline.Deployment) (string, string) {
		return public + "/api/v1/deployments/" + string(d.ID) + "/log", access.LogToken(d.ID, d.Created.Add(logTime))
	}
}
