package main

import (
	"log/slog"
	"net/url"

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
