package project

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// with is the least file with lines more at its end.
func with(lines string) string { return least + lines }

const tasks = least + `build:
  tests:
    unit: pytest -q
    contract: {run: ./contract, timeout: 0, needs: [unit, lint], junit: ./out/junit.xml, coverage: out/cov.xml}
  quality: {lint: ruff check ., types: {run: mypy ., timeout: 5m}}
  data: ./fresh
  coverage: 80
  timeout: 10m
  fail: fast
  publish: [main, "release/*"]
  nightly: {schedule: "30 1 * * 6", zone: Europe/Berlin, tasks: {slow: pytest -m slow, later: {run: ./later, needs: slow}}}
`

func TestParse_build(t *testing.T) {
	c, err := Parse(FileName, []byte(tasks))
	if err != nil {
		t.Fatal(err)
	}
	const ten = 10 * time.Minute
	want := Build{
		Tasks: []Task{
			{Name: "unit", Kind: TaskTests, Run: "pytest -q", Timeout: ten},
			{Name: "contract", Kind: TaskTests, Run: "./contract", Needs: []string{"unit", "lint"}, JUnit: "out/junit.xml", Coverage: "out/cov.xml"},
			{Name: "lint", Kind: TaskQuality, Run: "ruff check .", Timeout: ten},
			{Name: "types", Kind: TaskQuality, Run: "mypy .", Timeout: 5 * time.Minute},
			{Name: "data", Kind: TaskData, Run: "./fresh", Timeout: ten},
		},
		Nightly: []Task{
			{Name: "slow", Kind: TaskTests, Run: "pytest -m slow", Timeout: ten},
			{Name: "later", Kind: TaskTests, Run: "./later", Timeout: ten, Needs: []string{"slow"}},
		},
		NightlyAt: Schedule{Cron: "30 1 * * 6", Zone: "Europe/Berlin", Missed: MissedOnce},
		Coverage:  80, Timeout: ten, FailFast: true, Publish: []string{"main", "release/*"},
	}
	if !reflect.DeepEqual(c.Build, want) {
		t.Errorf("got  %+v\nwant %+v", c.Build, want)
	}
	var names []string
	for _, task := range c.Build.Order() {
		names = append(names, task.Name)
	}
	if want := []string{"unit", "lint", "contract", "types", "data"}; !slices.Equal(names, want) {
		t.Errorf("order: got %v, want %v", names, want)
	}
	for branch, want := range map[string]bool{"main": true, "release/1": true, "release/1/x": false, "master": false, "": true} {
		if got := c.Build.Publishes(branch); got != want {
			t.Errorf("%q publishes: %v", branch, got)
		}
	}
	for text, want := range map[string]int{"nightly: pytest -m slow": 1, "nightly: {aa: ./aa, bb: {run: ./bb}}": 2} {
		c, err := Parse(FileName, []byte(with("build: {"+text+"}\n")))
		if err != nil || len(c.Build.Nightly) != want || c.Build.NightlyAt.Cron != "0 2 * * *" || c.Build.NightlyAt.Zone != "UTC" || c.Build.Nightly[0].Timeout != 30*time.Minute {
			t.Errorf("%s: %+v %v", text, c.Build, err)
		}
	}
}

