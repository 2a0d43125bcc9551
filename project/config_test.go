package project

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

const full = `project: house-prices
model: prices
python: envs/requirements.txt
data:
  sales:
    path: ./data/sales.csv
    target: price
    holdout: {fraction: 25%, key: [id, year]}
    checks: checks.yaml
  zones: data/zones
build:
  quality: ruff check .
  tests: pytest --cov
  coverage: 80%
  timeout: 1d2h
pipeline:
  on: {push: false}
  compute: local
  steps:
    prepare: python -m prepare
    train: {run: python -m train, timeout: 0, retries: 2, cpu: 1.5, memory: 2GiB}
    evaluate: {run: python -m evaluate}
  gate:
    metric: churned_too_soon
    better: lower
    min_effect: 5
    alpha: 1%
    slices: [sex]
    tolerance: {sex: 5%, "sex=1": 0.2}
    baseline: 12.5
    budget: {decisions: 10, fresh: 30%}
    limits: {p95_ms: 20.5, size: 50MB, prediction: {min: 0}, missing: 1%, same_features: true, gaps: {sex: 10%}}
release:
  score: score.py
  request: dataframe_split
  serve: {workers: 2, batch: {max: 64, target_ms: 20}, request_timeout_ms: 5000, queue: 50, queue_ms: 500, max_requests: 10000, max_memory: 1GB, cors: ["https://a.example"],
    log: {sample: 10%, redact: [name, person.age], payloads: false, keep: 7d}}
  environments:
    qa: {host: process, checks: [smoke.json, more.json], replicas: 2}
    production: {approval: required, replicas: {min: 2, max: 4}, limit: {concurrent: 100, timeout_ms: 5000}}
    spare:
`

