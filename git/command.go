package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// settings are what every git command here runs with, whatever the machine's
// own configuration says. As they stand in the environment, no repository can
// set them otherwise.
var settings = [][2]string{
	{"core.hooksPath", os.DevNull}, // nothing that was pushed runs here
	{"core.fsmonitor", "false"},
	{"core.autocrlf", "false"}, // a working tree as on Linux: .gitattributes alone decide about line ends
	{"core.symlinks", "true"},
	{"core.quotePath", "false"},
	{"core.bigFileThreshold", "16m"}, // larger files are streamed, not held in memory
	{"core.packedGitWindowSize", "32m"},
	{"core.packedGitLimit", "128m"},
	{"pack.windowMemory", "64m"},
	{"pack.threads", "2"},
	{"gc.autoDetach", "false"},
	{"maintenance.autoDetach", "false"},
	{"protocol.version", "2"},
	{"http.followRedirects", "initial"},
	{"safe.directory", "*"}, // the folder may be one that servers share
	{"receive.fsckObjects", "true"},
	{"fetch.fsckObjects", "true"},
	{"fsck.zeroPaddedFilemode", "warn"}, // harmless, and in many an old history
	{"receive.fsck.zeroPaddedFilemode", "warn"},
	{"fetch.fsck.zeroPaddedFilemode", "warn"},
	{"receive.fsck.badTimezone", "warn"},
	{"fetch.fsck.badTimezone", "warn"},
	{"receive.fsck.missingSpaceBeforeDate", "warn"},
	{"fetch.fsck.missingSpaceBeforeDate", "warn"},
	{"receive.unpackLimit", "1"}, // a pack stays a pack, which is checked while it streams in
	{"fetch.unpackLimit", "1"},
	{"receive.advertisePushOptions", "false"},
	{"transfer.hideRefs", "refs/"}, // branches and tags are all that is shown and taken
	{"transfer.hideRefs", "!refs/heads/"},
	{"transfer.hideRefs", "!refs/tags/"},
}

// command prepares git in a repository. extra are further settings, which
// may hold secrets: they are in the environment, never on the command line.
// When ctx ends git is asked to stop, so that it can remove what it has half
// written; after five seconds it is killed.
func command(ctx context.Context, repository string, extra [][2]string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = repository
	cmd.Env = append(environment(os.Environ()), "GIT_DIR="+repository, "HOME="+repository)
	all := slices.Concat(settings, extra)
	for i, kv := range all {
		cmd.Env = append(cmd.Env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, kv[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, kv[1]))
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(all)))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // git has helpers: they end with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// environment is what git sees of the server's own: how to reach the network,
// but nothing that would change what git does, and no secret of ours.
func environment(own []string) []string {
	out := []string{
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=https:http:ssh",
		"LC_ALL=C.UTF-8",
	}
	for _, kv := range own {
		name, _, _ := strings.Cut(kv, "=")
		switch strings.ToUpper(name) {
		case "PATH", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
			"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_EXEC_PATH":
			out = append(out, kv)
		}
	}
	return out
}

// run runs a command to its end and returns what it printed.
func run(cmd *exec.Cmd) ([]byte, error) {
	var out bytes.Buffer
	cmd.Stdout = &out
	err := finish(cmd)
	return out.Bytes(), err
}

// finish runs a command whose output goes elsewhere.
func finish(cmd *exec.Cmd) error {
	problem := &tail{limit: 4096}
	cmd.Stderr = problem
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, exec.ErrNotFound):
		return errNoGit()
	case errors.As(err, &exit) && problem.String() != "":
		return &failure{cmd.Args[1], problem.String()}
	}
	return fmt.Errorf("git %s: %w", cmd.Args[1], err)
}

func errNoGit() error {
	return ridgeline.Errorf(ridgeline.Unavailable, "git is not installed on the server, which needs it for its remote and for webhooks: install git there (ridgeline push works without)")
}

// A failure is git's own word for what went wrong.
type failure struct{ command, words string }

func (f *failure) Error() string { return "git " + f.command + ": " + f.words }

// tail keeps the end of what is written to it.
type tail struct {
	limit int
	text  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if over := len(t.text) - t.limit; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

// String is one line: git's messages without its prefixes.
func (t *tail) String() string {
	var lines []string
	for line := range strings.SplitSeq(strings.ReplaceAll(string(t.text), "\r", "\n"), "\n") {
		line = strings.TrimSpace(line)
		for _, prefix := range []string{"fatal: ", "error: ", "remote: "} {
			line = strings.TrimPrefix(line, prefix)
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}
