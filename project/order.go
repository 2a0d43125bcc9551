package project

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Order lists the steps so that each comes after those that it needs; where
// that leaves a choice, in file order.
func (p Pipeline) Order() []Step {
	return inOrder(p.Steps, func(s Step) (string, []string) { return s.Name, s.Needs })
}

// Before lists the steps that have to end before the named one begins: those
// that it needs, those that these need, and so on, in file order.
func (p Pipeline) Before(name string) []string {
	return before(p.Steps, name, func(s Step) (string, []string) { return s.Name, s.Needs })
}

// Order lists the tasks so that each comes after those that it needs; where
// that leaves a choice, in file order. Nightly tasks are not among them.
func (b Build) Order() []Task {
	return inOrder(b.Tasks, func(t Task) (string, []string) { return t.Name, t.Needs })
}

// inOrder sorts topologically (A. B. Kahn, 1962), taking the first in the list
// of those that may come next. What lies on a cycle is left out.
func inOrder[T any](list []T, of func(T) (string, []string)) []T {
	done := map[string]bool{}
	var sorted []T
	for progress := true; progress; {
		progress = false
		for _, one := range list {
			name, needs := of(one)
			if !done[name] && !slices.ContainsFunc(needs, func(n string) bool { return !done[n] }) {
				done[name], progress = true, true
				sorted = append(sorted, one)
				break // from the front: file order wins
			}
		}
	}
	return sorted
}

func before[T any](list []T, name string, of func(T) (string, []string)) []string {
	reached := map[string]bool{}
	needsOf := map[string][]string{}
	var names []string
	for _, one := range list {
		n, needs := of(one)
		needsOf[n] = needs
		names = append(names, n)
	}
	queue := slices.Clone(needsOf[name])
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		if !reached[next] {
			reached[next] = true
			queue = append(queue, needsOf[next]...)
		}
	}
	return slices.DeleteFunc(names, func(n string) bool { return !reached[n] })
}

// needs are the arrows between steps or tasks, with their places in the file.
type needs struct {
	what  string
	names []string
	of    map[string][]string
	at    map[string]*yaml.Node
}

// add notes what one needs; its place is where it says so, else its name.
func (n *needs) add(name string, list []string, key, at *yaml.Node) {
	if n.of == nil {
		n.of, n.at = map[string][]string{}, map[string]*yaml.Node{}
	}
	if at == nil {
		at = key
	}
	n.names = append(n.names, name)
	n.of[name], n.at[name] = list, at
}

// needs reads a list of what comes first.
func (r *reader) needs(n *yaml.Node, what, kind, self string, names []string) []string {
	list := r.known(n, what, kind, names)
	if i := slices.Index(list, self); i >= 0 {
		r.at(n, "%s: %s cannot need itself: remove it", what, clip(self, 60))
		list = slices.Delete(list, i, i+1)
	}
	return list
}

// acyclic reports each cycle once, by all its names, where its first one says
// what it needs.
func (r *reader) acyclic(links needs) {
	const unseen, open, closed = 0, 1, 2
	state := map[string]int{}
	var path []string
	var visit func(name string)
	visit = func(name string) {
		state[name] = open
		path = append(path, name)
		for _, next := range links.of[name] {
			switch state[next] {
			case unseen:
				visit(next)
			case open:
				r.cycle(links, path[slices.Index(path, next):])
			}
		}
		path = path[:len(path)-1]
		state[name] = closed
	}
	for _, name := range links.names {
		if state[name] == unseen {
			visit(name)
		}
	}
}

func (r *reader) cycle(links needs, round []string) {
	first := 0 // the one that stands first in the file
	for i, name := range round {
		if slices.Index(links.names, name) < slices.Index(links.names, round[first]) {
			first = i
		}
	}
	round = append(slices.Clone(round[first:]), round[:first]...)
	r.at(links.at[round[0]], "%s: %s need each other in a circle (%s): remove one of these needs",
		links.what, strings.Join(round, ", "), strings.Join(append(round, round[0]), " needs "))
}
