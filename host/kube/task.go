package kube

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/host/courier"
)

// A Pool is where in the cluster tasks run, and how. Name, Desk and Server are
// needed.
type Pool struct {
	Name          string
	Desk          *courier.Desk // what tasks fetch from and leave at
	Server        string        // URL under which pods reach that desk
	NodeSelector  map[string]string
	Tolerations   []Toleration
	PriorityClass string // of its pods; empty: the cluster's default
	Queue         string // of Kueue; empty for none
	Spot          bool   // its nodes may go at any time: pods do not hold them up
}

// A Toleration lets pods run on nodes that keep others away by a taint.
type Toleration struct {
	Key    string // empty: every taint
	Value  string // empty: whatever it is
	Effect string // NoSchedule, NoExecute, PreferNoSchedule; empty: each
}

// Tasks are the tasks of a pool: one Job for each. What a Job cannot remember
// (its log, its result, that it was ended because its node is gone) is kept at
// the pool's desk, so that it outlives pods and Jobs.
type Tasks struct {
	c    *Cluster
	pool Pool
}

var _ host.Tasks = Tasks{}

// Tasks returns a pool's tasks.
func (c *Cluster) Tasks(p Pool) Tasks { return Tasks{c, p} }

const (
	poolLabel = "ridgeline.io/pool"
	// taskName is the task's whole name; labels hold the Job's, which fits.
	taskName = "ridgeline.io/task-name"
	// killed is set before a Job is ended on request, to tell that from a pod
	// that the cluster took away.
	killed = "ridgeline.io/killed"
)

var (
	taskNames = regexp.MustCompile(`^[A-Za-z0-9-][A-Za-z0-9.-]{0,199}$`)
	plainName = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)
)

// jobName is the name of a task's Job: a function of the task's alone.
func (t Tasks) jobName(task string) string {
	const most = 63 - len("-xxxxx") // pods' names end in five letters of their own
	name := task + "-" + t.c.opt.Server
	if plainName.MatchString(name) && len(name) <= most {
		return name
	}
	sum := sha256.Sum256([]byte(task))
	return "task-" + hex.EncodeToString(sum[:10]) + "-" + t.c.opt.Server
}

// Ensure implements host.Tasks. The Job's pod waits for its Secret and the
// Secret for nobody: whichever was made when a server died, the rest follows.
func (t Tasks) Ensure(ctx context.Context, task host.Task) error {
	if !taskNames.MatchString(task.Name) {
		return ridgeline.Errorf(ridgeline.Invalid, "task name %q: use 1 to 200 letters, digits, dots and dashes, not starting with a dot", task.Name)
	}
	if task.Image == "" {
		return ridgeline.Errorf(ridgeline.Invalid, "task %s has no image to run in: a cluster's nodes have nothing of this machine", task.Name)
	}
	if task.Grace <= 0 {
		task.Grace = 5 * time.Second
	}
	if st, err := t.Observe(ctx, task.Name); err != nil || st.Phase != host.Absent {
		return err
	}
	if err := t.c.applyPullSecret(ctx); err != nil {
		return err
	}
	life := 14 * 24 * time.Hour
	if task.Timeout > 0 {
		life = task.Timeout + 2*slack
	}
	errand, err := t.pool.Desk.Open(ctx, task, t.pool.Server, time.Now().Add(life))
	if err != nil {
		return err
	}
	text, err := json.Marshal(errand)
	if err != nil {
		return err
	}
	name := t.jobName(task.Name)
	labels := t.c.labels("task", TaskLabel, name)
	labels[poolLabel] = t.pool.Name
	// Not immutable: a node would not look again for what replaces one of its name.
	secret := &corev1.Secret{ObjectMeta: t.c.meta(name, labels), Data: map[string][]byte{errandFile: text}}
	if err := create(ctx, t.c, name, secret); err != nil {
		return err
	}
	return create(ctx, t.c, name, t.job(task, name, labels))
}

// create makes an object unless there is one of its name.
func create[T any](ctx context.Context, c *Cluster, name string, want *T) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	k, title := kindOf[T]()
	err := c.clients[k.version].Post().Namespace(c.namespace).Resource(k.plural).Param("fieldManager", manager).Body(any(want).(runtime.Object)).Do(ctx).Error()
	if err = classify(err, "create", title, name); ridgeline.CodeOf(err) == ridgeline.Conflict {
		return nil
	}
	return err
}

// find returns a task's Job and pods. A Job that the view does not show is
// asked for: it may have been made just now.
func (t Tasks) find(ctx context.Context, task string) (*batchv1.Job, []*corev1.Pod, error) {
	name := t.jobName(task)
	jobs, err := watched[batchv1.Job](ctx, t.c)
	if err != nil {
		return nil, nil, err
	}
	pods, err := watched[corev1.Pod](ctx, t.c)
	if err != nil {
		return nil, nil, err
	}
	job, ok := jobs.one(t.c.namespace, name)
	if !ok {
		job, err = read[batchv1.Job](ctx, t.c, name)
		if ridgeline.CodeOf(err) == ridgeline.NotFound {
			return nil, pods.where(TaskLabel, name), nil
		}
		if err != nil {
			return nil, nil, err
		}
	}
	// A Job of the same name that was removed just now may still have a pod.
	return job, slices.DeleteFunc(pods.where(TaskLabel, name), func(p *corev1.Pod) bool { return !metav1.IsControlledBy(p, job) }), nil
}

