package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Finding is one thing that was looked at.
type Finding struct {
	Check   string `json:"check"`
	OK      bool   `json:"ok"`
	Message string `json:"message"`       // what is there
	Fix     string `json:"fix,omitempty"` // what to do, when it is not OK
}

// maxSkew is how far two clocks may be apart: tokens that are good for minutes
// still are.
const maxSkew = time.Minute

// right is what this server has to be allowed in its namespace.
type right struct{ group, resource, verbs string }

var rights = []right{
	{"", "pods", "list watch"}, {"", "pods/log", "get"}, {"", "secrets", "get create patch delete"}, {"", "services", "get list watch create patch delete"}, {"", "events", "list"},
	{"apps", "deployments", "get list watch create patch delete"}, {"batch", "jobs", "get list watch create patch delete"},
	{"autoscaling", "horizontalpodautoscalers", "get create patch delete"}, {"policy", "poddisruptionbudgets", "get create patch delete"},
}

// needed are the rights for what the settings ask for.
func (c *Cluster) needed(gateway *Gateway) []right {
	list := slices.Clone(rights)
	if c.opt.Pods == PodsForward {
		list = append(list, right{"", "pods/portforward", "get create"})
	}
	if gateway != nil && gateway.Ingress != nil {
		list = append(list, right{"networking.k8s.io", "ingresses", "get create patch delete"})
	}
	if gateway != nil && gateway.Route != nil {
		list = append(list, right{"gateway.networking.k8s.io", "httproutes", "get create patch delete"})
	}
	return list
}

// Doctor looks whether the cluster can do what is asked of it. server is where
// pods reach this server; gateway is what is wanted on the cluster (only its
// copies and ways in are looked at), or nil.
func (c *Cluster) Doctor(ctx context.Context, server string, gateway *Gateway) []Finding {
	access, clock, ok := c.doctorAccess(ctx)
	list := []Finding{access}
	if !ok {
		return list // nothing else can be asked
	}
	list = append(list, clock, c.doctorRights(ctx, gateway), c.doctorMetrics(ctx), c.doctorQuota(ctx), doctorAddress(server))
	if gateway != nil {
		list = append(list, c.doctorGateway(ctx, *gateway))
	}
	return append(list, c.doctorRegistry(ctx)...)
}

// core is the client of plain paths, too.
func (c *Cluster) core() rest.Interface { return c.clients[corev1.SchemeGroupVersion] }

func (c *Cluster) doctorAccess(ctx context.Context) (access, clock Finding, ok bool) {
	access, clock = Finding{Check: "access"}, Finding{Check: "clock", OK: true}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	at := c.core().Get().AbsPath("/version").URL()
	client, err := rest.HTTPClientFor(c.config)
	if err != nil {
		access.Message, access.Fix = err.Error(), "mend the kubeconfig, or name another one: kubernetes.kubeconfig in server.yaml, or KUBECONFIG"
		return access, clock, false
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		access.Message = err.Error()
		return access, clock, false
	}
	asked := time.Now()
	res, err := client.Do(req)
	if err != nil {
		access.Message = fmt.Sprintf("%s does not answer: %v", at.Host, err)
		access.Fix = "start the cluster, or name the right one: kubernetes.kubeconfig and kubernetes.context in server.yaml, or KUBECONFIG"
		return access, clock, false
	}
	defer res.Body.Close()
	var version struct{ GitVersion string }
	_ = json.NewDecoder(res.Body).Decode(&version) // some clusters tell strangers nothing
	if err := c.core().Get().Namespace(c.namespace).Resource("pods").Param("limit", "1").Do(ctx).Error(); err != nil {
		access.Message, access.Fix = classify(err, "list", "pods in namespace", c.namespace).Error(), "renew the sign-in, make the namespace, or bind the role that `ridgeline kube manifests` prints"
		return access, clock, false
	}
	access.OK, access.Message = true, fmt.Sprintf("%s at %s, namespace %s", version.GitVersion, at.Host, c.namespace)
	theirs, err := http.ParseTime(res.Header.Get("Date"))
	skew := time.Since(asked) / 2
	if err == nil {
		skew = time.Until(theirs).Abs()
	}
	clock.Message = fmt.Sprintf("within %s of the cluster's", (skew + time.Second).Round(time.Second))
	if skew > maxSkew {
		clock.OK, clock.Message = false, fmt.Sprintf("%s apart from the cluster's", skew.Round(time.Second))
		clock.Fix = "set both clocks by NTP: tokens of minutes would be expired, or not good yet"
	}
	return access, clock, true
}

