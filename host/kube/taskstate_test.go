package kube

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ridgeline-mlops/ridgeline/host"
)

// What a cluster shows when a node burns, or in other moments that a test
// cannot bring about at will.
func TestStateOf(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }
	pod := func(change func(*corev1.Pod)) []*corev1.Pod {
		p := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n7"}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
		p.CreationTimestamp = ago(time.Hour)
		p.Spec.Containers = []corev1.Container{{Name: "task", Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}}}}
		change(p)
		return []*corev1.Pod{p}
	}
	disrupted := func(reason string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodFailed
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: reason}}
		}
	}
	stopped := func(reason string, code int32) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodFailed
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "task", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code}}}}
		}
	}
	unpullable := func(since time.Duration) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Phase, p.CreationTimestamp = corev1.PodPending, ago(since)
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such host"}}}}
		}
	}
	failed := func(reason string) *batchv1.Job {
		return &batchv1.Job{Status: batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: reason}}}}
	}
	suspended := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{queueLabel: "night"}}, Spec: batchv1.JobSpec{Suspend: new(true)}}
	ending := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{killed: "true"}}}
	for name, test := range map[string]struct {
		job    *batchv1.Job
		pods   []*corev1.Pod
		phase  host.Phase
		reason host.EndReason
		says   string
	}{
		"runs":                      {&batchv1.Job{}, pod(func(*corev1.Pod) {}), host.Running, "", ""},
		"its queue wants the place": {suspended, pod(disrupted("")), host.Ended, host.Displaced, "the queue night gave its place to others"},
		"no pod yet":                {&batchv1.Job{}, nil, host.Pending, "", "waits for a node"},
		"its node does not answer":  {&batchv1.Job{}, pod(func(p *corev1.Pod) { at := ago(time.Minute); p.DeletionTimestamp = &at }), host.Ended, host.Displaced, "node n7 has stopped answering"},
		"its node was silent": {&batchv1.Job{}, pod(func(p *corev1.Pod) {
			at := metav1.NewTime(now.Add(20 * time.Second))
			p.DeletionTimestamp = &at
			p.Status.Conditions = []corev1.PodCondition{
				{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: ago(silence * time.Second)},
				{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByTaintManager", LastTransitionTime: ago(0)},
			}
		}), host.Ended, host.Displaced, "node n7 has stopped answering"},
		"its node is emptied by a taint": {&batchv1.Job{}, pod(func(p *corev1.Pod) {
			at := metav1.NewTime(now.Add(20 * time.Second))
			p.DeletionTimestamp = &at
			p.Status.Conditions = []corev1.PodCondition{
				{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: ago(time.Hour)},
				{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByTaintManager", LastTransitionTime: ago(0)},
			}
		}), host.Running, "", ""},
		"is being deleted":             {&batchv1.Job{}, pod(func(p *corev1.Pod) { at := metav1.NewTime(now.Add(20 * time.Second)); p.DeletionTimestamp = &at }), host.Running, "", ""},
		"preempted":                    {&batchv1.Job{}, pod(disrupted(corev1.PodReasonPreemptionByScheduler)), host.Ended, host.Displaced, "higher priority"},
		"evicted by its node":          {&batchv1.Job{}, pod(disrupted(corev1.PodReasonTerminationByKubelet)), host.Ended, host.Displaced, "short of memory or disk"},
		"drained, and the pod is gone": {failed(batchv1.JobReasonPodFailurePolicy), nil, host.Ended, host.Displaced, "taken away"},
		"the pod was deleted":          {failed(batchv1.JobReasonBackoffLimitExceeded), nil, host.Ended, host.Displaced, "somebody deleted it"},
		"too much memory":              {&batchv1.Job{}, pod(stopped("OOMKilled", 137)), host.Ended, host.OutOfMemory, "its limit of 64Mi"},
		"its first process broke down": {&batchv1.Job{}, pod(stopped("Error", 2)), host.Ended, host.NotStarted, "ended with code 2"},
		"its deadline passed":          {failed(batchv1.JobReasonDeadlineExceeded), nil, host.Ended, host.TimedOut, "timeout"},
		"the image, for a minute":      {&batchv1.Job{}, pod(unpullable(time.Minute)), host.Pending, "", "cannot pull the image"},
		"the image, for long":          {&batchv1.Job{}, pod(unpullable(5 * time.Minute)), host.Ended, host.NotStarted, "no such host"},
		"killed, still going":          {ending, pod(func(*corev1.Pod) {}), host.Running, "", "is being ended"},
		"killed":                       {ending, nil, host.Ended, host.Killed, "on request"},
		"killed, on a dead node":       {ending, pod(func(p *corev1.Pod) { at := ago(time.Minute); p.DeletionTimestamp = &at }), host.Ended, host.Killed, "on request"},
	} {
		st := stateOf(test.job, test.pods, now)
		if st.Phase != test.phase || st.Reason != test.reason || !strings.Contains(st.Message, test.says) || test.says == "" && st.Message != "" {
			t.Errorf("%s: %+v; want %s %s with %q", name, st, test.phase, test.reason, test.says)
		}
		if st.Phase == host.Ended && (st.Started.IsZero() || !st.Ended.Equal(now)) {
			t.Errorf("%s: from %s to %s", name, st.Started, st.Ended)
		}
	}
}
