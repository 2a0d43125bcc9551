package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Gateway is what is wanted of the gateway on the cluster: copies of one
// program behind a Service, which answer the namespace's endpoints whether
// this server is there or not. There is one for each server's namespace.
type Gateway struct {
	Image    string // repository@sha256:…, whose entrypoint is the gateway
	Replicas int
	Server   string   // where its pods reach this server
	Token    string   // with which they do
	Table    []byte   // what they know before the first of them has asked the server
	Says     string   // names what the table says: it is written when that has changed
	Env      []string // KEY=value, beside
	Service  string   // ClusterIP, NodePort or LoadBalancer
	Ingress  *Ingress // nil: none
	Route    *Route   // nil: none
}

// An Ingress leads requests of a host name to the gateway.
type Ingress struct{ Host, Class, TLS string } // TLS: the Secret of its certificate

// A Route does the same by the Gateway API: an HTTPRoute that belongs to a
// Gateway of the cluster, in Namespace or in this one.
type Route struct{ Gateway, Namespace, Host string }

// gatewayApplied is what was applied last; see applied.
type gatewayApplied struct {
	table, rest string
	tableAt, at time.Time
	tidy        bool // what is not wanted any more was removed
}

const (
	gatewayPort   = 8080
	gatewayProbes = 8081
	tableFile     = "table.json"
	tableFolder   = "/etc/ridgeline"
	// gatewayGrace covers the gateway's own 5 s of taking requests and 30 s for
	// those under way.
	gatewayGrace = 45 // s
)

func (c *Cluster) gatewayName() string { return "ridgeline-gateway-" + c.opt.Server }

// ApplyGateway makes the cluster work towards want and returns without
// waiting. It may be called at any time, and calls the API server only when
// something has changed, or a minute has passed. One caller at a time.
func (c *Cluster) ApplyGateway(ctx context.Context, want Gateway) error {
	if err := c.applyPullSecret(ctx); err != nil {
		return err
	}
	last, now := &c.gateway, time.Now()
	secret := c.gatewaySecret(want)
	if want.Says != last.table || now.Sub(last.tableAt) > applyAgain {
		if _, err := apply(ctx, c, secret.Name, secret); err != nil {
			return err
		}
		last.table, last.tableAt = want.Says, now
	}
	want.Table, want.Says = nil, ""
	rest, err := json.Marshal(want)
	if err != nil {
		return err
	}
	if sum(rest) == last.rest && now.Sub(last.at) < applyAgain {
		return nil
	}
	if err := c.applyGatewayObjects(ctx, want); err != nil {
		return err
	}
	last.rest, last.at = sum(rest), now
	return nil
}

func (c *Cluster) applyGatewayObjects(ctx context.Context, want Gateway) error {
	deployment := c.gatewayDeployment(want)
	made, err := apply(ctx, c, deployment.Name, deployment)
	if err != nil {
		return err
	}
	labels, selector := deployment.Labels, deployment.Spec.Selector.MatchLabels
	service := &corev1.Service{ObjectMeta: c.meta(deployment.Name, labels), Spec: corev1.ServiceSpec{
		Type: corev1.ServiceType(want.Service), Selector: selector, Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}},
	}}
	one := intstr.FromInt32(1)
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: c.meta(deployment.Name, labels), Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one, Selector: deployment.Spec.Selector}}
	owned(made, &service.ObjectMeta, &budget.ObjectMeta)
	if _, err := apply(ctx, c, service.Name, service); err != nil {
		return err
	}
	if _, err := apply(ctx, c, budget.Name, budget); err != nil {
		return err
	}
	return c.applyWaysIn(ctx, want, made, labels)
}