// Observe implements host.Tasks. An end that follows from what the cluster
// shows is written down at the desk: what was seen once stays true.
func (t Tasks) Observe(ctx context.Context, task string) (host.TaskState, error) {
	if !taskNames.MatchString(task) {
		return host.TaskState{Phase: host.Absent}, ctx.Err()
	}
	end, there, err := t.pool.Desk.End(ctx, task)
	if err != nil {
		return host.TaskState{}, err
	}
	if there && end.Reason != host.Killed {
		return end, nil // the most frequent question: nobody else is asked
	}
	job, pods, err := t.find(ctx, task)
	if err != nil {
		return host.TaskState{}, err
	}
	switch {
	case there && (job == nil || job.Annotations[killed] != ""):
		return end, nil
	case there:
		end.Reason, end.Message = host.Displaced, displaced(job, pods)
		return end, nil
	case job == nil:
		return host.TaskState{Phase: host.Absent}, nil
	}
	st := stateOf(job, pods, time.Now())
	switch {
	case st.Phase == host.Pending && len(pods) == 0:
		st.Message = t.refused(ctx, job)
	case st.Phase == host.Pending && t.pool.Desk.Begun(ctx, task):
		st.Phase, st.Message = host.Running, ""
	}
	if st.Phase == host.Ended || st.Phase == host.Lost {
		return t.pool.Desk.Settle(ctx, task, st)
	}
	if st.Phase == host.Running {
		if used, err := t.pool.Desk.Used(ctx, task); err == nil { // what is not known now is known later
			st.Usage, st.Course = used.Usage, used.Course
		}
	}
	return st, nil
}

// Wait implements host.Tasks.
func (t Tasks) Wait(ctx context.Context, task string) (host.TaskState, error) {
	for {
		over := t.pool.Desk.Ended(task) // all before looking, so that nothing is missed
		jobs, err := watched[batchv1.Job](ctx, t.c)
		if err != nil {
			return host.TaskState{}, t.patient(ctx, err)
		}
		pods, err := watched[corev1.Pod](ctx, t.c)
		if err != nil {
			return host.TaskState{}, t.patient(ctx, err)
		}
		job, pod := jobs.next(), pods.next()
		st, err := t.Observe(ctx, task)
		switch {
		case ctx.Err() != nil:
			return host.TaskState{}, ctx.Err()
		case ridgeline.CodeOf(err) == ridgeline.Unavailable:
			// The API server is away: the task goes on, and so does the wait.
		case err != nil || st.Phase == host.Ended || st.Phase == host.Lost || st.Phase == host.Absent:
			return st, err
		}
		timer := time.NewTimer(time.Second) // some ends are a matter of time alone
		select {
		case <-ctx.Done():
			timer.Stop()
			return host.TaskState{}, ctx.Err()
		case <-over:
		case <-job:
		case <-pod:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// patient waits a little before a caller may ask again.
func (t Tasks) patient(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Log implements host.Tasks: what has arrived at the desk.
func (t Tasks) Log(ctx context.Context, task string, offset int64) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !taskNames.MatchString(task) {
		return io.NopCloser(strings.NewReader("")), nil
	}
	return t.pool.Desk.ReadLog(ctx, task, max(offset, 0))
}

// Kill implements host.Tasks: a Job whose time is over ends its pods politely,
// and for good. (Suspended, it would, too, until a queue begins it again.) A
// pod whose node does not answer counts as gone when its grace is over.
func (t Tasks) Kill(ctx context.Context, task string) error {
	if !taskNames.MatchString(task) {
		return nil
	}
	st, err := t.Observe(ctx, task)
	if err != nil || st.Phase != host.Pending && st.Phase != host.Running {
		return err
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"true"}},"spec":{"activeDeadlineSeconds":1}}`, killed)
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	k, title := kindOf[batchv1.Job]()
	name := t.jobName(task)
	err = t.c.clients[k.version].Patch(types.MergePatchType).Namespace(t.c.namespace).Resource(k.plural).Name(name).Param("fieldManager", manager).
		Body([]byte(patch)).Do(call).Error()
	if err = classify(err, "end", title, name); err != nil {
		if ridgeline.CodeOf(err) == ridgeline.NotFound {
			return nil
		}
		return err
	}
	_, err = t.Wait(ctx, task)
	return err
}

// Remove implements host.Tasks.
func (t Tasks) Remove(ctx context.Context, task string) error {
	if !taskNames.MatchString(task) {
		return nil
	}
	if err := t.Kill(ctx, task); err != nil {
		return err
	}
	name := t.jobName(task)
	if err := remove[batchv1.Job](ctx, t.c, name); err != nil {
		return err
	}
	if err := remove[corev1.Secret](ctx, t.c, name); err != nil {
		return err
	}
	for { // the view has to know it, too: the name is free from here on
		jobs, err := watched[batchv1.Job](ctx, t.c)
		if err != nil {
			return err
		}
		changed := jobs.next()
		if _, there := jobs.one(t.c.namespace, name); !there {
			return t.pool.Desk.Close(ctx, task)
		}
		select {
		case <-changed:
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Tasks implements host.Tasks.
func (t Tasks) Tasks(ctx context.Context) ([]string, error) {
	jobs, err := watched[batchv1.Job](ctx, t.c)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, j := range jobs.where(poolLabel, t.pool.Name) {
		if j.DeletionTimestamp == nil && j.Annotations[taskName] != "" {
			names = append(names, j.Annotations[taskName])
		}
	}
	return names, nil
}
