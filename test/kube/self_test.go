package kube_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/internal/cloudtest"
	"github.com/ridgeline-mlops/ridgeline/internal/kubetest"
	"github.com/ridgeline-mlops/ridgeline/internal/pgtest"
	"github.com/ridgeline-mlops/ridgeline/registry"
)

// nodeAddress is where the first node's ports are, for this machine and for
// all nodes.
const nodeAddress = "10.77.0.2"

// An installation is Ridgeline itself on the cluster, by its own image and the
// manifests that it prints.
type installation struct {
	*server
	token string
	urls  string // of the Service
}

// install builds the image, pushes it to a registry that wants a sign-in, and
// applies what is printed.
func install(t *testing.T) *installation {
	t.Helper()
	bin, err := filepath.Abs("../../bin/ridgeline")
	must(t, err)
	s := &server{t: t, w: kubetest.Open(t), bin: bin, dir: t.TempDir()}
	in := &installation{server: s, token: auth.NewSecret()}
	images := signedRegistry(t, s.w)
	cmd := exec.Command(bin, "kube", "image", "--insecure", "--dir", s.dir, "--push", images+"/ml/ridgeline:test", "--json")
	cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+dockerConfig(t, images))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var image struct{ Reference string }
	must(t, json.Unmarshal(out, &image))

	port := 30000 + int(time.Now().UnixNano()/1000%2700)
	at := nodeAddress + ":" + strconv.Itoa(port)
	s.w.Trust(at)
	in.urls = "http://" + at
	s.env = []string{"RIDGELINE_URL=" + in.urls, "RIDGELINE_TOKEN=" + in.token}
	s.w.Kubectl("create", "secret", "docker-registry", "own-image", "--docker-server="+images, "--docker-username=robot", "--docker-password=of the registry")
	in.secrets()
	file := filepath.Join(t.TempDir(), "ridgeline.yaml")
	text := s.must(s.dir, "kube", "manifests", "--namespace", s.w.Namespace, "--image", image.Reference, "--pull-secret", "own-image",
		"--url", in.urls, "--node-port", strconv.Itoa(port), "--cpu", "100m", "--memory", "256Mi")
	must(t, os.WriteFile(file, []byte(text), 0o600))
	began := time.Now()
	s.w.Kubectl("apply", "--server-side", "--force-conflicts", "-f", file)
	t.Cleanup(func() {
		if t.Failed() {
			in.explain()
		}
	})
	if out, err := s.w.Try("rollout", "status", "deployment/ridgeline", "--timeout=150s"); err != nil {
		t.Fatalf("the server does not come up: %v\n%s", err, out)
	}
	in.until(time.Minute, "the port of the nodes leads to it", func() bool { // which nodes learn a moment later
		res, err := http.Get(in.urls + "/healthz/ready")
		if err == nil {
			_ = res.Body.Close()
		}
		return err == nil && res.StatusCode == http.StatusOK
	})
	t.Logf("two copies were ready %s after kubectl apply", time.Since(began).Round(100*time.Millisecond))
	return in
}

// signedRegistry is a registry that asks for a sign-in.
func signedRegistry(t *testing.T, w *kubetest.Cluster) string {
	t.Helper()
	handler, err := registry.New(t.TempDir(), nil)
	must(t, err)
	return w.Serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "robot" || password != "of the registry" {
			rw.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(rw, r)
	}))
}

func dockerConfig(t *testing.T, registry string) string {
	t.Helper()
	dir := t.TempDir()
	sign := base64.StdEncoding.EncodeToString([]byte("robot:of the registry"))
	must(t, os.WriteFile(filepath.Join(dir, "config.json"), fmt.Appendf(nil, `{"auths": {%q: {"auth": %q}}}`, registry, sign), 0o600))
	return dir
}