// applyWaysIn makes what leads to the gateway from outside, and once removes
// what is not wanted any more.
func (c *Cluster) applyWaysIn(ctx context.Context, want Gateway, owner *appsv1.Deployment, labels map[string]string) error {
	if want.Ingress != nil {
		ingress := c.gatewayIngress(*want.Ingress, labels)
		owned(owner, &ingress.ObjectMeta)
		if _, err := apply(ctx, c, ingress.Name, ingress); err != nil {
			return err
		}
	}
	if want.Route != nil {
		if err := c.applyRoute(ctx, *want.Route, owner, labels); err != nil {
			return err
		}
	}
	if c.gateway.tidy {
		return nil
	}
	// Who has no right to them has not made any.
	if want.Ingress == nil {
		if err := remove[networkingv1.Ingress](ctx, c, c.gatewayName()); err != nil && ridgeline.CodeOf(err) != ridgeline.Denied {
			return err
		}
	}
	if want.Route == nil {
		err := c.core().Delete().AbsPath(c.routePath()).Do(ctx).Error()
		if err = classify(err, "remove", "HTTPRoute", c.gatewayName()); err != nil && ridgeline.CodeOf(err) != ridgeline.Denied && ridgeline.CodeOf(err) != ridgeline.NotFound {
			return err
		}
	}
	c.gateway.tidy = true
	return nil
}

// RemoveGateway removes the gateway of this server, if there is one.
func (c *Cluster) RemoveGateway(ctx context.Context) error {
	deployments, err := watched[appsv1.Deployment](ctx, c)
	if err != nil {
		return err
	}
	if _, there := deployments.one(c.namespace, c.gatewayName()); !there {
		return nil
	}
	if err := remove[appsv1.Deployment](ctx, c, c.gatewayName()); err != nil { // and what it owns
		return err
	}
	return remove[corev1.Secret](ctx, c, c.gatewayName())
}

func (c *Cluster) gatewayLabels() map[string]string {
	return map[string]string{ManagerLabel: manager, ServerLabel: c.opt.Server, PartLabel: "gateway"}
}

// gatewaySecret has the token and the table: a pod that starts while this
// server is away finds both.
func (c *Cluster) gatewaySecret(want Gateway) *corev1.Secret {
	data := variables(want.Env)
	data["RIDGELINE_GATEWAY_TOKEN"], data[tableFile] = []byte(want.Token), want.Table
	return &corev1.Secret{ObjectMeta: c.meta(c.gatewayName(), c.gatewayLabels()), Data: data}
}

func (c *Cluster) gatewayDeployment(want Gateway) *appsv1.Deployment {
	name, labels := c.gatewayName(), c.gatewayLabels()
	one, none := intstr.FromInt32(1), intstr.FromInt32(0)
	selector := &metav1.LabelSelector{MatchLabels: labels}
	spec := hardened()
	spec.TerminationGracePeriodSeconds = new(int64(gatewayGrace))
	spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: "kubernetes.io/hostname", WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: selector}}
	if c.signsIn() {
		spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: c.pullSecretName()}}
	}
	spec.Volumes = []corev1.Volume{
		{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		{Name: "table", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name, Items: []corev1.KeyToPath{{Key: tableFile, Path: tableFile}}}}},
	}
	env := []corev1.EnvVar{
		{Name: "RIDGELINE_COPY", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
		{Name: "RIDGELINE_GATEWAY_SERVER", Value: want.Server},
		{Name: "RIDGELINE_GATEWAY_TABLE", Value: tableFolder + "/" + tableFile},
		{Name: "RIDGELINE_GATEWAY_KEEP", Value: "/tmp/" + tableFile},
		{Name: "GOMEMLIMIT", Value: "400MiB"},
	}
	for _, key := range append(slices.Sorted(maps.Keys(variables(want.Env))), "RIDGELINE_GATEWAY_TOKEN") {
		env = append(env, corev1.EnvVar{Name: key, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key}}})
	}
	spec.Containers = []corev1.Container{{
		Name: "gateway", Image: c.image(want.Image), ImagePullPolicy: corev1.PullIfNotPresent, // its name is its content
		Env:   env,
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: gatewayPort}, {Name: "probes", ContainerPort: gatewayProbes}},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
		},
		ReadinessProbe:           gatewayProbe("/healthz/ready", 1, 2),
		LivenessProbe:            gatewayProbe("/healthz/live", 10, 6),
		VolumeMounts:             []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}, {Name: "table", MountPath: tableFolder, ReadOnly: true}},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		SecurityContext:          confined(),
	}}
	return &appsv1.Deployment{ObjectMeta: c.meta(name, labels), Spec: appsv1.DeploymentSpec{
		Replicas: new(int32(want.Replicas)), Selector: selector, RevisionHistoryLimit: new(int32(1)),
		Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &one, MaxUnavailable: &none}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{variablesAnnotation: sum(fmt.Append(nil, want.Env))}}, Spec: spec},
	}}
}

