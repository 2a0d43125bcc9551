package kube_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/host/kube"
	"github.com/ridgeline-mlops/ridgeline/internal/kubetest"
)

// gpus gives a node so many devices, as its vendor's plugin would; nothing
// that is run here uses them.
func (s *server) gpus(node string, n int) {
	s.t.Helper()
	patch := fmt.Sprintf(`{"status":{"capacity":{"nvidia.com/gpu":"%d"},"allocatable":{"nvidia.com/gpu":"%[1]d"}}}`, n)
	s.w.Kubectl("patch", "node", node, "--subresource=status", "--type=merge", "-p", patch)
}

// rival is somebody else's pod that wants a GPU, at the priority of pods that
// say nothing.
const rival = `apiVersion: v1
kind: Pod
metadata: {name: rival}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 65534, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: rival
    image: registry.invalid/rival
    imagePullPolicy: Never
    resources: {limits: {nvidia.com/gpu: 1}}
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
`

// TestGPU has a step of a spot pool ask for the cluster's only GPU: it waits
// while there is none, goes on when there is one, loses its place to a pod of
// higher priority, waits again, and ends well without a retry of its own. The
// bill has the time that both attempts held the device.
func TestGPU(t *testing.T) {
	s := serve(t)
	s.settings(`pools:
  gpus: {gpu: 1, cpu: 0.1, memory: 256MiB, priority: spot, priority_class: ridgeline-spot}
prices: {currency: EUR, on_demand: {cpu: 0, memory: 0, gpu: 3600}, spot: {cpu: 0, memory: 0, gpu: 360}}
`)
	file := filepath.Join(t.TempDir(), "class.yaml")
	must(t, os.WriteFile(file, []byte(kube.SpotClass), 0o600))
	s.w.Kubectl("apply", "-f", file)
	t.Cleanup(func() {
		_, _ = s.w.Try("delete", "-f", file)
		s.gpus(kubetest.Mortal, 0)
	})
	dir := s.trains("kube-gpu", "gpus", "run: python train.py", `run: "case $RIDGELINE_TASK in *-1) echo training began; sleep 600;; esac; python train.py"`)

	run := s.begin(dir)
	waits := func() bool {
		return strings.Contains(s.run(run).Steps[0].Message, "no node has a free GPU for it now: ")
	}
	s.until(2*time.Minute, "it waits for a GPU", waits)
	s.gpus(kubetest.Mortal, 1)
	s.until(2*time.Minute, "train speaks", func() bool {
		out, err := s.do(s.dir, "logs", run, "train")
		return err == nil && strings.Contains(out, "training began")
	})
	pod := filepath.Join(t.TempDir(), "rival.yaml")
	must(t, os.WriteFile(pod, []byte(rival), 0o600))
	s.w.Kubectl("apply", "-f", pod)
	s.until(2*time.Minute, "the second attempt waits for the GPU", func() bool { return s.run(run).Steps[0].Attempts == 2 && waits() })
	t.Log(s.run(run).Steps[0].Message)
	s.w.Kubectl("delete", "pod", "rival")
	s.until(2*time.Minute, "the run has ended", func() bool { return s.run(run).Status != "running" })
	if st := s.run(run); st.Status != "succeeded" || st.Verdict != "promoted" {
		t.Errorf("the run has %s, %s: %+v", st.Status, st.Verdict, st.Steps)
	}

	var bill []struct {
		Attempts []struct {
			Step, Fate, Pool string
			Spot             bool
			GPU              float64 `json:"gpu_seconds"`
			Cost             float64
			Used             *struct {
				Peak int64 `json:"peak_memory_bytes"`
			}
		}
	}
	must(t, json.Unmarshal([]byte(s.must(s.dir, "cost", "--runs", "--json")), &bill))
	t.Log(s.must(s.dir, "cost", "--runs"))
	tries := bill[0].Attempts[:2]
	for _, a := range tries {
		if a.Step != "train" || a.Pool != "gpus" || !a.Spot || a.GPU <= 0 || a.Cost < a.GPU*0.099 || a.Cost > a.GPU*0.101 || a.Used == nil || a.Used.Peak == 0 {
			t.Errorf("the bill has %+v; want the seconds of a GPU at the price of spot capacity, and what was used", a)
		}
	}
	if tries[0].Fate != "displaced" || tries[1].Fate != "" {
		t.Errorf("the attempts ended as %q and %q", tries[0].Fate, tries[1].Fate)
	}
}

// TestTasks_queue has the Jobs of a pool wait in a queue of Kueue, whose part
// is played by the test: it begins a Job by ending its suspension, and takes
// its place by suspending it.
func TestTasks_queue(t *testing.T) {
	w := open(t)
	h, desk := w.tasks(t, kube.Pool{Queue: "night"})
	suspend := func(yes bool) {
		t.Helper()
		job := w.Kubectl("get", "jobs", "-l", "kueue.x-k8s.io/queue-name=night", "-o", "name")
		w.Kubectl("patch", job, "--type=merge", "-p", fmt.Sprintf(`{"spec":{"suspend":%t}}`, yes))
	}
	begin := func(name string) {
		t.Helper()
		must(t, h.Ensure(t.Context(), sh(name, "echo up; sleep 600")))
		phase(t, h, name, func(st host.TaskState) bool {
			return st.Phase == host.Pending && st.Message == "waits in the queue night for its turn, which Kueue gives it"
		})
	}
	end := func(name string, reason host.EndReason, why string) {
		t.Helper()
		if st := phase(t, h, name, func(st host.TaskState) bool { return st.Phase == host.Ended }); st.Reason != reason || !strings.Contains(st.Message, why) {
			t.Errorf("%s ended as %+v; want %s, and %q", name, st, reason, why)
		}
		must(t, h.Remove(t.Context(), name))
	}
	begin("preempted")
	suspend(false)
	until(t, "it has begun", func() bool { return len(read(t, desk, "preempted")) > 0 })
	suspend(true)
	end("preempted", host.Displaced, "the queue night gave its place to others")

	begin("cancelled")
	must(t, h.Kill(t.Context(), "cancelled"))
	end("cancelled", host.Killed, "")

	begin("killed")
	suspend(false)
	until(t, "it has begun", func() bool { return len(read(t, desk, "killed")) > 0 })
	must(t, h.Kill(t.Context(), "killed"))
	suspend(false) // as a queue does to a Job of its own that is suspended
	end("killed", host.Killed, "")
}
