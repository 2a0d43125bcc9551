package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
)

// maxReplicas is what a workload may ask for.
const maxReplicas = 1000

// applyAgain is how often what looks as it should is applied all the same: a
// person may have changed what is not watched.
const applyAgain = time.Minute

// Services is the cluster as a host.Services.
type Services struct{ c *Cluster }

var _ host.Services = Services{}

// Services returns the side of the Cluster that keeps services.
func (c *Cluster) Services() Services { return Services{c} }

// applied is what was last applied, and how it looked then. It saves calls; a
// server that does not remember applies once more.
type applied struct {
	hash       string
	uid        types.UID
	generation int64
	at         time.Time
}

// Apply implements host.Services.
func (s Services) Apply(ctx context.Context, want host.Workload) error {
	c := s.c
	if !mayBeID(want.ID) {
		return ridgeline.Errorf(ridgeline.Invalid, "workload name %q: use 1 to 40 lower-case letters, digits and dashes", want.ID)
	}
	if want.Replicas < 0 || max(want.Replicas, want.MaxReplicas) > maxReplicas {
		return ridgeline.Errorf(ridgeline.Invalid, "workload %s wants %d to %d copies; this host keeps 0 to %d", want.ID, want.Replicas, want.MaxReplicas, maxReplicas)
	}
	m, err := c.manifests(want)
	if err != nil {
		return err
	}
	deployments, err := watched[appsv1.Deployment](ctx, c)
	if err != nil {
		return err
	}
	there, ok := deployments.one(c.namespace, m.deployment.Name)
	if known, remembered := c.applied.Load(want.ID); ok && remembered {
		if last := known.(applied); last.hash == m.hash && last.uid == there.UID && last.generation == there.Generation && time.Since(last.at) < applyAgain {
			return nil
		}
	}
	if ok && there.DeletionTimestamp != nil {
		return ridgeline.Errorf(ridgeline.Unavailable, "workload %s is still being removed: try again in a moment", want.ID)
	}
	now, err := c.applyAll(ctx, m)
	if err != nil {
		return err
	}
	c.applied.Store(want.ID, applied{m.hash, now.UID, now.Generation, time.Now()})
	return nil
}

// applyAll applies what pods need first, and what belongs to the Deployment
// after it.
func (c *Cluster) applyAll(ctx context.Context, m manifests) (*appsv1.Deployment, error) {
	if err := c.applyPullSecret(ctx); err != nil {
		return nil, err
	}
	if _, err := apply(ctx, c, m.secret.Name, m.secret); err != nil {
		return nil, err
	}
	now, err := apply(ctx, c, m.deployment.Name, m.deployment)
	if err != nil {
		return nil, err
	}
	owned(now, &m.service.ObjectMeta, &m.copies.ObjectMeta, &m.budget.ObjectMeta)
	for _, s := range []*corev1.Service{m.service, m.copies} {
		if _, err := apply(ctx, c, s.Name, s); err != nil {
			return nil, err
		}
	}
	if _, err := apply(ctx, c, m.budget.Name, m.budget); err != nil {
		return nil, err
	}
	if m.scaler != nil {
		owned(now, &m.scaler.ObjectMeta)
		if _, err := apply(ctx, c, m.scaler.Name, m.scaler); err != nil {
			return nil, err
		}
	}
	return now, nil
}

// applyPullSecret makes the namespace's sign-in at the registries. At the
// embedded one it is the same for as long as the server lives; the tokens of
// the clouds last for an hour and more, and are new long before. Once a minute
// is enough.
func (c *Cluster) applyPullSecret(ctx context.Context) error {
	if !c.signsIn() {
		return nil
	}
	c.mu.Lock()
	fresh := time.Since(c.pullable) < applyAgain
	c.mu.Unlock()
	if fresh {
		return nil
	}
	secret, err := c.pullSecret(ctx)
	if err != nil {
		return err
	}
	if _, err := apply(ctx, c, secret.Name, secret); err != nil {
		return err
	}
	c.mu.Lock()
	c.pullable = time.Now()
	c.mu.Unlock()
	return nil
}

