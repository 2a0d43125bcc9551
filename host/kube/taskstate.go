package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/ridgeline-mlops/ridgeline/host"
)

// hopeless is how long an image may not be pulled before the task is given up:
// a registry that restarts is back by then.
const hopeless = 2 * time.Minute

// stateOf is what a Job and its pod show of a task that has not told its end.
// A pod that runs is Running even before its command is: it fetches.
func stateOf(job *batchv1.Job, pods []*corev1.Pod, now time.Time) host.TaskState {
	st := host.TaskState{Phase: host.Pending, Message: "waits for a node"}
	end := func(reason host.EndReason, message string) host.TaskState {
		st.Phase, st.Reason, st.Message, st.Ended = host.Ended, reason, message, now
		if st.Started.IsZero() {
			st.Started = now
		}
		return st
	}
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
	if len(pods) > 0 {
		st.Started = began(pods[0])
	}
	left := slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return !over(p) && !unreachable(p, now) })
	if job.Annotations[killed] != "" {
		if left {
			st.Phase, st.Message = host.Running, "is being ended"
			return st
		}
		return end(host.Killed, "killed on request")
	}
	if failed := condition(job, batchv1.JobFailed); failed != nil && !left {
		switch failed.Reason {
		case batchv1.JobReasonDeadlineExceeded:
			return end(host.TimedOut, "did not end within its timeout and the hour that a cluster has to find room for it; see its last message, and whether nodes are free")
		case batchv1.JobReasonPodFailurePolicy:
			return end(host.Displaced, displaced(job, pods))
		}
		if len(pods) == 0 {
			return end(host.Displaced, displaced(job, pods))
		}
	}
	if len(pods) == 0 {
		return st
	}
	p := pods[0]
	switch {
	case unreachable(p, now):
		return end(host.Displaced, fmt.Sprintf("node %s has stopped answering; its pod was given up", p.Spec.NodeName))
	case over(p):
		return ended(job, p, end)
	case p.Status.Phase == corev1.PodRunning:
		st.Phase, st.Message = host.Running, ""
		return st
	}
	message, stuck := trouble(p)
	if stuck && now.Sub(p.CreationTimestamp.Time) > hopeless {
		return end(host.NotStarted, message)
	}
	st.Message = message
	return st
}

// ended says how a pod ended that has told nobody.
func ended(job *batchv1.Job, p *corev1.Pod, end func(host.EndReason, string) host.TaskState) host.TaskState {
	if disruption(p) != nil {
		return end(host.Displaced, displaced(job, []*corev1.Pod{p}))
	}
	for _, s := range p.Status.ContainerStatuses {
		if s.State.Terminated == nil {
			continue
		}
		if s.State.Terminated.Reason == "OOMKilled" {
			return end(host.OutOfMemory, lastWords(p, s, s.State.Terminated))
		}
		return end(host.NotStarted, "its container "+lastWords(p, s, s.State.Terminated)+"; it could not tell the server how its command ended")
	}
	if p.Status.Message != "" { // the kubelet refused it: no such GPU, too many pods
		return end(host.NotStarted, "node "+p.Spec.NodeName+" refused it: "+p.Status.Message)
	}
	return end(host.Displaced, displaced(job, []*corev1.Pod{p}))
}

// over says that nothing of the pod runs any more.
func over(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// unreachable says that only a node that does not answer keeps the pod in the
// list: it was to be gone by now, or it is to go because its node has been
// silent. Of such a node the cluster makes the pods unready first; a task has
// no probe that would, and one that ends on a node that answers is not unready
// for that long before.
func unreachable(p *corev1.Pod, now time.Time) bool {
	if p.DeletionTimestamp == nil {
		return false
	}
	if now.After(p.DeletionTimestamp.Add(10 * time.Second)) {
		return true
	}
	taken := disruption(p)
	if taken == nil || taken.Reason != "DeletionByTaintManager" {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionFalse {
			return taken.LastTransitionTime.Sub(c.LastTransitionTime.Time) >= silence*time.Second/2
		}
	}
	return false
}

func began(p *corev1.Pod) time.Time {
	for _, s := range p.Status.ContainerStatuses {
		switch {
		case s.State.Running != nil:
			return s.State.Running.StartedAt.Time
		case s.State.Terminated != nil:
			return s.State.Terminated.StartedAt.Time
		}
	}
	return p.CreationTimestamp.Time
}

func condition(job *batchv1.Job, of batchv1.JobConditionType) *batchv1.JobCondition {
	for i, c := range job.Status.Conditions {
		if c.Type == of && c.Status == corev1.ConditionTrue {
			return &job.Status.Conditions[i]
		}
	}
	return nil
}

func disruption(p *corev1.Pod) *corev1.PodCondition {
	for i, c := range p.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// displaced says why the cluster took a task's place away, as far as its Job
// or a pod that is still there tells.
func displaced(job *batchv1.Job, pods []*corev1.Pod) string {
	if job != nil && job.Spec.Suspend != nil && *job.Spec.Suspend {
		return "the queue " + job.Labels[queueLabel] + " gave its place to others"
	}
	for _, p := range pods {
		c := disruption(p)
		if c == nil {
			continue
		}
		why := map[string]string{
			corev1.PodReasonPreemptionByScheduler: "a pod of higher priority took its place",
			corev1.PodReasonTerminationByKubelet:  "its node ran short of memory or disk, or was shut down",
			"EvictionByEvictionAPI":               "its node was drained",
			"DeletionByTaintManager":              "its node was taken out of service",
			"DeletionByPodGC":                     "its node is gone",
		}[c.Reason]
		if why == "" {
			why = "its pod was taken away"
		}
		return fmt.Sprintf("%s (%s: %s)", why, orSome(p.Spec.NodeName), strings.TrimSpace(c.Reason+" "+p.Status.Message))
	}
	return "its pod was taken away: the node was drained or given back, or somebody deleted it"
}

// refused says why a Job has no pod, by its newest event. Only events tell.
func (t Tasks) refused(ctx context.Context, job *batchv1.Job) string {
	if job.Spec.Suspend != nil && *job.Spec.Suspend {
		return "waits in the queue " + t.pool.Queue + " for its turn, which Kueue gives it"
	}
	const waits = "waits for a node"
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	k, _ := kindOf[corev1.Event]()
	var list corev1.EventList
	o := metav1.ListOptions{FieldSelector: fields.Set{"involvedObject.uid": string(job.UID)}.String()}
	if err := t.c.clients[k.version].Get().Namespace(t.c.namespace).Resource(k.plural).VersionedParams(&o, metav1.ParameterCodec).Do(ctx).Into(&list); err != nil {
		return waits // it waits all the same
	}
	slices.SortFunc(list.Items, func(a, b corev1.Event) int { return b.LastTimestamp.Compare(a.LastTimestamp.Time) })
	for _, e := range list.Items {
		switch {
		case e.Reason == "FailedCreate" && strings.Contains(e.Message, "exceeded quota"):
			return "the namespace's quota is used up; it begins when there is room, ask for less or have it raised: " + e.Message
		case e.Reason == "FailedCreate":
			return "the cluster refuses its pod: " + e.Message
		}
	}
	return waits
}
