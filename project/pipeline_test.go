package project

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

const deep = `project: deep
python: requirements.txt
data: {sales: {path: sales.csv, target: y}, zones: zones.csv}
pipeline:
  on:
    push: false
    schedule:
      - {cron: "0 3 * * 1", zone: Europe/Berlin, missed: all, params: {year: 2025, alpha: 2}}
      - {cron: "*/15  * * * *", params: {year: 2024}}
    data: [sales, zones]
    events: [{type: "com.example.*", source: "https://example.com/*", params: {year: 2026}}, com.example.ping]
  overlap: coalesce
  params:
    alpha: 0.50
    full: {type: bool, default: false}
    solver: {choices: [svd, "lsqr"], default: svd, description: how the equations are solved}
    year: {type: int, min: 2000, default: 2020}
  steps:
    load: {run: ./load, out: [table.parquet, ./parts/], cache: false}
    prepare: {run: ./prepare, needs: [], in: {code: ["src/**"], data: [sales], params: []}, when: 'params.full == true and params.year > 2000'}
    folds: {run: ./fold, needs: [prepare], matrix: {fold: [1, 2, 3], solver: [svd, lsqr]}}
    train:
      run: ./train
      needs: [load, folds]
      sweep: {grid: {alpha: [0.1, 1]}, metric: mse, parallel: 2}
      retries: {count: 2, backoff: 10s, longest: 5m, on: [137, timeout, memory, lost]}
      when: '(steps.load.metrics.rows ?? 0) > 100 or cause startsWith "schedule"'
    evaluate: {run: ./evaluate}
    report: ./report
  gate: {metric: mse}
`

func TestParse_pipeline(t *testing.T) {
	c, err := Parse(FileName, []byte(deep))
	if err != nil {
		t.Fatal(err)
	}
	text := func(s string) *string { return &s }
	base := Step{Timeout: 2 * time.Hour, Retries: once, Cache: true, Compute: "local"}
	step := func(change func(*Step)) Step { s := base; change(&s); return s }
	want := Pipeline{
		On: On{
			Schedules: []Schedule{
				{Cron: "0 3 * * 1", Zone: "Europe/Berlin", Missed: MissedAll, Params: map[string]string{"year": "2025", "alpha": "2"}},
				{Cron: "*/15 * * * *", Zone: "UTC", Missed: MissedOnce, Params: map[string]string{"year": "2024"}},
			},
			Data:   []string{"sales", "zones"},
			Events: []EventFilter{{Type: "com.example.*", Source: "https://example.com/*", Params: map[string]string{"year": "2026"}}, {Type: "com.example.ping"}},
		},
		Overlap: OverlapCoalesce, Compute: "local",
		Params: []Param{
			{Name: "alpha", Type: ParamFloat, Default: text("0.5")},
			{Name: "full", Type: ParamBool, Default: text("false")},
			{Name: "solver", Type: ParamString, Default: text("svd"), Choices: []string{"svd", "lsqr"}, Description: "how the equations are solved"},
			{Name: "year", Type: ParamInt, Default: text("2020"), Min: ptr(2000)},
		},
		Steps: []Step{
			step(func(s *Step) {
				s.Name, s.Run, s.Out, s.Cache = "load", "./load", []string{"table.parquet", "parts"}, false
			}),
			step(func(s *Step) {
				s.Name, s.Run, s.When = "prepare", "./prepare", "params.full == true and params.year > 2000"
				s.In = &Inputs{Code: []string{"src/**"}, Data: []string{"sales"}, Params: []string{}}
			}),
			step(func(s *Step) {
				s.Name, s.Run, s.Needs = "folds", "./fold", []string{"prepare"}
				s.Matrix = []Axis{{"fold", []string{"1", "2", "3"}}, {"solver", []string{"svd", "lsqr"}}}
			}),
			step(func(s *Step) {
				s.Name, s.Run, s.Needs = "train", "./train", []string{"load", "folds"}
				s.Sweep = &Sweep{Grid: []Axis{{"alpha", []string{"0.1", "1"}}}, Metric: "mse", Better: "lower", Parallel: 2}
				s.Retries = Retries{Count: 2, Backoff: 10 * time.Second, Longest: 5 * time.Minute, On: []string{"137", "timeout", "memory", "lost"}}
				s.When = `(steps.load.metrics.rows ?? 0) > 100 or cause startsWith "schedule"`
			}),
			step(func(s *Step) { s.Name, s.Run, s.Needs = "evaluate", "./evaluate", []string{"train"} }),
			step(func(s *Step) { s.Name, s.Run, s.Needs = "report", "./report", []string{"train"} }),
		},
		Gate: Gate{Metric: "mse", Better: "lower", MinEffect: Effect{0.01, true}, Alpha: 0.05, Decisions: 20, Fresh: 0.5},
	}
	if !reflect.DeepEqual(c.Pipeline, want) {
		t.Errorf("got  %+v\nwant %+v", c.Pipeline, want)
	}
}

