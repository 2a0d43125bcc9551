// Package kube is a Kubernetes cluster as a host: services are Deployments
// with what belongs to them, tasks are Jobs. It is the one door to client-go.
//
// It leaves what an image holds to package image, and what a task or a service
// means to its caller. Everything it knows is in the cluster, under labels
// that say which Ridgeline it belongs to: a restart, or another server of the
// same database, finds it there.
package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/ridgeline-mlops/ridgeline"
)

// Options of a Cluster. Server is required.
type Options struct {
	Kubeconfig string // file; empty: KUBECONFIG, ~/.kube/config or, in a pod, its service account
	Context    string // of the kubeconfig; empty: its current one
	Namespace  string // where everything lives; empty: the context's, or the pod's own
	Registry   string // host[:port] from which nodes pull the images of tasks and services
	Username   string // with which they do; empty: as nobody
	Password   string
	// Elsewhere tells how nodes sign in at another registry that images are in;
	// an empty Login is as nobody. Nil: there is none.
	Elsewhere func(context.Context) (host string, login Login, err error)
	Pods      string // how pods are reached: PodsAuto (or empty), PodsDirect or PodsForward
	Server    string // tells this Ridgeline's objects from another one's; see ServerLabel
	Log       *slog.Logger
}

// A Login is a sign-in at a registry, as Docker's configuration has it.
type Login struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// The labels of everything that is made here. Nothing without ManagerLabel and
// this server's ServerLabel is looked at, changed or removed.
const (
	ManagerLabel    = "app.kubernetes.io/managed-by" // "ridgeline"
	PartLabel       = "app.kubernetes.io/component"  // "scorer", "task" or "gateway"
	ServerLabel     = "ridgeline.io/server"
	DeploymentLabel = "ridgeline.io/deployment" // of services: the DeploymentID
	TaskLabel       = "ridgeline.io/task"       // of tasks
)

// manager is the one field manager of server-side apply.
const manager = "ridgeline"

// callTimeout bounds one call of the API server that is not a watch or a log.
const callTimeout = 30 * time.Second

// A Cluster is one namespace of a Kubernetes cluster. It is safe for
// concurrent use.
type Cluster struct {
	opt       Options
	config    *rest.Config
	namespace string
	clients   map[schema.GroupVersion]rest.Interface
	log       *slog.Logger

	ctx   context.Context // of its watches
	close context.CancelFunc
	mu    sync.Mutex
	views map[reflect.Type]any // *view[T], by T

	applied  sync.Map  // DeploymentID → applied
	pullable time.Time // when the pull secret was applied
	gateway  gatewayApplied
	reach    reach
	forwards forwards
}

// A kind is how the API server calls what a Go type describes.
type kind struct {
	version schema.GroupVersion
	plural  string
}

// kinds are those that are made, watched or read here.
var kinds = map[reflect.Type]kind{
	reflect.TypeFor[appsv1.Deployment]():                     {appsv1.SchemeGroupVersion, "deployments"},
	reflect.TypeFor[autoscalingv2.HorizontalPodAutoscaler](): {autoscalingv2.SchemeGroupVersion, "horizontalpodautoscalers"},
	reflect.TypeFor[batchv1.Job]():                           {batchv1.SchemeGroupVersion, "jobs"},
	reflect.TypeFor[corev1.ConfigMap]():                      {corev1.SchemeGroupVersion, "configmaps"},
	reflect.TypeFor[corev1.Event]():                          {corev1.SchemeGroupVersion, "events"},
	reflect.TypeFor[corev1.Pod]():                            {corev1.SchemeGroupVersion, "pods"},
	reflect.TypeFor[corev1.Secret]():                         {corev1.SchemeGroupVersion, "secrets"},
	reflect.TypeFor[corev1.Service]():                        {corev1.SchemeGroupVersion, "services"},
	reflect.TypeFor[networkingv1.Ingress]():                  {networkingv1.SchemeGroupVersion, "ingresses"},
	reflect.TypeFor[policyv1.PodDisruptionBudget]():          {policyv1.SchemeGroupVersion, "poddisruptionbudgets"},
}

// Open reads the kubeconfig. It does not call the API server, which may be
// away for now.
func Open(o Options) (*Cluster, error) {
	if o.Server == "" {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "a Kubernetes host needs the id of its server, to tell its objects from others'")
	}
	config, namespace, err := load(o)
	if err != nil {
		return nil, err
	}
	config.UserAgent = "ridgeline"
	config.QPS, config.Burst = 50, 100
	c := &Cluster{opt: o, config: config, namespace: namespace, clients: map[schema.GroupVersion]rest.Interface{}, views: map[reflect.Type]any{}, log: o.Log}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, autoscalingv2.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
	} {
		if err := add(known); err != nil {
			return nil, err
		}
	}
	way, err := newSignIn(o, config, c.log)
	if err != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "kubeconfig: %w", err)
	}
	codecs := serializer.NewCodecFactory(known)
	for _, k := range kinds {
		one := rest.CopyConfig(config)
		one.GroupVersion, one.APIPath = &k.version, "/apis"
		if k.version.Group == "" {
			one.APIPath = "/api"
		}
		one.NegotiatedSerializer = codecs.WithoutConversion()
		if c.clients[k.version], err = rest.RESTClientForConfigAndClient(one, &http.Client{Transport: way}); err != nil {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "kubeconfig: %w", err)
		}
	}
	c.ctx, c.close = context.WithCancel(context.Background())
	return c, nil
}