func TestParse_build_mistakes(t *testing.T) {
	for _, tt := range []struct{ name, build, want string }{
		{"a name twice", "{quality: {unit: a}, tests: {unit: b}}", "6:37: build: there is a task unit already, in line 6"},
		{"a name of the build's", "{quality: {coverage: a}}", "build: coverage: the build has a check of this name itself"},
		{"a bad name", "{tests: {Unit_1: a}}", `6:17: task name "Unit_1"`},
		{"an unknown task", "{tests: {unit: a, more: {run: b, needs: [unti]}}}", `build.more.needs: there is no task "unti": did you mean unit?`},
		{"a circle", "{tests: {aa: {run: x, needs: bb}, bb: {run: x, needs: aa}}}", "6:37: build: aa, bb need each other in a circle (aa needs bb needs aa)"},
		{"nothing to run", "{tests: {unit: {timeout: 3m}}}", "build.tests.unit: run is missing"},
		{"no tasks", "{tests: {}}", "build.tests is empty"},
		{"coverage of a linter", "{quality: {lint: {run: x, coverage: c.xml}}}", `unknown key "coverage"`},
		{"a report outside", "{tests: {unit: {run: x, junit: /tmp/x.xml}}}", `junit: "/tmp/x.xml": expected a path inside the project`},
		{"fail", "{tests: x, fail: slow}", `build.fail: expected all or fast, got "slow"`},
		{"publish", "{tests: x, publish: ['[']}", `build.publish: "[" is no pattern`},
		{"nightly without tasks", "{nightly: {schedule: '0 2 * * *'}}", "build.nightly: tasks is missing"},
		{"nightly when", "{nightly: {schedule: '0 2 * *', tasks: x}}", `build.nightly.schedule: "0 2 * *" has 4 fields`},
		{"nightly where", "{nightly: {zone: Mars/Base, tasks: x, schedule: '0 2 * * *'}}", `build.nightly.zone: "Mars/Base" is no time zone`},
		{"nightly needs a build's", "{tests: {unit: x}, nightly: {slow: {run: y, needs: unit}}}", `build.nightly.slow.needs: there is no task "unit"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("r.yaml", []byte(with("build: "+tt.build+"\n")))
			if err == nil || strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got:\n%v\nwant only: %s", err, tt.want)
			}
		})
	}
}

func TestParse_python(t *testing.T) {
	const all = `{file: envs/pyproject.toml, version: ">=3.10, <3.13", constraints: [constraints.txt], groups: [train], extras: gpu,
  indexes: [{name: corp, url: "https://packages.example.com/simple", default: true}, {name: more, url: "http://10.0.0.1/simple/"}]}`
	c, err := Parse(FileName, []byte(strings.Replace(least, "requirements.txt", all, 1)))
	want := Python{
		File: "envs/pyproject.toml", Version: ">=3.10,<3.13", Constraints: []string{"constraints.txt"}, Groups: []string{"train"}, Extras: []string{"gpu"},
		Indexes: []Index{{"corp", "https://packages.example.com/simple", true}, {"more", "http://10.0.0.1/simple/", false}},
	}
	if err != nil || !reflect.DeepEqual(c.Python, want) {
		t.Errorf("got %+v %v, want %+v", c.Python, err, want)
	}
	for _, file := range []string{"dev.in", "environment.yml", "conda.yaml", "ci_dependencies.yml", "poetry.lock", "Pipfile.lock", "pylock.toml", "pylock.dev.toml"} {
		if c, err := Parse(FileName, []byte(strings.Replace(least, "requirements.txt", file, 1))); err != nil || c.Python.File != file {
			t.Errorf("%s: %+v %v", file, c.Python, err)
		}
	}
}

func TestParse_python_mistakes(t *testing.T) {
	for _, tt := range []struct{ name, python, want string }{
		{"no file", `{version: "3.11"}`, "2:9: python: file is missing"},
		{"a number", `{file: r.txt, version: 3.10}`, "python.version: expected text, got the value 3.10: put it in quotes"},
		{"a version", `{file: r.txt, version: "three"}`, `python.version: expected a version such as "3.11"`},
		{"groups of a list", `{file: r.txt, groups: [train]}`, "python.groups: r.txt has none: they are in a pyproject.toml"},
		{"an extra", `{file: pyproject.toml, extras: ["a b"]}`, `python.extras: "a b": use letters`},
		{"an index without address", `{file: r.txt, indexes: [{name: corp}]}`, "python.indexes: url is missing"},
		{"a password", `{file: r.txt, indexes: [{name: corp, url: "https://me:hunter2@packages.example.com/simple"}]}`, "python.indexes.url: the address holds a name or a password: take it out"},
		{"a token", `{file: r.txt, indexes: [{name: corp, url: "https://packages.example.com/simple?token=hunter2"}]}`, "the address holds a credential, token: take it out"},
		{"a broken address", `{file: r.txt, indexes: [{name: corp, url: "https://me:hunter2@[::1/simple"}]}`, "this is no address"},
		{"two of a variable", `{file: r.txt, indexes: [{name: a-b, url: "https://x"}, {name: a.b, url: "https://y"}]}`, "UV_INDEX_A_B_PASSWORD"},
		{"two defaults", `{file: r.txt, indexes: [{name: a1, url: "https://x", default: true}, {name: b1, url: "https://y", default: true}]}`, "a1 is the default already"},
		{"a bucket", `{file: r.txt, indexes: [{name: a1, url: "s3://x"}]}`, "an address that begins with s3:// cannot be read"},
		{"Pipfile", "Pipfile", "a Pipfile has no fixed versions: name Pipfile.lock"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("r.yaml", []byte(strings.Replace(least, "requirements.txt", tt.python, 1)))
			if err == nil || strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got:\n%v\nwant only: %s", err, tt.want)
			}
		})
	}
}

func TestParse_data(t *testing.T) {
	for given, want := range map[string]string{
		"s3://bucket/sales/*.parquet?region=eu-west-1&endpoint=http://127.0.0.1:9000": "", "https://example.com/rows.csv": "", "azblob://box/a/**/*.csv": "", "gs://box/rows.csv": "",
		"/srv/data/../rows.csv": "/srv/rows.csv", "/srv/data/*.csv": "", "./data/[ab]*.csv": "data/[ab]*.csv", "data": "",
	} {
		if want == "" {
			want = given
		}
		c, err := Parse(FileName, []byte(strings.Replace(least, "d.csv", `"`+given+`"`, 1)))
		if err != nil || c.Data[0].Path != want || c.Data[0].Remote() != (strings.Contains(want, "://") || want[0] == '/') {
			t.Errorf("%s: %+v %v", given, c.Data, err)
		}
	}
	c, err := Parse(FileName, []byte(strings.Replace(least, "path: d.csv", "path: /d.csv, watch: 5m", 1)))
	if err != nil || c.Data[0].Watch != 5*time.Minute {
		t.Errorf("watch: %+v %v", c.Data, err)
	}
}

func TestParse_data_mistakes(t *testing.T) {
	for _, tt := range []struct{ name, path, want string }{
		{"a scheme", "s33://bucket/x.csv", "an address that begins with s33:// cannot be read: did you mean s3?"},
		{"file://", "file:///srv/x.csv", "write the path itself, such as /srv/x.csv"},
		{"a password", "https://me:hunter2@example.com/x.csv", "3:25: data.diabetes.path: the address holds a name or a password"},
		{"a signature", `"azblob://box/x.csv?sv=1&sig=hunter2"`, "the address holds a credential, sig"},
		{"a key", `"s3://box/x.csv?AWSAccessKeyId=hunter2"`, "the address holds a credential, AWSAccessKeyId"},
		{"no bucket", "s3:///x.csv", "names no host or bucket"},
		{"a bad pattern", "'data/[.csv'", `"data/[.csv" is no pattern`},
		{"a bad pattern far away", "'s3://box/[.csv'", "is no pattern"},
		{"somebody's home", "~/x.csv", "the server has another home folder"},
		{"a drive", `'C:\x.csv'`, "expected a path with / in front"},
		{"outside", "'../*.csv'", "expected a path inside the project"},
		{"watching the project", "d.csv, watch: 5m", "data.diabetes.watch: d.csv is a part of the project, which changes by a push"},
		{"watching all the time", "/d.csv, watch: 5ms", "data.diabetes.watch: expected 1s or more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("r.yaml", []byte(strings.Replace(least, "d.csv", tt.path, 1)))
			if err == nil || strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got:\n%v\nwant only: %s", err, tt.want)
			}
		})
	}
}