// withPipeline is a file whose pipeline has these lines.
func withPipeline(lines string) string {
	return "project: deep\npython: requirements.txt\ndata: {sales: {path: sales.csv, target: y}, zones: zones.csv}\npipeline:\n" + lines
}

func TestParse_pipeline_mistakes(t *testing.T) {
	const steps = "  steps: {first: ./first}\n"
	for _, tt := range []struct{ name, lines, want string }{
		{"overlap", steps + "  overlap: que\n", `6:12: pipeline.overlap: expected queue, coalesce or reject, got "que": did you mean queue?`},
		{"cron words", steps + "  on: {schedule: every day}\n", `6:18: pipeline.on.schedule: "every day" has 2 fields: expected five fields`},
		{"cron range", steps + "  on: {schedule: '0 25 * * *'}\n", `"0 25 * * *": end of range (25) above maximum (23)`},
		{"cron shorthand", steps + "  on: {schedule: '@daily'}\n", `"@daily": expected five fields`},
		{"cron zone inside", steps + "  on: {schedule: 'TZ=UTC 0 3 * * *'}\n", "a time zone stands beside the expression"},
		{"cron never", steps + "  on: {schedule: '0 0 31 2 *'}\n", "never comes due"},
		{"cron missing", steps + "  on: {schedule: {zone: UTC}}\n", "cron is missing"},
		{"zone", steps + "  on: {schedule: {cron: '0 3 * * *', zone: Europe/Berln}}\n", `6:44: pipeline.on.schedule.zone: "Europe/Berln" is no time zone`},
		{"zone of the machine", steps + "  on: {schedule: {cron: '0 3 * * *', zone: Local}}\n", `"Local" is no time zone`},
		{"missed", steps + "  on: {schedule: {cron: '0 3 * * *', missed: never}}\n", "missed: expected skip, once or all"},
		{"a schedule twice", steps + "  on: {schedule: ['0 3 * * *', '0  3 * * *']}\n", "stands here twice"},
		{"a schedule's param", steps + "  params: {alpha: 1}\n  on: {schedule: {cron: '0 3 * * *', params: {alfa: 2}}}\n", `pipeline.params has no "alfa": did you mean alpha?`},
		{"a schedule's value", steps + "  params: {alpha: 1}\n  on: {schedule: {cron: '0 3 * * *', params: {alpha: much}}}\n", `params.alpha: expected a whole number, got "much"`},
		{"data", steps + "  on: {data: [sale]}\n", `6:15: pipeline.on.data: there is no dataset "sale": did you mean sales?`},
		{"events of everything", steps + "  on: {events: [{}]}\n", "every event would start the pipeline"},
		{"an event's pattern", steps + "  on: {events: [{type: '[a'}]}\n", `"[a" is no pattern`},
		{"drift", steps + "  on: {drift: true}\n", "pipeline.on.drift is not supported by this version yet"},
		{"a param's name", steps + "  params: {a-b: 1}\n", `6:12: pipeline.params: "a-b": a parameter's name has letters, digits and underscores`},
		{"params of one variable", steps + "  params: {a: 1, A: 2}\n", "a and A would be one variable for the steps, RIDGELINE_PARAM_A"},
		{"a param's type", steps + "  params: {a: {type: itn, default: 1}}\n", "expected string, int, float or bool, got \"itn\": did you mean int?"},
		{"a default of another type", steps + "  params: {a: {type: int, default: 1.5}}\n", `pipeline.params.a.default: expected a whole number, got "1.5"`},
		{"a text that is a number", steps + "  params: {a: {type: string, default: 1.10}}\n", "expected text, got the value 1.10: put it in quotes"},
		{"a default out of range", steps + "  params: {a: {type: float, default: 3, max: 2}}\n", "expected a number up to 2"},
		{"a default not to choose", steps + "  params: {a: {choices: [x, y], default: z}}\n", `expected one of x or y, got "z"`},
		{"a choice out of range", steps + "  params: {a: {type: int, min: 3, choices: [2, 4], default: 4}}\n", `choices: expected a whole number from 3 up, got "2"`},
		{"no choices", steps + "  params: {a: {choices: [], default: z}}\n", "choices is empty"},
		{"a least text", steps + "  params: {a: {min: 1, default: z}}\n", "only an int or a float has a least value"},
		{"min above max", steps + "  params: {a: {type: int, min: 3, max: 2, default: 1}}\n", "max 2 is below min 3"},
		{"a default that is a list", steps + "  params: {a: [1, 2]}\n", "expected a number, true, false or a text, got a list"},
		{"no default", steps + "  params: {a: {type: int}}\n", "6:12: pipeline.params.a has no default, but a green build (pipeline.on.push) starts the pipeline"},
		{"no default for a schedule", steps + "  params: {a: {type: int}}\n  on: {push: false, schedule: ['0 1 * * *', {cron: '0 2 * * *', params: {a: 1}}]}\n", "but a schedule (pipeline.on.schedule) starts"},
		{"an unknown step", "  steps: {load: l, clean: {run: c, needs: [lead]}}\n", `5:44: pipeline.steps.clean.needs: there is no step "lead": did you mean load?`},
		{"itself", "  steps: {load: l, clean: {run: c, needs: [clean]}}\n", "clean cannot need itself"},
		{"a circle", "  steps:\n    aa: {run: x, needs: [cc]}\n    bb: {run: x, needs: [aa]}\n    cc: {run: x, needs: [bb]}\n",
			"6:25: pipeline.steps: aa, cc, bb need each other in a circle (aa needs cc needs bb needs aa): remove one of these needs"},
		{"a circle by file order", "  steps:\n    aa: {run: x, needs: [bb]}\n    bb: x\n", "6:25: pipeline.steps: aa, bb need each other in a circle"},
		{"in code outside", "  steps: {aa: {run: x, in: {code: [../src]}}}\n", `5:36: pipeline.steps.aa.in.code: "../src": expected a pattern for files inside the project`},
		{"in code no pattern", "  steps: {aa: {run: x, in: {code: ['src/[']}}}\n", `"src/[" is no pattern`},
		{"in data", "  steps: {aa: {run: x, in: {data: zone}}}\n", `there is no dataset "zone": did you mean zones?`},
		{"in params", "  params: {alpha: 1}\n  steps: {aa: {run: x, in: {params: [alhpa]}}}\n", `there is no parameter "alhpa": did you mean alpha?`},
		{"in params of none", "  steps: {aa: {run: x, in: {params: [beta]}}}\n", `"beta": the file has no parameter`},
		{"out outside", "  steps: {aa: {run: x, out: [../x]}}\n", `pipeline.steps.aa.out: "../x": expected a file or folder below $RIDGELINE_OUT`},
		{"out pattern", "  steps: {aa: {run: x, out: ['*.csv']}}\n", "name each file, or the folder"},
		{"matrix and sweep", "  steps: {aa: {run: x, matrix: {a: [1]}, sweep: {grid: {a: [1]}, metric: mse}}}\n", "remove one"},
		{"matrix value", "  steps: {aa: {run: x, matrix: {a: 1}}}\n", "pipeline.steps.aa.matrix.a: expected a list of values"},
		{"matrix empty", "  steps: {aa: {run: x, matrix: {}}}\n", "matrix is empty"},
		{"matrix twice", "  steps: {aa: {run: x, matrix: {a: [1, 1]}}}\n", `"1" stands here twice`},
		{"matrix of a type", "  params: {a: 1}\n  steps: {aa: {run: x, matrix: {a: [x]}}}\n", `matrix.a: expected a whole number, got "x"`},
		{"matrix too large", "  steps: {aa: {run: x, matrix: {a: [1,2,3,4,5,6,7,8,9,10], b: [1,2,3,4,5,6,7,8,9,10], c: [1,2,3,4,5,6,7,8,9,10], d: [1, 2]}}}\n", "more than 1000 combinations"},
		{"sweep without metric", "  steps: {aa: {run: x, sweep: {grid: {a: [1, 2]}}}}\n", "5:31: pipeline.steps.aa.sweep: metric is missing"},
		{"sweep which way", "  steps: {aa: {run: x, sweep: {grid: {a: [1, 2]}, metric: msee}}}\n", "did you mean mse?"},
		{"sweep of nothing", "  steps: {aa: {run: x, sweep: {metric: mse}}}\n", "add what to try"},
		{"sweep of both", "  steps: {aa: {run: x, sweep: {metric: mse, grid: {a: [1]}, random: {a: [1]}, count: 1}}}\n", "a sweep has a grid or is random"},
		{"grid with a count", "  steps: {aa: {run: x, sweep: {metric: mse, grid: {a: [1]}, count: 3}}}\n", "count belongs to a random sweep"},
		{"random without count", "  steps: {aa: {run: x, sweep: {metric: mse, random: {a: {low: 1, high: 2}}}}}\n", "count is missing"},
		{"random without high", "  steps: {aa: {run: x, sweep: {metric: mse, random: {a: {low: 1}}, count: 2}}}\n", "high is missing"},
		{"random upside down", "  steps: {aa: {run: x, sweep: {metric: mse, random: {a: {low: 2, high: 1}}, count: 2}}}\n", "high 1 is not above low 2"},
		{"random log of nothing", "  steps: {aa: {run: x, sweep: {metric: mse, random: {a: {low: 0, high: 1, log: true}}, count: 2}}}\n", "low has to be above 0"},
		{"random int of halves", "  steps: {aa: {run: x, sweep: {metric: mse, random: {a: {low: 0.5, high: 1.5, int: true}}, count: 2}}}\n", "low and high have to be whole numbers"},
		{"random of a text", "  params: {a: x}\n  steps: {aa: {run: x, sweep: {metric: mse, random: {a: {low: 1, high: 2}}, count: 2}}}\n", "pipeline.params.a takes a text: list the values"},
		{"random out of range", "  params: {a: {type: float, default: 1, max: 5}}\n  steps: {aa: {run: x, sweep: {metric: mse, random: {a: {low: 1, high: 20}}, count: 2}}}\n", "takes a number up to 5"},
		{"random of too few", "  steps: {aa: {run: x, sweep: {metric: mse, random: {a: [1, 2], b: [1, 2]}, count: 5}}}\n", "there are only 4 combinations"},
		{"retry code", "  steps: {aa: {run: x, retries: {count: 1, on: [300]}}}\n", "expected an exit code from 1 to 255"},
		{"retry word", "  steps: {aa: {run: x, retries: {count: 1, on: [oom]}}}\n", "expected timeout, memory or lost"},
		{"retry no count", "  steps: {aa: {run: x, retries: {backoff: 1s}}}\n", "count is missing"},
		{"retry nothing", "  steps: {aa: {run: x, retries: {count: 1, on: []}}}\n", "on is empty"},
		{"retry longest", "  steps: {aa: {run: x, retries: {count: 1, backoff: 5m, longest: 1m}}}\n", "longest 1m0s is below backoff 5m0s"},
		{"cache", "  steps: {aa: {run: x, cache: sometimes}}\n", "cache: expected true or false"},
		{"half a GPU", "  steps: {aa: {run: x, gpu: 0.5}}\n", "pipeline.steps.aa.gpu: expected a whole number from 0 to 64"},
		{"compute", "  steps: {aa: {run: x, compute: GPU pool}}\n", `pipeline.steps.aa.compute: "GPU pool" is no name of a pool`},
		{"when unknown param", "  params: {alpha: 1}\n  steps: {aa: {run: x, when: params.alfa > 1}}\n", "6:30: pipeline.steps.aa.when: unknown field alfa: did you mean alpha?"},
		{"when unknown name", "  steps: {aa: {run: x, when: couse == 'push'}}\n", "unknown name couse: did you mean cause?"},
		{"when of a type", "  params: {alpha: 1}\n  steps: {aa: {run: x, when: params.alpha == 'x'}}\n", "mismatched types int and string"},
		{"when no truth", "  params: {alpha: 1}\n  steps: {aa: {run: x, when: params.alpha}}\n", "expected bool, but got int"},
		{"when half", "  steps: {aa: {run: x, when: 'cause =='}}\n", "unexpected token EOF"},
		{"when of a later step", "  steps: {aa: {run: x, when: steps.bb.metrics.m > 1}, bb: x}\n", "unknown field bb"},
		{"when asks the time", "  steps: {aa: {run: x, when: now().Hour() > 3}}\n", "now"},
		{"train with a matrix", "  steps: {train: {run: x, matrix: {a: [1]}}, evaluate: e}\n  gate: {metric: mse}\n", "a matrix would make several models"},
		{"evaluate beside train", "  steps: {train: x, evaluate: {run: e, needs: []}}\n  gate: {metric: mse}\n", "it judges the model that train makes"},
		{"evaluate with a condition", "  steps: {train: x, evaluate: {run: e, when: cause == 'push'}}\n  gate: {metric: mse}\n", "it judges every model once"},
		{"after evaluate", "  steps: {train: x, evaluate: e, report: {run: r, needs: [evaluate]}}\n  gate: {metric: mse}\n", "it cannot need evaluate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("r.yaml", []byte(withPipeline(tt.lines)))
			if err == nil || strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got:\n%v\nwant only: %s", err, tt.want)
			}
		})
	}
}

