package build

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// Results is everything that the tests of a build said: in file order by
// task, and the coverage of all of them together.
type Results struct {
	Tests []TestResult  `json:"tests"`
	Files []CoveredFile `json:"files"`
}

// taskReport is one task's part of it.
type taskReport struct {
	Tests   []TestResult
	Lines   coverage
	NoLines string
}

func (b *Builder) keepResults(ctx context.Context, t project.Task, out outcome) (string, error) {
	if t.Kind != project.TaskTests && len(out.Tests) == 0 && out.Lines == nil {
		return "", nil
	}
	return b.keep(ctx, taskReport{out.Tests, out.Lines, out.NoLines})
}

func (b *Builder) keep(ctx context.Context, v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	digest, _, err := b.Blob.Put(ctx, bytes.NewReader(text))
	return digest, err
}

func (b *Builder) read(ctx context.Context, digest string, v any) error {
	r, err := b.Blob.Get(ctx, digest)
	if err != nil {
		return err
	}
	defer r.Close()
	return json.NewDecoder(r).Decode(v)
}

// Results returns everything that the tests of a build said.
func (b *Builder) Results(ctx context.Context, id ridgeline.BuildID) (Results, error) {
	out := Results{Tests: []TestResult{}, Files: []CoveredFile{}}
	row, err := b.Store.Build(ctx, id)
	if err != nil || row.Report.Results == "" {
		return out, err
	}
	return out, b.read(ctx, row.Report.Results, &out)
}

// report brings the tasks' results together, compares them with earlier ones,
// and holds the coverage against the floor.
func (b *Builder) report(ctx context.Context, w work, tasks []verdict) (verdict, error) {
	var parts []taskReport
	for _, t := range tasks {
		if t.Results == "" {
			continue
		}
		var part taskReport
		if err := b.read(ctx, t.Results, &part); err != nil {
			return verdict{}, err
		}
		parts = append(parts, part)
	}
	results, r, none := gather(parts)
	if r.Tests > 0 || r.Coverage != nil {
		var err error
		if r.Results, err = b.keep(ctx, results); err != nil {
			return verdict{}, err
		}
		if err := b.compare(ctx, w, results, &r); err != nil {
			return verdict{}, err
		}
		// Before looking for flaky tests: of two builds that end together, the
		// later one has to find the earlier.
		if err := b.Store.SaveReport(ctx, w.ID, r); err != nil {
			return verdict{}, err
		}
		if err := b.markFlaky(ctx, w, results); err != nil {
			return verdict{}, err
		}
	}
	if w.Coverage <= 0 {
		return verdict{}, nil
	}
	check := floor(w.Coverage, r.Coverage, none)
	return verdict{Name: check.Name, Status: check.Status, Reason: firstLine(check.Message)}, b.Store.SaveCheck(ctx, w.ID, check)
}

// gather makes one of the tasks' reports: tests one after the other, coverage
// as the lines that ran in any of them. It also says why coverage is missing.
func gather(parts []taskReport) (Results, ridgeline.Report, []string) {
	out := Results{Tests: []TestResult{}, Files: []CoveredFile{}}
	var r ridgeline.Report
	var lines coverage
	var none []string
	for _, p := range parts {
		out.Tests = append(out.Tests, p.Tests...)
		if p.Lines == nil && p.NoLines != "" {
			none = append(none, p.NoLines)
		}
		if p.Lines != nil {
			if lines == nil {
				lines = coverage{}
			}
			lines.join(p.Lines)
		}
	}
	if lines != nil {
		files, sum := lines.files()
		out.Files, r.Coverage = append(out.Files, files...), &sum
	}
	r.Tests = len(out.Tests)
	for _, t := range out.Tests {
		switch t.Status {
		case Broken:
			r.Failed++
		case Skipped:
			r.Skipped++
		}
	}
	slow := slices.SortedFunc(slices.Values(out.Tests), func(a, b TestResult) int { return cmp.Compare(b.Seconds, a.Seconds) })
	for _, t := range slow[:min(len(slow), 5)] {
		if t.Seconds > 0 {
			r.Slowest = append(r.Slowest, ridgeline.Slow{Test: t.ID(), Seconds: t.Seconds})
		}
	}
	return out, r, none
}

// floor holds the coverage against build.coverage.
func floor(least float64, c *ridgeline.Coverage, none []string) ridgeline.Check {
	check := ridgeline.Check{Name: "coverage", Kind: ridgeline.CheckCoverage, Status: ridgeline.Failed}
	const advice = "let a task of build.tests write one (pytest --cov=PACKAGE --cov-report=xml)"
	switch {
	case c == nil && len(none) == 0: // the configuration has tests, so they were cancelled
		check.Status, check.Message = ridgeline.Cancelled, "not measured: the tests did not run"
	case c == nil:
		check.Message = fmt.Sprintf("no coverage report: %s; %s", strings.Join(none, "; "), advice)
	case c.Lines == 0:
		check.Message = "the coverage report has no lines: nothing was measured; name the package or folder that is tested (pytest --cov=PACKAGE)"
	case c.Percent() < least:
		check.Message = fmt.Sprintf("%.1f %% of lines are covered, build.coverage asks for %g %%", c.Percent(), least)
	default:
		check.Status = ridgeline.Succeeded
		check.Message = fmt.Sprintf("%.1f %% of lines (at least %g %%)", c.Percent(), least)
		if c.Branches > 0 {
			check.Message += fmt.Sprintf(", %.1f %% of branches", c.BranchPercent())
		}
	}
	return check
}

