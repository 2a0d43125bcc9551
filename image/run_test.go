package image_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/internal/runctest"
)

const scoreScript = `import json, os, socket, sys
import numpy
import numpy.linalg

def init():
    global weights
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "ridge.json")) as f:
        weights = numpy.array(json.load(f)["weights"], dtype=float)

def run(raw_data):
    rows = numpy.array(json.loads(raw_data)["data"], dtype=float)
    return {"result": (rows @ weights).tolist()}
`

// checkScript looks around in a container and tells what is not as it should be.
const checkScript = `
import hashlib, importlib.metadata, json, os, socket, ssl, sqlite3, sys, sysconfig, zlib, bz2, lzma, ctypes, zoneinfo
import numpy, numpy.linalg, numpy.random, iniconfig
wrong = []
def expect(what, have, want):
    if have != want: wrong.append("%s is %r, want %r" % (what, have, want))
expect("prefix", sys.prefix, "/opt/ridgeline/env")
expect("base prefix", sys.base_prefix, "/usr/local")
expect("uid", (os.getuid(), os.getgid()), (65534, 65534))
expect("numpy", numpy.linalg.det(numpy.array([[2., 0.], [0., 3.]])).round(6), 6.0)
expect("metadata", importlib.metadata.metadata("iniconfig")["Name"], "iniconfig")
expect("files", all(os.path.exists(f.locate()) for f in importlib.metadata.files("numpy")), True)
expect("certificates", len(ssl.create_default_context().get_ca_certs()) > 0, os.path.exists("/etc/ssl/certs/ca-certificates.crt"))
expect("encoding", sys.getfilesystemencoding(), "utf-8")
if os.path.exists("/usr/share/zoneinfo"):
    expect("time zones", str(zoneinfo.ZoneInfo("Europe/Vienna")), "Europe/Vienna")
for name, module in list(sys.modules.items()):
    cached = getattr(module, "__cached__", None)
    if cached and not os.path.exists(cached): wrong.append("%s has no bytecode" % name)
for path in ("/app/x", "/usr/x", "/opt/ridgeline/x"):
    try:
        open(path, "w"); wrong.append("%s can be written" % path)
    except OSError: pass
try:
    socket.create_connection(("192.0.2.1", 80), 1); wrong.append("there is a network")
except OSError: pass
print(json.dumps(wrong))
`

// TestImage_runs is the promise of the whole package: what was built, pushed
// and unpacked is a system of its own that runs as nobody, read-only, offline.
func TestImage_runs(t *testing.T) {
	runctest.Need(t)
	need(t, "uv")
	venv, err := environment()
	if err != nil {
		t.Fatal(err)
	}
	s := small(t)
	s.SitePackages, s.Environment = filepath.Join(venv, "lib/python3.11/site-packages"), "lock-venv"
	s.Worker = os.DirFS("../python")
	s.Scorer = filepath.Join(t.TempDir(), "scorer")
	compile := exec.Command("go", "build", "-trimpath", "-o", s.Scorer, "../cmd/scorer")
	compile.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("build the scorer: %v\n%s", err, out)
	}
	write(t, filepath.Join(s.App, "score.py"), scoreScript)
	write(t, filepath.Join(s.Model, "ridge.json"), `{"weights": [1, 10, 100]}`)
	b := warm(t)
	p := push(t, b, build(t, b, s), newRegistry(t, nil)+"/project/ridge:1")
	u := unpack(t, b, p.Reference)
	runctest.Open(t, u.Root)

	t.Run("its_python", func(t *testing.T) {
		var out bytes.Buffer
		c := runctest.Container{Root: u.Root, Args: []string{"/opt/ridgeline/env/bin/python", "-c", checkScript}, Env: u.Env, Dir: u.WorkingDir, Bind: t.TempDir()}
		_, ended := c.Start(t, &out)
		<-ended
		if strings.TrimSpace(out.String()) != "[]" {
			t.Errorf("in the container:\n%s", out.String())
		}
	})

	t.Run("its_scorer", func(t *testing.T) {
		bind := runctest.Folder(t)
		log, err := os.Create(filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		c := runctest.Container{
			Root: u.Root, Args: append(u.Entrypoint, u.Cmd...), Dir: u.WorkingDir, Bind: bind,
			Env: append(u.Env, "RIDGELINE_LISTEN=unix:///run/test/s", "RIDGELINE_DRAIN_MS=1"),
		}
		started := time.Now()
		stop, ended := c.Start(t, log)
		client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(bind, "s"))
		}}}
		for deadline := time.Now().Add(30 * time.Second); ; {
			answer, err := client.Get("http://scorer/healthz/ready")
			if err == nil {
				_ = answer.Body.Close()
				if answer.StatusCode == http.StatusOK {
					break
				}
			}
			select {
			case <-ended:
				t.Fatalf("the scorer ended:\n%s", read(t, log.Name()))
			case <-time.After(5 * time.Millisecond):
			}
			if time.Now().After(deadline) {
				t.Fatalf("the scorer is not ready after 30 s (%v):\n%s", err, read(t, log.Name()))
			}
		}
		t.Logf("ready after %s", time.Since(started))
		answer, err := client.Post("http://scorer/score", "application/json", strings.NewReader(`{"data": [[1, 2, 3], [4, 5, 6]]}`))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ Result []float64 }
		if err := json.Unmarshal(body, &got); err != nil || answer.StatusCode != 200 || fmt.Sprint(got.Result) != "[321 654]" {
			t.Errorf("%d %s; the result [321 654] was expected\n%s", answer.StatusCode, body, read(t, log.Name()))
		}
		client.CloseIdleConnections()
		if code := stop(); code != 0 {
			t.Errorf("the scorer ended with %d:\n%s", code, read(t, log.Name()))
		}
	})
}