func TestConfig_Params(t *testing.T) {
	c, err := Parse(FileName, []byte(strings.Replace(deep, "min: 2000, default: 2020", "min: 2000", 1)))
	if err == nil || !strings.Contains(err.Error(), "new data (pipeline.on.data) and an event (pipeline.on.events)") {
		t.Errorf("a parameter that triggers leave open: %v", err)
	}
	got, err := c.Params(map[string]string{"alpha": " 1e-3", "full": "TRUE", "year": "+2024"})
	want := map[string]string{"alpha": "0.001", "full": "true", "solver": "svd", "year": "2024"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v %v, want %v", got, err, want)
	}
	_, err = c.Params(map[string]string{"alpa": "1", "alpha": "NaN", "full": "yes", "solver": "qr"})
	if ridgeline.CodeOf(err) != ridgeline.Invalid {
		t.Fatalf("expected Invalid, got %v", err)
	}
	for _, part := range []string{
		`no parameter "alpa": did you mean alpha?`, `alpha: expected a number, got "NaN"`, `full: expected true or false, got "yes"`,
		`solver: expected one of svd or lsqr, got "qr"`, `year has no default: give it a value, a whole number from 2000 up`,
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing in %s", part, err)
		}
	}
	free := Config{}
	if got, err := free.Params(map[string]string{"colour": "red"}); err != nil || got["colour"] != "red" {
		t.Errorf("without declared parameters: %v %v", got, err)
	}
	if _, err := free.Params(map[string]string{"a b": "red"}); ridgeline.CodeOf(err) != ridgeline.Invalid {
		t.Errorf("a name that is no variable: %v", err)
	}
}

