package kube

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ill is an API server with one thing wrong. What a real one does wrong when
// asked to is in test/kube.
func ill(t *testing.T, handle func(w http.ResponseWriter, r *http.Request) bool) *Cluster {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if handle(w, r) {
			return
		}
		switch {
		case r.URL.Path == "/version":
			fmt.Fprint(w, `{"gitVersion":"v1.37.2"}`)
		case strings.HasSuffix(r.URL.Path, "/pods") && r.Method == http.MethodGet:
			fmt.Fprint(w, `{"kind":"PodList","apiVersion":"v1","items":[]}`)
		case strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews"):
			fmt.Fprint(w, `{"status":{"allowed":true}}`)
		case strings.HasSuffix(r.URL.Path, "/resourcequotas"):
			fmt.Fprint(w, `{"kind":"ResourceQuotaList","apiVersion":"v1","items":[]}`)
		case r.URL.Path == "/apis/metrics.k8s.io/v1beta1", r.URL.Path == "/apis/"+routeVersion:
			fmt.Fprint(w, `{}`)
		case strings.HasSuffix(r.URL.Path, "/deployments/ridgeline-gateway-abcdefgh"):
			fmt.Fprint(w, `{"kind":"Deployment","apiVersion":"apps/v1","status":{"readyReplicas":2}}`)
		default:
			refuse(w, http.StatusForbidden, metav1.StatusReasonForbidden, "no") // no pod of its own: that is seen on a real cluster
		}
	}))
	t.Cleanup(s.Close)
	return opened(t, s.URL)
}

func refuse(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Reason: reason, Message: message, Code: int32(code),
	})
}

func TestDoctor_says_what_to_do(t *testing.T) {
	wanted := &Gateway{Replicas: 2, Ingress: &Ingress{}, Route: &Route{}}
	review := func(resource, subresource, verb string) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			var asked struct {
				Spec struct {
					ResourceAttributes struct{ Resource, Subresource, Verb string }
				}
			}
			if !strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews") || json.NewDecoder(r.Body).Decode(&asked) != nil {
				return false
			}
			a := asked.Spec.ResourceAttributes
			fmt.Fprintf(w, `{"status":{"allowed":%v}}`, a.Resource != resource || a.Subresource != subresource || a.Verb != verb)
			return true
		}
	}
	for name, test := range map[string]struct {
		wrong             func(w http.ResponseWriter, r *http.Request) bool
		check, found, fix string
	}{
		"the sign-in has expired": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/version" {
				return false
			}
			refuse(w, http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "Unauthorized")
			return true
		}, "access", "may have expired", "renew the sign-in"},
		"no right at all": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/version" {
				return false
			}
			refuse(w, http.StatusForbidden, metav1.StatusReasonForbidden, "pods is forbidden")
			return true
		}, "access", "pods is forbidden", "kube manifests"},
		"some rights are missing":             {review("jobs", "", "create"), "rights", "missing: create jobs", "kube manifests"},
		"the right to logs is missing":        {review("pods", "log", "get"), "rights", "missing: get pods/log", "kube manifests"},
		"the right to the Ingress is missing": {review("ingresses", "", "patch"), "rights", "missing: patch ingresses", "kube manifests"},
		"the right to the route is missing":   {review("httproutes", "", "create"), "rights", "missing: create httproutes", "kube manifests"},
		"no Gateway API": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/apis/"+routeVersion {
				return false
			}
			refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, "404 page not found")
			return true
		}, "gateway", "no HTTPRoute", "install the Gateway API"},
		"a gateway that is not ready": {func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/deployments/ridgeline-gateway-abcdefgh") {
				return false
			}
			fmt.Fprint(w, `{"kind":"Deployment","apiVersion":"apps/v1","status":{"readyReplicas":1}}`)
			return true
		}, "gateway", "1 of 2 copies are ready", "describe pods"},
		"no metrics-server": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/apis/metrics.k8s.io/v1beta1" {
				return false
			}
			refuse(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "the server is currently unable to handle the request")
			return true
		}, "metrics-server", "unable to handle", "install metrics-server"},
		"a clock that is wrong": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Date", time.Now().Add(-10*time.Minute).UTC().Format(http.TimeFormat))
			return false
		}, "clock", "10m", "NTP"},
		"a quota that is used up": {func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/resourcequotas") {
				return false
			}
			fmt.Fprint(w, `{"kind":"ResourceQuotaList","apiVersion":"v1","items":[{"status":{"hard":{"pods":"4","memory":"8Gi"},"used":{"pods":"4","memory":"1Gi"}}}]}`)
			return true
		}, "quota", "used up: pods 4 of 4", "have it raised"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failing := map[string]Finding{}
			for _, f := range ill(t, test.wrong).Doctor(t.Context(), "https://ridgeline.example.com", wanted) {
				if !f.OK {
					failing[f.Check] = f
				}
				if !f.OK && f.Fix == "" {
					t.Errorf("it does not say what to do: %+v", f)
				}
			}
			f := failing[test.check]
			if !strings.Contains(f.Message, test.found) || !strings.Contains(f.Fix, test.fix) {
				t.Errorf("got %+v; want %s with %q and a fix with %q", failing, test.check, test.found, test.fix)
			}
			delete(failing, test.check)
			delete(failing, "registry") // no image can be pulled here
			if len(failing) > 0 {
				t.Errorf("it says that this is wrong, too: %+v", failing)
			}
		})
	}
	t.Run("nobody answers", func(t *testing.T) {
		t.Parallel()
		list := opened(t, "http://127.0.0.1:1").Doctor(t.Context(), "https://ridgeline.example.com", nil)
		if len(list) != 1 || list[0].OK || !strings.Contains(list[0].Message, "127.0.0.1:1 does not answer") || !strings.Contains(list[0].Fix, "KUBECONFIG") {
			t.Errorf("got %+v", list)
		}
	})
}

// What nodes have said, and what is to be done about it.
func TestDoctor_registry(t *testing.T) {
	c := opened(t, "http://127.0.0.1:1")
	for said, want := range map[string]string{
		`failed to resolve reference "images.example.com/doctor/none": not found`:                                        "",
		`unexpected status from HEAD request to https://images.example.com/v2/x: 401 Unauthorized`:                       "pull secret",
		`failed to do request: Head "https://images.example.com/v2/x": http: server gave HTTP response to HTTPS client`:  "certs.d",
		`tls: failed to verify certificate: x509: certificate signed by unknown authority`:                               "certs.d",
		`dial tcp: lookup images.example.com: no such host`:                                                              "name the registry by a host that nodes know",
		`failed to do request: Head "https://images.example.com/v2/x": dial tcp 10.0.0.1:443: connect: no route to host`: "listen on an address that nodes reach",
	} {
		f := c.pulled("node n7", said)
		if f.OK != (want == "") || !strings.Contains(f.Fix, want) || !strings.Contains(f.Message, "n7") {
			t.Errorf("%s: got %+v; want a fix with %q", said, f, want)
		}
	}
}
