package ui

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// runEnvironment is the code and the environment of a run, and what is not as
// it was in the run before.
type runEnvironment struct {
	Pipeline ridgeline.Pipeline
	Before   ridgeline.Run // zero when there is none
	Changes  []difference
	Code     *codeDiff // nil: the same files
	Same     bool      // there was a run before, and nothing differs
}

// A difference is one thing that is not as it was.
type difference struct {
	What, Name  string // "parameter", "alpha"
	Before, Now string // empty: was or is not there
}

// addEnvironment compares with the project's run before, if there is one.
func (u *UI) addEnvironment(ctx context.Context, out *runPage, p ridgeline.Pipeline) error {
	e := runEnvironment{Pipeline: p}
	rows, err := u.Store.Runs(ctx, store.RunFilter{Project: out.Project, Before: out.ID, Limit: 1})
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		e.Before = rows[0]
		old := p
		if e.Before.Pipeline != p.Version {
			if old, err = u.Store.Pipeline(ctx, out.Project, e.Before.Pipeline); err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
				return err
			}
		}
		e.Changes = changes(e.Before, out.Run, old, p)
		if e.Code, err = u.codeChanges(ctx, old.Commit, p.Commit); err != nil {
			return err
		}
		e.Same = len(e.Changes) == 0 && e.Code == nil
	}
	out.Environment = e
	return nil
}

// changes lists what of run b is not as it was in run a, but for the code:
// parameters, data and packages.
func changes(a, b ridgeline.Run, was, is ridgeline.Pipeline) []difference {
	all := differing("parameter", a.Params, b.Params)
	all = append(all, differing("dataset", versionTexts(a.Data), versionTexts(b.Data))...)
	if was.Environment != is.Environment {
		all = append(all, differing("package", packages(was.Lock), packages(is.Lock))...)
	}
	return all
}

func versionTexts(data map[string]int) map[string]string {
	out := map[string]string{}
	for name, v := range data {
		out[name] = "version " + strconv.Itoa(v)
	}
	return out
}

func differing(what string, before, now map[string]string) (out []difference) {
	names := maps.Clone(before)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, now)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if before[name] != now[name] {
			out = append(out, difference{what, name, before[name], now[name]})
		}
	}
	return out
}

// packages is the version of each package of a lock: lines NAME==VERSION, as
// pip writes them.
func packages(lock string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(lock) {
		line = strings.TrimSpace(line)
		if name, rest, ok := strings.Cut(line, "=="); ok && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "-") {
			version, _, _ := strings.Cut(rest, " ")
			out[strings.TrimSpace(name)] = strings.TrimRight(version, "\\;")
		}
	}
	return out
}
