package pyenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// oldestUV is the first uv that has all the options used here.
var oldestUV = [3]int{0, 12, 0}

// UV is the path of the uv that is used here; see tool.
func (m *Manager) UV(ctx context.Context) (string, error) { return m.tool(ctx, nil) }

// tool finds uv: on PATH, or else installed from PyPI into the manager's own
// folder. One that is too old is left alone and not used.
func (m *Manager) tool(ctx context.Context, p Progress) (string, error) {
	m.mu.Lock()
	uv := m.uv
	m.mu.Unlock()
	if uv != "" {
		if _, err := os.Stat(uv); err == nil {
			return uv, nil
		}
	}
	uv, err := m.findTool(ctx, p)
	if err == nil {
		m.mu.Lock()
		m.uv = uv
		m.mu.Unlock()
	}
	return uv, err
}

func (m *Manager) findTool(ctx context.Context, p Progress) (string, error) {
	own := filepath.Join(m.dir, "uv", "bin", "uv")
	for _, path := range append(m.onPath(ctx), own) {
		if version, err := m.toolVersion(ctx, path); err == nil && compare(version, oldestUV, 3) >= 0 {
			m.log.Debug("uv found", "path", path, "version", version)
			return path, nil
		}
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return own, m.installTool(ctx, own, p)
}

// onPath lists the uv on PATH. A version manager's shim is a script that costs
// 100 ms a call and looks at the working folder, so the binary beside the
// interpreter, which the shim would start, goes first.
func (m *Manager) onPath(ctx context.Context) []string {
	path, err := exec.LookPath("uv")
	if err != nil {
		return nil
	}
	if script(path) {
		if i, err := m.defaultInterpreter(ctx); err == nil {
			return []string{filepath.Join(filepath.Dir(i.path), "uv"), path}
		}
	}
	return []string{path}
}

var uvVersionRE = regexp.MustCompile(`^uv (\d+)\.(\d+)\.(\d+)`)

func (m *Manager) toolVersion(ctx context.Context, path string) ([3]int, error) {
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Dir, cmd.Env = m.dir, minimalEnv(os.Environ())
	out, err := cmd.Output()
	if err != nil {
		return [3]int{}, err
	}
	match := uvVersionRE.FindSubmatch(out)
	if match == nil {
		return [3]int{}, fmt.Errorf("%s --version says %q", path, clip(string(out), 80))
	}
	var v [3]int
	for i := range v {
		v[i], _ = strconv.Atoi(string(match[i+1]))
	}
	return v, nil
}

// installTool puts uv into a virtual environment of its own. A half-made one
// of a process that died is made anew.
func (m *Manager) installTool(ctx context.Context, own string, p Progress) error {
	lock, err := acquire(ctx, filepath.Join(m.dir, ".uv.lock"), func() { p.say("waiting for another process that installs uv") })
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if v, err := m.toolVersion(ctx, own); err == nil && compare(v, oldestUV, 3) >= 0 {
		return nil
	}
	python, err := m.defaultInterpreter(ctx)
	if err != nil {
		return err
	}
	p.say("installing uv, which this machine does not have")
	dir := filepath.Join(m.dir, "uv")
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove a half-installed uv: %w", err)
	}
	const instead = "install uv yourself (https://docs.astral.sh/uv) and see that it is on PATH"
	for _, args := range [][]string{
		{python.path, "-m", "venv", dir},
		{filepath.Join(dir, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "uv>=0.12"},
	} {
		if _, text, err := m.exec(ctx, call{dir: m.dir, held: lock}, args...); err != nil {
			_ = os.RemoveAll(dir)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return ridgeline.Errorf(classify(text, ridgeline.Unavailable), "install uv from PyPI: %s: %s", explain(text, err), instead)
		}
	}
	if _, err := m.toolVersion(ctx, own); err != nil {
		return ridgeline.Errorf(ridgeline.Unavailable, "the uv installed from PyPI does not start (%w): %s", err, instead)
	}
	return nil
}

// A call is one start of a program.
type call struct {
	doing   string   // what it is for, as an error begins
	dir     string   // where it runs
	held    *os.File // a lock that it inherits, or nil: should this process be killed, the lock stays taken until the orphan is through
	tell    Progress
	stdin   string
	env     []string // beside the minimal environment
	indexes []Index  // that it was given, to name the one that refused
}

// run calls uv and returns what it printed. The error is classified and short.
func (m *Manager) run(ctx context.Context, c call, args ...string) (string, error) {
	uv, err := m.tool(ctx, c.tell)
	if err != nil {
		return "", err
	}
	out, text, err := m.exec(ctx, c, append([]string{uv, "--color", "never", "--no-progress", "--no-python-downloads"}, args...)...)
	if err == nil {
		return out, nil
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	m.log.Debug("uv failed", "args", args, "stderr", text)
	said := unwrapped(text)
	code := classify(said, ridgeline.Invalid)
	return "", ridgeline.Errorf(code, "%s: %s%s", c.doing, explain(text, err), advice(said, code, c.indexes))
}

// exec runs a command in the minimal environment, tells its stderr to c.tell
// line by line, and returns stdout and stderr, the latter without credentials.
func (m *Manager) exec(ctx context.Context, c call, argv ...string) (string, string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = c.dir, append(minimalEnv(os.Environ()), c.env...)
	cmd.Stdin = strings.NewReader(c.stdin)
	if c.held != nil {
		cmd.ExtraFiles = []*os.File{c.held}
	}
	// Packages that have to be built start processes of their own.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	lines := &lineWriter{tell: c.tell, masker: newMasker(os.Environ())}
	cmd.Stdout, cmd.Stderr = &out, lines
	err := cmd.Run()
	lines.flush()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well; something it started keeps the pipe
	}
	return out.String(), lines.text.String(), err
}

// minimalEnv keeps of an environment what reaching the network, finding the
// caches and choosing the index need. The server's own secrets stay here.
func minimalEnv(environ []string) []string {
	keep := []string{
		"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "NETRC",
		"SSH_AUTH_SOCK", "GIT_SSH_COMMAND", "GIT_CONFIG_GLOBAL",
		"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO",
		"UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_KEYRING_PROVIDER", "UV_INSECURE_HOST", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS",
		"UV_CACHE_DIR", "UV_LINK_MODE", "UV_OFFLINE", "UV_CONFIG_FILE", "UV_NO_CONFIG", "UV_REQUEST_TIMEOUT", "UV_TORCH_BACKEND",
		"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST", "PIP_CERT", "PIP_CLIENT_CERT", "PIP_PROXY", "PIP_CONFIG_FILE", "PIP_DEFAULT_TIMEOUT",
	}
	prefixes := []string{"UV_INDEX", "UV_HTTP_", "UV_CONCURRENT_", "UV_S3_"}
	var kept []string
	value := map[string]string{}
	for _, kv := range environ {
		name, v, _ := strings.Cut(kv, "=")
		if v != "" && (slices.Contains(keep, name) || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })) {
			kept = append(kept, kv)
			value[name] = v
		}
	}
	// uv does not read pip's settings; whoever set only those meant them.
	for _, t := range []struct{ pip, uv, older string }{
		{"PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"}, {"PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"},
		{"PIP_TRUSTED_HOST", "UV_INSECURE_HOST", ""}, {"PIP_CERT", "SSL_CERT_FILE", ""},
	} {
		if value[t.pip] != "" && value[t.uv] == "" && value[t.older] == "" {
			kept = append(kept, t.uv+"="+value[t.pip])
		}
	}
	return kept
}