// compare sets what changed since the last build of the branch that had
// results; of a branch's first build, since the newest published one.
func (b *Builder) compare(ctx context.Context, w work, now Results, r *ridgeline.Report) error {
	before, err := b.before(ctx, w)
	if err != nil || before.ID == "" {
		return err
	}
	var old Results
	if err := b.read(ctx, before.Report.Results, &old); err != nil {
		if ridgeline.CodeOf(err) == ridgeline.NotFound {
			return nil // forgotten since
		}
		return err
	}
	r.Before, r.TestsBefore = before.ID, before.Report.Tests
	if c := before.Report.Coverage; c != nil {
		r.LinesBefore = c.Percent()
	}
	was := statuses(old.Tests)
	for key, status := range statuses(now.Tests) {
		switch {
		case status == Broken && was[key] == Passed:
			r.NewlyFailing = append(r.NewlyFailing, key.test)
		case status == Passed && was[key] == Broken:
			r.NewlyPassing = append(r.NewlyPassing, key.test)
		}
	}
	r.NewlyFailing, r.NewlyPassing = shown(r.NewlyFailing), shown(r.NewlyPassing)
	return nil
}

func (b *Builder) before(ctx context.Context, w work) (ridgeline.Build, error) {
	rows, err := b.Store.Builds(ctx, store.BuildFilter{Project: w.Commit.Project, Branch: w.Commit.Branch, Limit: 50})
	if err != nil {
		return ridgeline.Build{}, err
	}
	earlier := false // they are listed newest first
	for _, row := range rows {
		if earlier && row.Nightly == w.Nightly && row.PullRequest == w.PullRequest && row.Report.Results != "" {
			return row, nil
		}
		earlier = earlier || row.ID == w.ID
	}
	p, err := b.Store.Pipeline(ctx, w.Commit.Project, 0)
	if ridgeline.CodeOf(err) == ridgeline.NotFound || w.Nightly {
		return ridgeline.Build{}, nil
	}
	if err != nil {
		return ridgeline.Build{}, err
	}
	row, err := b.Store.Build(ctx, p.Build)
	if row.Report.Results == "" {
		return ridgeline.Build{}, err
	}
	return row, err
}

// A testKey names a test within a build.
type testKey struct{ task, test string }

// statuses is how each test ended; of several of one name, broken if any was.
func statuses(tests []TestResult) map[testKey]string {
	out := make(map[testKey]string, len(tests))
	for _, t := range tests {
		key := testKey{t.Task, t.ID()}
		if out[key] == "" || t.Status == Broken {
			out[key] = t.Status
		}
	}
	return out
}

// sameTree is how many builds of the same files are looked at for flaky tests.
const sameTree = 20

// markFlaky looks for tests that had both results with the same files in the
// same environment, and marks them in every build that has them.
func (b *Builder) markFlaky(ctx context.Context, w work, now Results) error {
	rows, err := b.Store.Builds(ctx, store.BuildFilter{Project: w.Commit.Project, Tree: w.Commit.Tree, Limit: sameTree})
	if err != nil {
		return err
	}
	byBuild := map[ridgeline.BuildID]map[testKey]string{w.ID: statuses(now.Tests)}
	for _, row := range rows {
		if row.ID == w.ID || row.Environment != w.Lock.Hash || row.Report.Results == "" {
			continue
		}
		var old Results
		if err := b.read(ctx, row.Report.Results, &old); err != nil {
			if ridgeline.CodeOf(err) == ridgeline.NotFound {
				continue
			}
			return err
		}
		byBuild[row.ID] = statuses(old.Tests)
	}
	flaky := flakyIn(byBuild, now.Tests)
	for id, tests := range byBuild {
		var names []string
		for key := range tests {
			if flaky[key] {
				names = append(names, key.test)
			}
		}
		if len(names) == 0 {
			continue
		}
		if err := b.Store.MarkFlaky(ctx, id, shown(names)); err != nil {
			return err
		}
	}
	return nil
}

func flakyIn(builds map[ridgeline.BuildID]map[testKey]string, now []TestResult) map[testKey]bool {
	passed, broken, flaky := map[testKey]bool{}, map[testKey]bool{}, map[testKey]bool{}
	for _, tests := range builds {
		for key, status := range tests {
			switch status {
			case Passed:
				passed[key] = true
			case Broken:
				broken[key] = true
			}
			flaky[key] = passed[key] && broken[key]
		}
	}
	for _, t := range now {
		if t.Flaky {
			flaky[testKey{t.Task, t.ID()}] = true
		}
	}
	return flaky
}

// shown is the beginning of a list of names, in order.
func shown(names []string) []string {
	set := map[string]bool{}
	for _, n := range names {
		set[n] = true
	}
	all := slices.Sorted(maps.Keys(set))
	return all[:min(len(all), ridgeline.ReportNames)]
}