func gatewayProbe(path string, every, failures int32) *corev1.Probe {
	p := probe(path, every, failures)
	p.HTTPGet.Port = intstr.FromString("probes")
	return p
}

// endpointsPath is what a way in leads to the gateway.
const endpointsPath = "/endpoints"

func (c *Cluster) gatewayIngress(want Ingress, labels map[string]string) *networkingv1.Ingress {
	prefix := networkingv1.PathTypePrefix
	to := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: c.gatewayName(), Port: networkingv1.ServiceBackendPort{Name: "http"}}}
	i := &networkingv1.Ingress{ObjectMeta: c.meta(c.gatewayName(), labels)}
	i.Spec.Rules = []networkingv1.IngressRule{{Host: want.Host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
		Paths: []networkingv1.HTTPIngressPath{{Path: endpointsPath, PathType: &prefix, Backend: to}},
	}}}}
	if want.Class != "" {
		i.Spec.IngressClassName = &want.Class
	}
	if want.TLS != "" {
		i.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{want.Host}, SecretName: want.TLS}}
	}
	return i
}

// routeVersion is the Gateway API's, whose types are not Kubernetes' own: a
// cluster has them when somebody has installed them.
const routeVersion = "gateway.networking.k8s.io/v1"

func (c *Cluster) routePath() string {
	return "/apis/" + routeVersion + "/namespaces/" + c.namespace + "/httproutes/" + c.gatewayName()
}

func (c *Cluster) applyRoute(ctx context.Context, want Route, owner *appsv1.Deployment, labels map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	body, err := json.Marshal(c.gatewayRoute(want, owner, labels))
	if err != nil {
		return err
	}
	err = c.core().Patch(types.ApplyPatchType).AbsPath(c.routePath()).Param("fieldManager", manager).Param("force", "true").Body(body).Do(ctx).Error()
	if apierrors.IsNotFound(err) { // what is beside it could be made: it is not the namespace
		return ridgeline.Errorf(ridgeline.Invalid, "the cluster has no HTTPRoute (%s): install the Gateway API, or take kubernetes.gateway.http_route out of the server's settings", routeVersion)
	}
	return classify(err, "apply", "HTTPRoute", c.gatewayName())
}

func (c *Cluster) gatewayRoute(want Route, owner *appsv1.Deployment, labels map[string]string) map[string]any {
	type m = map[string]any
	parent := m{"name": want.Gateway}
	if want.Namespace != "" {
		parent["namespace"] = want.Namespace
	}
	spec := m{"parentRefs": []m{parent}, "rules": []m{{
		"matches":     []m{{"path": m{"type": "PathPrefix", "value": endpointsPath}}},
		"backendRefs": []m{{"name": c.gatewayName(), "port": 80}},
	}}}
	if want.Host != "" {
		spec["hostnames"] = []string{want.Host}
	}
	return m{"apiVersion": routeVersion, "kind": "HTTPRoute", "spec": spec, "metadata": m{
		"name": c.gatewayName(), "namespace": c.namespace, "labels": labels,
		"ownerReferences": []m{{"apiVersion": "apps/v1", "kind": "Deployment", "name": owner.Name, "uid": owner.UID}},
	}}
}