func TestDecimal(t *testing.T) {
	for v, want := range map[float64]string{0.5: "0.5", 1e6: "1000000", 1e21: "1e+21", 1e-7: "1e-07", 0: "0", -2: "-2", 0.000001: "0.000001"} {
		if got := decimal(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}

func TestPipeline_Order(t *testing.T) {
	p := Pipeline{Steps: []Step{{Name: "d", Needs: []string{"b", "c"}}, {Name: "b", Needs: []string{"a"}}, {Name: "c", Needs: []string{"a"}}, {Name: "a"}, {Name: "e"}}}
	var names []string
	for _, s := range p.Order() {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, []string{"a", "b", "c", "d", "e"}) {
		t.Errorf("order: %v", names)
	}
	if got := p.Before("d"); !slices.Equal(got, []string{"b", "c", "a"}) {
		t.Errorf("before d: %v", got)
	}
	if got := p.Before("e"); len(got) > 0 {
		t.Errorf("before e: %v", got)
	}
}

func TestStep_Instances(t *testing.T) {
	run := map[string]string{"alpha": "9", "year": "2020"}
	names := func(s Step) []string {
		var list []string
		for _, one := range s.Instances(run) {
			list = append(list, one.Name)
		}
		return list
	}
	if got := (Step{Name: "one"}).Instances(run); len(got) != 1 || got[0].Name != "one" || got[0].Label != "" || !maps.Equal(got[0].Params, run) {
		t.Errorf("a plain step: %+v", got)
	}
	matrix := Step{Name: "folds", Matrix: []Axis{{"fold", []string{"1", "2"}}, {"kind", []string{"a", "b"}}}}
	if got, want := names(matrix), []string{"folds[fold=1,kind=a]", "folds[fold=1,kind=b]", "folds[fold=2,kind=a]", "folds[fold=2,kind=b]"}; !slices.Equal(got, want) {
		t.Errorf("matrix: got %v, want %v", got, want)
	}
	grid := Step{Name: "train", Sweep: &Sweep{Grid: []Axis{{"alpha", []string{"0.1", "1"}}}}}
	if got := grid.Instances(run); len(got) != 2 || got[0].Params["alpha"] != "0.1" || got[0].Params["year"] != "2020" || got[1].Values["alpha"] != "1" || run["alpha"] != "9" {
		t.Errorf("grid: %+v", got)
	}
	paths := Step{Name: "x", Matrix: []Axis{{"file", []string{"a/b", "a:b", strings.Repeat("long", 50), strings.Repeat("long", 51)}}}}
	labels := map[string]bool{}
	for _, one := range paths.Instances(nil) {
		if strings.ContainsAny(one.Label, "/:") || len(one.Label) > 110 || labels[one.Label] {
			t.Errorf("label %q", one.Label)
		}
		labels[one.Label] = true
	}
}

func TestStep_Instances_random(t *testing.T) {
	s := Step{Name: "train", Sweep: &Sweep{Seed: 7, Count: 200, Random: []Range{
		{Param: "alpha", Low: 0.001, High: 10, Log: true}, {Param: "depth", Low: 1, High: 3, Int: true}, {Param: "kind", Values: []string{"a", "b"}},
	}}}
	first, again := s.Instances(nil), s.Instances(nil)
	if !reflect.DeepEqual(first, again) {
		t.Fatal("the same seed drew other tries")
	}
	// These must never change: a run taken up by a newer version goes on with them.
	if got, want := first[0].Name, "train[alpha=0.00144876,depth=3,kind=a]"; got != want {
		t.Errorf("first try: got %s, want %s", got, want)
	}
	small, depths, seen := 0, map[string]int{}, map[string]bool{}
	for _, one := range first {
		v, ok := canonical(ParamFloat, one.Values["alpha"])
		if !ok || v != one.Values["alpha"] || seen[one.Name] {
			t.Errorf("try %+v", one)
		}
		seen[one.Name] = true
		if len(v) > 3 && v[:4] < "0.10" {
			small++
		}
		depths[one.Values["depth"]]++
	}
	if len(first) != 200 || small < 60 || small > 140 { // half of them lie below 0.1 in the logarithm
		t.Errorf("%d tries, %d below 0.1", len(first), small)
	}
	if len(depths) != 3 || depths["1"] < 40 || depths["3"] < 40 {
		t.Errorf("depths: %v", depths)
	}
	s.Sweep.Seed = 8
	if reflect.DeepEqual(first, s.Instances(nil)) {
		t.Error("another seed drew the same tries")
	}
	few := Step{Name: "x", Sweep: &Sweep{Count: 50, Random: []Range{{Param: "k", Low: 1, High: 4, Int: true}}}}
	if got := few.Instances(nil); len(got) != 4 {
		t.Errorf("four numbers gave %d tries", len(got))
	}
}

func TestPipeline_When(t *testing.T) {
	c, err := Parse(FileName, []byte(deep))
	if err != nil {
		t.Fatal(err)
	}
	p := c.Pipeline
	ask := func(when string, facts Facts) (bool, error) {
		s, _ := p.Step(StepTrain)
		s.When = when
		return p.When(s, facts)
	}
	facts := Facts{
		Params: map[string]string{"alpha": "0.5", "full": "true", "solver": "svd", "year": "2020"}, Cause: "schedule 0 3 * * 1", Branch: "main",
		Metrics: map[string]map[string]float64{"load": {"rows": 442}},
	}
	for when, want := range map[string]bool{
		"": true, "params.full": true, "params.alpha < 0.5": false, "params.year == 2020 and params.solver in ['svd']": true, "branch == 'main'": true,
		"cause startsWith 'schedule'": true, "steps.load.metrics.rows > 442": false, `steps["load"].metrics["rows"] == 442`: true, "(steps.load.metrics.other ?? 7) == 7": true,
	} {
		if got, err := ask(when, facts); err != nil || got != want {
			t.Errorf("%q: got %v %v, want %v", when, got, err, want)
		}
	}
	_, err = ask("steps.load.metrics.row > 1", facts)
	if ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), "logged load.rows") {
		t.Errorf("a metric that was not logged: %v", err)
	}
	if _, err = ask("steps.report.metrics.x > 1", facts); ridgeline.CodeOf(err) != ridgeline.Invalid {
		t.Errorf("a step that comes later: %v", err)
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"src/**", "src/a/b.py", true}, {"src", "src/a/b.py", true}, {"src/", "src/b.py", true}, {"src", "srcs/b.py", false}, {"*.py", "b.py", true},
		{"*.py", "src/b.py", false}, {"**/*.py", "b.py", true}, {"{a,b}/*.csv", "b/x.csv", true}, {"train.py", "train.py", true}, {"[", "[", false},
	} {
		if got := Match(tt.pattern, tt.name); got != tt.want {
			t.Errorf("%s %s: %v", tt.pattern, tt.name, got)
		}
	}
	var all *Inputs
	if !all.SeesCode("x") || !all.SeesData("x") || !all.SeesParam("x") {
		t.Error("no inputs means everything")
	}
	some := &Inputs{Code: []string{"src"}, Params: []string{}}
	if !some.SeesCode("src/x") || some.SeesCode("x") || !some.SeesData("x") || some.SeesParam("x") {
		t.Error("a list narrows, an empty one hides")
	}
}

// Everything about the steps is looked at by pairs: a file of a megabyte must
// not keep a server busy for minutes.
func TestParse_too_many_steps(t *testing.T) {
	var steps, tasks strings.Builder
	for i := range 30_000 {
		fmt.Fprintf(&steps, "    s%d: x\n", i)
		fmt.Fprintf(&tasks, "    t%d: x\n", i)
	}
	_, err := Parse("r.yaml", []byte(withPipeline("  steps:\n"+steps.String())+"build:\n  tests:\n"+tasks.String()))
	if err == nil || !strings.Contains(err.Error(), "more than 500 steps") || !strings.Contains(err.Error(), "more than 500 tasks") || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("%v", err)
	}
}
