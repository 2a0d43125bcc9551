package kube

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
)

const (
	scorerPort = 8080
	// A copy that is told to stop is unready at once and takes requests for as
	// long as a gateway may not know it yet; see server's routeAge.
	drainDelay = "3000" // ms
	// podGrace covers that, the scorer's own time for what it holds (25 s), and
	// the last of its inference log.
	podGrace = 40 // s
	// busyCPU is the share of the CPU asked for at which copies are added.
	busyCPU = 70
	// asked of a node for a copy that names no CPU of its own, so that its load
	// can be told in percent.
	askedCPU = 0.1

	// silence is how long a node may not answer, once the cluster says so, before
	// its pods are given up; the cluster's own default is five minutes.
	silence = 30 // s

	appliedAnnotation   = "ridgeline.io/applied"
	variablesAnnotation = "ridgeline.io/variables" // hash of them, so that a change makes new pods

	copiesEnding = "-copies"
)

// manifests are all objects of one workload.
type manifests struct {
	secret     *corev1.Secret // its variables
	deployment *appsv1.Deployment
	service    *corev1.Service // a name in the cluster
	copies     *corev1.Service // a name whose addresses are those of the ready copies
	budget     *policyv1.PodDisruptionBudget
	scaler     *autoscalingv2.HorizontalPodAutoscaler // nil: as many copies as it says
	hash       string                                 // of all of them
}

// nameOf is the name of a workload's objects: two servers in one namespace do
// not meet.
func (c *Cluster) nameOf(id ridgeline.DeploymentID) string {
	return string(id) + "-" + c.opt.Server
}

// CopiesAddress is where the ready copies of a workload answer, for pods of the
// namespace: host:port, of which the host has an address for each.
func (c *Cluster) CopiesAddress(id ridgeline.DeploymentID) string {
	return fmt.Sprintf("%s%s:%d", c.nameOf(id), copiesEnding, scorerPort)
}

// signsIn says whether pods pull by the pull secret.
func (c *Cluster) signsIn() bool { return c.opt.Password != "" || c.opt.Elsewhere != nil }

func (c *Cluster) pullSecretName() string { return "ridgeline-pull-" + c.opt.Server }

// manifests describes a workload.
func (c *Cluster) manifests(w host.Workload) (manifests, error) {
	name, labels := c.nameOf(w.ID), c.labels("scorer", DeploymentLabel, string(w.ID))
	selector := map[string]string{ServerLabel: c.opt.Server, DeploymentLabel: string(w.ID)}
	m := manifests{
		secret:     &corev1.Secret{ObjectMeta: c.meta(name, labels), Data: variables(w.Env)},
		deployment: &appsv1.Deployment{ObjectMeta: c.meta(name, labels)},
		service:    &corev1.Service{ObjectMeta: c.meta(name, labels)},
		copies:     &corev1.Service{ObjectMeta: c.meta(name+copiesEnding, labels)},
		budget:     &policyv1.PodDisruptionBudget{ObjectMeta: c.meta(name, labels)},
	}
	env, err := json.Marshal(m.secret.Data)
	if err != nil {
		return m, err
	}
	one, none := intstr.FromInt32(1), intstr.FromInt32(0)
	m.deployment.Spec = appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: selector},
		// More first, then fewer: what answers goes only when another one does.
		Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &one, MaxUnavailable: &none}},
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{variablesAnnotation: sum(env)}},
			Spec:       c.pod(w, name, selector),
		},
		RevisionHistoryLimit: new(int32(1)),
	}
	m.service.Spec = corev1.ServiceSpec{Selector: selector, Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}}}
	m.copies.Spec = corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Selector: selector, Ports: []corev1.ServicePort{{Name: "http", Port: scorerPort}}}
	m.budget.Spec = policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one, Selector: &metav1.LabelSelector{MatchLabels: selector}}
	if w.MaxReplicas > w.Replicas && w.Replicas > 0 {
		m.scaler = c.scaler(w, name, labels)
	} else {
		m.deployment.Spec.Replicas = new(int32(w.Replicas))
	}
	all, err := json.Marshal([]any{m.secret, m.deployment, m.service, m.copies, m.budget, m.scaler})
	m.hash = sum(all)
	m.deployment.Annotations = map[string]string{appliedAnnotation: m.hash}
	return m, err
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:8])
}

// variables turns KEY=value into a map; the last one of a name counts.
func variables(env []string) map[string][]byte {
	out := map[string][]byte{}
	for _, v := range env {
		key, value, _ := strings.Cut(v, "=")
		out[key] = []byte(value)
	}
	return out
}

