package pyenv

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

// wheel makes the smallest package that can be installed: one module with its
// version, and whatever else says.
func wheel(t *testing.T, name, version, tag string, requires ...string) (file string, content []byte) {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	info := name + "-" + version + ".dist-info/"
	metadata := "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n"
	for _, r := range requires {
		metadata += "Requires-Dist: " + r + "\n"
	}
	for _, f := range [][2]string{
		{name + ".py", "version = '" + version + "'\n"},
		{info + "METADATA", metadata},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: " + tag + "\n"},
		{info + "RECORD", name + ".py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n"},
	} {
		w, err := z.Create(f[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return name + "-" + version + "-" + tag + ".whl", b.Bytes()
}

// An index serves wheels as PEP 503 has it, to whoever knows the password.
type index struct {
	*httptest.Server
	wheels         map[string][]byte
	user, password string
	refused        atomic.Int32
}

func newIndex(t *testing.T, user, password string) *index {
	i := &index{wheels: map[string][]byte{}, user: user, password: password}
	i.Server = httptest.NewServer(http.HandlerFunc(i.answer))
	t.Cleanup(i.Close)
	return i
}

func (i *index) add(file string, content []byte) string {
	i.wheels[file] = content
	return "sha256:" + digestOf(content)
}

func (i *index) answer(w http.ResponseWriter, r *http.Request) {
	if user, password, _ := r.BasicAuth(); i.password != "" && (user != i.user || password != i.password) {
		i.refused.Add(1)
		w.Header().Set("WWW-Authenticate", `Basic realm="packages"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/files/"); ok {
		if content, ok := i.wheels[name]; ok {
			_, _ = w.Write(content)
			return
		}
	}
	var page strings.Builder
	name := strings.Trim(strings.TrimPrefix(r.URL.Path, "/simple/"), "/")
	for file, content := range i.wheels {
		if project, _, _ := strings.Cut(file, "-"); canonical(project) == name {
			_, _ = fmt.Fprintf(&page, "<a href=\"/files/%s#sha256=%s\">%s</a>\n", html.EscapeString(file), digestOf(content), html.EscapeString(file))
		}
	}
	if page.Len() == 0 {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html")
	_, _ = w.Write([]byte(page.String()))
}

func (i *index) simple() string { return i.URL + "/simple" }

// freshCache keeps one test's packages from the others', which have the same names.
func freshCache(t *testing.T) string {
	dir := t.TempDir()
	t.Setenv("UV_CACHE_DIR", dir)
	t.Setenv("UV_HTTP_RETRIES", "0")
	return dir
}

func TestLock_private_index(t *testing.T) {
	const secret = "hunter22-of-the-index"
	private, public := newIndex(t, "ci", secret), newIndex(t, "", "")
	private.add(wheel(t, "corplib", "1.0", "py3-none-any", "tiny"))
	public.add(wheel(t, "tiny", "2.0", "py3-none-any"))
	public.add(wheel(t, "corplib", "9.0", "py3-none-any")) // a name that somebody took
	cache := freshCache(t)
	t.Setenv("UV_DEFAULT_INDEX", public.simple())
	base := t.TempDir()
	m := manager(t, filepath.Join(base, "python"))
	wish := Wish{File: "requirements.txt", Indexes: []Index{{Name: "corp-packages", URL: private.simple()}}}
	dir := project(t, map[string]string{"requirements.txt": "corplib\n"})
	var said []string
	say := func(line string) { said = append(said, line) }

	for name, password := range map[string]string{"none": "", "wrong": "another-password"} {
		if password != "" {
			t.Setenv("UV_INDEX_CORP_PACKAGES_USERNAME", "ci")
			t.Setenv("UV_INDEX_CORP_PACKAGES_PASSWORD", password)
		}
		_, err := m.Lock(t.Context(), dir, wish, say)
		if err == nil || !strings.Contains(err.Error(), "the index corp-packages ("+private.simple()+") refuses: set UV_INDEX_CORP_PACKAGES_USERNAME and UV_INDEX_CORP_PACKAGES_PASSWORD") {
			t.Errorf("%s: %v", name, err)
		}
		said = append(said, fmt.Sprint(err))
	}
	t.Setenv("UV_INDEX_CORP_PACKAGES_USERNAME", "ci")
	t.Setenv("UV_INDEX_CORP_PACKAGES_PASSWORD", secret)
	lock, err := m.Lock(t.Context(), dir, wish, say)
	if err != nil {
		t.Fatal(err)
	}
	want := "--index corp-packages=" + private.simple() + "\ncorplib==1.0 \\\n    --hash=sha256:"
	if !strings.HasPrefix(lock.Text, want) || !strings.Contains(lock.Text, "tiny==2.0 ") {
		t.Errorf("lock:\n%s\nwant %s…", lock.Text, want)
	}
	env, err := m.Ensure(t.Context(), lock, say)
	if err != nil {
		t.Fatal(err)
	}
	if got := python(t, env, "import corplib, tiny; print(corplib.version, tiny.version)"); got != "1.0 2.0" {
		t.Errorf("got %s", got)
	}

	// Another server without the password says whose it lacks.
	t.Setenv("UV_INDEX_CORP_PACKAGES_PASSWORD", "")
	t.Setenv("UV_CACHE_DIR", t.TempDir())
	if _, err := manager(t, t.TempDir()).Ensure(t.Context(), lock, say); err == nil || !strings.Contains(err.Error(), "UV_INDEX_CORP_PACKAGES_PASSWORD") {
		t.Errorf("install without a password: %v", err)
	} else {
		said = append(said, err.Error())
	}
	if private.refused.Load() == 0 {
		t.Error("the index never asked for a password")
	}
	for _, line := range said {
		if strings.Contains(line, secret) || strings.Contains(line, "another-password") {
			t.Errorf("said: %s", line)
		}
	}
	for _, folder := range []string{base, cache, dir} {
		contains(t, folder, secret)
	}
}

// contains fails when any file in a folder has the secret, plain or as basic
// authentication writes it.
func contains(t *testing.T, folder, secret string) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		seen++
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(secret)) || bytes.Contains(text, []byte("Y2k6aHVudGVyMjIt")) {
			t.Errorf("%s has the password", path)
		}
		return err
	})
	if err != nil || seen == 0 {
		t.Errorf("%s: %d files looked at: %v", folder, seen, err)
	}
}

// A lock of another tool may mean an index that is not the first to have the
// name. Since the file's hash is known, looking further is safe.
func TestEnsure_a_later_index(t *testing.T) {
	first, second := newIndex(t, "", ""), newIndex(t, "", "")
	first.add(wheel(t, "shared", "1.0", "py3-none-any"))
	first.add(wheel(t, "torchy", "1.0", "py3-none-any"))
	second.add(wheel(t, "shared", "2.0", "py3-none-any"))
	freshCache(t)
	m := manager(t, t.TempDir())
	dir := project(t, map[string]string{"pyproject.toml": fmt.Sprintf(`[project]
name = "a"
version = "1"
requires-python = ">=3.9"
dependencies = ["shared", "torchy"]
[[tool.uv.index]]
name = "wheels"
url = "%s"
explicit = true
[[tool.uv.index]]
name = "main"
url = "%s"
default = true
[tool.uv.sources]
torchy = {index = "wheels"}
`, first.simple(), second.simple())})
	resolved := mustLock(t, m, dir, "pyproject.toml")
	if _, err := m.run(t.Context(), call{doing: "lock", dir: dir}, "lock"); err != nil {
		t.Fatal(err)
	}
	for _, lock := range []Lock{resolved, mustLock(t, m, dir, "pyproject.toml")} {
		if !strings.Contains(lock.Text, "--index wheels="+first.simple()) || !strings.Contains(lock.Text, "--default-index main="+second.simple()) {
			t.Errorf("lock:\n%s", lock.Text)
		}
		env, err := m.Ensure(t.Context(), lock, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := python(t, env, "import shared, torchy; print(shared.version, torchy.version)"); got != "2.0 1.0" {
			t.Errorf("got %s", got)
		}
	}
}

func TestLock_hashes(t *testing.T) {
	packages := newIndex(t, "", "")
	one := packages.add(wheel(t, "one", "1.0", "py3-none-any", "two"))
	other := packages.add(wheel(t, "one", "1.0", "py2.py3-none-any", "two"))
	two := packages.add(wheel(t, "two", "1.0", "py3-none-any"))
	packages.add(wheel(t, "two", "2.0", "py3-none-any"))
	freshCache(t)
	t.Setenv("UV_DEFAULT_INDEX", packages.simple())
	m := manager(t, t.TempDir())
	for name, tt := range map[string]struct {
		files map[string]string
		wish  Wish
		want  string // of the lock, or of the error
		fails bool
	}{
		"none":        {map[string]string{"r.txt": "one\ntwo<2\n"}, Wish{}, "one==1.0 \\\n    --hash=" + min(one, other) + " \\\n    --hash=" + max(one, other) + "\ntwo==1.0 \\\n    --hash=" + two + "\n", false},
		"all":         {map[string]string{"r.txt": "one==1.0 \\\n  --hash=" + one + "\ntwo==1.0 --hash " + two + "\n"}, Wish{}, "one==1.0 \\\n    --hash=" + one + "\ntwo==1.0 \\\n    --hash=" + two + "\n", false},
		"included":    {map[string]string{"r.txt": "-r more.txt\none==1.0 --hash=" + one + "\n", "more.txt": "two==1.0 --hash=" + two + "\n"}, Wish{}, "one==1.0 \\\n    --hash=" + one + "\ntwo==1.0", false},
		"constraints": {map[string]string{"r.txt": "one\n", "c.txt": "two==1.0\n"}, Wish{Constraints: []string{"c.txt"}}, "two==1.0", false},
		"both":        {map[string]string{"r.txt": "one\n-c c.txt\n", "c.txt": "two<3\n", "d.txt": "two<2\n"}, Wish{Constraints: []string{"d.txt"}}, "two==1.0", false},
		"some":        {map[string]string{"r.txt": "one==1.0 --hash=" + one + "\n"}, Wish{}, "two==2.0 has no hash in the project's files", true},
		"asked for":   {map[string]string{"r.txt": "--require-hashes\none==1.0\ntwo==1.0\n"}, Wish{}, "one==1.0 has no hash in the project's files", true},
		"wrong":       {map[string]string{"r.txt": "one==1.0 --hash=sha256:" + strings.Repeat("0", 64) + "\ntwo==1.0 --hash=" + two + "\n"}, Wish{}, "one==1.0: the index has no file with a hash that the project's files give, such as sha256:0000", true},
		"no file":     {map[string]string{"r.txt": "one\n"}, Wish{Constraints: []string{"c.txt"}}, "c.txt is not in the project", true},
		"impossible":  {map[string]string{"r.txt": "one\n", "c.txt": "two==3\n"}, Wish{Constraints: []string{"c.txt"}}, "two", true},
		"groups":      {map[string]string{"r.txt": "one\n"}, Wish{Groups: []string{"dev"}}, "python.groups: a requirements file has no groups", true},
	} {
		t.Run(name, func(t *testing.T) {
			tt.wish.File = "r.txt"
			dir := project(t, tt.files)
			lock, err := m.Lock(t.Context(), dir, tt.wish, nil)
			if tt.fails {
				if ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: %v", ridgeline.CodeOf(err), err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(lock.Text, tt.want) {
				t.Errorf("got:\n%swant:\n%s", lock.Text, tt.want)
			}
			if _, err := m.Ensure(t.Context(), lock, nil); err != nil {
				t.Error(err)
			}
			// What a wish reads is part of what a kept lock is for.
			for _, file := range tt.wish.Constraints {
				if err := os.WriteFile(filepath.Join(dir, file), []byte("two==2.0\n"), 0o644); err != nil {
					t.Fatal(err)
				}
				if again, err := m.Lock(t.Context(), dir, tt.wish, nil); err != nil || !strings.Contains(again.Text, "two==2.0") {
					t.Errorf("after a change of %s: %v\n%s", file, err, again.Text)
				}
			}
		})
	}
}

func TestLock_groups_and_extras(t *testing.T) {
	packages := newIndex(t, "", "")
	for _, name := range []string{"base", "plot", "devtool", "gpu", "old"} {
		packages.add(wheel(t, name, "1.0", "py3-none-any"))
	}
	freshCache(t)
	t.Setenv("UV_DEFAULT_INDEX", packages.simple())
	m := manager(t, t.TempDir())
	text := `[project]
name = "a"
dynamic = ["version"]
requires-python = ">=3.9"
dependencies = ["base", "old; python_version < '3.0'"]
[project.optional-dependencies]
plot = ["plot"]
[dependency-groups]
dev = ["devtool"]
gpu = ["gpu", {include-group = "dev"}]
[tool.uv]
constraint-dependencies = ["base<2"]
`
	for name, tt := range map[string]struct {
		text, want string
		wish       Wish
	}{
		"default":   {text, "base 1.0 devtool 1.0", Wish{}},
		"more":      {text, "base 1.0 devtool 1.0 gpu 1.0 plot 1.0", Wish{Groups: []string{"gpu"}, Extras: []string{"plot"}}},
		"none":      {text + "default-groups = []\n", "base 1.0", Wish{}},
		"all":       {text + "default-groups = \"all\"\n", "base 1.0 devtool 1.0 gpu 1.0", Wish{}},
		"dynamic":   {strings.Replace(strings.Replace(text, `["version"]`, `["version", "dependencies"]`, 1), "dependencies = [\"base\"", "# ", 1) + "[tool.setuptools.dynamic]\ndependencies = {file = [\"r.txt\"]}\n", "devtool 1.0 plot 1.0", Wish{}},
		"no group":  {text, `! python.groups: "docs": pyproject.toml has no such dependency-groups; there is dev, gpu`, Wish{Groups: []string{"docs"}}},
		"no extra":  {text, `! python.extras: "docs": pyproject.toml has no such optional-dependencies; there is plot`, Wish{Extras: []string{"docs"}}},
		"backend's": {strings.Replace(strings.Replace(text, `["version"]`, `["dependencies"]`, 1), "dependencies = [\"base\"", "# ", 1), "! dependencies are dynamic", Wish{}},
	} {
		tt.wish.File = "pyproject.toml"
		dir := project(t, map[string]string{"pyproject.toml": tt.text, "r.txt": "plot\n"})
		lock, err := m.Lock(t.Context(), dir, tt.wish, nil)
		if want, fails := strings.CutPrefix(tt.want, "! "); fails {
			if ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if got := strings.Join(packages0(lock), " "); err != nil || got != tt.want {
			t.Errorf("%s: got %s, want %s: %v", name, got, tt.want, err)
		}
	}
	t.Run("other tables do not make another lock", func(t *testing.T) {
		dir := project(t, map[string]string{"pyproject.toml": text})
		before := mustLock(t, m, dir, "pyproject.toml")
		packages.add(wheel(t, "base", "1.5", "py3-none-any"))
		if err := os.WriteFile(filepath.Join(dir, "pyproject.toml"), []byte(text+"[tool.ruff]\nline-length = 99\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if after := mustLock(t, m, dir, "pyproject.toml"); after != before {
			t.Errorf("got:\n%s\nwant:\n%s", after.Text, before.Text)
		}
	})
}

func packages0(lock Lock) []string { return packages(lock.Text) }

// What no index has becomes a wheel that outlives the project's folder, the
// repository, and this server.
func TestLock_packages_without_an_index(t *testing.T) {
	index := newIndex(t, "", "")
	index.add(wheel(t, "base", "1.0", "py3-none-any"))
	backend(t, index)
	freshCache(t)
	t.Setenv("UV_DEFAULT_INDEX", index.simple())
	file, content := wheel(t, "inwheel", "1.0", "py3-none-any")
	linked, linkedContent := wheel(t, "linked", "1.0", "py3-none-any")
	lib := map[string]string{
		"pyproject.toml": "[project]\nname = \"inlib\"\nversion = \"0.3\"\ndependencies = [\"base\"]\n[build-system]\nrequires = [\"smallbackend\"]\nbuild-backend = \"smallbackend\"\n",
		"inlib.py":       "version = '0.3'\n",
	}
	repository := project(t, map[string]string{"pkg/pyproject.toml": strings.ReplaceAll(lib["pyproject.toml"], "inlib", "ingit"), "pkg/ingit.py": "version = 'git'\n"})
	git := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"-C", repository, "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "--quiet", "--initial-branch", "main")
	git("add", ".")
	git("commit", "--quiet", "-m", "one")
	files := map[string]string{
		"requirements.txt":    "-e .[plot]\n-e ./lib\n./wheels/" + file + "\ningit @ git+file://" + repository + "@main#subdirectory=pkg\n--find-links vendor\nlinked\n",
		"pyproject.toml":      "[project]\nname = \"me\"\nversion = \"1\"\ndependencies = []\n[project.optional-dependencies]\nplot = [\"base\"]\n",
		"wheels/" + file:      string(content),
		"vendor/" + linked:    string(linkedContent),
		"lib/pyproject.toml":  lib["pyproject.toml"],
		"lib/inlib.py":        lib["inlib.py"],
		"lib/.venv/big":       "not source",
		"lib/__pycache__/a.b": "not source",
	}
	dir := project(t, files)
	kept := memory{}
	m, err := New(Options{Dir: t.TempDir(), Files: kept})
	if err != nil {
		t.Fatal(err)
	}
	lock := mustLock(t, m, dir, "requirements.txt")
	if got, want := strings.Join(packages0(lock), ", "), "base 1.0, ingit 0.3, inlib 0.3, inwheel 1.0, linked 1.0"; sorted(got) != want {
		t.Fatalf("got %s, want %s:\n%s", sorted(got), want, lock.Text)
	}
	if len(kept) != 4 {
		t.Errorf("%d files are kept, want 4", len(kept))
	}
	t.Run("on another server, without the sources", func(t *testing.T) {
		for _, gone := range []string{dir, repository} {
			if err := os.RemoveAll(gone); err != nil {
				t.Fatal(err)
			}
		}
		freshCache(t)
		other, err := New(Options{Dir: t.TempDir(), Files: kept})
		if err != nil {
			t.Fatal(err)
		}
		env, err := other.Ensure(t.Context(), lock, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := python(t, env, "import inlib, ingit, inwheel, linked, base; print(inlib.version, ingit.version, inwheel.version, linked.version)"); got != "0.3 git 1.0 1.0" {
			t.Errorf("got %s", got)
		}
		if _, err := manager(t, t.TempDir()).Ensure(t.Context(), lock, nil); ridgeline.CodeOf(err) != ridgeline.Unavailable || !strings.Contains(err.Error(), "lock again") {
			t.Errorf("where nobody has it: %v", err)
		}
	})
	t.Run("a changed source makes another lock", func(t *testing.T) {
		files["requirements.txt"] = "-e ./lib\n"
		one := mustLock(t, m, project(t, files), "requirements.txt")
		files["lib/__pycache__/a.b"] = "changed"
		if same := mustLock(t, m, project(t, files), "requirements.txt"); same != one {
			t.Errorf("what is no source decides:\n%s\n%s", one.Text, same.Text)
		}
		files["lib/inlib.py"] = "version = '0.4'\n"
		if two := mustLock(t, m, project(t, files), "requirements.txt"); two.Hash == one.Hash {
			t.Error("another source has the same lock")
		}
	})
}

func sorted(list string) string {
	names := strings.Split(list, ", ")
	for i := range names {
		for j := i + 1; j < len(names); j++ {
			if names[j] < names[i] {
				names[i], names[j] = names[j], names[i]
			}
		}
	}
	return strings.Join(names, ", ")
}

// backend puts a build backend on an index: it packs the modules beside
// pyproject.toml (PEP 517).
func backend(t *testing.T, i *index) {
	t.Helper()
	const code = `
import os, re, zipfile
def build_wheel(to, settings=None, metadata=None):
    text = open("pyproject.toml").read()
    name, version = re.search('name = "(.*)"', text)[1], re.search('version = "(.*)"', text)[1]
    needs = re.search('dependencies = \\["(.*)"\\]', text)[1]
    file, info = f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info/"
    with zipfile.ZipFile(os.path.join(to, file), "w") as z:
        def add(path, text): z.writestr(zipfile.ZipInfo(path), text)
        add(name + ".py", open(name + ".py").read())
        add(info + "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: {needs}\n")
        add(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        add(info + "RECORD", "".join(f"{n},,\n" for n in (name + ".py", info + "METADATA", info + "WHEEL", info + "RECORD")))
    os.makedirs("build", exist_ok=True)  # as real ones do, into the source
    return file
build_editable = build_wheel
`
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	const info = "smallbackend-1.0.dist-info/"
	for _, f := range [][2]string{
		{"smallbackend.py", code}, {info + "METADATA", "Metadata-Version: 2.1\nName: smallbackend\nVersion: 1.0\n"},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}, {info + "RECORD", "smallbackend.py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n"},
	} {
		w, err := z.Create(f[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	i.add("smallbackend-1.0-py3-none-any.whl", b.Bytes())
}

// memory is the other server's way to the same files.
type memory map[string][]byte

func (f memory) Put(_ context.Context, r io.Reader) (string, int64, error) {
	text, err := io.ReadAll(r)
	digest := digestOf(text)
	f[digest] = text
	return digest, int64(len(text)), err
}

func (f memory) Get(_ context.Context, digest string) (io.ReadCloser, error) {
	text, ok := f[digest]
	if !ok {
		return nil, ridgeline.Errorf(ridgeline.NotFound, "no content %s", digest)
	}
	return io.NopCloser(bytes.NewReader(text)), nil
}

func TestLock_explains(t *testing.T) {
	index, stranger := newIndex(t, "", ""), newIndex(t, "me", "hunter22-elsewhere")
	index.add(wheel(t, "windowsonly", "1.0", "cp311-cp311-win_amd64"))
	index.add(wheel(t, "oldonly", "1.0", "cp27-cp27m-manylinux1_x86_64"))
	index.add(wheel(t, "app", "1.0", "py3-none-any", "lib<2"))
	index.add(wheel(t, "lib", "2.0", "py3-none-any"))
	freshCache(t)
	t.Setenv("UV_DEFAULT_INDEX", index.simple())
	m := manager(t, t.TempDir())
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"other system":    {"windowsonly\n", []string{"windowsonly", "no file of it for this Python and machine", "python.version"}},
		"other Python":    {"oldonly==1.0\n", []string{"oldonly==1.0", "no file of it for this Python and machine"}},
		"unsatisfiable":   {"app\nlib==2.0\n", []string{"app", "lib<2", "lib==2.0", "unsatisfiable"}},
		"unknown":         {"nosuch\n", []string{"nosuch was not found", "correct the name", "python.indexes"}},
		"unnamed refuses": {"--extra-index-url " + stranger.simple() + "\napp2\n", []string{"401", "name it in python.indexes", "UV_INDEX_<NAME>_PASSWORD"}},
	} {
		_, err := m.Lock(t.Context(), project(t, map[string]string{"requirements.txt": tt.text}), Wish{File: "requirements.txt"}, nil)
		if err == nil || ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("%s: %s: %v", name, ridgeline.CodeOf(err), err)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: expected %q in: %s", name, want, err)
			}
		}
	}
	t.Run("offline", func(t *testing.T) {
		index.Close()
		t.Setenv("UV_CACHE_DIR", t.TempDir())
		t.Setenv("UV_OFFLINE", "1")
		_, err := m.Lock(t.Context(), project(t, map[string]string{"requirements.txt": "app\n"}), Wish{File: "requirements.txt"}, nil)
		if ridgeline.CodeOf(err) != ridgeline.Unavailable || !strings.Contains(err.Error(), "UV_OFFLINE") {
			t.Errorf("%s: %v", ridgeline.CodeOf(err), err)
		}
	})
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
