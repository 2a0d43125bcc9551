package project

import (
	"cmp"
	"math"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// taken are the checks that a build makes itself.
var taken = []string{"environment", "coverage"}

func (r *reader) build(n *yaml.Node) Build {
	b := Build{Timeout: 30 * time.Minute, NightlyAt: Schedule{Cron: "0 2 * * *", Zone: "UTC", Missed: MissedOnce}, Publish: []string{"main", "master"}}
	if n == nil {
		return b
	}
	f := r.section(n, "build", "quality", "tests", "data", "coverage", "timeout", "fail", "publish", "nightly")
	b.Timeout = r.duration(f.value("timeout"), "build.timeout", b.Timeout)
	kinds := slices.DeleteFunc([]string{TaskQuality, TaskTests, TaskData}, func(k string) bool { return !f.has(k) })
	slices.SortFunc(kinds, func(a, b string) int { return order(f.at[a].key, f.at[b].key) })
	var list taskList
	for _, kind := range kinds {
		r.tasks(&list, f.value(kind), "build."+kind, kind, kind, b.Timeout)
	}
	b.Tasks = r.linked(list, "build")
	if c := f.value("coverage"); c != nil {
		if p, ok := percent(c); ok && p >= 0 && p <= 1 {
			b.Coverage = math.Round(p*1e8) / 1e6
		} else {
			b.Coverage = r.number(c, "build.coverage", 0, 0, 100)
		}
		if !f.has("tests") && b.Coverage > 0 {
			r.at(f.at["coverage"].key, "build.coverage: there are no tests to measure: add build.tests, for example `pytest --cov --cov-report=xml`")
		}
	}
	b.FailFast = r.word(f.value("fail"), "build.fail", "all", "all", "fast") == "fast"
	if f.has("publish") {
		b.Publish = []string{}
		for _, one := range r.items(f.value("publish")) {
			if p := r.pattern(one, "build.publish", "main"); p != "" {
				b.Publish = append(b.Publish, p)
			}
		}
	}
	r.nightly(f.value("nightly"), &b)
	return b
}

func order(a, b *yaml.Node) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) }

// nightly reads a command, tasks, or a map with tasks and when they are due.
func (r *reader) nightly(n *yaml.Node, b *Build) {
	if n == nil {
		return
	}
	const what = "build.nightly"
	tasks, at := n, what
	if n.Kind == yaml.MappingNode && slices.ContainsFunc(n.Content, func(k *yaml.Node) bool { return k.Value == "tasks" || k.Value == "schedule" }) {
		f := r.section(n, what, "schedule", "zone", "tasks")
		if tasks, at = f.value("tasks"), what+".tasks"; tasks == nil {
			r.at(n, "%s: tasks is missing: add for example `tasks: {slow: pytest -m slow}`", what)
		}
		zone := r.text(f.value("zone"), what+".zone", "Europe/Berlin")
		if zone != "" {
			if _, err := ParseCron("0 0 * * *", zone); err != nil {
				r.at(f.value("zone"), "%s.zone: %s", what, err)
				zone = ""
			}
		}
		expression := b.NightlyAt.Cron
		if f.has("schedule") {
			expression = r.text(f.value("schedule"), what+".schedule", `"0 2 * * *"`)
		}
		if s, err := ParseCron(expression, zone); err == nil {
			b.NightlyAt = s
		} else if expression != "" {
			r.at(f.value("schedule"), "%s.schedule: %s", what, err)
		}
	}
	if tasks != nil {
		var list taskList
		r.tasks(&list, tasks, at, "nightly", TaskTests, b.Timeout)
		b.Nightly = r.linked(list, at)
	}
}

// A taskList are tasks and where each of them stands.
type taskList struct {
	tasks []Task
	keys  []*yaml.Node
	needs []*yaml.Node // nil: says nothing
}

func (l taskList) names() []string {
	names := make([]string, len(l.tasks))
	for i, t := range l.tasks {
		names[i] = t.Name
	}
	return names
}

// tasks reads one command, which gets the name, or a map from names to tasks.
func (r *reader) tasks(list *taskList, n *yaml.Node, what, name, kind string, timeout time.Duration) {
	example := map[string]string{TaskQuality: "`ruff check .`", TaskTests: "`pytest`", TaskData: "`python -m checks.fresh`"}[kind]
	if n.Kind == yaml.ScalarNode {
		if run := r.text(n, what, example); run != "" {
			r.task(list, Task{Name: name, Kind: kind, Run: run, Timeout: timeout}, n, nil)
		}
		return
	}
	entries := r.entries(n, what, "a command, such as "+example+", or a map from a task's name to its command")
	if len(entries) == 0 && n.Kind == yaml.MappingNode {
		r.at(n, "%s is empty: add a task, such as %s, or remove it", what, example)
	}
	if len(entries) > maxSteps {
		r.at(entries[maxSteps].key, "%s: more than %d tasks: put some into one command", what, maxSteps)
		entries = entries[:maxSteps]
	}
	for _, e := range entries {
		at := what + "." + clip(e.name, 60)
		r.checkName(e.key, "task", e.name)
		t := Task{Name: e.name, Kind: kind, Timeout: timeout}
		if e.value.Kind == yaml.ScalarNode {
			t.Run = r.text(e.value, at, example)
			r.task(list, t, e.key, nil)
			continue
		}
		known := []string{"run", "timeout", "needs"}
		if kind == TaskTests {
			known = append(known, "junit", "coverage")
		}
		f := r.section(e.value, at, known...)
		if !f.has("run") && e.value.Kind == yaml.MappingNode {
			r.at(e.key, "%s: run is missing: add the command, for example `run: pytest`", at)
		}
		t.Run = r.text(f.value("run"), at+".run", example)
		t.Timeout = r.duration(f.value("timeout"), at+".timeout", timeout)
		t.JUnit = r.inside(f.value("junit"), at+".junit", "junit.xml", false)
		t.Coverage = r.inside(f.value("coverage"), at+".coverage", "coverage.xml", false)
		r.task(list, t, e.key, f.value("needs"))
	}
}

// task adds one to the list, if its name is free.
func (r *reader) task(list *taskList, t Task, key, needs *yaml.Node) {
	i := slices.Index(list.names(), t.Name)
	switch {
	case slices.Contains(taken, t.Name):
		r.at(key, "build: %s: the build has a check of this name itself: choose another", t.Name)
	case i >= 0:
		r.at(key, "build: there is a task %s already, in line %d: choose another name", clip(t.Name, 60), list.keys[i].Line)
	default:
		list.tasks, list.keys, list.needs = append(list.tasks, t), append(list.keys, key), append(list.needs, needs)
	}
}

// linked reads what the tasks need, now that all names are known.
func (r *reader) linked(list taskList, what string) []Task {
	links := needs{what: what}
	for i := range list.tasks {
		t := &list.tasks[i]
		if n := list.needs[i]; n != nil {
			t.Needs = r.needs(n, what+"."+t.Name+".needs", "task", t.Name, list.names())
		}
		links.add(t.Name, t.Needs, list.keys[i], list.needs[i])
	}
	r.acyclic(links)
	return list.tasks
}
