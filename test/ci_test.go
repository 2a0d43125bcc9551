package test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// An agent runs the shell commands of a CI system's file in their order, as
// that system's agents do: with its shell, its variables, its way to hand on
// PATH, its checkout, and a home folder that begins empty. Each is a process on
// this machine, not a container: what the commands could find of the machine is
// its PATH of system programs and its trusted certificates.
type agent struct {
	t      *testing.T
	origin string            // the repository
	commit string            // on branch main
	path   string            // of programs
	home   string            // of the current job
	dir    string            // its checkout
	vars   map[string]string // that a person set
	secret map[string]string // that only some commands get
}

// TestCI_files takes the template through the files that `ridgeline ci init`
// writes: the same commit gives the same pipeline, whichever system checked it.
func TestCI_files(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the template nine times over")
	}
	r := newRidgeline(t)
	var token struct {
		Secret string `json:"secret"`
	}
	if err := json.Unmarshal([]byte(r.must(t.TempDir(), "token", "create", "ci", "--role", "writer", "--json")), &token); err != nil || token.Secret == "" {
		t.Fatalf("no token: %v", err)
	}
	url, err := os.ReadFile(filepath.Join(r.dir, "url"))
	if err != nil {
		t.Fatal(err)
	}
	downloads := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(r.bin))))
	t.Cleanup(downloads.Close)

	origin := filepath.Join(t.TempDir(), "patients")
	r.must(filepath.Dir(origin), "init", "patients")
	// Handing over is what is looked at, not what the server then makes of it.
	config := filepath.Join(origin, "ridgeline.yaml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, bytes.Replace(text, []byte("push: true"), []byte("push: false"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, system := range []string{"azure-pipelines", "github-actions", "gitlab-ci", "jenkins"} {
		r.must(origin, "ci", "init", system)
	}
	if err := commit(origin, "CI"); err != nil {
		t.Fatal(err)
	}
	uv := filepath.Join(t.TempDir(), "bin")
	if err := os.Mkdir(uv, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(realUV(t), filepath.Join(uv, "uv")); err != nil {
		t.Fatal(err)
	}
	head := strings.TrimSpace(output(t, origin, "git", "rev-parse", "HEAD"))
	for system, run := range map[string]func(*agent){"azure-pipelines": azure, "github-actions": github, "gitlab-ci": gitlab, "jenkins": jenkins} {
		t.Run(system, func(t *testing.T) {
			path := "/usr/local/bin:/usr/bin:/bin"
			if system != "jenkins" { // which has to install it
				path = uv + ":" + path
			}
			run(&agent{
				t: t, path: path, origin: origin, commit: head, vars: map[string]string{"RIDGELINE_BINARY": downloads.URL + "/ridgeline", "RIDGELINE_URL": strings.TrimSpace(string(url))},
				secret: map[string]string{"RIDGELINE_TOKEN": token.Secret},
			})
		})
	}
}

// realUV is where uv is behind whatever stands on PATH: uv tells its children.
func realUV(t *testing.T) string {
	t.Helper()
	kept, _ := filepath.Glob(filepath.Join(os.Getenv("HOME"), ".cache", "ridgeline-tools", "uv-*", "bin", "uv"))
	for _, uv := range append([]string{"uv"}, kept...) {
		if out, err := exec.Command(uv, "run", "--no-project", "--quiet", "python3", "-c", "import os; print(os.environ['UV'])").Output(); err == nil {
			return strings.TrimSpace(string(out))
		}
	}
	t.Fatal("no uv on this machine: make tools")
	return ""
}

