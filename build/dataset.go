package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// data describes, checks and splits every dataset, and records its version.
func (b *Builder) data(ctx context.Context, w work, cfg project.Config) ([]ridgeline.Check, error) {
	checks := make([]ridgeline.Check, 0, len(cfg.Data))
	for _, d := range cfg.Data {
		started := time.Now()
		check := ridgeline.Check{Name: "data " + d.Name, Kind: ridgeline.CheckData, Status: ridgeline.Running}
		if err := b.Store.SaveCheck(ctx, w.ID, check); err != nil {
			return nil, err
		}
		message, err := b.dataset(ctx, w, d)
		check.Seconds = time.Since(started).Seconds()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			check.Status, check.Message = ridgeline.Failed, err.Error()
		default:
			check.Status, check.Message = ridgeline.Succeeded, message
		}
		checks = append(checks, check)
	}
	return checks, nil
}

func (b *Builder) dataset(ctx context.Context, w work, d project.Dataset) (string, error) {
	path := d.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(w.source(), path)
	}
	findings := 0
	if d.Checks != "" {
		text, err := os.ReadFile(filepath.Join(w.source(), d.Checks))
		if err != nil {
			return "", fmt.Errorf("read %s: %w", d.Checks, err)
		}
		n, err := checkData(ctx, path, d, text)
		if err != nil {
			return "", err
		}
		findings = n
	}
	content, err := b.Library.Content(ctx, path, data.Holdout{Fraction: d.Holdout.Fraction, Key: d.Holdout.Key})
	if err != nil {
		return "", err
	}
	if d.Target != "" && !hasColumn(content.Columns, d.Target) {
		return "", ridgeline.Errorf(ridgeline.Invalid, "target %q is not a column of %s: it has %s", d.Target, d.Path, columnNames(content.Columns))
	}
	v, err := b.Store.SaveDatasetVersion(ctx, ridgeline.DatasetVersion{
		Project: w.Commit.Project, Name: d.Name, Created: time.Now().UTC(),
		DatasetContent: ridgeline.DatasetContent{Digest: content.Digest, Size: content.Size, Rows: content.Rows, Columns: content.Columns},
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("version %d: %d rows, %d columns, %d rules hold; %d rows to train on, %d held out",
		v.Version, v.Rows, len(v.Columns), findings, content.Sides.TrainRows, content.Sides.HoldoutRows), nil
}

// checkData returns how many rules hold, or an error that names each that
// does not.
func checkData(ctx context.Context, path string, d project.Dataset, checks []byte) (int, error) {
	db, err := data.Open()
	if err != nil {
		return 0, err
	}
	defer db.Close()
	findings, err := db.Check(ctx, path, checks, d.Checks, data.CheckOptions{})
	if err != nil {
		return 0, err
	}
	var broken []string
	for _, f := range findings {
		if !f.Fails() {
			continue
		}
		line := fmt.Sprintf("%s: expected %s, found %s", f.Rule, f.Expected, f.Found)
		if f.Column != "" {
			line = fmt.Sprintf("column %q, %s", f.Column, line)
		}
		if len(f.Rows) > 0 {
			line += " (" + strings.Join(f.Rows, "; ") + ")"
		}
		broken = append(broken, line)
	}
	if len(broken) > 0 {
		return 0, ridgeline.Errorf(ridgeline.Invalid, "%s\n(%s against %s)", strings.Join(broken, "\n"), d.Path, d.Checks)
	}
	return len(findings), nil
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
