package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// An Inspection is what a look at a content has found.
type Inspection struct {
	data.Description
	Profile  *data.Profile  // nil when the content cannot be read
	Findings []data.Finding // of every rule, kept or broken
	Reason   string         // why the content cannot be used; empty when it can
}

// Inspect describes the file or folder at path and holds it against the
// dataset's checks, the text of a checks.yaml (nil for none). Content that
// cannot be used is no error: the inspection says why. It needs no server.
func Inspect(ctx context.Context, path string, d project.Dataset, checks []byte, o data.CheckOptions) (Inspection, error) {
	db, err := data.Open()
	if err != nil {
		return Inspection{}, err
	}
	defer db.Close()
	var out Inspection
	unusable := func(rule, expected string, err error) (Inspection, error) {
		if code := ridgeline.CodeOf(err); code != ridgeline.Invalid {
			return out, err
		}
		out.Reason = err.Error()
		out.Findings = append(out.Findings, data.Finding{Rule: rule, Expected: expected, Found: err.Error(), Severity: data.Fail})
		return out, nil
	}
	if checks != nil {
		if out.Findings, err = db.Check(ctx, path, checks, d.Checks, o); err != nil {
			return unusable("read", "data that can be read and checked", err)
		}
	}
	if out.Description, err = db.Describe(ctx, path); err != nil {
		return unusable("read", "data that can be read", err)
	}
	profile, err := db.ProfileOf(ctx, path, out.Description)
	if err != nil {
		return unusable("read", "data that can be read", err)
	}
	out.Profile = &profile
	if d.Target != "" && !hasColumn(out.Columns, d.Target) {
		return unusable("target", "a column "+d.Target, ridgeline.Errorf(ridgeline.Invalid,
			"target %q is not a column of %s: it has %s", d.Target, d.Path, columnNames(out.Columns)))
	}
	out.Reason = Broken(out.Findings)
	return out, nil
}

// Broken tells the rules that refuse the data, each in a line; nothing when
// none does.
func Broken(findings []data.Finding) string {
	var lines []string
	for _, f := range findings {
		if f.Fails() {
			lines = append(lines, f.String())
		}
	}
	return strings.Join(lines, "\n")
}

// hold is how many rules a content keeps.
func hold(findings []data.Finding) int {
	n := 0
	for _, f := range findings {
		if f.OK {
			n++
		}
	}
	return n
}

// checked describes an arrival's content and decides whether it may be used.
func (i *Intake) checked(ctx context.Context, a ridgeline.Arrival) (ridgeline.Arrival, error) {
	set, err := i.setting(ctx, i.Store, a.Project, a.Dataset)
	if err != nil {
		return a, err
	}
	rules, err := i.rules(ctx, set)
	if err != nil {
		return a, err
	}
	return i.judge(ctx, a, set.Dataset, rules)
}

// judge is the verdict on an arrival whose files are here: Accepted, or
// Quarantined with its report.
func (i *Intake) judge(ctx context.Context, a ridgeline.Arrival, d project.Dataset, rules []byte) (ridgeline.Arrival, error) {
	m, err := getJSON[ridgeline.DatasetManifest](ctx, i, a.Manifest)
	if err != nil {
		return a, err
	}
	path, err := i.lay(ctx, a.Manifest, m)
	if err != nil {
		return a, err
	}
	found, err := Inspect(ctx, path, d, rules, data.CheckOptions{Reference: i.reference(a.Project, d.Name)})
	if err != nil {
		return a, err
	}
	for n, f := range found.Findings { // this machine's folders mean nothing to a reader
		found.Findings[n].Found = strings.ReplaceAll(f.Found, path, a.Origin)
	}
	found.Reason = strings.ReplaceAll(found.Reason, path, a.Origin)
	a.Status, a.Reason, a.Rules = ridgeline.Accepted, found.Reason, rulesDigest(d, rules)
	a.Rows, a.Columns = found.Rows, found.Columns
	if found.Profile != nil {
		if a.Profile, err = i.putJSON(ctx, found.Profile); err != nil {
			return a, err
		}
	}
	if a.Reason == "" {
		// A side without rows shows here instead of in the middle of a run.
		_, err := i.Library.Split(ctx, path, described(a.DatasetContent), holdout(d))
		if err != nil && ridgeline.CodeOf(err) != ridgeline.Invalid {
			return a, err
		}
		if err != nil {
			a.Reason = strings.ReplaceAll(err.Error(), path, a.Origin)
			found.Findings = append(found.Findings, data.Finding{Rule: "holdout", Expected: "rows on both sides", Found: a.Reason, Severity: data.Fail})
		}
	}
	if a.Reason != "" {
		a.Status = ridgeline.Quarantined
	}
	a.Findings, err = json.Marshal(found.Findings)
	return a, err
}

// rulesDigest tells whether content would be checked in the same way again.
func rulesDigest(d project.Dataset, checks []byte) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %v %q %s", d.Target, d.Holdout.Fraction, d.Holdout.Key, checks))
	return hex.EncodeToString(sum[:])
}

// reference finds what a check compares with: the dataset's own version in use,
// or another dataset of the project, NAME or NAME:V.
func (i *Intake) reference(project ridgeline.ProjectName, dataset string) func(ctx context.Context, name string) (string, error) {
	return func(ctx context.Context, name string) (string, error) {
		of, version, err := splitVersion(name)
		if err != nil {
			return "", err
		}
		if of == "" {
			of = dataset
		}
		v, err := i.Store.DatasetVersion(ctx, project, of, version)
		if err != nil {
			return "", err
		}
		return i.Path(ctx, v)
	}
}

// splitVersion reads NAME or NAME:V; without a version it is 0.
func splitVersion(name string) (string, int, error) {
	of, number, found := strings.Cut(name, ":")
	if !found {
		return of, 0, nil
	}
	version, err := strconv.Atoi(number)
	if err != nil || version < 1 {
		return "", 0, ridgeline.Errorf(ridgeline.Invalid, "%q is no version of a dataset: write NAME or NAME:VERSION", name)
	}
	return of, version, nil
}

func hasColumn(columns []ridgeline.Column, name string) bool {
	for _, c := range columns {
		if c.Name == name {
			return true
		}
	}
	return false
}

func columnNames(columns []ridgeline.Column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}