// pod is one copy: as nobody, on a read-only root, without capabilities and
// without a sign-in at the cluster.
func (c *Cluster) pod(w host.Workload, name string, selector map[string]string) corev1.PodSpec {
	spec := hardened()
	spec.TerminationGracePeriodSeconds = new(int64(podGrace))
	spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: "kubernetes.io/hostname", WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: &metav1.LabelSelector{MatchLabels: selector},
	}}
	if c.signsIn() {
		spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: c.pullSecretName()}}
	}
	spec.Volumes = []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	spec.Containers = []corev1.Container{{
		Name: "scorer", Image: c.image(w.Image), ImagePullPolicy: corev1.PullIfNotPresent, // its name is its content
		EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}}},
		Env: []corev1.EnvVar{
			{Name: "RIDGELINE_COPY", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
			{Name: "RIDGELINE_LISTEN", Value: ":8080"}, {Name: "RIDGELINE_DRAIN_MS", Value: drainDelay},
		},
		Ports:          []corev1.ContainerPort{{Name: "http", ContainerPort: scorerPort}},
		Resources:      requirements(w.Resources, w.MaxReplicas > w.Replicas),
		StartupProbe:   probe("/healthz/live", 1, 600),
		ReadinessProbe: probe("/healthz/ready", 1, 2),
		LivenessProbe:  probe("/healthz/live", 10, 6),
		VolumeMounts:   []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}},
		// The scorer's last words come with the reason why it ended.
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		SecurityContext:          confined(),
	}}
	return spec
}

// hardened is what every pod of ours has in common.
func hardened() corev1.PodSpec {
	return corev1.PodSpec{
		Tolerations: []corev1.Toleration{
			{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(silence))},
			{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(silence))},
		},
		AutomountServiceAccountToken: new(false),
		EnableServiceLinks:           new(false), // other services' addresses are none of its business
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(65534)), RunAsGroup: new(int64(65534)), FSGroup: new(int64(65534)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
}

// confined is what every container of ours may not: the "restricted" Pod
// Security Standard, and a root that cannot be written.
func confined() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

func probe(path string, every, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("http")}},
		PeriodSeconds: every, FailureThreshold: failures, TimeoutSeconds: 5,
	}
}

// image is where nodes pull an image from.
func (c *Cluster) image(name string) string { return ridgeline.ImageReference(c.opt.Registry, name) }

// requirements asks nodes for what a container may use: memory cannot be given
// back, and CPU that was promised is there.
func requirements(r host.Resources, scales bool) corev1.ResourceRequirements {
	list := corev1.ResourceList{}
	if r.CPU > 0 {
		list[corev1.ResourceCPU] = *resource.NewMilliQuantity(int64(r.CPU*1000), resource.DecimalSI)
	}
	if r.Memory > 0 {
		list[corev1.ResourceMemory] = *resource.NewQuantity(r.Memory, resource.BinarySI)
	}
	asked := maps.Clone(list)
	if r.CPU == 0 && scales {
		asked[corev1.ResourceCPU] = *resource.NewMilliQuantity(askedCPU*1000, resource.DecimalSI)
	}
	return corev1.ResourceRequirements{Requests: asked, Limits: list}
}

// scaler adds copies while they are busy, and takes them away again.
func (c *Cluster) scaler(w host.Workload, name string, labels map[string]string) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: c.meta(name, labels),
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name},
			MinReplicas:    new(int32(w.Replicas)), MaxReplicas: int32(w.MaxReplicas),
			Metrics: []autoscalingv2.MetricSpec{{
				Type: autoscalingv2.ResourceMetricSourceType,
				Resource: &autoscalingv2.ResourceMetricSource{Name: corev1.ResourceCPU,
					Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: new(int32(busyCPU))}},
			}},
		},
	}
}

// pullSecret is the nodes' sign-in at the embedded registry and at the one that
// images go to instead.
func (c *Cluster) pullSecret(ctx context.Context) (*corev1.Secret, error) {
	auths := map[string]Login{}
	if c.opt.Password != "" {
		auths[c.opt.Registry] = Login{c.opt.Username, c.opt.Password}
	}
	if c.opt.Elsewhere != nil {
		host, login, err := c.opt.Elsewhere(ctx)
		if err != nil {
			return nil, err
		}
		if login.Password != "" {
			auths[host] = login
		}
	}
	config, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		return nil, err
	}
	return &corev1.Secret{
		ObjectMeta: c.meta(c.pullSecretName(), map[string]string{ManagerLabel: manager, ServerLabel: c.opt.Server}),
		Type:       corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: config},
	}, nil
}

// owned makes the Deployment the owner of what belongs to it: who deletes it
// deletes all.
func owned(d *appsv1.Deployment, all ...*metav1.ObjectMeta) {
	for _, m := range all {
		m.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name, UID: d.UID}}
	}
}

// mayBeID says whether an id can be the name of objects.
func mayBeID(id ridgeline.DeploymentID) bool {
	const most = 40 // with the server's id behind it, and the pods' own endings
	ok := id != "" && len(id) <= most && id[0] != '-' && id[len(id)-1] != '-'
	return ok && !slices.ContainsFunc([]byte(id), func(c byte) bool { return c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') })
}