// allowed asks the cluster whether this sign-in may do something.
func (c *Cluster) allowed(ctx context.Context, r right, verb string) (bool, error) {
	resource, sub, _ := strings.Cut(r.resource, "/")
	body, err := json.Marshal(map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"spec": map[string]any{"resourceAttributes": map[string]string{"namespace": c.namespace, "group": r.group, "resource": resource, "subresource": sub, "verb": verb}},
	})
	if err != nil {
		return false, err
	}
	out, err := c.core().Post().AbsPath("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews").SetHeader("Content-Type", "application/json").Body(body).DoRaw(ctx)
	if err != nil {
		return false, err
	}
	var review struct{ Status struct{ Allowed bool } }
	err = json.Unmarshal(out, &review)
	return review.Status.Allowed, err
}

func (c *Cluster) doctorRights(ctx context.Context, gateway *Gateway) Finding {
	f := Finding{Check: "rights", OK: true}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var missing []string
	asked := 0
	for _, r := range c.needed(gateway) {
		for _, verb := range strings.Fields(r.verbs) {
			asked++
			yes, err := c.allowed(ctx, r, verb)
			if err != nil {
				return Finding{Check: "rights", Message: err.Error(), Fix: "let this sign-in ask what it may: selfsubjectaccessreviews, create"}
			}
			if !yes {
				missing = append(missing, verb+" "+r.resource)
			}
		}
	}
	f.Message = fmt.Sprintf("all %d that are needed", asked)
	if len(missing) > 0 {
		f.OK, f.Message, f.Fix = false, "missing: "+strings.Join(missing, ", "), "bind this sign-in to the role that `ridgeline kube manifests` prints"
	}
	return f
}

// doctorGateway looks at the gateway on the cluster, which the server makes when
// it runs, and at what its way in is made of.
func (c *Cluster) doctorGateway(ctx context.Context, want Gateway) Finding {
	f := Finding{Check: "gateway"}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if want.Route != nil {
		if _, err := c.core().Get().AbsPath("/apis/" + routeVersion).DoRaw(ctx); err != nil {
			f.Message = "the cluster has no HTTPRoute (" + routeVersion + "): " + err.Error()
			f.Fix = "install the Gateway API, or take kubernetes.gateway.http_route out of server.yaml"
			return f
		}
	}
	made, err := read[appsv1.Deployment](ctx, c, c.gatewayName())
	switch {
	case ridgeline.CodeOf(err) == ridgeline.NotFound:
		f.OK, f.Message = true, "not made yet: the server makes it once it runs"
	case err != nil:
		f.Message, f.Fix = err.Error(), "bind this sign-in to the role that `ridgeline kube manifests` prints"
	case int(made.Status.ReadyReplicas) < want.Replicas:
		f.Message = fmt.Sprintf("%d of %d copies are ready", made.Status.ReadyReplicas, want.Replicas)
		f.Fix = "see why: kubectl --namespace " + c.namespace + " describe pods --selector " + PartLabel + "=gateway"
	default:
		f.OK, f.Message = true, fmt.Sprintf("%d of %d copies are ready", made.Status.ReadyReplicas, want.Replicas)
	}
	return f
}

func (c *Cluster) doctorMetrics(ctx context.Context) Finding {
	f := Finding{Check: "metrics-server", OK: true, Message: "answers: copies can be added under load"}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := c.core().Get().AbsPath("/apis/metrics.k8s.io/v1beta1").DoRaw(ctx); err != nil {
		f.OK, f.Message = false, "does not answer: "+err.Error()
		f.Fix = "install metrics-server; without it replicas stay at their minimum (all else works)"
	}
	return f
}

func (c *Cluster) doctorQuota(ctx context.Context) Finding {
	f := Finding{Check: "quota", OK: true, Message: "none"}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var list corev1.ResourceQuotaList
	if err := c.core().Get().Namespace(c.namespace).Resource("resourcequotas").Do(ctx).Into(&list); err != nil {
		f.Message = "cannot be read (" + err.Error() + "); what a quota refuses is said where it happens"
		return f
	}
	var used, full []string
	for _, q := range list.Items {
		for name, hard := range q.Status.Hard {
			now := q.Status.Used[name]
			text := fmt.Sprintf("%s %s of %s", name, now.String(), hard.String())
			if used = append(used, text); now.Cmp(hard) >= 0 {
				full = append(full, text)
			}
		}
	}
	slices.Sort(used)
	if len(used) > 0 {
		f.Message = strings.Join(used, ", ")
	}
	if len(full) > 0 {
		slices.Sort(full)
		f.OK, f.Message, f.Fix = false, "used up: "+strings.Join(full, ", "), "have it raised, or remove what is not needed: kubectl --namespace "+c.namespace+" get all"
	}
	return f
}