// secrets makes what the manifests leave to their reader. The database and the
// bucket are on this machine; the copies have nothing else in common.
func (in *installation) secrets() {
	database, err := url.Parse(pgtest.URL(in.t))
	must(in.t, err)
	database.Host = in.w.Forward("unix", filepath.Join(database.Query().Get("host"), ".s.PGSQL.5432"))
	database.RawQuery = "sslmode=disable"
	literals := []string{"--from-literal=RIDGELINE_DATABASE=" + database.String(), "--from-literal=RIDGELINE_ADMIN_TOKEN=" + in.token, "--from-literal=RIDGELINE_BLOB=" + in.bucket()}
	for name, value := range cloudtest.Env() {
		literals = append(literals, "--from-literal="+name+"="+value)
	}
	in.w.Kubectl(append([]string{"create", "secret", "generic", "ridgeline-server"}, literals...)...)
	in.w.Kubectl("create", "secret", "generic", "ridgeline-keys", "--from-literal=secret="+auth.NewSecret(), "--from-literal=vault-key="+strings.Repeat("4f2c9e1a", 8))
}

// bucket is the address of one, as pods see it.
func (in *installation) bucket() string {
	address, err := url.Parse(cloudtest.S3(in.t).Address("team"))
	must(in.t, err)
	query := address.Query()
	at, err := url.Parse(query.Get("endpoint"))
	must(in.t, err)
	at.Host = in.w.Forward("tcp", at.Host)
	query.Set("endpoint", at.String())
	address.RawQuery = query.Encode()
	return address.String()
}

// explain logs what the pods say of a test that failed.
func (in *installation) explain() {
	for _, args := range [][]string{{"get", "pods", "-o", "wide"}, {"get", "events", "--sort-by=.lastTimestamp"}} {
		out, _ := in.w.Try(args...)
		in.t.Log(out[max(0, len(out)-4000):])
	}
	for _, pod := range in.pods() {
		out, _ := in.w.Try("logs", pod, "--tail=40")
		in.t.Logf("%s says:\n%s", pod, out)
		if out, err := in.w.Try("logs", pod, "--previous", "--tail=20"); err == nil {
			in.t.Logf("and before its restart:\n%s", out)
		}
	}
}

func (in *installation) pods() []string {
	return strings.Fields(in.w.Kubectl("get", "pods", "-l", "app.kubernetes.io/component=server", "-o", "jsonpath={.items[*].metadata.name}"))
}

var epochs = regexp.MustCompile(`this server leads" epoch=(\d+)`)

// leader is the pod that has led last, the epoch in which it did, and another
// pod.
func (in *installation) leader() (leads string, epoch int, other string) {
	for _, pod := range in.pods() {
		log, _ := in.w.Try("logs", pod)
		if all := epochs.FindAllStringSubmatch(log, -1); len(all) > 0 {
			if n, _ := strconv.Atoi(all[len(all)-1][1]); n > epoch {
				leads, epoch = pod, n
			}
		}
	}
	for _, pod := range in.pods() {
		if pod != leads {
			other = pod
		}
	}
	return leads, epoch, other
}

