package kube

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
)

// Observe implements host.Services from what the watches have brought: but for
// the first look at how pods are reached it calls nobody, and it goes on telling
// the last known state while the API server is away. The address of a copy is
// that of its pod, or of a socket that leads to it.
func (s Services) Observe(ctx context.Context, id ridgeline.DeploymentID) (host.Observed, error) {
	c := s.c
	if err := ctx.Err(); err != nil || !mayBeID(id) {
		return host.Observed{}, err
	}
	pods, err := c.pods(ctx, id)
	if err != nil {
		return host.Observed{}, err
	}
	deployments, err := watched[appsv1.Deployment](ctx, c)
	if err != nil {
		return host.Observed{}, err
	}
	var o host.Observed
	for _, p := range pods {
		seen := copyOf(p)
		if seen.Ready {
			seen.Address = c.address(ctx, p)
		}
		o.Copies = append(o.Copies, seen)
	}
	c.forwards.keep(id, pods)
	d, ok := deployments.one(c.namespace, c.nameOf(id))
	if !ok || d.DeletionTimestamp != nil {
		return o, nil
	}
	wanted := 1 // what an absent number means
	if d.Spec.Replicas != nil {
		wanted = int(*d.Spec.Replicas)
	}
	for len(o.Copies) < wanted {
		message, stuck := absent(d)
		o.Copies = append(o.Copies, host.Copy{Message: message, Stuck: stuck})
	}
	return o, nil
}

// absent says why a Deployment has fewer pods than it wants.
func absent(d *appsv1.Deployment) (message string, stuck bool) {
	for _, condition := range d.Status.Conditions {
		if condition.Type != appsv1.DeploymentReplicaFailure || condition.Status != corev1.ConditionTrue {
			continue
		}
		if strings.Contains(condition.Message, "exceeded quota") {
			return "the namespace's quota is used up; ask for less, or have it raised: " + condition.Message, true
		}
		return "the cluster refuses the pod: " + condition.Message, true
	}
	return "not started yet", false
}

// copyOf says what is seen of a pod.
func copyOf(p *corev1.Pod) host.Copy {
	c := host.Copy{}
	if p.Status.PodIP != "" {
		c.Address = "http://" + podAddress(p)
	}
	for _, s := range p.Status.ContainerStatuses {
		c.Restarts += int(s.RestartCount)
	}
	for _, condition := range p.Status.Conditions {
		if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
			c.Ready = true
			return c
		}
	}
	c.Message, c.Stuck = trouble(p)
	return c
}

// trouble says in a user's words why a pod is not ready, and whether it will
// not be before somebody does something.
func trouble(p *corev1.Pod) (message string, stuck bool) {
	for _, condition := range p.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return unplaced(condition.Message), false // an autoscaler may bring one
		}
	}
	for _, s := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
		if message, stuck = troubleOf(p, s); message != "" {
			return message, stuck
		}
	}
	if p.Status.Phase == corev1.PodPending {
		return "is being started on " + orSome(p.Spec.NodeName), false
	}
	return "runs, and its init() has not returned yet", false
}

// unplaced says what the scheduler has not found a node for, with its words.
func unplaced(words string) string {
	if strings.Contains(words, "Insufficient "+gpuResource) {
		return "no node has a free GPU for it now: " + words
	}
	return "no node has room for it now: " + words
}

func orSome(node string) string {
	if node == "" {
		return "a node"
	}
	return "node " + node
}

func troubleOf(p *corev1.Pod, s corev1.ContainerStatus) (message string, stuck bool) {
	if w := s.State.Waiting; w != nil {
		switch w.Reason {
		case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable":
			return fmt.Sprintf("%s cannot pull the image %s: %s", orSome(p.Spec.NodeName), s.Image, w.Message), true
		case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
			return "the container cannot be made: " + w.Message, true
		}
	}
	ended := s.State.Terminated
	if ended == nil {
		ended = s.LastTerminationState.Terminated
	}
	if ended == nil {
		return "", false
	}
	return lastWords(p, s, ended), false
}

// lastWords says how a container ended.
func lastWords(p *corev1.Pod, s corev1.ContainerStatus, ended *corev1.ContainerStateTerminated) string {
	if ended.Reason == "OOMKilled" {
		limit := "the memory of its node"
		for _, c := range p.Spec.Containers {
			if q, ok := c.Resources.Limits[corev1.ResourceMemory]; ok && c.Name == s.Name {
				limit = "its limit of " + q.String()
			}
		}
		return "was ended for using more memory than " + limit + ": raise it, or load less"
	}
	text := strings.TrimSpace(ended.Message)
	if text == "" {
		text = ended.Reason
	}
	return fmt.Sprintf("ended with code %d: %s", ended.ExitCode, text)
}