// doctorAddress looks whether pods can mean this server by its address.
func doctorAddress(server string) Finding {
	f := Finding{Check: "address", OK: true, Message: "pods reach this server at " + server}
	u, err := url.Parse(server)
	if err == nil && u.Hostname() != "localhost" && !strings.HasPrefix(u.Hostname(), "127.") && u.Hostname() != "::1" && u.Hostname() != "" {
		return f
	}
	f.OK, f.Message = false, fmt.Sprintf("%q means the pod itself to a pod", server)
	f.Fix = "listen on an address that pods reach (up --listen), and name it: --public-url, or kubernetes.url in server.yaml"
	return f
}

// doctorRegistry has each node pull an image that does not exist. What the node
// says of that tells whether it reaches the registry: only who has been asked
// can say that there is no such image.
func (c *Cluster) doctorRegistry(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	if err := c.applyPullSecret(ctx); err != nil {
		return []Finding{{Check: "registry", Message: err.Error(), Fix: "bind this sign-in to the role that `ridgeline kube manifests` prints"}}
	}
	nodes := []string{""} // who may not list nodes has one chosen
	var all corev1.NodeList
	if err := c.core().Get().Resource("nodes").Do(ctx).Into(&all); err == nil && len(all.Items) > 0 {
		nodes = nil
		for _, n := range all.Items {
			nodes = append(nodes, n.Name)
		}
	}
	const most = 10 // of a large cluster, some tell about all
	out := make([]Finding, min(len(nodes), most))
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() { out[i] = c.doctorPull(ctx, nodes[i]) })
	}
	wg.Wait()
	return out
}

func (c *Cluster) doctorPull(ctx context.Context, node string) Finding {
	f := Finding{Check: "registry"}
	name := fmt.Sprintf("doctor-%s-%x", c.opt.Server, time.Now().UnixNano())
	labels := c.labels("doctor", "ridgeline.io/doctor", name)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.namespace, Labels: labels}, Spec: hardened()}
	pod.Spec.NodeName, pod.Spec.RestartPolicy, pod.Spec.ActiveDeadlineSeconds = node, corev1.RestartPolicyNever, new(int64(120))
	if c.signsIn() {
		pod.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: c.pullSecretName()}}
	}
	image := c.image("doctor/none@sha256:" + strings.Repeat("0", 64))
	pod.Spec.Containers = []corev1.Container{{Name: "none", Image: image, ImagePullPolicy: corev1.PullAlways, SecurityContext: confined()}}
	if err := create(ctx, c, name, pod); ridgeline.CodeOf(err) == ridgeline.Denied {
		// The server's own role makes pods by Jobs and Deployments only.
		f.OK, f.Message = true, "not looked at: this sign-in may not create a pod by itself; one that may (KUBECONFIG) would tell"
		return f
	} else if err != nil {
		f.Message, f.Fix = err.Error(), "try again, or pull from "+c.opt.Registry+" on a node by hand"
		return f
	}
	defer func() {
		late, done := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer done()
		_ = remove[corev1.Pod](late, c, name) // it has a deadline of its own
	}()
	for {
		p, err := read[corev1.Pod](ctx, c, name)
		if err != nil && ridgeline.CodeOf(err) != ridgeline.Unavailable {
			f.Message, f.Fix = err.Error(), "try again"
			return f
		}
		if err == nil {
			for _, s := range p.Status.ContainerStatuses {
				if w := s.State.Waiting; w != nil && (w.Reason == "ErrImagePull" || w.Reason == "ImagePullBackOff") && strings.Contains(w.Message, ":") {
					return c.pulled(orSome(p.Spec.NodeName), w.Message)
				}
			}
		}
		select {
		case <-ctx.Done():
			f.Message = orSome(node) + " did not say within 90 s whether it reaches " + c.opt.Registry
			f.Fix = "see kubectl describe node; it may not be ready"
			return f
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// pulled reads what a node said of an image that does not exist.
func (c *Cluster) pulled(node, said string) Finding {
	f := Finding{Check: "registry"}
	lower := strings.ToLower(said)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(lower, w) })
	}
	f.Message = fmt.Sprintf("%s cannot pull from %s: %s", node, c.opt.Registry, said)
	switch {
	case has("not found", "manifest unknown", "name unknown", "name_unknown"):
		f.OK, f.Message = true, fmt.Sprintf("%s reaches %s", node, c.opt.Registry)
	case has("unauthorized", "401", "forbidden", "403"):
		f.Fix = "the registry refuses the pull secret " + c.pullSecretName() + ": restart the server, which makes it anew"
	case has("http response to https client", "tls", "x509", "certificate"):
		f.Fix = "put TLS in front of the registry, or tell the nodes that it has none (containerd: certs.d/" + c.opt.Registry + "/hosts.toml)"
	case has("no such host", "lookup"):
		f.Fix = "name the registry by a host that nodes know: kubernetes.registry in server.yaml"
	default:
		f.Fix = "listen on an address that nodes reach (up --listen) and name it: kubernetes.registry in server.yaml; see firewalls between them"
	}
	return f
}
