package image_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/image"
)

func TestBuilder_Build_is_deterministic(t *testing.T) {
	first, second := small(t), small(t)
	old := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	err := filepath.WalkDir(filepath.Dir(second.App), func(path string, d os.DirEntry, err error) error {
		if err == nil {
			err = os.Chtimes(path, old, old)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// Another folder, other times, an umask that shows, another cache.
	if err := os.Chmod(filepath.Join(second.App, "score.py"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, b := build(t, newBuilder(t, t.TempDir()), first), build(t, warm(t), second)
	if a.Digest() != b.Digest() {
		t.Fatalf("same inputs, two digests:\n%v\n%v", a.Layers(), b.Layers())
	}
	var kinds []string
	for _, l := range a.Layers() {
		kinds = append(kinds, l.Kind)
	}
	if want := []string{"base", "scorer", "dependencies", "application", "model"}; !slices.Equal(kinds, want) {
		t.Errorf("layers %v; want %v", kinds, want)
	}
}

// A gateway's image is its program and what a system says; the same on each
// machine that has the same.
func TestBuilder_BuildGateway(t *testing.T) {
	scorer := small(t).Scorer
	a, err := newBuilder(t, t.TempDir()).BuildGateway(t.Context(), scorer)
	if err != nil {
		t.Fatal(err)
	}
	b, err := warm(t).BuildGateway(t.Context(), scorer)
	if err != nil {
		t.Fatal(err)
	}
	if a.Digest() != b.Digest() {
		t.Errorf("same inputs, two digests: %s and %s", a.Digest(), b.Digest())
	}
	var kinds []string
	for _, l := range a.Layers() {
		kinds = append(kinds, l.Kind)
	}
	if want := []string{"base", "scorer"}; !slices.Equal(kinds, want) {
		t.Errorf("layers %v; want %v", kinds, want)
	}
	if _, err := warm(t).BuildGateway(t.Context(), filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("an image without a program was made")
	}
}

func TestBuilder_Build_makes_again_only_what_changed(t *testing.T) {
	b, s := warm(t), small(t)
	before := build(t, b, s)
	for _, change := range []struct {
		kind string
		do   func(*image.Spec)
	}{
		{image.KindModel, func(s *image.Spec) { write(t, filepath.Join(s.Model, "ridge.json"), `{"weights": [4]}`) }},
		{image.KindModel, func(s *image.Spec) { s.Version++ }},
		{image.KindApplication, func(s *image.Spec) { write(t, filepath.Join(s.App, "score.py"), "# nothing\n") }},
		{image.KindDependencies, func(s *image.Spec) { s.Environment = "lock-2"; write(t, filepath.Join(s.SitePackages, "six.py"), "") }},
		{image.KindScorer, func(s *image.Spec) { write(t, s.Scorer, "#!/bin/false\n") }},
	} {
		change.do(&s)
		after := build(t, b, s)
		for i, l := range after.Layers() {
			if same := l == before.Layers()[i]; same == (l.Kind == change.kind) {
				t.Errorf("a change of the %s: the %s layer is the same: %v", change.kind, l.Kind, same)
			}
		}
		before = after
	}
}

func TestBuilder_Build_does_not_read_what_it_has(t *testing.T) {
	b, s := warm(t), small(t)
	s.Environment = "lock-gone"
	before := build(t, b, s)
	if err := os.RemoveAll(s.SitePackages); err != nil {
		t.Fatal(err)
	}
	if after := build(t, b, s); after.Digest() != before.Digest() {
		t.Errorf("digest %s became %s", before.Digest(), after.Digest())
	}
}

func TestBuilder_Build_survives_a_damaged_cache(t *testing.T) {
	dir := seeded(t)
	// What a kill leaves: halves in tmp, a record without its layer.
	s := small(t)
	before := build(t, newBuilder(t, dir), s)
	var model string
	for _, l := range before.Layers() {
		if l.Kind == image.KindModel {
			model = filepath.Join(dir, "blobs", strings.TrimPrefix(l.Digest, "sha256:"))
		}
	}
	if err := os.Truncate(model, 10); err != nil {
		t.Fatal(err)
	}
	if after := build(t, newBuilder(t, dir), s); after.Digest() != before.Digest() {
		t.Errorf("digest %s became %s", before.Digest(), after.Digest())
	}
	if info, err := os.Stat(model); err != nil || info.Size() == 10 {
		t.Errorf("the half layer was taken for a whole one: %v", err)
	}
}

func TestNewBuilder_removes_halves_of_the_dead_only(t *testing.T) {
	dir := t.TempDir()
	half := filepath.Join(dir, "tmp", "model-1234")
	write(t, half, "half a layer")
	first, err := image.NewBuilder(image.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("the half layer of a process that was killed is left: %v", err)
	}
	write(t, half, "half a layer, being written")
	newBuilder(t, dir)
	if _, err := os.Stat(half); err != nil {
		t.Errorf("the half layer of a living builder was removed: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBuilder_Prune(t *testing.T) {
	dir := seeded(t)
	b, s := newBuilder(t, dir), small(t)
	files := func() (n int) {
		for _, sub := range []string{"blobs", "layers"} {
			list, err := os.ReadDir(filepath.Join(dir, sub))
			if err != nil {
				t.Fatal(err)
			}
			n += len(list)
		}
		return n
	}
	build(t, b, s)
	if err := b.Prune(1 << 40); err != nil || files() != 10 {
		t.Errorf("with room for all, %d files are left of 5 layers and 5 records (%v)", files(), err)
	}
	if err := b.Prune(100_000); err != nil || files() != 8 {
		t.Errorf("without room for the base, %d files are left; 8 were expected (%v)", files(), err)
	}
	if err := b.Prune(0); err != nil || files() != 0 {
		t.Errorf("without room, %d files are left (%v)", files(), err)
	}
}

func TestBuilder_Build_content(t *testing.T) {
	b, s := warm(t), small(t)
	s.Environment, s.Env = "lock-content", []string{"OMP_NUM_THREADS=1", "RIDGELINE_LISTEN=:9000"}
	ref := newRegistry(t, nil) + "/project/ridge:1"
	p := push(t, b, build(t, b, s), ref)
	u := unpack(t, b, p.Reference, image.KindScorer, image.KindDependencies, image.KindApplication, image.KindModel)

	site := "opt/ridgeline/env/lib/python3.11/site-packages/"
	var got []string
	err := filepath.WalkDir(u.Root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(u.Root, path)
			got = append(got, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"app/__pycache__/score.cpython-311.pyc", "app/package/broken.py", "app/score.py",
		"opt/ridgeline/bin/scorer", "opt/ridgeline/env/bin/python", "opt/ridgeline/env/bin/python3", "opt/ridgeline/env/bin/python3.11",
		site + "greet-1.dist-info/METADATA", site + "greet-1.dist-info/RECORD",
		site + "greet/__init__.py", site + "greet/__pycache__/__init__.cpython-311.pyc",
		"opt/ridgeline/env/pyvenv.cfg", "opt/ridgeline/models/ridge/1/ridge.json",
		"opt/ridgeline/worker/ridgeline_worker/__init__.py", "opt/ridgeline/worker/ridgeline_worker/__main__.py",
		"opt/ridgeline/worker/ridgeline_worker/__pycache__/__init__.cpython-311.pyc", "opt/ridgeline/worker/ridgeline_worker/__pycache__/__main__.cpython-311.pyc",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("files:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if record := read(t, filepath.Join(u.Root, site, "greet-1.dist-info/RECORD")); record != "greet-1.dist-info/RECORD,,\ngreet/__init__.py,sha256=x,1\n" {
		t.Errorf("RECORD is\n%s", record)
	}
	pyc := []byte(read(t, filepath.Join(u.Root, "app/__pycache__/score.cpython-311.pyc")))
	if flags := binary.LittleEndian.Uint32(pyc[4:]); flags != 1 {
		t.Errorf("the bytecode's flags are %d; 1 (by hash, not checked) was expected", flags)
	}
	if !bytes.Contains(pyc, []byte("/app/score.py")) || bytes.Contains(pyc, []byte(s.App)) {
		t.Error("the bytecode does not name its source as it is in the image")
	}

	wantEnv := map[string]string{
		"RIDGELINE_PYTHON": "/opt/ridgeline/env/bin/python", "RIDGELINE_APP": "/app", "RIDGELINE_SCORE": "score.py", "RIDGELINE_WORKER_PATH": "/opt/ridgeline/worker",
		"AZUREML_MODEL_DIR": "/opt/ridgeline/models/ridge/1", "RIDGELINE_LISTEN": ":9000", "OMP_NUM_THREADS": "1", "RIDGELINE_MODEL_NAME": "ridge", "RIDGELINE_MODEL_VERSION": "1",
		"PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8", "PATH": "/opt/ridgeline/env/bin:/usr/local/bin:/usr/bin:/bin", "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
	}
	env := make(map[string]string)
	for _, kv := range u.Env {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	if !maps.Equal(env, wantEnv) {
		t.Errorf("environment %v", env)
	}
	wantLabels := map[string]string{
		"org.opencontainers.image.title": "ridge", "org.opencontainers.image.version": "1",
		"org.opencontainers.image.revision": "abc", "io.ridgeline.run": "r-1",
	}
	if !maps.Equal(u.Labels, wantLabels) {
		t.Errorf("labels %v", u.Labels)
	}
	if !slices.Equal(u.Entrypoint, []string{"/opt/ridgeline/bin/scorer", "serve"}) || u.User != "65534:65534" || u.WorkingDir != "/app" {
		t.Errorf("entrypoint %v, user %s, folder %s", u.Entrypoint, u.User, u.WorkingDir)
	}
}

func TestBuilder_Build_on_a_pulled_base(t *testing.T) {
	host := newRegistry(t, nil)
	b, s := warm(t), small(t)
	plain := push(t, b, build(t, b, s), host+"/library/python:3.11")

	venv, err := environment()
	if err != nil {
		need(t, "uv")
		t.Fatal(err)
	}
	s.SitePackages, s.Environment = filepath.Join(venv, "lib/python3.11/site-packages"), "lock-venv"
	s.Base = image.Base{Reference: plain.Reference, Connection: image.Connection{Insecure: true}}
	cold := newBuilder(t, t.TempDir())
	img := build(t, cold, s)
	// Its layers are in that registry: linked there, not downloaded and sent.
	p := push(t, cold, img, host+"/project/ridge:1")
	t.Logf("pushed %d bytes, %d blobs", p.Bytes, p.Blobs)
	u := unpack(t, cold, p.Reference, image.KindBase)
	if _, err := os.Stat(filepath.Join(u.Root, "usr/local/bin/python3.11")); err != nil {
		t.Error(err)
	}
	s.Version++
	if again := build(t, cold, s); again.Layers()[0] != img.Layers()[0] {
		t.Error("the base changed")
	}
	s.Base.Reference = host + "/library/python:4"
	if _, err := cold.Build(context.Background(), s); ridgeline.CodeOf(err) != ridgeline.NotFound {
		t.Errorf("a base that is not there: %v", err)
	}
}

func TestBuilder_Build_refuses(t *testing.T) {
	b := warm(t)
	outside := filepath.Join(t.TempDir(), "secret")
	write(t, outside, "secret")
	for name, test := range map[string]struct {
		change func(*image.Spec)
		code   ridgeline.Code
		says   string
	}{
		"no_base":                  {func(s *image.Spec) { s.Base = image.Base{} }, ridgeline.Invalid, "no base"},
		"another_python":           {func(s *image.Spec) { s.Python = "3.9" }, ridgeline.Invalid, "is for Python 3.9"},
		"no_python":                {func(s *image.Spec) { s.Base.Interpreter = "/bin/false" }, ridgeline.Invalid, "interpreter was expected"},
		"a_model_name":             {func(s *image.Spec) { s.ModelName = "../up" }, ridgeline.Invalid, "model name"},
		"no_version":               {func(s *image.Spec) { s.Version = 0 }, ridgeline.Invalid, "version 0"},
		"no_lock":                  {func(s *image.Spec) { s.Environment = "" }, ridgeline.Invalid, "lock hash"},
		"no_score_script":          {func(s *image.Spec) { s.Score = "other.py" }, ridgeline.NotFound, "no such file"},
		"a_score_script_elsewhere": {func(s *image.Spec) { s.Score = "../score.py" }, ridgeline.Invalid, "within the project"},
		"a_link_out_of_the_project": {func(s *image.Spec) {
			if err := os.Symlink(outside, filepath.Join(s.App, "data.csv")); err != nil {
				t.Fatal(err)
			}
		}, ridgeline.Invalid, "leads out"},
		"a_variable": {func(s *image.Spec) { s.Env = []string{"nothing"} }, ridgeline.Invalid, "KEY=value"},
	} {
		t.Run(name, func(t *testing.T) {
			s := small(t)
			test.change(&s)
			_, err := b.Build(context.Background(), s)
			if ridgeline.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v; want %s, %q", err, test.code, test.says)
			}
		})
	}
}

func TestBuilder_Build_keeps_links_inside(t *testing.T) {
	b, s := warm(t), small(t)
	if err := os.Symlink("../model/ridge.json", filepath.Join(s.Model, "x")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.Model, "blobs/1"), "weights")
	for link, target := range map[string]string{"latest": "blobs/1", "absolute": filepath.Join(s.Model, "blobs")} {
		if err := os.Symlink(target, filepath.Join(s.Model, link)); err != nil {
			t.Fatal(err)
		}
	}
	p := push(t, b, build(t, b, s), newRegistry(t, nil)+"/project/ridge:1")
	root := unpack(t, b, p.Reference, image.KindModel).Root + "/opt/ridgeline/models/ridge/1/"
	if got := read(t, root+"latest") + read(t, root+"absolute/1") + read(t, root+"x"); got != `weightsweights{"weights": [1, 2, 3]}` {
		t.Errorf("through the links: %s", got)
	}
	if out, err := exec.Command("readlink", root+"absolute").Output(); err != nil || strings.TrimSpace(string(out)) != "blobs" {
		t.Errorf("the absolute link became %s (%v)", out, err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	p, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}
