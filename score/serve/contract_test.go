package serve

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

const contractScript = `
import sys
def init(): pass
class Odd: pass
def run(raw_data):
    if raw_data == "raise": raise ValueError("secret detail")
    if raw_data == "exit": sys.exit(0)
    if raw_data == "none": return None
    if raw_data == "nan": return {"result": [1.0, float("nan")]}
    if raw_data == "odd": return Odd()
    if raw_data == "print": print("x" * 10_000_000)
    return {"got": raw_data}
`

func TestContract(t *testing.T) {
	t.Parallel()
	s := serve(t, contractScript, func(c *Config) { c.BodyLimit = 1000; c.Version = "ridgeline/test" })
	const (
		notFound   = "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again."
		notAllowed = "The method is not allowed for the requested URL."
		script     = "An unexpected error occurred in scoring script. Check the logs for more info."
		internal   = "An unexpected internal error occurred. Check the logs for more info."
	)
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     string // the body, or the message when it starts with "message: "
		failed                   string
		ids, timed               bool
	}{
		{"post", "POST", "/score", "héé", 200, `{"got": "h\u00e9\u00e9"}`, "False", true, true},
		{"empty post", "POST", "/score", "", 200, `{"got": ""}`, "False", true, true},
		{"get", "GET", "/score?a=1&b=[1,2]&c=x&c=%22y%22", "", 200, `{"got": "{\"a\": 1, \"b\": [1, 2], \"c\": [\"x\", \"y\"]}"}`, "False", true, true},
		{"none", "POST", "/score", "none", 200, `{}`, "False", true, true},
		{"prints ten megabytes", "POST", "/score", "print", 200, `{"got": "print"}`, "False", true, true},
		{"raises", "POST", "/score", "raise", 500, "message: " + script, "True", true, false},
		{"exits", "POST", "/score", "exit", 500, "message: " + script, "True", true, false},
		{"not serialisable", "POST", "/score", "odd", 500, "message: " + internal, "False", true, false},
		{"NaN", "POST", "/score", "nan", 500, "message: run() returned NaN or an infinity, which JSON cannot carry. Replace it, for example with None, before returning it.", "False", true, false},
		{"not UTF-8", "POST", "/score", "a\xff", 400, "message: Input cannot be decoded as UTF-8: 'utf-8' codec can't decode byte 0xff in position 1: invalid start byte", "False", true, false},
		{"too large", "POST", "/score", strings.Repeat("x", 1001), 413, "message: The request's body is larger than the limit of 1000 bytes (RIDGELINE_BODY_LIMIT).", "False", true, false},
		{"options", "OPTIONS", "/score", "", 200, "", "False", true, false},
		{"put", "PUT", "/score", "", 405, "message: " + notAllowed, "False", false, false},
		{"unknown", "GET", "/nope", "", 404, "message: " + notFound, "False", false, false},
		{"index", "GET", "/", "", 200, "Healthy", "", true, false},
		{"index post", "POST", "/", "", 405, "message: " + notAllowed, "False", false, false},
		{"live", "GET", "/healthz/live", "", 200, `{"live": true}`, "", false, false},
		{"ready", "GET", "/healthz/ready", "", 200, `{"ready":true,"workers":1}`, "", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := s.do(t, c.method, c.path, c.body)
			if r.status != c.status {
				t.Errorf("status %d, want %d", r.status, c.status)
			}
			got := r.body
			if strings.HasPrefix(c.want, "message: ") {
				got = "message: " + r.message(t)
			}
			if got != c.want {
				t.Errorf("body %s, want %s", got, c.want)
			}
			if got := r.header.Get("x-ms-run-function-failed"); got != c.failed {
				t.Errorf("x-ms-run-function-failed %q, want %q", got, c.failed)
			}
			for _, name := range []string{"x-request-id", "x-ms-request-id", "x-ms-server-version"} {
				if (r.header.Get(name) != "") != c.ids {
					t.Errorf("%s %q, want one: %v", name, r.header.Get(name), c.ids)
				}
			}
			ms := r.header.Get("x-ms-run-fn-exec-ms")
			if timed := regexp.MustCompile(`^\d+\.\d{3}$`).MatchString(ms); timed != c.timed || !timed && ms != "" {
				t.Errorf("x-ms-run-fn-exec-ms %q, want one: %v", ms, c.timed)
			}
		})
	}
	if log := s.log.String(); !strings.Contains(log, "secret detail") {
		t.Errorf("the traceback is not in the log:\n%.2000s", log)
	}
	t.Run("types", func(t *testing.T) {
		for path, want := range map[string]string{"/": "text/html; charset=utf-8", "/score": "application/json", "/nope": "application/json"} {
			if got := s.do(t, "GET", path, "").header.Get("Content-Type"); got != want {
				t.Errorf("%s: Content-Type %q, want %q", path, got, want)
			}
		}
	})
	t.Run("a chunked body over the limit", func(t *testing.T) {
		r, err := http.Post(s.url+"/score", "text/plain", bufio.NewReader(strings.NewReader(strings.Repeat("x", 5000))))
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != 413 {
			t.Errorf("status %d, want 413", r.StatusCode)
		}
	})
}