// TestSelf has Ridgeline run on the cluster, from the manifests it prints: a
// project goes through the loop there, and in the middle of a run the pod that
// leads is killed, and then the process that leads after it. Another one takes
// over each time, the run ends as if nothing had happened, and the copy that
// was left alone answers all the time. Then all copies are replaced, as by an
// upgrade, and no request through the Service fails. They have a database and
// a bucket in common, and no folder.
func TestSelf(t *testing.T) {
	t.Parallel()
	in := install(t)
	dir := in.trains("kube-self", "kube", "production: {host: process, ", "production: {host: kube, cpu: 0.1, memory: 256MB, ")
	out := in.must(dir, "train", "--require", "promoted")
	t.Log(out[max(0, len(out)-300):])
	in.until(2*time.Minute, "production answers from the cluster", func() bool { e := in.production("kube-self"); return e.Ready && e.Version == 1 })

	in.untilSettled()
	run := in.begin(dir, "--param", "slow=30", "--no-cache", "--gate", "off", "--reason", "it is the same model")
	in.until(2*time.Minute, "train speaks", func() bool {
		out, err := in.do(in.dir, "logs", run, "train")
		return err == nil && strings.Contains(out, "training began")
	})
	for _, kill := range []struct {
		how string
		do  func(pod string)
	}{
		{"the leading pod is deleted by force", func(pod string) {
			in.w.Kubectl("delete", "pod", pod, "--force", "--grace-period=0")
		}},
		{"the leading process is killed", func(pod string) {
			in.w.Kubectl("exec", pod, "--", "sh", "-c", `for p in /proc/[0-9]*; do [ "$(cat $p/comm)" = ridgeline ] && kill -9 ${p#/proc/}; done; true`)
		}},
	} {
		in.untilSettled()
		leads, epoch, other := in.leader()
		through := in.production("kube-self")
		direct := through
		direct.URL = "http://" + in.w.Kubectl("get", "pod", other, "-o", "jsonpath={.status.podIP}") + ":8470/endpoints/kube-self/production/score"
		left, service := in.load(direct, 2, 20*time.Millisecond), in.load(through, 1, 20*time.Millisecond)
		began := time.Now()
		kill.do(leads)
		in.until(20*time.Second, "another one leads", func() bool { _, now, _ := in.leader(); return now > epoch })
		t.Logf("%s: another one led %s later", kill.how, time.Since(began).Round(100*time.Millisecond))
		in.untilSettled()
		left.end(t, kill.how+", at the other copy")
		service.tell(t, kill.how+", through the Service")
	}
	in.untilSettled()
	steady := in.load(in.production("kube-self"), 4, 10*time.Millisecond)
	in.w.Kubectl("rollout", "restart", "deployment/ridgeline")
	in.untilSettled()
	steady.end(t, "a rolling restart of Ridgeline itself, through the Service")
	in.until(3*time.Minute, "the run has ended", func() bool { return in.run(run).Status == "succeeded" })
	if log := in.must(in.dir, "logs", run, "train"); !strings.Contains(log, "training began\ntraining ends\n") {
		t.Errorf("the log of train: %q", log)
	}
	if st := in.run(run); st.Steps[0].Attempts != 1 {
		t.Errorf("train has had %d attempts: its Job goes on whoever leads", st.Steps[0].Attempts)
	}
	in.until(2*time.Minute, "the new version answers", func() bool { return in.production("kube-self").Version == 2 })
	in.once(2)
}

// untilSettled waits until both copies are there and may be asked.
func (in *installation) untilSettled() {
	in.t.Helper()
	if out, err := in.w.Try("rollout", "status", "deployment/ridgeline", "--timeout=90s"); err != nil {
		in.t.Fatalf("%v\n%s", err, out)
	}
	in.until(30*time.Second, "two pods, of which one leads", func() bool {
		leads, _, other := in.leader()
		return leads != "" && other != "" && len(in.pods()) == 2
	})
}

// once checks that nothing was doubled: as many versions, releases and
// deployments as there were runs, and nothing of a run left on the cluster.
func (in *installation) once(want int) {
	in.t.Helper()
	var versions, releases []struct {
		Name, Status string
		Version      int
	}
	must(in.t, json.Unmarshal([]byte(in.must(in.dir, "models", "--json")), &versions))
	must(in.t, json.Unmarshal([]byte(in.must(in.dir, "releases", "--json")), &releases))
	if len(versions) != want || len(releases) != want {
		in.t.Errorf("%d versions and %d releases, want %d of each: %+v %+v", len(versions), len(releases), want, versions, releases)
	}
	in.until(time.Minute, "one Deployment of scorers, and nothing of the run", func() bool {
		return len(strings.Fields(in.w.Kubectl("get", "deployments", "-l", "app.kubernetes.io/component=scorer", "-o", "name"))) == 1 &&
			in.w.Kubectl("get", "jobs", "-o", "name") == ""
	})
}
