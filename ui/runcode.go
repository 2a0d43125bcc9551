package ui

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// runEnvironment is the code and the environment of a run, and what is not as
// it was in the run before.
type runEnvironment struct {
	Pipeline ridgeline.Pipeline
	Before   ridgeline.Run // zero when there is none
	Changes  []difference
	Same     bool // there was a run before, and nothing differs
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
		if e.Changes, err = u.changes(ctx, e.Before, out.Run, old, p); err != nil {
			return err
		}
		e.Same = len(e.Changes) == 0
	}
	out.Environment = e
	return nil
}

// changes lists what of run b is not as it was in run a: parameters, data,
// files and packages.
func (u *UI) changes(ctx context.Context, a, b ridgeline.Run, was, is ridgeline.Pipeline) ([]difference, error) {
	all := differing("parameter", a.Params, b.Params)
	all = append(all, differing("dataset", versionTexts(a.Data), versionTexts(b.Data))...)
	if was.Commit.Tree != is.Commit.Tree {
		before, err := u.fileDigests(ctx, was.Commit.Tree)
		if err != nil {
			return nil, err
		}
		now, err := u.fileDigests(ctx, is.Commit.Tree)
		if err != nil {
			return nil, err
		}
		all = append(all, differing("file", before, now)...)
	}
	if was.Environment != is.Environment {
		all = append(all, differing("package", packages(was.Lock), packages(is.Lock))...)
	}
	return all, nil
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

// fileDigests is the first digits of each file of a tree. One that has been
// reclaimed has none.
func (u *UI) fileDigests(ctx context.Context, tree string) (map[string]string, error) {
	out := map[string]string{}
	if tree == "" {
		return out, nil
	}
	files, err := u.Blob.Files(ctx, tree)
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return out, nil
	}
	for _, f := range files {
		out[f.Path] = components.Short(f.SHA256)
	}
	return out, err
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