func output(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// begin is a new job: an empty home folder, and a fresh clone, on no branch as
// most systems have it, or on the branch.
func (a *agent) begin(branch string) {
	a.t.Helper()
	a.home = a.t.TempDir()
	a.dir = filepath.Join(a.home, "work", "patients")
	output(a.t, a.home, "git", "clone", "--quiet", "--no-local", a.origin, a.dir)
	if branch == "" {
		output(a.t, a.dir, "git", "checkout", "--quiet", "--detach", a.commit)
	}
}

// restore is the system's cache of downloaded packages, which an earlier build
// has filled.
func (a *agent) restore(folder string) {
	a.t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		a.t.Fatal(err)
	}
	for _, dir := range []string{filepath.Dir(folder), filepath.Join(home, ".cache", "uv")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			a.t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(home, ".cache", "uv"), folder); err != nil {
		a.t.Fatal(err)
	}
}

// run runs one script by the shell, with the variables over the agent's own.
func (a *agent) run(shell []string, script string, env map[string]string) string {
	a.t.Helper()
	file := filepath.Join(a.home, "script.sh")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		a.t.Fatal(err)
	}
	all := map[string]string{"HOME": a.home, "PATH": a.path, "LANG": "C.UTF-8", "CI": "true"}
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "PIP_CERT", "PIP_INDEX_URL", "PIP_FIND_LINKS", "UV_INDEX_URL", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"} {
		if v := os.Getenv(name); v != "" {
			all[name] = v // the machine's way to the registries
		}
	}
	maps.Copy(all, env)
	cmd := exec.Command(shell[0], append(shell[1:], file)...)
	cmd.Dir = a.dir
	for k, v := range all {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		a.t.Fatalf("%v: %s\n%s", err, script, tail(string(out), 6000))
	}
	for _, secret := range a.secret {
		if strings.Contains(string(out), secret) {
			a.t.Errorf("%s prints the token:\n%s", script, out)
		}
	}
	return string(out)
}

// built looks whether the reports are where the file tells the system to look
// for them.
func (a *agent) built(file string) {
	a.t.Helper()
	for _, report := range []string{"build/ridgeline/*.junit.xml", "build/ridgeline/coverage.xml", "build/ridgeline/ridgeline.sarif"} {
		found, err := filepath.Glob(filepath.Join(a.dir, report))
		if err != nil || len(found) == 0 {
			a.t.Errorf("there is no %s after the build", report)
		}
		if !strings.Contains(file, report) && !strings.HasSuffix(report, ".sarif") && !strings.Contains(file, "path: build/ridgeline\n") {
			a.t.Errorf("the file does not look for %s", report)
		}
	}
	if got := output(a.t, a.dir, "git", "status", "--porcelain"); got != "" && !strings.Contains(got, ".cache/") {
		a.t.Errorf("the build leaves the tree dirty:\n%s", got)
	}
}

// published looks whether the last command handed the commit over.
func (a *agent) published(out string) {
	a.t.Helper()
	if !strings.Contains(out, "pipeline 1") {
		a.t.Errorf("expected pipeline 1 to be published or found, got:\n%s", out)
	}
}

func (a *agent) read(name string) string {
	a.t.Helper()
	text, err := os.ReadFile(filepath.Join(a.origin, name))
	if err != nil {
		a.t.Fatal(err)
	}
	return string(text)
}

func (a *agent) yaml(text string, into any) {
	a.t.Helper()
	if err := yaml.Unmarshal([]byte(text), into); err != nil {
		a.t.Fatal(err)
	}
}

// replace puts the person's settings where the file has the system's spelling
// of them. What nobody set is a mistake in the file.
func (a *agent) replace(re *regexp.Regexp, text string, secrets bool) string {
	return re.ReplaceAllStringFunc(text, func(s string) string {
		name := re.FindStringSubmatch(s)[1]
		v, ok := a.vars[name]
		if !ok && secrets {
			v, ok = a.secret[name]
		}
		if !ok {
			a.t.Errorf("%s is used, but nobody is told to set it", s)
		}
		return v
	})
}

