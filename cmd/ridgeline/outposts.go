package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/gateway"
	"github.com/ridgeline-mlops/ridgeline/gateway/outpost"
	"github.com/ridgeline-mlops/ridgeline/host/kube"
	"github.com/ridgeline-mlops/ridgeline/internal/tracing"
	"github.com/ridgeline-mlops/ridgeline/pipeline"
	"github.com/ridgeline-mlops/ridgeline/server"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// gatewayRepository is where the image of the gateways on the cluster is.
const gatewayRepository = "ridgeline-gateway"

// outposts are the gateways on the cluster.
type outposts struct {
	desk     *outpost.Desk
	token    string
	registry pipeline.Registry // where their image is pushed to
	scorer   string            // program of it
}

// allGateways are this server's own, and those on the cluster as far as they
// have reported here.
type allGateways struct {
	*gateway.Gateway
	desk *outpost.Desk
}

// Answered implements release.Traffic.
func (g allGateways) Answered(id ridgeline.DeploymentID) ridgeline.Answers {
	return g.Gateway.Answered(id).Plus(g.desk.Answered(id))
}

// newDesk answers the gateways on the cluster; Wake is set later.
func (n *node) newDesk(access *auth.Authenticator) *outpost.Desk {
	return &outpost.Desk{
		Endpoints: func(ctx context.Context) ([]ridgeline.Endpoint, error) { return n.store.Endpoints(ctx, "") },
		Live: func(ctx context.Context) ([]ridgeline.Deployment, error) {
			return n.store.Deployments(ctx, store.DeploymentFilter{States: []ridgeline.DeploymentState{ridgeline.DeploymentLive}})
		},
		Address: func(d ridgeline.Deployment) (string, bool) {
			if d.Host != "kube" || n.cluster == nil {
				return "", false
			}
			return n.cluster.CopiesAddress(d.ID), true
		},
		Keys: access.EndpointKeys, Opens: access.Gateways, Asked: n.store.Asked, Labels: n.store.SaveFeedback, Log: n.options.Log,
	}
}

// gatewaysElsewhere serves the gateways on the cluster, who prove themselves by
// their token.
func (n *node) gatewaysElsewhere() server.Mount {
	return server.Mount{Surface: "gateway", Paths: []string{outpost.Path}, Handler: n.outposts.desk, Open: true}
}

// gatewayEvery is how often the table in the cluster is compared with what
// holds. Gateways ask the server for it; this one is for when it is away.
const gatewayEvery = 2 * time.Second

// keepGateways keeps the gateways on the cluster as the settings say, and their
// table there as the database does, until ctx is done. The leading server does.
func (n *node) keepGateways(ctx context.Context) {
	image, said := "", ""
	for ctx.Err() == nil && n.cluster != nil {
		pause := gatewayEvery
		var err error
		if n.options.Settings.Kubernetes.Gateway == nil {
			err, pause = n.cluster.RemoveGateway(ctx), time.Minute
		} else if image, err = n.gatewayImage(ctx, image); err == nil {
			err = n.applyGateways(ctx, image)
		}
		if err != nil && ctx.Err() == nil && err.Error() != said { // said once, tried again
			n.options.Log.Error("keep the gateways on the cluster", "error", err)
			said = err.Error()
		} else if err == nil {
			said = ""
		}
		sleep(ctx, pause)
	}
}

// gatewayImage builds and pushes the gateways' image, once.
func (n *node) gatewayImage(ctx context.Context, known string) (string, error) {
	if known != "" {
		return known, nil
	}
	img, err := n.images.BuildGateway(ctx, n.outposts.scorer)
	if err != nil {
		return "", fmt.Errorf("build the gateways' image: %w", err)
	}
	name, _, err := n.outposts.registry.Push(ctx, n.images, img, gatewayRepository, "latest")
	if err != nil {
		return "", fmt.Errorf("push the gateways' image: %w", err)
	}
	return name, nil
}

func (n *node) applyGateways(ctx context.Context, image string) error {
	table, err := n.outposts.desk.Table(ctx)
	if err != nil {
		return err
	}
	text, err := json.Marshal(table)
	if err != nil {
		return err
	}
	set := n.options.Settings.Kubernetes
	public := cmp.Or(strings.TrimSuffix(n.options.PublicURL, "/"), n.url)
	want := kube.Gateway{
		Image: image, Replicas: set.Gateway.Replicas, Service: set.Gateway.Service, Server: cmp.Or(set.URL, public), Token: n.outposts.token,
		Table: text, Says: table.Digest(), Env: tracing.Variables(os.Environ()), Ingress: (*kube.Ingress)(set.Gateway.Ingress), Route: (*kube.Route)(set.Gateway.Route),
	}
	return n.cluster.ApplyGateway(ctx, want)
}
