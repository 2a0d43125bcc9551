package test

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/ridgeline-mlops/ridgeline/image"
	"github.com/ridgeline-mlops/ridgeline/internal/runctest"
	"github.com/ridgeline-mlops/ridgeline/registry"
)

// inside is what Ridgeline's own image has to be able to do, as nobody, on a
// read-only root: what the server calls of git, ssh, uv and Python.
const inside = `set -e
cd /tmp
ridgeline --version >/dev/null
python3 -c 'import ssl, sqlite3, venv, zoneinfo; zoneinfo.ZoneInfo("Europe/Vienna"); assert ssl.create_default_context().get_ca_certs()'
git init -q --bare there.git 2>&1
git clone -q there.git here 2>/dev/null
cd here && echo x >file && git add file && git -c user.name=t -c user.email=t@localhost commit -q -m first && git push -q origin HEAD:main 2>&1
git remote-https 2>&1 | grep -q 'usage: git remote-curl'
ssh -V 2>&1 | grep -q OpenSSH
uv venv -q --offline --no-config --cache-dir /tmp/uv /tmp/env
/tmp/env/bin/python -c 'import sys; assert sys.prefix == "/tmp/env"'
test "$HOME" = /var/lib/ridgeline
! touch /usr/x 2>/dev/null
ridgeline doctor --dir /tmp/state --json | tr -d ' \n' >/tmp/doctor || true
for check in python uv git disk clock; do grep -q "\"check\":\"$check\",\"ok\":true" /tmp/doctor || echo "doctor: $check"; done
echo all is there
`

// TestOwnImage builds Ridgeline's own image, pushes it to a registry with a
// sign-in by a credential helper of Docker's, and looks around in a container
// of it.
func TestOwnImage(t *testing.T) {
	runctest.Need(t)
	host, docker, helpers := lockedRegistry(t)
	bin, err := filepath.Abs("../bin/ridgeline")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(config string, args ...string) (string, error) {
		cmd := exec.Command(bin, append([]string{"kube", "image", "--dir", dir, "--insecure", "--json"}, args...)...)
		cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+config, "PATH="+helpers+":"+os.Getenv("PATH"))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		return string(out) + stderr.String(), err
	}
	if out, err := run(t.TempDir(), "--push", host+"/ml/ridgeline:1"); err == nil || !strings.Contains(out, "refused the sign-in") {
		t.Errorf("without a sign-in: %v\n%s", err, out)
	}
	var first, second struct {
		Digest, Reference string
		Size, Sent        int64
	}
	for _, into := range []any{&first, &second} {
		out, err := run(docker, "--push", host+"/ml/ridgeline:1")
		if err != nil {
			t.Fatal(out)
		}
		if err := json.Unmarshal([]byte(out), into); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%.1f MB", float64(first.Size)/1e6)
	if first.Reference != host+"/ml/ridgeline@"+first.Digest || first.Sent < first.Size/2 {
		t.Errorf("the first push: %+v", first)
	}
	if second.Digest != first.Digest || second.Sent > 10_000 {
		t.Errorf("the second push sent what was there: %+v", second)
	}

	t.Run("runs as nobody on a read-only root", func(t *testing.T) {
		builder, err := image.NewBuilder(image.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer builder.Close()
		signIn := image.Connection{Auth: &image.Auth{Username: "robot", Password: "from the helper"}, Insecure: true}
		u, err := builder.Unpack(t.Context(), first.Reference, signIn, t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		runctest.Open(t, u.Root)
		var log bytes.Buffer
		c := runctest.Container{Root: u.Root, Args: []string{"/bin/sh", "-c", inside}, Dir: u.WorkingDir, Env: u.Env, Bind: runctest.Folder(t)}
		_, ended := c.Start(t, &log)
		<-ended
		if log.String() != "all is there\n" {
			t.Errorf("in the container:\n%s", log.String())
		}
	})

	t.Run("a base that lacks what the server needs is refused", func(t *testing.T) {
		handler, err := registry.New(t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		open := httptest.NewServer(handler)
		t.Cleanup(open.Close)
		base := strings.TrimPrefix(open.URL, "http://") + "/base:1"
		ref, err := name.ParseReference(base, name.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		img, err := random.Image(100, 1)
		if err == nil {
			img, err = mutate.ConfigFile(img, &v1.ConfigFile{Architecture: runtime.GOARCH, OS: "linux", RootFS: configOf(t, img).RootFS})
		}
		if err == nil {
			err = remote.Write(ref, img)
		}
		if err != nil {
			t.Fatal(err)
		}
		if out, err := run(docker, "--base", base, "--output", filepath.Join(t.TempDir(), "x.tar")); err == nil || !strings.Contains(out, "Python 3, git, a shell, glibc") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func configOf(t *testing.T, img v1.Image) *v1.ConfigFile {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config
}