// github: `bash -e` for each step; PATH by the file $GITHUB_PATH; an expression
// is put in before anything runs; every job on a machine of its own.
func github(a *agent) {
	text := a.read(".github/workflows/ridgeline.yml")
	var file struct {
		Env  map[string]string
		Jobs map[string]struct {
			Needs string
			Env   map[string]string
			Steps []struct {
				Run, Uses string
				With      map[string]any
			}
		}
	}
	a.yaml(text, &file)
	expression := regexp.MustCompile(`\$\{\{ (?:vars|secrets)\.(\w+) \}\}`)
	if len(file.Jobs) != 2 || file.Jobs["publish"].Needs != "build" {
		a.t.Fatalf("expected a job build, and publish after it: %+v", file.Jobs)
	}
	last := ""
	for _, job := range []string{"build", "publish"} {
		a.begin("main")
		paths := filepath.Join(a.home, "path")
		env := map[string]string{
			"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_SHA": a.commit,
			"GITHUB_WORKSPACE": a.dir, "GITHUB_PATH": paths,
		}
		for name, v := range file.Env {
			env[name] = a.replace(expression, v, false)
		}
		for name, v := range file.Jobs[job].Env {
			env[name] = a.replace(expression, v, true)
		}
		for _, step := range file.Jobs[job].Steps {
			if strings.HasPrefix(step.Uses, "actions/cache@") {
				a.restore(strings.Replace(step.With["path"].(string), "~", a.home, 1))
			}
			if step.Run == "" {
				continue
			}
			if added, err := os.ReadFile(paths); err == nil {
				env["PATH"] = strings.ReplaceAll(strings.TrimSpace(string(added)), "\n", ":") + ":" + a.path
			}
			last = a.run([]string{"bash", "-e"}, step.Run, env)
		}
		if job == "build" {
			a.built(text)
		}
	}
	a.published(last)
}

// gitlab: before_script and script are one script; all variables are there in
// every job; the cache is a folder of the checkout, on no branch.
func gitlab(a *agent) {
	text := a.read(".gitlab-ci.yml")
	type job struct {
		BeforeScript []string          `yaml:"before_script"`
		Script       []string          `yaml:"script"`
		Variables    map[string]string `yaml:"variables"`
		Cache        struct{ Paths []string }
	}
	var file struct {
		Stages                  []string
		Default, Build, Publish job
	}
	a.yaml(text, &file)
	if !slices.Equal(file.Stages, []string{"build", "publish"}) {
		a.t.Fatalf("stages: %v", file.Stages)
	}
	last := ""
	for i, j := range []job{file.Build, file.Publish} {
		a.begin("")
		env := map[string]string{"GITLAB_CI": "true", "CI_COMMIT_BRANCH": "main", "CI_COMMIT_SHA": a.commit, "CI_PROJECT_DIR": a.dir, "CI_PIPELINE_SOURCE": "push"}
		maps.Copy(env, a.vars)
		maps.Copy(env, a.secret)
		for name, v := range j.Variables {
			env[name] = strings.ReplaceAll(v, "$CI_PROJECT_DIR", a.dir)
		}
		for _, folder := range j.Cache.Paths {
			a.restore(filepath.Join(a.dir, folder))
		}
		last = a.run([]string{"bash"}, "set -eo pipefail\n"+strings.Join(append(slices.Clone(file.Default.BeforeScript), j.Script...), "\n")+"\n", env)
		if i == 0 {
			a.built(text)
		}
	}
	a.published(last)
}

