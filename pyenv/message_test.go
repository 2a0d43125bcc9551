package pyenv

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestExplain(t *testing.T) {
	for name, tt := range map[string]struct {
		text, want string
		code       ridgeline.Code
	}{
		"today's uv": {"Using Python 3.11.7 environment at: v\nResolved 2 packages in 42ms\nerror: Failed to download `six==1.16.0`\n  cause: Hash mismatch for `six==1.16.0`\n\n         Expected:\n           sha256:00\n\n         Computed:\n           sha256:8a\n",
			"Failed to download `six==1.16.0`: Hash mismatch for `six==1.16.0` Expected: sha256:00 Computed: sha256:8a", ridgeline.Invalid},
		"older uv": {"  × No solution found when resolving dependencies:\n  ╰─▶ Because async-timeout was not found in the package registry and you require\n      async-timeout, we can conclude that your requirements are unsatisfiable.\n",
			"No solution found when resolving dependencies: Because async-timeout was not found in the package registry and you require async-timeout, we can conclude that your requirements are unsatisfiable", ridgeline.Invalid},
		"network": {"error: Failed to fetch: `https://x/simple/six/`\n  Caused by: error sending request for url (https://x)\n  Caused by: operation timed out\n",
			"Failed to fetch: `https://x/simple/six/`: error sending request for url (https://x): operation timed out", ridgeline.Unavailable},
		"full disk": {"error: failed to write: No space left on device (os error 28)\n", "failed to write: No space left on device (os error 28)", ridgeline.Unavailable},
		"silent":    {"Resolved 3 packages in 1ms\n", "it ended with signal: killed and said nothing", ridgeline.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			if got := explain(tt.text, errors.New("signal: killed")); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if got := classify(tt.text, ridgeline.Invalid); got != tt.code {
				t.Errorf("code %s, want %s", got, tt.code)
			}
		})
	}
	long := "error: Failed to build `x`\n  cause: The build backend returned an error\n" + strings.Repeat("  cause: "+strings.Repeat("line ", 100)+"\n", 60) + "  cause: ModuleNotFoundError: No module named 'numpy'\n"
	if got := explain(long, nil); len(got) > 2200 || !strings.Contains(got, "Failed to build `x`") || !strings.Contains(got, "No module named 'numpy'") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}

