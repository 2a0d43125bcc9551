package project

import (
	"regexp"

	"go.yaml.in/yaml/v3"
)

// ClusterGateway is the gateway on the cluster, which answers while the server
// is away. Nil: there is none.
type ClusterGateway struct {
	Replicas int
	Service  string          // ClusterIP, NodePort or LoadBalancer
	Ingress  *GatewayIngress // nil: none
	Route    *GatewayRoute   // nil: none
}

// GatewayIngress is a host name that an Ingress leads to the gateway.
type GatewayIngress struct{ Host, Class, TLS string }

// GatewayRoute is an HTTPRoute that leads from a Gateway of the cluster.
type GatewayRoute struct{ Gateway, Namespace, Host string }

// hostname is a DNS name, whose first part may be a star.
var hostname = regexp.MustCompile(`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// clusterGateway reads kubernetes.gateway; without a value it is all defaults.
func (r *reader) clusterGateway(n *yaml.Node) *ClusterGateway {
	g := &ClusterGateway{Replicas: 2, Service: "ClusterIP"}
	if isNull(n) {
		return g
	}
	const what = "kubernetes.gateway"
	f := r.section(n, what, "replicas", "service", "ingress", "http_route")
	g.Replicas = r.whole(f.value("replicas"), what+".replicas", g.Replicas, 1, 100)
	g.Service = r.word(f.value("service"), what+".service", g.Service, "ClusterIP", "NodePort", "LoadBalancer")
	if n := f.value("ingress"); n != nil {
		i := r.section(n, what+".ingress", "host", "class", "tls")
		g.Ingress = &GatewayIngress{
			Host: r.hostname(n, i.value("host"), what+".ingress.host"), Class: r.text(i.value("class"), what+".ingress.class", "nginx"), TLS: r.text(i.value("tls"), what+".ingress.tls", "models-tls"),
		}
	}
	if n := f.value("http_route"); n != nil {
		h := r.section(n, what+".http_route", "gateway", "namespace", "host")
		g.Route = &GatewayRoute{Gateway: r.text(h.value("gateway"), what+".http_route.gateway", "public"), Namespace: r.text(h.value("namespace"), what+".http_route.namespace", "infra")}
		if h.has("host") {
			g.Route.Host = r.hostname(n, h.value("host"), what+".http_route.host")
		}
		if g.Route.Gateway == "" {
			r.at(n, "%s.http_route.gateway: expected the name of a Gateway of the cluster, such as public", what)
		}
	}
	return g
}

// hostname reads the name by which clients reach something; in is what it
// belongs to, for the place of a mistake when there is none.
func (r *reader) hostname(in, n *yaml.Node, what string) string {
	s := r.text(n, what, "models.example.com")
	switch {
	case s == "":
		r.at(in, "%s: expected a host name such as models.example.com", what)
	case len(s) > 253 || !hostname.MatchString(s):
		r.at(n, "%s: expected a host name such as models.example.com, got %q", what, clip(s, 60))
	}
	return s
}
