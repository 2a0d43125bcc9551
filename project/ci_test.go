package project

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/ridgeline-mlops/ridgeline"
)

// plainCI is the template's own configuration; richCI uses what the files depend on.
func ciConfigs(t *testing.T) map[string]Config {
	t.Helper()
	const rich = `{file: poetry.lock, version: "3.11", constraints: [constraints.txt]}`
	configs := map[string]Config{}
	for name, text := range map[string]string{
		"plain":   least,
		"rich":    strings.Replace(least, "requirements.txt", rich, 1) + "build: {tests: pytest, publish: [main, 'release/*', 'v1.?', \"it's/[a-c]*\"]}\n",
		"nowhere": least + "build: {tests: pytest, publish: []}\n",
	} {
		c, err := Parse(FileName, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		configs[name] = c
	}
	return configs
}

// The files are held to what the systems' makers and the schema store publish,
// as check-jsonschema carries it, and the Jenkinsfile to the Groovy that Jenkins
// itself has (2.4).
func TestCI_Write_fits_the_published_schemas(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python and Java, 10 s")
	}
	schemas := map[string][]string{
		"azure-pipelines": {"--builtin-schema", "vendor.azure-pipelines", "--data-transform", "azure-pipelines", "--regex-variant", "nonunicode"},
		"github-actions":  {"--builtin-schema", "vendor.github-workflows"},
		"gitlab-ci":       {"--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"},
	}
	for _, system := range CIs() {
		t.Run(system.System, func(t *testing.T) {
			dir := t.TempDir()
			var files []string
			for name, c := range ciConfigs(t) {
				text, err := system.Write(c)
				if err != nil {
					t.Fatal(err)
				}
				// The schema knows this task's version 2, but not that it takes inputs, which
				// are those of version 1.
				text = []byte(strings.Replace(string(text), "PublishCodeCoverageResults@2", "PublishCodeCoverageResults@1", 1))
				file := filepath.Join(dir, name+"-"+filepath.Base(system.File))
				if err := os.WriteFile(file, text, 0o600); err != nil {
					t.Fatal(err)
				}
				files = append(files, file)
			}
			broken := filepath.Join(dir, "broken-"+filepath.Base(system.File))
			spoiled := map[string]string{"jenkins": "pipeline { agent any\n stages { stage('x' { } }", "azure-pipelines": "stages: 3\n", "github-actions": "on: push\njobs: {a: {steps: 3}}\n", "gitlab-ci": "build: {script: 3, stage: [x]}\n"}
			if err := os.WriteFile(broken, []byte(spoiled[system.System]), 0o600); err != nil {
				t.Fatal(err)
			}
			check := func(files ...string) ([]byte, error) {
				if system.System == "jenkins" {
					return groovy(t, dir, files)
				}
				return jsonSchema(t, schemas[system.System], files)
			}
			if out, err := check(files...); err != nil {
				t.Errorf("%v\n%s", err, clip(string(out), 3000))
			}
			if out, err := check(broken); err == nil {
				t.Errorf("a broken file passed, so nothing is checked:\n%s", clip(string(out), 3000))
			}
		})
	}
}

func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing: test/setup/needs.sh test", program)
	}
	if err != nil {
		t.Skipf("%s is missing", program)
	}
	return path
}

func jsonSchema(t *testing.T, flags, files []string) ([]byte, error) {
	args := append([]string{"tool", "run", "--from", "check-jsonschema==0.39.0", "check-jsonschema"}, flags...)
	return exec.Command(need(t, "uv"), append(args, files...)...).CombinedOutput()
}

func groovy(t *testing.T, dir string, files []string) ([]byte, error) {
	java, err := filepath.EvalSymlinks(need(t, "java"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(need(t, "groovyc"), append([]string{"-d", filepath.Join(dir, "out")}, files...)...)
	cmd.Env = append(os.Environ(), "JAVA_HOME="+filepath.Dir(filepath.Dir(java)))
	return cmd.CombinedOutput()
}

func TestCI_Write(t *testing.T) {
	configs := ciConfigs(t)
	for _, system := range CIs() {
		for name, c := range configs {
			text, err := system.Write(c)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "<%") || strings.Contains(string(text), "<no value>") {
				t.Errorf("%s, %s: left over:\n%s", system.System, name, text)
			}
			if got := strings.Contains(string(text), "ridgeline publish"+map[bool]string{true: "'", false: "\n"}[system.System == "jenkins"]); got != (name != "nowhere") {
				t.Errorf("%s, %s: publishes: %v", system.System, name, got)
			}
			if n := strings.Count(string(text), "\n"); n > 100 {
				t.Errorf("%s has %d lines: a file that people are to keep is short", system.System, n)
			}
			if name == "rich" && !strings.Contains(string(text), "3.11") {
				t.Errorf("%s does not ask for Python 3.11", system.System)
			}
			if system.System == "jenkins" {
				continue
			}
			var any map[string]any
			if err := yaml.Unmarshal(text, &any); err != nil {
				t.Errorf("%s, %s: %v", system.System, name, err)
			}
			if name == "rich" && (!strings.Contains(string(text), "poetry.lock") || !strings.Contains(string(text), "pyproject.toml")) {
				t.Errorf("%s: the cache does not know the lock:\n%s", system.System, text)
			}
		}
	}
	if _, err := FindCI("github"); ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), "did you mean github-actions?") {
		t.Errorf("an unknown system: %v", err)
	}
}

func TestBranchRegexp(t *testing.T) {
	re := regexp.MustCompile(branchRegexp([]string{"main", "release/*", "v1.?", "it's/[a-c]*"}))
	for branch, want := range map[string]bool{"main": true, "maine": false, "release/7": true, "release/7/x": false, "v1.2": true, "v1x2": false, "it's/b-2": true, "it's/d": false} {
		if got := re.MatchString(branch); got != want {
			t.Errorf("%s: %v", branch, got)
		}
		b := Build{Publish: []string{"main", "release/*", "v1.?", "it's/[a-c]*"}}
		if b.Publishes(branch) != want {
			t.Errorf("%s publishes otherwise", branch)
		}
	}
	if got := strings.Join(branches([]string{"main", "v1.?", "it's/[a-c]*", `a\*b`}), " "); got != "main v1.* it's/** a*b" {
		t.Errorf("GitHub's branches: %s", got)
	}
}