// Remove implements host.Services. It returns when the last pod is gone: the
// Deployment is deleted in the foreground, after all that it owns.
func (s Services) Remove(ctx context.Context, id ridgeline.DeploymentID) error {
	c := s.c
	if !mayBeID(id) {
		return nil
	}
	name := c.nameOf(id)
	c.applied.Delete(id)
	if _, err := read[appsv1.Deployment](ctx, c, name); ridgeline.CodeOf(err) == ridgeline.NotFound {
		return remove[corev1.Secret](ctx, c, name) // a person deleted the rest
	} else if err != nil {
		return err
	}
	if err := c.deleteInForeground(ctx, name); err != nil {
		return err
	}
	for {
		_, err := read[appsv1.Deployment](ctx, c, name)
		switch {
		case ridgeline.CodeOf(err) == ridgeline.NotFound:
			return remove[corev1.Secret](ctx, c, name)
		case err != nil: // also when the cluster is away: who waits for the drain has others waiting
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (c *Cluster) deleteInForeground(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	foreground := metav1.DeletePropagationForeground
	k, title := kindOf[appsv1.Deployment]()
	err := c.clients[k.version].Delete().Namespace(c.namespace).Resource(k.plural).Name(name).
		Body(&metav1.DeleteOptions{PropagationPolicy: &foreground}).Do(ctx).Error()
	if err = classify(err, "remove", title, name); ridgeline.CodeOf(err) == ridgeline.NotFound {
		return nil
	}
	return err
}

// Workloads implements host.Services.
func (s Services) Workloads(ctx context.Context) ([]ridgeline.DeploymentID, error) {
	deployments, err := watched[appsv1.Deployment](ctx, s.c)
	if err != nil {
		return nil, err
	}
	ids := []ridgeline.DeploymentID{}
	for _, id := range deployments.labelled(DeploymentLabel) {
		ids = append(ids, ridgeline.DeploymentID(id))
	}
	return ids, nil
}

// Log implements host.Services. With several copies the tail is divided among
// them, each under a line that says which it is.
func (s Services) Log(ctx context.Context, id ridgeline.DeploymentID, tail int64) ([]byte, error) {
	if !mayBeID(id) || tail <= 0 {
		return nil, ctx.Err()
	}
	pods, err := s.c.pods(ctx, id)
	if err != nil || len(pods) == 0 {
		return nil, err
	}
	if len(pods) == 1 {
		return s.c.words(ctx, pods[0], tail)
	}
	var b bytes.Buffer
	for _, p := range pods {
		head := fmt.Sprintf("==> copy %s <==\n", p.Name)
		words, err := s.c.words(ctx, p, tail/int64(len(pods))-int64(len(head))-1)
		if err != nil {
			return nil, err
		}
		if len(words) > 0 {
			b.WriteString(head)
			b.Write(words)
			if words[len(words)-1] != '\n' {
				b.WriteByte('\n')
			}
		}
	}
	return b.Bytes(), nil
}

// words are the last n bytes that a pod wrote: those of the container before,
// while the one of now has not said anything.
func (c *Cluster) words(ctx context.Context, p *corev1.Pod, n int64) ([]byte, error) {
	if n <= 0 || len(p.Status.ContainerStatuses) == 0 {
		return nil, nil
	}
	log, err := c.podLog(ctx, p.Name, n, false)
	if err == nil && len(log) == 0 && p.Status.ContainerStatuses[0].RestartCount > 0 {
		log, err = c.podLog(ctx, p.Name, n, true)
	}
	switch ridgeline.CodeOf(err) {
	case ridgeline.NotFound, ridgeline.Invalid: // gone meanwhile, or not begun
		return nil, nil
	}
	return log, err
}

// podLog reads the end of a container's log. The API knows only lines, which
// are rarely shorter than a few bytes.
func (c *Cluster) podLog(ctx context.Context, pod string, n int64, previous bool) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	k, _ := kindOf[corev1.Pod]()
	stream, err := c.clients[k.version].Get().Namespace(c.namespace).Resource(k.plural).Name(pod).SubResource("log").
		Param("tailLines", strconv.FormatInt(n/4+1, 10)).Param("previous", strconv.FormatBool(previous)).Stream(ctx)
	if err != nil {
		return nil, classify(err, "read the log of", "Pod", pod)
	}
	defer func() { _ = stream.Close() }()
	var last []byte
	buf := make([]byte, 64<<10)
	for {
		got, err := stream.Read(buf)
		last = append(last, buf[:got]...)
		last = last[max(0, int64(len(last))-n):]
		if errors.Is(err, io.EOF) {
			return slices.Clone(last), nil
		}
		if err != nil {
			return nil, classify(err, "read the log of", "Pod", pod)
		}
	}
}

// pods are a workload's copies: those that are not going, oldest first.
func (c *Cluster) pods(ctx context.Context, id ridgeline.DeploymentID) ([]*corev1.Pod, error) {
	all, err := watched[corev1.Pod](ctx, c)
	if err != nil {
		return nil, err
	}
	pods := slices.DeleteFunc(all.where(DeploymentLabel, string(id)), func(p *corev1.Pod) bool {
		return p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
	})
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		if by := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); by != 0 {
			return by
		}
		return strings.Compare(a.Name, b.Name)
	})
	return pods, nil
}
