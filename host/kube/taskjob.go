package kube

import (
	"math"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/host/courier"
)

const (
	errandFile   = "task.json"
	errandFolder = "/etc/ridgeline"
	// slack is how long beyond its command's own timeout a Job may take: to find
	// a node, which an autoscaler may have to bring, to fetch and to bring back.
	slack = time.Hour
	// delivery is how long a pod that is told to go has beyond its command's grace
	// to send the rest of its log and its end.
	delivery = 20 * time.Second
	// keptJobs is how long a Job that nobody removes stays to be looked at.
	keptJobs = 24 * 60 * 60 // s

	gpuResource = "nvidia.com/gpu"
	// queueLabel is Kueue's: it holds a Job back until its queue has room.
	queueLabel = "kueue.x-k8s.io/queue-name"
)

// job describes a task's Job: one pod, never a second. Whether there is another
// attempt is the caller's to decide, who counts them.
func (t Tasks) job(task host.Task, name string, labels map[string]string) *batchv1.Job {
	meta := t.c.meta(name, labels)
	meta.Annotations = map[string]string{taskName: task.Name}
	if t.pool.Queue != "" {
		meta.Labels[queueLabel] = t.pool.Queue
	}
	job := &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{
		BackoffLimit: new(int32(0)), Completions: new(int32(1)), Parallelism: new(int32(1)), TTLSecondsAfterFinished: new(int32(keptJobs)),
		PodReplacementPolicy: new(batchv1.Failed),
		// So that a Job whose pod was taken away says so when the pod is long gone.
		PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
			Action:          batchv1.PodFailurePolicyActionFailJob,
			OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}},
		}}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: t.pod(task, name)},
	}}
	if t.pool.Queue != "" { // Kueue begins it; suspended from the start, it waits for its turn even while Kueue is away
		job.Spec.Suspend = new(true)
	}
	if task.Timeout > 0 {
		job.Spec.ActiveDeadlineSeconds = new(int64((task.Timeout + slack).Seconds()))
	}
	if !t.pool.Spot { // a node is not emptied under it to save another one
		job.Spec.Template.Annotations = map[string]string{"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
	}
	return job
}

// pod is the task's container: as confined as a scorer's, with a folder of its
// own to work in.
func (t Tasks) pod(task host.Task, name string) corev1.PodSpec {
	spec := hardened()
	spec.RestartPolicy = corev1.RestartPolicyNever
	spec.TerminationGracePeriodSeconds = new(int64(math.Ceil((task.Grace + delivery).Seconds())))
	spec.NodeSelector, spec.PriorityClassName = t.pool.NodeSelector, t.pool.PriorityClass
	for _, l := range t.pool.Tolerations {
		one := corev1.Toleration{Key: l.Key, Operator: corev1.TolerationOpExists, Value: l.Value, Effect: corev1.TaintEffect(l.Effect)}
		if l.Value != "" {
			one.Operator = corev1.TolerationOpEqual
		}
		spec.Tolerations = append(spec.Tolerations, one)
	}
	if t.c.signsIn() {
		spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: t.c.pullSecretName()}}
	}
	empty := corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
	spec.Volumes = []corev1.Volume{
		{Name: "work", VolumeSource: empty}, {Name: "tmp", VolumeSource: empty},
		{Name: "task", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name, DefaultMode: new(int32(0o440))}}},
	}
	needs := requirements(task.Resources, false)
	if task.Resources.GPU > 0 {
		if needs.Limits == nil {
			needs.Limits = corev1.ResourceList{}
		}
		needs.Limits[gpuResource] = *resource.NewQuantity(int64(task.Resources.GPU), resource.DecimalSI) // what is asked for follows from it
	}
	spec.Containers = []corev1.Container{{
		Name: "task", Image: t.c.image(task.Image), ImagePullPolicy: corev1.PullIfNotPresent, WorkingDir: courier.Work,
		Env: []corev1.EnvVar{
			{Name: "RIDGELINE_TASK_FILE", Value: errandFolder + "/" + errandFile}, {Name: "RIDGELINE_TASK_NOTE", Value: corev1.TerminationMessagePathDefault},
		},
		Resources: needs, SecurityContext: confined(), TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		VolumeMounts: []corev1.VolumeMount{{Name: "work", MountPath: courier.Work}, {Name: "tmp", MountPath: "/tmp"}, {Name: "task", MountPath: errandFolder, ReadOnly: true}},
	}}
	return spec
}