func TestMask(t *testing.T) {
	m := newMasker([]string{"UV_INDEX_CORP_PASSWORD=hunter22", "HOME=/home/me", "MY_TOKEN=abc"})
	for text, want := range map[string]string{
		"GET https://me:pw@host/simple/x": "GET https://***@host/simple/x",
		"GET https://pw@host/simple":      "GET https://***@host/simple",
		"sent hunter22 to /home/me":       "sent *** to /home/me",
		"https://h/x.whl?sig=a%2Fb&v=1":   "https://h/x.whl?sig=***&v=1",
		"six==1.16.0 from https://h/a@b":  "six==1.16.0 from https://h/a@b",
	} {
		if got := m.mask(text); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestMinimalEnv(t *testing.T) {
	got := minimalEnv([]string{"PATH=/bin", "AWS_SECRET_ACCESS_KEY=x", "RIDGELINE_ADMIN_TOKEN=y", "PYTHONPATH=/x", "VIRTUAL_ENV=/v", "UV_INDEX_CORP_USERNAME=me", "PIP_INDEX_URL=https://i/simple", "UV_PYTHON=2.7", "HTTPS_PROXY="})
	want := []string{"PATH=/bin", "UV_INDEX_CORP_USERNAME=me", "PIP_INDEX_URL=https://i/simple", "UV_DEFAULT_INDEX=https://i/simple"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := minimalEnv([]string{"PIP_INDEX_URL=a", "UV_INDEX_URL=b"}); slices.Contains(got, "UV_DEFAULT_INDEX=a") {
		t.Errorf("pip's setting wins over uv's: %q", got)
	}
}

func TestHasSecret(t *testing.T) {
	for text, want := range map[string]bool{
		"https://me:pw@host/simple": true, "https://token@host/x": true, "git+ssh://git@host/x": false, "ssh://me:pw@host/x": true,
		"https://${USER}:${PASSWORD}@host/simple": false, "https://me:${PASSWORD}@host https://me:pw@host": true, "https://host/a@b": false, "six==1.16.0": false,
	} {
		if got := hasSecret(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestOwnIndexes(t *testing.T) {
	shown := func(text string, env []string, own bool) string {
		text, used := ownIndexes(text, env, own, nil, nil)
		if used != nil {
			t.Errorf("unnamed indexes are used by name: %v", used)
		}
		return text
	}
	text := "--index-url https://me:pw@public/simple\n--extra-index-url https://me:pw@corp/simple/\n--extra-index-url https://x:y@env/simple\nsix==1\n"
	env := []string{"UV_INDEX=corpenv=https://q:z@env/simple/"}
	if got, want := shown(text, env, false), "--extra-index-url https://corp/simple\nsix==1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := shown(text, env, true), "--index-url https://public/simple\n--extra-index-url https://corp/simple\nsix==1\n"; got != want {
		t.Errorf("with a default of the project's own: got %q, want %q", got, want)
	}
	for text, want := range map[string]bool{
		"[project]\nname = \"a\"\n": false, "[[tool.uv.index]]\nname = \"corp\"\nurl = \"https://corp/simple\"\n": false,
		"[[tool.uv.index]]\nurl = \"https://corp/simple\"\ndefault = true\n": true, "[tool.uv]\nindex-url = \"https://corp/simple\"\n": true,
	} {
		if got := namesDefaultIndex([]input{{"uv.lock", []byte("default = true")}, {"pyproject.toml", []byte(text)}}); got != want {
			t.Errorf("%q names a default index: %v", text, got)
		}
	}
}

func TestNewLock(t *testing.T) {
	a := NewLock("# made by uv\n\nsix==1 \\\n    --hash=sha256:1\r\n", "3.11")
	b := NewLock("six==1 \\\n    --hash=sha256:1", "3.11")
	if a != b || !hashRE.MatchString(a.Hash) {
		t.Errorf("%+v and %+v", a, b)
	}
	if a.Hash == NewLock(b.Text, "3.12").Hash || a.Hash == NewLock("six==2\n", "3.11").Hash {
		t.Error("another Python or package has the same hash")
	}
}

func TestSatisfies(t *testing.T) {
	v := [3]int{3, 11, 7}
	for spec, want := range map[string]bool{
		"": true, ">=3.10": true, ">=3.11.8": false, ">=3.9, <3.11": false, "<3.12": true, ">3.11": true, "~=3.10": true, "~=3.11.0": true, "~=3.10.0": false,
		"==3.11.*": true, "==3.11": false, "!=3.11.*": false, "!=3.11.7": false, "<=3.11.7": true, ">=3.11rc1": true, "nonsense": true,
	} {
		if got := satisfies(v, spec); got != want {
			t.Errorf("%q: got %v", spec, got)
		}
	}
}

func TestReadRequirements_options(t *testing.T) {
	dir := project(t, map[string]string{
		"requirements.txt": "\ufeff--index-url=https://corp/simple\r\n-i https://me:${UV_INDEX_TOKEN}@corp/two # why\r\n--pre\r\nsix \\\r\n  ; python_version > '3'\r\nfoo @ https://corp/foo-1.whl\r\n-r requirements.txt\r\n",
	})
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	r, err := readRequirements(root, "requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"--index-url https://corp/simple", "-i https://me:${UV_INDEX_TOKEN}@corp/two"}; !slices.Equal(r.options, want) {
		t.Errorf("options %q, want %q", r.options, want)
	}
	if len(r.inputs) != 1 {
		t.Errorf("%d inputs", len(r.inputs))
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "link.txt")); err != nil {
		t.Fatal(err)
	}
	if _, err := readRequirements(root, "link.txt"); ridgeline.CodeOf(err) != ridgeline.Invalid {
		t.Errorf("a link out of the project: %v", err)
	}
}

func TestUVTables(t *testing.T) {
	text := "[tool.ruff]\nline-length = 99\n[tool.uv]\npre = true\n[[tool.uv.index]]\nurl = 'x'\n[tool.uvicorn]\na = 1\n"
	if got, want := string(uvTables([]byte(text))), "[tool.uv]\npre = true\n[[tool.uv.index]]\nurl = 'x'\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