func TestParse_everything(t *testing.T) {
	got, err := Parse(FileName, []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Project: "house-prices", Model: "prices", Python: Python{File: "envs/requirements.txt"},
		Data: []Dataset{
			{Name: "sales", Path: "data/sales.csv", Target: "price", Holdout: Holdout{0.25, []string{"id", "year"}}, Checks: "checks.yaml"},
			{Name: "zones", Path: "data/zones", Holdout: Holdout{Fraction: 0.2}},
		},
		Build: Build{
			Tasks:     []Task{{Name: "quality", Kind: TaskQuality, Run: "ruff check .", Timeout: 26 * time.Hour}, {Name: "tests", Kind: TaskTests, Run: "pytest --cov", Timeout: 26 * time.Hour}},
			NightlyAt: Schedule{Cron: "0 2 * * *", Zone: "UTC", Missed: MissedOnce}, Coverage: 80, Timeout: 26 * time.Hour, Publish: []string{"main", "master"},
		},
		Pipeline: Pipeline{
			On: On{Push: false}, Overlap: OverlapQueue, Compute: "local",
			Steps: []Step{
				{Name: "prepare", Run: "python -m prepare", Timeout: 2 * time.Hour, Retries: once, Cache: true, Compute: "local"},
				{Name: "train", Run: "python -m train", Needs: []string{"prepare"}, Retries: Retries{Count: 2, Longest: 10 * time.Minute}, Cache: true, Compute: "local", CPU: 1.5, Memory: 2 << 30},
				{Name: "evaluate", Run: "python -m evaluate", Needs: []string{"train"}, Timeout: 2 * time.Hour, Retries: once, Cache: true, Compute: "local"},
			},
			Gate: Gate{Metric: "churned_too_soon", Better: "lower", MinEffect: Effect{5, false}, Alpha: 0.01, Slices: []string{"sex"},
				Tolerance: map[string]Effect{"sex": {0.05, true}, "sex=1": {0.2, false}}, Baseline: Baseline{Point: ptr(12.5)}, Decisions: 10, Fresh: 0.3,
				Limits: Limits{P95: 20500 * time.Microsecond, Size: 50_000_000, Lowest: ptr(0), Missing: ptr(0.01), SameFeatures: true, Gaps: map[string]Effect{"sex": {0.1, true}}}},
		},
		Release: Release{Score: "score.py", Request: "dataframe_split", Serve: Serving{
			Workers: 2, BatchMax: 64, BatchTarget: 20 * time.Millisecond, Timeout: 5 * time.Second, Queue: 50, QueueTime: 500 * time.Millisecond,
			MaxRequests: 10000, MaxMemory: 1_000_000_000, CORS: []string{"https://a.example"},
			Log: Logging{Sample: 0.1, Redact: []string{"name", "person.age"}, NoPayloads: true, Keep: 7 * 24 * time.Hour},
		}, Environments: []Environment{
			{Name: "qa", Host: "process", Checks: []string{"smoke.json", "more.json"}, Approval: "none", MinReplicas: 2, MaxReplicas: 2},
			{Name: "production", Host: "process", Approval: "required", MinReplicas: 2, MaxReplicas: 4, Limit: ridgeline.Limit{Concurrent: 100, Timeout: 5 * time.Second}},
			{Name: "spare", Host: "process", Approval: "none", MinReplicas: 1, MaxReplicas: 1},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if !got.Trains() {
		t.Error("a pipeline with a train step does not train")
	}
}

var once = Retries{Longest: 10 * time.Minute}

func ptr(v float64) *float64 { return &v }

const least = `project: diabetes
python: requirements.txt
data: {diabetes: {path: d.csv, target: y}}
pipeline: {steps: {train: python -m diabetes.train}, gate: {metric: mse}}
release: {score: score.py}
`

func TestParse_defaults(t *testing.T) {
	c, err := Parse(FileName, []byte("\ufeff"+strings.ReplaceAll(least, "\n", "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	if c.Model != "diabetes" || c.Build.Timeout != 30*time.Minute || !c.Pipeline.On.Push || c.Pipeline.Compute != "local" || c.Release.Request != "data" || c.Release.Environments != nil {
		t.Errorf("defaults: %+v", c)
	}
	want := Gate{Metric: "mse", Better: "lower", MinEffect: Effect{0.01, true}, Alpha: 0.05, Decisions: 20, Fresh: 0.5}
	if !reflect.DeepEqual(c.Pipeline.Gate, want) {
		t.Errorf("gate: got %+v, want %+v", c.Pipeline.Gate, want)
	}
	if d, ok := c.Judged(); !ok || d.Holdout.Fraction != 0.2 {
		t.Errorf("judged: %+v %v", d, ok)
	}
}

func TestParse_plain_tasks(t *testing.T) {
	c, err := Parse(FileName, []byte("project: etl\npython: requirements.txt\npipeline: {steps: {load: ./load.sh, clean: ./clean.sh}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Trains() || len(c.Pipeline.Steps) != 2 || !reflect.DeepEqual(c.Pipeline.Gate, Gate{}) {
		t.Errorf("%+v", c)
	}
}

func TestParse_anchors(t *testing.T) {
	text := `
x-shared:
  step: &step {timeout: 10m, retries: 3}
  file: &file smoke.json
project: diabetes
python: requirements.txt
data: {diabetes: {path: d.csv, target: y}}
pipeline:
  steps:
    prepare: {<<: *step, run: ./prepare.sh, retries: 1}
    train: {run: ./train.sh, <<: [*step, {retries: 9, cpu: 2}]}
  gate: {metric: mse}
release: {score: score.py, environments: {qa: {checks: [*file]}}}
`
	c, err := Parse(FileName, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []Step{
		{Name: "prepare", Run: "./prepare.sh", Timeout: 10 * time.Minute, Retries: Retries{Count: 1, Longest: 10 * time.Minute}, Cache: true, Compute: "local"},
		{Name: "train", Run: "./train.sh", Needs: []string{"prepare"}, Timeout: 10 * time.Minute, Retries: Retries{Count: 3, Longest: 10 * time.Minute}, Cache: true, Compute: "local", CPU: 2},
	}
	if !reflect.DeepEqual(c.Pipeline.Steps, want) {
		t.Errorf("steps: got %+v, want %+v", c.Pipeline.Steps, want)
	}
	if got := c.Release.Environments[0].Checks; !reflect.DeepEqual(got, []string{"smoke.json"}) {
		t.Errorf("checks: %v", got)
	}
}

// All mistakes of one file at once, each where it stands.
func TestParse_reports_every_mistake(t *testing.T) {
	text := `project: Diabetes
pyhton: requirements.txt
data:
  diabetes:
    path: s4://bucket/x.csv
    traget: y
    holdout: {fraction: 2}
build:
  tests: true
  timeout: 30
  nightly: [pytest -m slow]
pipeline:
  on: {schedule: "0 3 * * 1 7", push: maybe, drift: true}
  steps:
    evaluate: {run: ./e.sh, timeout: soon}
    train: {run: ./t.sh, memory: much}
    train: ./again.sh
  gate: {metric: msee, alpha: 0.9, limits: {size: -1, p95: 3}}
release:
  score: ../score.py
  request: v3
  serve: {workers: 0, batch: {maximum: 3}, request_timeout_ms: 100, queue_ms: 200, cors: "a, b"}
  environments:
    qa: {host: docker, replicas: {min: 3, max: 2}}
`
	_, err := Parse("r.yaml", []byte(text))
	want := []string{
		`1:1: python is missing`,
		`1:10: project name "Diabetes"`,
		`2:1: ridgeline.yaml: unknown key "pyhton": did you mean python?`,
		`5:11: data.diabetes.path: an address that begins with s4:// cannot be read: did you mean s3?`,
		`6:5: data.diabetes: unknown key "traget": did you mean target?`,
		`7:25: data.diabetes.holdout.fraction: expected a share above 0 and below 1, such as 0.2 or 20%, got "2"`,
		`9:10: build.tests: expected text, got the value true: put it in quotes`,
		`10:12: build.timeout: 30 has no unit: write 30s, 30m or 30h`,
		`11:12: build.nightly: expected a command, such as ` + "`pytest`" + `, or a map`,
		`13:18: pipeline.on.schedule: "0 3 * * 1 7" has six fields: seconds are not supported; expected five fields`,
		`13:39: pipeline.on.push: expected true or false, got "maybe"`,
		`13:46: pipeline.on.drift is not supported by this version yet`,
		`15:5: pipeline.steps.evaluate: it judges the model that train makes: put it after train`,
		`15:38: pipeline.steps.evaluate.timeout: expected a time span`,
		`16:34: pipeline.steps.train.memory: expected a size`,
		`17:5: pipeline.steps: "train" stands here twice, first in line 16`,
		`18:18: pipeline.gate.metric: whether "msee" should be low or high is not known: did you mean mse?`,
		`18:31: pipeline.gate.alpha: expected a share above 0 and below 0.5, such as 0.05 or 5%`,
		`18:51: pipeline.gate.limits.size: expected a size`,
		`18:55: pipeline.gate.limits: unknown key "p95": did you mean p95_ms?`,
		`20:10: release.score: "../score.py": expected a path inside the project`,
		`21:12: release.request: expected data, dataframe_split, dataframe_records, inputs or v2, got "v3"`,
		`22:20: release.serve.workers: expected a whole number from 1 to 1000, got "0"`,
		`22:31: release.serve.batch: unknown key "maximum": use max, scripts or target_ms`,
		`22:79: release.serve: queue_ms 200 is longer than request_timeout_ms 100`,
		`22:90: release.serve.cors: "a, b" is no origin`,
		`24:16: release.environments.qa.host: docker is not supported by this version yet`,
		`24:48: release.environments.qa.replicas: max 2 is below min 3`,
	}
	var m *Mistakes
	if !errors.As(err, &m) || ridgeline.CodeOf(err) != ridgeline.Invalid {
		t.Fatalf("expected *Mistakes, Invalid, got %T %s", err, ridgeline.CodeOf(err))
	}
	lines := strings.Split(err.Error(), "\n")
	for i := range max(len(lines), len(want)) {
		switch {
		case i >= len(lines):
			t.Errorf("missing: %s", want[i])
		case i >= len(want):
			t.Errorf("too much: %s", lines[i])
		case !strings.HasPrefix(lines[i], "r.yaml:"+want[i]):
			t.Errorf("line %d:\ngot  %s\nwant r.yaml:%s…", i, lines[i], want[i])
		}
	}
}

func TestParse_one_mistake(t *testing.T) {
	swap := func(old, new string) string {
		if !strings.Contains(least, old) {
			t.Fatalf("%q is not in the sample", old)
		}
		return strings.Replace(least, old, new, 1)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "1:1: the file is empty"},
		{"only comments", "# nothing\n", "1:1: the file is empty"},
		{"list", "- a\n", "1:1: expected a map that starts with `project: NAME`, got a list"},
		{"text", "hello", `1:1: expected a map that starts with ` + "`project: NAME`" + `, got "hello"`},
		{"null", "~", "1:1: expected a map that starts with `project: NAME`, got nothing"},
		{"tab", "project: a1\nbuild:\n\ttests: x\n", "3:1: a tab indents this line: YAML wants spaces"},
		{"two documents", least + "---\nproject: b\n", "a second document begins here"},
		{"utf-16", "\xff\xfep\x00", "1:1: the file is UTF-16"},
		{"not utf-8", "project: a\nmodel: \xe9\n", "2:8: this is not UTF-8"},
		{"bad yaml", "project: [a\n", "not YAML: "},
		{"unknown anchor", "project: *a\n", "not YAML: unknown anchor 'a' referenced"},
		{"large", "# " + strings.Repeat("x", maxText), "1:1: the file has"},
		{"no packages", swap("requirements.txt", "packages.json"), "2:9: python: expected requirements.txt, pyproject.toml, uv.lock"},
		{"setup.py", swap("requirements.txt", "setup.py"), "2:9: python: setup.py is not read"},
		{"no steps", swap("{train: python -m diabetes.train}", "{}"), "4:12: pipeline.steps is empty"},
		{"null step", swap("train: python -m diabetes.train", "train: "), "pipeline.steps.train: expected text, such as `python -m diabetes.train`, got nothing"},
		{"reserved step", swap("{train:", "{pack: x, train:"), "pipeline.steps.pack: the pipeline has a step of this name itself"},
		{"bad step name", swap("{train:", "{Prep_1: x, train:"), `4:20: step name "Prep_1"`},
		{"no gate", swap(", gate: {metric: mse}", ""), "pipeline.gate is missing"},
		{"no metric", swap("{metric: mse}", "{slices: [a]}"), "pipeline.gate.metric is missing"},
		{"a tolerance without slices", swap("{metric: mse}", "{metric: mse, tolerance: 5%}"), "pipeline.gate.tolerance: there are no slices"},
		{"a tolerance of no slice", swap("{metric: mse}", "{metric: mse, slices: [sex], tolerance: {age=1: 5%}}"), `"age=1" is no slice column`},
		{"a gap of no slice", swap("{metric: mse}", "{metric: mse, limits: {gaps: {sex: 5%}}}"), `"sex" is no slice column`},
		{"a baseline that is a word", swap("{metric: mse}", "{metric: mse, baseline: median}"), "expected computed, none, or the metric's value"},
		{"a missing share above all", swap("{metric: mse}", "{metric: mse, limits: {missing: 100%}}"), "pipeline.gate.limits.missing: expected the share"},
		{"a range upside down", swap("{metric: mse}", "{metric: mse, limits: {prediction: {min: 2, max: 1}}}"), "max 1 is below min 2"},
		{"no decisions", swap("{metric: mse}", "{metric: mse, budget: {decisions: 0}}"), "expected a whole number from 1"},
		{"gate without train", strings.Replace(swap("{train:", "{load:"), "release: {score: score.py}", "", 1), "pipeline.gate: the pipeline has no step named train"},
		{"release without train", strings.Replace(swap("{train:", "{load:"), ", gate: {metric: mse}", "", 1), "5:1: release: the pipeline has no step named train"},
		{"no target", swap(", target: y", ""), "3:1: no dataset has a target"},
		{"two targets", swap("target: y}}", "target: y}, other: {path: o.csv, target: z}}"), "3:1: data: diabetes and other both have a target"},
		{"coverage without tests", least + "build: {coverage: 80}\n", "6:9: build.coverage: there are no tests"},
		{"negative time", least + "build: {timeout: -3m}\n", `6:18: build.timeout: expected a time span`},
		{"better", swap("metric: mse", "metric: mse, better: louder"), `pipeline.gate.better: expected lower or higher, got "louder"`},
		{"zero byte", swap("score.py", `"s\0.py"`), "holds a zero byte"},
		{"a path outside", swap("d.csv", "../d.csv"), `data.diabetes.path: "../d.csv": expected a path inside the project`},
		{"compute", swap("{steps:", "{compute: GPU pool, steps:"), `pipeline.compute: "GPU pool" is no name of a pool`},
		{"merge of text", swap("{metric: mse}", "{<<: a, metric: mse}"), `<< takes a map or a list of maps, got "a"`},
		{"key is a list", swap("{metric: mse}", "{? [a] : b, metric: mse}"), `expected a word as key, got a list`},
		{"effect", swap("metric: mse", "metric: mse, min_effect: -1%"), "pipeline.gate.min_effect: expected a share"},
		{"NaN", swap("metric: mse", "metric: mse, min_effect: .nan"), "pipeline.gate.min_effect: expected a share"},
		{"limit", swap("{score:", "{environments: {qa: {limit: {concurrent: 0}}}, score:"), "limit.concurrent: expected a whole number from 1 to"},
		{"in_flight without room", swap("{score:", "{environments: {qa: {replicas: {min: 2, in_flight: 4}}}, score:"), "replicas.in_flight is at how many requests"},
		{"idle without a rest", swap("{score:", "{environments: {qa: {replicas: {min: 2, idle: 5m}}}, score:"), "write min: 0 or hours beside it"},
		{"hours at any hour", swap("{score:", "{environments: {qa: {replicas: {min: 0, hours: '07:00-19:00'}}}, score:"), "release.environments.qa.replicas.hours is when min copies stay"},
		{"hours that are none", swap("{score:", "{environments: {qa: {replicas: {hours: mon-fri 7-19 Europe/Berlin}}}, score:"), `release.environments.qa.replicas.hours: "7-19" is from no time to no other: expected days, from, to and a time zone`},
		{"hours as a number", swap("{score:", "{environments: {qa: {replicas: {hours: 7}}}, score:"), "replicas.hours: expected text, got the value 7"},
		{"replicas", swap("{score:", "{environments: {qa: {replicas: 0}}, score:"), "replicas: expected a whole number from 1 to 1000"},
		{"approval", swap("{score:", "{environments: {qa: {approval: yes}}, score:"), `approval: expected none or required, got "yes"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("r.yaml", []byte(tt.text))
			var m *Mistakes
			if !errors.As(err, &m) {
				t.Fatalf("expected *Mistakes, got %v", err)
			}
			if len(m.List) != 1 || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got:\n%s\nwant only: %s", err, tt.want)
			}
		})
	}
}

func TestParse_without_score(t *testing.T) {
	const project = "project: p1\npython: uv.lock\ndata: {rows: {path: d.csv, target: y}}\npipeline: {steps: {train: t}, gate: {metric: mse}}\n"
	const custom = "project: p1\npython: uv.lock\npipeline: {steps: {train: t, evaluate: e}, gate: {metric: mse}}\n"
	for _, tt := range []struct {
		text, request string
		bare          bool
	}{
		{project, RequestSplit, true},
		{project + "release: {environments: {qa: {}}}\n", RequestSplit, true},
		{project + "release: {request: v2}\n", RequestV2, true},
		{project + "release: {score: score.py}\n", RequestData, false},
		{custom, RequestSplit, false}, // its own command judges, and nothing is served: the model may be anything
		{custom + "release: {environments: {qa: {}}}\n", RequestSplit, true},
	} {
		c, err := Parse(FileName, []byte(tt.text))
		if err != nil || c.Release.Request != tt.request || c.Bare() != tt.bare {
			t.Errorf("%s: request %s, bare %v, %v; want %s, %v", tt.text, c.Release.Request, c.Bare(), err, tt.request, tt.bare)
		}
	}
}

func TestParse_evaluate_without_release(t *testing.T) {
	text := "project: p1\npython: uv.lock\npipeline: {steps: {train: t, evaluate: e}, gate: {metric: mse}}\n"
	if _, err := Parse(FileName, []byte(text)); err != nil {
		t.Error(err)
	}
	text = strings.Replace(text, "train: t, evaluate", "evaluate", 1)
	if _, err := Parse(FileName, []byte(text)); err == nil || !strings.Contains(err.Error(), "there is no step train whose model it could judge") {
		t.Errorf("evaluate without train: %v", err)
	}
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(dir)
	if ridgeline.CodeOf(err) != ridgeline.NotFound || !strings.Contains(err.Error(), "ridgeline init") {
		t.Errorf("no file: %v", err)
	}
	write(t, dir, map[string]string{"ridgeline.yml": least})
	if _, err = Load(dir); err == nil || !strings.Contains(err.Error(), "rename it") {
		t.Errorf("yml: %v", err)
	}
	if _, err = Load(filepath.Join(dir, "absent")); ridgeline.CodeOf(err) != ridgeline.NotFound {
		t.Errorf("no folder: %v", err)
	}
	outside := filepath.Join(t.TempDir(), "d.csv")
	write(t, filepath.Dir(outside), map[string]string{"d.csv": "y\n1\n"})
	write(t, dir, map[string]string{FileName: strings.Replace(least, "requirements.txt", "env/uv.lock", 1), "env/uv.lock": "", "score.py/x": ""})
	if err := os.Symlink(outside, filepath.Join(dir, "d.csv")); err != nil {
		t.Fatal(err)
	}
	_, err = Load(dir)
	want := `ridgeline.yaml:2:9: python "env/uv.lock" needs env/pyproject.toml beside it: a lock alone does not say what was asked for
ridgeline.yaml:3:25: data.diabetes.path "d.csv" is not in the project: add it, or correct the name
ridgeline.yaml:5:18: release.score "score.py" is a folder: name a file`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
	patterns := strings.Replace(strings.Replace(least, "d.csv", "data/*.csv", 1), "train: python -m diabetes.train", "train: {run: x, in: {code: [src, '**/*.r']}}", 1)
	write(t, dir, map[string]string{FileName: patterns, "requirements.txt": "", "data/x.tsv": "", "src/train.py": ""})
	_, err = Load(dir)
	if err == nil || !strings.Contains(err.Error(), `data.diabetes.path: "data/*.csv" fits no file of the project`) || !strings.Contains(err.Error(), `in.code: "**/*.r" fits no file`) || strings.Contains(err.Error(), `"src"`) {
		t.Errorf("patterns that fit nothing: %v", err)
	}
	dir = t.TempDir()
	write(t, dir, map[string]string{FileName: least, "requirements.txt": "", "score.py": "", "d.csv": "y\n1\n"})
	if _, err = Load(dir); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(least))
	f.Add([]byte(deep))
	f.Add([]byte(with("build: &b {tests: {a1: {run: x, needs: [a1, b1]}, b1: *b}, nightly: *b, publish: ['[']}\n")))
	f.Add([]byte("a: &a {<<: *a}\nb: &b [*b]\n"))
	f.Add([]byte("pipeline: &p {steps: *p, gate: *p, on: *p}\nrelease: *p\ndata: *p\n"))
	f.Add([]byte("\xff\xfe"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("f.yaml", text)
		if err != nil {
			var m *Mistakes
			if !errors.As(err, &m) || len(m.List) == 0 {
				t.Fatalf("not *Mistakes: %T %v", err, err)
			}
			lines := strings.Count(string(text), "\n") + strings.Count(string(text), "\r") + strings.Count(string(text), "\u2028") + strings.Count(string(text), "\u2029") + strings.Count(string(text), "\u0085") + 2
			for _, one := range m.List {
				if one.Line < 1 || one.Line > lines || one.Column < 1 || one.Message == "" {
					t.Fatalf("%+v in %q", one, text)
				}
			}
			return
		}
		if ridgeline.CheckName("project", string(c.Project)) != nil || c.Python.File == "" || len(c.Pipeline.Steps) == 0 {
			t.Fatalf("accepted %q as %+v", text, c)
		}
		if err := fits(t, string(text)); err != nil {
			t.Fatalf("the schema refuses %q: %v", text, err)
		}
		if len(c.Pipeline.Order()) != len(c.Pipeline.Steps) || len(c.Build.Order()) != len(c.Build.Tasks) {
			t.Fatalf("accepted a circle in %q", text)
		}
		for _, s := range c.Pipeline.Steps {
			if len(s.Instances(nil)) == 0 || len(s.Instances(nil)) > MaxInstances || s.Run == "" || s.Timeout < 0 || s.Retries.Count < 0 || s.Memory < 0 {
				t.Fatalf("accepted step %+v from %q", s, text)
			}
		}
	})
}