// load finds the cluster, the sign-in and the namespace.
func load(o Options) (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	if o.Kubeconfig != "" {
		if _, err := os.Stat(o.Kubeconfig); err != nil {
			return nil, "", ridgeline.Errorf(ridgeline.Invalid, "kubeconfig: %w", err)
		}
	}
	chosen := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: o.Context})
	config, err := chosen.ClientConfig()
	if err != nil {
		return nil, "", ridgeline.Errorf(ridgeline.Invalid, "no Kubernetes cluster is known: name a kubeconfig (kubernetes.kubeconfig in the server's settings, or KUBECONFIG): %w", err)
	}
	if o.Namespace != "" {
		return config, o.Namespace, nil
	}
	namespace, _, err := chosen.Namespace()
	if err != nil {
		return nil, "", ridgeline.Errorf(ridgeline.Invalid, "kubeconfig: %w", err)
	}
	return config, namespace, nil
}

// Close ends the watches and the ways to pods. What runs in the cluster goes on.
func (c *Cluster) Close() {
	c.close()
	c.forwards.close()
}

// Namespace is where everything lives.
func (c *Cluster) Namespace() string { return c.namespace }

// labels are those of one object, and select it with its like.
func (c *Cluster) labels(part, key, value string) map[string]string {
	return map[string]string{ManagerLabel: manager, ServerLabel: c.opt.Server, PartLabel: part, key: value}
}

// meta begins an object of this server.
func (c *Cluster) meta(name string, labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: c.namespace, Labels: labels}
}

// kindOf says where the API server keeps a T.
func kindOf[T any]() (kind, string) {
	t := reflect.TypeFor[T]()
	return kinds[t], t.Name()
}

// read gets one object. One that is not there is a NotFound error.
func read[T any](ctx context.Context, c *Cluster, name string) (*T, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	k, title := kindOf[T]()
	out := new(T)
	err := c.clients[k.version].Get().Namespace(c.namespace).Resource(k.plural).Name(name).Do(ctx).Into(any(out).(runtime.Object))
	return out, classify(err, "read", title, name)
}

// apply makes the object as it is described, whether it is there or not, by
// server-side apply: fields that are not mentioned belong to others (an
// autoscaler's replicas, a person's annotation) and stay as they are.
func apply[T any](ctx context.Context, c *Cluster, name string, want *T) (*T, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	k, title := kindOf[T]()
	body, err := describe(k, title, want)
	if err != nil {
		return nil, err
	}
	force := true // what somebody else has changed of ours becomes ours again
	options := metav1.PatchOptions{FieldManager: manager, Force: &force}
	out := new(T)
	err = c.clients[k.version].Patch(types.ApplyPatchType).Namespace(c.namespace).Resource(k.plural).Name(name).
		Param("fieldManager", options.FieldManager).Param("force", "true").Body(body).Do(ctx).Into(any(out).(runtime.Object))
	return out, classify(err, "apply", title, name)
}

// describe is an object as server-side apply wants it: with its kind, and
// without fields that say nothing.
func describe(k kind, title string, want any) ([]byte, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(want)
	if err != nil {
		return nil, fmt.Errorf("describe a %s: %w", title, err)
	}
	delete(fields, "status")
	fields["apiVersion"], fields["kind"] = k.version.String(), title
	prune(fields)
	return json.Marshal(fields)
}

// prune removes nulls and empty maps, which Go's types write for what nobody
// has set (creationTimestamp, resources, strategy): applied, they would be
// claimed. An emptyDir is empty, and means something.
func prune(fields map[string]any) {
	for key, v := range fields {
		switch v := v.(type) {
		case nil:
			delete(fields, key)
		case map[string]any:
			prune(v)
			if len(v) == 0 && key != "emptyDir" {
				delete(fields, key)
			}
		case []any:
			for _, item := range v {
				if m, ok := item.(map[string]any); ok {
					prune(m)
				}
			}
		}
	}
}

// remove deletes an object and, after it, what it owns. Absent is success.
func remove[T any](ctx context.Context, c *Cluster, name string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	k, title := kindOf[T]()
	background := metav1.DeletePropagationBackground
	err := c.clients[k.version].Delete().Namespace(c.namespace).Resource(k.plural).Name(name).
		Body(&metav1.DeleteOptions{PropagationPolicy: &background}).Do(ctx).Error()
	if err = classify(err, "remove", title, name); ridgeline.CodeOf(err) == ridgeline.NotFound {
		return nil
	}
	return err
}