// azure: bash without -e for each script; $(NAME) is put in before anything
// runs; variables that are no secrets are in the environment; a line that is
// printed adds to PATH; on no branch.
func azure(a *agent) {
	text := a.read("azure-pipelines.yml")
	var file struct {
		Variables []struct{ Name, Value, Group string }
		Stages    []struct {
			Stage string
			Jobs  []struct {
				Steps []struct {
					Script, Task string
					Inputs       map[string]string
					Env          map[string]string
				}
			}
		}
	}
	a.yaml(text, &file)
	macro := regexp.MustCompile(`\$\(([\w.]+)\)`)
	prepend := regexp.MustCompile(`##vso\[task\.prependpath\](.+)`)
	last := ""
	for _, stage := range file.Stages {
		for _, job := range stage.Jobs {
			a.begin("")
			a.vars["Pipeline.Workspace"], a.vars["Agent.OS"] = filepath.Dir(a.dir), "Linux"
			env := map[string]string{
				"TF_BUILD": "True", "BUILD_SOURCEBRANCH": "refs/heads/main", "BUILD_SOURCEBRANCHNAME": "main", "BUILD_SOURCEVERSION": a.commit, "BUILD_REASON": "IndividualCI",
				"BUILD_SOURCESDIRECTORY": a.dir, "PATH": a.path,
			}
			for _, v := range file.Variables {
				if v.Group == "" {
					a.vars[v.Name] = a.replace(macro, v.Value, false)
				}
			}
			for name, v := range a.vars {
				env[strings.ToUpper(strings.ReplaceAll(name, ".", "_"))] = v
			}
			for _, step := range job.Steps {
				if step.Task == "Cache@2" {
					a.restore(a.replace(macro, step.Inputs["path"], false))
				}
				if step.Script == "" {
					continue
				}
				with := maps.Clone(env)
				for name, v := range step.Env {
					with[name] = a.replace(macro, v, true)
				}
				// $(…) of the shell would look the same; the file has none.
				last = a.run([]string{"bash", "--noprofile", "--norc"}, a.replace(macro, step.Script, false), with)
				for _, m := range prepend.FindAllStringSubmatch(last, -1) {
					env["PATH"] = strings.TrimSpace(m[1]) + ":" + env["PATH"]
				}
			}
			if stage.Stage == "build" {
				a.built(text)
			}
		}
	}
	a.published(last)
}

var (
	jenkinsEnv    = regexp.MustCompile(`(?m)^\s+(\w+) = "([^"]*)"`)
	jenkinsSecret = regexp.MustCompile(`(?m)^\s+(\w+) = credentials\('ridgeline-token'\)`)
	jenkinsStage  = regexp.MustCompile(`stage\('(\w+)'\)`)
	jenkinsShell  = regexp.MustCompile(`(?s)\bsh ('''(.*?)'''|'([^'\n]*)')`)
)

// jenkins: `sh -xe` for each step; one workspace for all stages, on no branch;
// a stage's environment is its own.
func jenkins(a *agent) {
	text := a.read("Jenkinsfile")
	a.begin("")
	env := map[string]string{"JENKINS_URL": "https://jenkins.example.com/", "BRANCH_NAME": "main", "GIT_BRANCH": "main", "GIT_COMMIT": a.commit, "WORKSPACE": a.dir, "PATH": a.path}
	maps.Copy(env, a.vars)
	top, _, _ := strings.Cut(text, "stages {")
	for _, m := range jenkinsEnv.FindAllStringSubmatch(top, -1) {
		env[m[1]] = strings.NewReplacer("${env.HOME}", a.home, "${env.PATH}", env["PATH"]).Replace(m[2])
	}
	a.restore(env["UV_CACHE_DIR"])
	last, ran := "", 0
	for i, stage := range jenkinsStage.Split(text, -1)[1:] {
		name := jenkinsStage.FindAllStringSubmatch(text, -1)[i][1]
		with := maps.Clone(env)
		for _, m := range jenkinsSecret.FindAllStringSubmatch(stage, -1) {
			with[m[1]] = a.secret["RIDGELINE_TOKEN"]
		}
		for _, m := range jenkinsShell.FindAllStringSubmatch(stage, -1) {
			last = a.run([]string{"sh", "-xe"}, m[2]+m[3], with)
			ran++
		}
		if name == "Build" {
			a.built(text)
		}
	}
	if ran != 3 {
		a.t.Errorf("the file has %d commands, expected 3", ran)
	}
	a.published(last)
}