func TestIDs(t *testing.T) {
	t.Parallel()
	s := serve(t, echo)
	const made = "made"
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for _, c := range []struct{ x, ms, client, wantX, wantMS, wantClient string }{
		{"", "", "", made, made, ""},
		{"A", "", "", "A", "A", ""},
		{"", "B", "", made, "B", "B"},
		{"", "", "C", made, "C", "C"},
		{"A", "B", "C", "A", "B", "C"},
	} {
		t.Run(fmt.Sprintf("%s-%s-%s", c.x, c.ms, c.client), func(t *testing.T) {
			var header []string
			for name, value := range map[string]string{"x-request-id": c.x, "x-ms-request-id": c.ms, "x-ms-client-request-id": c.client} {
				if value != "" {
					header = append(header, name, value)
				}
			}
			r := s.do(t, "POST", "/score", "1", append(header, "TraceId", "T")...)
			x := r.header.Get("x-request-id")
			want := func(s string) string {
				if s == made {
					return x
				}
				return s
			}
			if c.wantX == made && !uuid.MatchString(x) || c.wantX != made && x != c.wantX {
				t.Errorf("x-request-id %q, want %s", x, c.wantX)
			}
			if got := r.header.Get("x-ms-request-id"); got != want(c.wantMS) {
				t.Errorf("x-ms-request-id %q, want %q", got, want(c.wantMS))
			}
			if got := r.header.Get("x-ms-client-request-id"); got != c.wantClient {
				t.Errorf("x-ms-client-request-id %q, want %q", got, c.wantClient)
			}
			if got := r.header.Get("TraceId"); got != "T" {
				t.Errorf("TraceId %q, want T", got)
			}
		})
	}
	long := strings.Repeat("x", 101)
	for name, want := range map[string]string{
		"x-request-id":           "x-request-id must not exceed 100 characters",
		"x-ms-request-id":        "x-ms-request-id and x-ms-client-request-id must not exceed 100 characters",
		"x-ms-client-request-id": "x-ms-request-id and x-ms-client-request-id must not exceed 100 characters",
	} {
		if r := s.do(t, "POST", "/score", "1", name, long); r.status != 431 || r.message(t) != want {
			t.Errorf("%s: got %d %s", name, r.status, r.body)
		}
	}
	if r := s.do(t, "POST", "/score", "1", "x-request-id", long[:100]); r.status != 200 {
		t.Errorf("100 characters: got %d %s", r.status, r.body)
	}
}

func TestRequestHeaders(t *testing.T) {
	s := serve(t, "def init(): pass\ndef run(raw_data, request_headers): return request_headers\n")
	r := s.do(t, "POST", "/score", "1", "x-ms-request-id", "7", "TRACEPARENT", "00-1", "content-type", "text/plain")
	for _, want := range []string{`"X-Ms-Request-Id": "7"`, `"Traceparent": "00-1"`, `"Content-Type": "text/plain"`, `"Host": "127.0.0.1`} {
		if !strings.Contains(r.body, want) {
			t.Errorf("%s is not in %s", want, r.body)
		}
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	s := serve(t, echo, func(c *Config) { c.CORSOrigins = []string{"https://a.example", "https://b.example"} })
	for origin, want := range map[string]string{"https://a.example": "https://a.example", "https://b.example": "https://b.example", "https://evil.example": "", "": ""} {
		var header []string
		if origin != "" {
			header = []string{"Origin", origin}
		}
		if got := s.do(t, "POST", "/score", "1", header...).header.Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("origin %q: allowed %q, want %q", origin, got, want)
		}
	}
	r := s.do(t, "OPTIONS", "/score", "", "Origin", "https://a.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
	if r.status != 200 || r.header.Get("Access-Control-Allow-Methods") != "GET, POST" || r.header.Get("Access-Control-Allow-Headers") != "content-type" || r.body != "" {
		t.Errorf("preflight: %+v", r)
	}
	if r := serve(t, echo).do(t, "POST", "/score", "1", "Origin", "https://a.example"); r.header.Get("Access-Control-Allow-Origin") != "" || r.header.Get("Vary") != "" {
		t.Errorf("without AML_CORS_ORIGINS: %v", r.header)
	}
}

// A connection stays usable after an error, and answers on it stay in order.
func TestKeepAlive(t *testing.T) {
	s := serve(t, contractScript)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	bodies := []string{"one", "raise", "two", "nan", "three"}
	for _, body := range bodies { // all at once: HTTP pipelining
		fmt.Fprintf(conn, "POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	for _, body := range bodies {
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		text := make([]byte, r.ContentLength)
		if _, err := in.Read(text); err != nil {
			t.Fatal(err)
		}
		if failing := body == "raise" || body == "nan"; failing != (r.StatusCode == 500) || !failing && string(text) != `{"got": "`+body+`"}` {
			t.Errorf("%s: got %d %s", body, r.StatusCode, text)
		}
	}
}
