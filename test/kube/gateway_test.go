package kube_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const gatewayPods = "app.kubernetes.io/component=gateway"

// TestGateway lets the gateway on the cluster answer while the server is away:
// keys, weights and mirrors go on, also when one of its pods is deleted under
// load and another one starts, and what was answered meanwhile arrives in the
// inference log.
func TestGateway(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.clusterSettings("gateway: {replicas: 2, ingress: {host: models.example.com, class: none, tls: models-tls}}")
	dir := s.project("kube-gate", "replicas: 1, cpu: 0.1")
	s.must(dir, "push")
	for _, factor := range []string{"1.01", "1.02"} {
		s.must(dir, "train", "--param", "factor="+factor)
	}
	for _, version := range []string{"2", "3"} {
		s.must(dir, "release", "kube-gate:"+version, "--environment", "production", "--beside")
	}
	s.until(2*time.Minute, "both gateways are ready", func() bool { return s.gatewaysReady(2) })
	if nodes := strings.Fields(s.w.Kubectl("get", "pods", "-l", gatewayPods, "-o", "jsonpath={.items[*].spec.nodeName}")); len(nodes) != 2 || nodes[0] == nodes[1] {
		t.Errorf("the two gateways are on %v", nodes)
	}
	e := s.production("kube-gate")
	e.URL = "http://" + s.w.Kubectl("get", "service", "-l", gatewayPods, "-o", "jsonpath={.items[0].spec.clusterIP}") + "/endpoints/kube-gate/production/score"
	s.until(30*time.Second, "the Service leads to the gateways", func() bool {
		status, _, err := ask(http.DefaultClient, e, `{"data": [[1.0]]}`)
		return err == nil && status == http.StatusOK
	})
	if got := s.w.Kubectl("get", "ingress", "-l", gatewayPods, "-o", "jsonpath={.items[*].spec.rules[0].host} {.items[*].spec.tls[0].secretName}"); got != "models.example.com models-tls" {
		t.Errorf("the Ingress says %q", got)
	}
	s.must(dir, "traffic", "kube-gate", "production", "v1=50", "v2=50", "--mirror", "v3=50%")
	began := time.Now()
	s.until(30*time.Second, "the gateways go by the new weights", func() bool { return len(s.answeredBy(e, 20)) == 2 })
	t.Logf("new weights were in force on the cluster %s after the command", time.Since(began).Round(10*time.Millisecond))
	s.until(2*time.Minute, "the table in the cluster has the weights", func() bool {
		return strings.Contains(s.w.Kubectl("get", "secret", "-l", gatewayPods, "-o", `go-template={{range .items}}{{index .data "table.json" | base64decode}}{{end}}`), `"mirror":50`)
	})

	s.kill()
	down := time.Now().UTC()
	if status, body, err := ask(http.DefaultClient, endpoint{URL: e.URL, Key: "wrong"}, `{"data": [[1.0]]}`); status != http.StatusUnauthorized {
		t.Errorf("a wrong key, while the server is away: %d %s %v", status, body, err)
	}
	mirrored := s.mirrored()
	seen := s.answeredBy(e, 200)
	if seen["v1"] < 60 || seen["v2"] < 60 || len(seen) != 2 {
		t.Errorf("of 200 requests, with half of them for each of two versions, %v", seen)
	}
	s.until(10*time.Second, "mirrored requests arrive while the server is away", func() bool { return s.mirrored() > mirrored+50 })
	t.Logf("server away: 200 requests to %v, %d mirrored", seen, s.mirrored()-mirrored)

	l := s.load(e, 4, 5*time.Millisecond)
	pod := s.w.Kubectl("get", "pods", "-l", gatewayPods, "-o", "jsonpath={.items[0].metadata.name}")
	s.w.Kubectl("delete", "pod", pod)
	s.until(time.Minute, "another gateway has started without the server", func() bool {
		return s.gatewaysReady(2) && !strings.Contains(s.w.Kubectl("get", "pods", "-l", gatewayPods, "-o", "name"), pod)
	})
	l.end(t, "the loss of a gateway, with the server away")

	up := time.Now().UTC()
	s.start()
	s.must(dir, "traffic", "kube-gate", "production", "v1=0", "v2=100", "--mirror", "v3=0")
	s.must(dir, "retire", "kube-gate", "production", "v1") // what stops brings its log
	s.until(time.Minute, "what was answered while the server was away is in the log", func() bool {
		out, err := s.do(dir, "predictions", "kube-gate", "production", "--since", down.Format(time.RFC3339), "--until", up.Format(time.RFC3339), "--json", "--sql", "SELECT count(*) AS n FROM predictions WHERE version = 1")
		n, _ := strconv.Atoi(regexp.MustCompile(`[0-9]+`).FindString(out))
		return err == nil && n >= seen["v1"]
	})
}

// clusterSettings adds to what the server is told of the cluster; it is started
// again.
func (s *server) clusterSettings(more string) {
	s.t.Helper()
	s.stop()
	file := filepath.Join(s.dir, "server.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	text = append(text[:strings.LastIndexByte(string(text), '}')], ", "+more+"}\n"...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.start()
}

func (s *server) gatewaysReady(n int) bool {
	return s.w.Kubectl("get", "deployment", "-l", gatewayPods, "-o", "jsonpath={.items[*].status.readyReplicas}") == strconv.Itoa(n)
}

// answeredBy asks n times and counts who answered.
func (s *server) answeredBy(e endpoint, n int) map[string]int {
	s.t.Helper()
	seen := map[string]int{}
	for range n {
		req, err := http.NewRequest(http.MethodPost, e.URL, strings.NewReader(`{"data": [[1.0]]}`))
		if err != nil {
			s.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+e.Key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			s.t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			s.t.Fatalf("the gateway on the cluster answered %s: %s", res.Status, body)
		}
		seen[res.Header.Get("azureml-model-deployment")]++
	}
	return seen
}

var mirroredLine = regexp.MustCompile(`(?m)^ridgeline_endpoint_mirrored_total\{.*status="2xx"\} (\d+)`)

// mirrored is how many copies of requests the gateways' pods say were answered.
func (s *server) mirrored() (n int) {
	s.t.Helper()
	for _, ip := range strings.Fields(s.w.Kubectl("get", "pods", "-l", gatewayPods, "-o", "jsonpath={.items[*].status.podIP}")) {
		res, err := http.Get(fmt.Sprintf("http://%s/metrics", net.JoinHostPort(ip, "8081")))
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			s.t.Fatal(err)
		}
		for _, m := range mirroredLine.FindAllStringSubmatch(string(text), -1) {
			count, _ := strconv.Atoi(m[1])
			n += count
		}
	}
	return n
}
