package test

import (
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// endpoint is a line of `ridgeline endpoints --json`.
type endpoint struct {
	Environment, URL, Image string
	Version                 int
	Ready                   bool
	Primary                 string `json:"primary_key"`
	Secondary               string `json:"secondary_key"`
}

func endpointOf(t *testing.T, r *ridgeline, project, environment string) endpoint {
	t.Helper()
	for _, e := range decode[[]endpoint](t, r.must(".", "endpoints", "--project", project, "--json")) {
		if e.Environment == environment {
			return e
		}
	}
	t.Fatalf("there is no endpoint %s/%s", project, environment)
	return endpoint{}
}

// address is where the server says it is.
func (r *ridgeline) address() string { return strings.TrimSpace(r.file("url")) }

// file reads a file of the state folder.
func (r *ridgeline) file(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// An answer is what came back, whatever it was.
type answer struct {
	status int
	header http.Header
	body   string
}

// call sends a request; authorization is the whole header, empty for none.
func call(t testing.TB, method, url, authorization, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

// TestContract asks a live endpoint through the gateway as its clients do.
func TestContract(t *testing.T) {
	r := newRidgeline(t)
	push(t, r, "contract", false)
	e := endpointOf(t, r, "contract", "production")
	const rows = `{"data": [[0.5], [1.5]]}`

	t.Run("two rows get two answers", func(t *testing.T) {
		a := call(t, http.MethodPost, e.URL, "Bearer "+e.Primary, rows)
		got := decode[struct{ Result []float64 }](t, a.body)
		if a.status != http.StatusOK || len(got.Result) != 2 || !strings.HasPrefix(a.body, `{"result": [`) {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a.header.Get("Content-Type") != "application/json" || a.header.Get("X-Ms-Run-Function-Failed") != "False" ||
			a.header.Get("X-Ms-Run-Fn-Exec-Ms") == "" || a.header.Get("X-Request-Id") == "" {
			t.Errorf("headers %v", a.header)
		}
	})

	t.Run("keys", func(t *testing.T) {
		other := endpointOf(t, r, "contract", "qa").Primary
		for name, c := range map[string]struct {
			authorization string
			want          int
		}{
			"none":                   {"", 401},
			"wrong":                  {"Bearer wrong", 401},
			"empty":                  {"Bearer ", 401},
			"another environment's":  {"Bearer " + other, 401},
			"not by basic":           {"Basic " + base64.StdEncoding.EncodeToString([]byte("x:"+e.Primary)), 401},
			"primary":                {"Bearer " + e.Primary, 200},
			"secondary":              {"Bearer " + e.Secondary, 200},
			"any case of the scheme": {"bearer " + e.Primary, 200},
			"the token of a writer":  {"Bearer " + strings.TrimSpace(r.file("token")), 200},
		} {
			a := call(t, http.MethodPost, e.URL, c.authorization, rows)
			if a.status != c.want {
				t.Errorf("%s: %d %s, expected %d", name, a.status, a.body, c.want)
			}
			if c.want == 401 && a.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s: WWW-Authenticate is %q", name, a.header.Get("WWW-Authenticate"))
			}
		}
		// Whoever has no key is not told what exists.
		nowhere := strings.Replace(e.URL, "/contract/", "/nothing/", 1)
		if a := call(t, http.MethodPost, nowhere, "Bearer "+e.Primary, rows); a.status != 401 {
			t.Errorf("an endpoint that does not exist: %d", a.status)
		}
	})

	t.Run("the scorer's own statuses and headers come through", func(t *testing.T) {
		base := strings.TrimSuffix(e.URL, "/score")
		for name, c := range map[string]struct {
			method, url, body string
			status            int
			want, failed      string // part of the body; the header
			ids               bool
		}{
			"healthy":     {http.MethodGet, base + "/", "", 200, "Healthy", "", true}, // as the reference server has it
			"ready":       {http.MethodGet, base + "/healthz/ready", "", 200, `"ready":true`, "", false},
			"not JSON":    {http.MethodPost, e.URL, "{", 500, "An unexpected error occurred in scoring script", "True", true},
			"wrong shape": {http.MethodPost, e.URL, `{"rows": 1}`, 500, "An unexpected error occurred in scoring script", "True", true},
			"not UTF-8":   {http.MethodPost, e.URL, "a\xff", 400, "cannot be decoded as UTF-8", "False", true},
			"wrong path":  {http.MethodGet, base + "/nope", "", 404, "not found", "False", false},
			"put":         {http.MethodPut, e.URL, rows, 405, "not allowed", "False", false},
		} {
			a := call(t, c.method, c.url, "Bearer "+e.Primary, c.body)
			if a.status != c.status || !strings.Contains(a.body, c.want) || a.header.Get("X-Ms-Run-Function-Failed") != c.failed {
				t.Errorf("%s: %d %s, failed %q", name, a.status, a.body, a.header.Get("X-Ms-Run-Function-Failed"))
			}
			if (a.header.Get("X-Request-Id") != "") != c.ids {
				t.Errorf("%s: x-request-id %q", name, a.header.Get("X-Request-Id"))
			}
		}
		if strings.Contains(call(t, http.MethodPost, e.URL, "Bearer "+e.Primary, "{").body, "JSONDecodeError") {
			t.Error("a client sees what went wrong inside the scoring script")
		}
	})

	t.Run("a rotated key gives way to the new one", func(t *testing.T) {
		r.must(".", "endpoints", "rotate", "contract", "production", "primary")
		now := endpointOf(t, r, "contract", "production")
		if now.Primary == e.Primary || now.Secondary != e.Secondary {
			t.Fatal("the primary key, and only that, was to change")
		}
		eventually(t, 2*time.Second, "the old key is refused and the new one taken", func() bool {
			return call(t, http.MethodPost, e.URL, "Bearer "+e.Primary, rows).status == 401 &&
				call(t, http.MethodPost, e.URL, "Bearer "+now.Primary, rows).status == 200
		})
		if a := call(t, http.MethodPost, e.URL, "Bearer "+e.Secondary, rows); a.status != 200 {
			t.Errorf("the other key: %d %s", a.status, a.body)
		}
	})
}

// TestDoors: nothing but /healthz answers who has not signed in, and by default
// no other machine reaches the server.
func TestDoors(t *testing.T) {
	r := newRidgeline(t)
	base := r.address()
	token := strings.TrimSpace(r.file("token"))
	if a := call(t, http.MethodGet, base+"/healthz", "", ""); a.status != 200 || !strings.Contains(a.body, "ok") {
		t.Errorf("/healthz: %d %s", a.status, a.body)
	}

	routes := map[string][]string{
		"/": {"get"}, "/metrics": {"get"}, "/v2/": {"get"}, "/v2/_catalog": {"get"}, "/nothing": {"get"},
		"/api/v1/openapi.json": {"get"}, "/api/v1/openapi.yaml": {"get"}, "/api/v1/schemas/Run.json": {"get"}, "/api/v1/logs/x": {"get"},
		"/endpoints/x/y/score": {"post"}, "/endpoints/x": {"get"},
	}
	a := call(t, http.MethodGet, base+"/api/v1/openapi.json", "Bearer "+token, "")
	described := decode[struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}](t, a.body)
	if !strings.HasPrefix(described.OpenAPI, "3.1") || len(described.Paths) < 15 {
		t.Fatalf("OpenAPI %s with %d paths", described.OpenAPI, len(described.Paths))
	}
	for path, methods := range described.Paths {
		for method := range methods {
			routes[path] = append(routes[path], method)
		}
	}
	asked := 0
	for path, methods := range routes {
		url := base + strings.NewReplacer("{", "", "}", "").Replace(path)
		for _, method := range methods {
			for _, authorization := range []string{"", "Bearer " + token + "x", "Basic Ojo="} {
				asked++
				a := call(t, strings.ToUpper(method), url, authorization, "{}")
				waits := authorization != "" && a.status == http.StatusTooManyRequests && a.header.Get("Retry-After") != "" // so many wrong ones from one address
				if !waits && (a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") == "") {
					t.Errorf("%s %s with %q: %d %s", method, path, authorization, a.status, a.body)
				}
			}
		}
	}
	t.Logf("%d requests without a valid token were refused", asked)

	t.Run("loopback by default", func(t *testing.T) {
		addresses, err := net.InterfaceAddrs()
		if err != nil {
			t.Fatal(err)
		}
		_, port, err := net.SplitHostPort(strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		for _, address := range addresses {
			ip, _, err := net.ParseCIDR(address.String())
			if err != nil || ip.IsLoopback() || ip.IsLinkLocalUnicast() {
				continue
			}
			if c, err := net.DialTimeout("tcp", net.JoinHostPort(ip.String(), port), time.Second); err == nil {
				c.Close()
				t.Errorf("the server answers at %s", ip)
			}
		}
		// What the server does when nobody names an address, without taking it here.
		help, err := exec.Command(r.bin, "up", "--help").Output()
		if err != nil || !strings.Contains(string(help), `(default "127.0.0.1:8470")`) {
			t.Errorf("up --help: %v\n%s", err, help)
		}
	})
}
