package store

import (
	"context"
	"fmt"
	"net/url"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// MostViews is how many views a project has at most, and how many there are of
// all projects: a menu lists them.
const MostViews = 200

// SaveView keeps a view. Another one of its name is Conflict, unless it is to be
// replaced; the same again is harmless.
func (s *Store) SaveView(ctx context.Context, v ridgeline.View, replace bool) error {
	const insert = `INSERT INTO run_views (project, name, query, caller, saved) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (project, name) DO NOTHING`
	const update = `UPDATE run_views SET query = $1, caller = $2, saved = $3 WHERE project = $4 AND name = $5`
	ActOf(ctx).On(viewSubject(v.Project, v.Name))
	return s.doing(ctx, "save view "+v.Name, func(tx *Store) error {
		if err := tx.checkView(ctx, v); err != nil {
			return err
		}
		n, err := tx.tx.Exec(ctx, insert, v.Project, v.Name, v.Query, v.Caller, v.Saved)
		if err != nil {
			return err
		}
		if n > 0 {
			return tx.roomForViews(ctx, v.Project)
		}
		old, err := tx.View(ctx, v.Project, v.Name)
		switch {
		case err != nil:
			return err
		case old.Query == v.Query:
			ActOf(ctx).Nothing()
			return nil
		case !replace:
			return ridgeline.Errorf(ridgeline.Conflict, "a view %q%s is there already, saved by %s: give another name, or say that it is to be replaced", v.Name, ofProject(v.Project), old.Caller)
		}
		_, err = tx.tx.Exec(ctx, update, v.Query, v.Caller, v.Saved, v.Project, v.Name)
		return err
	})
}

// checkView refuses a view that shows nothing.
func (s *Store) checkView(ctx context.Context, v ridgeline.View) error {
	if err := v.Check(); err != nil {
		return err
	}
	q, err := url.ParseQuery(v.Query)
	if err != nil {
		return err
	}
	if _, err := ParseRunConditions(q.Get("where")); err != nil {
		return err
	}
	if v.Project != "" {
		_, err = s.Project(ctx, v.Project)
	}
	return err
}

func (s *Store) roomForViews(ctx context.Context, project ridgeline.ProjectName) error {
	var n int64
	if err := s.tx.QueryRow(ctx, `SELECT COUNT(*) FROM run_views WHERE project = $1`, project).Scan(&n); err != nil || n <= MostViews {
		return err
	}
	return ridgeline.Errorf(ridgeline.Invalid, "%d views%s are there already: remove one first", MostViews, ofProject(project))
}

const selectViews = `SELECT project, name, query, caller, saved FROM run_views`

func scanView(row sqlq.Row) (v ridgeline.View, err error) {
	return v, row.Scan(&v.Project, &v.Name, &v.Query, &v.Caller, asTime(&v.Saved))
}

// View returns the view of that name of a project; of none: of all projects.
func (s *Store) View(ctx context.Context, project ridgeline.ProjectName, name string) (ridgeline.View, error) {
	v, err := scanView(s.q().QueryRow(ctx, selectViews+` WHERE project = $1 AND name = $2`, project, name))
	switch {
	case absent(err):
		return v, ridgeline.Errorf(ridgeline.NotFound, "no view %q%s: ridgeline views lists those there are", name, ofProject(project))
	case err != nil:
		return v, fmt.Errorf("read view %s: %w", name, err)
	}
	return v, nil
}

// Views returns the views of these projects, by name; "" stands for those of all
// projects. Without projects it is all there are.
func (s *Store) Views(ctx context.Context, of ...ridgeline.ProjectName) ([]ridgeline.View, error) {
	var f filter
	if len(of) > 0 {
		in(&f, "project", of)
	}
	query, args := f.sql(selectViews, "project, name", 0)
	all, err := collect(ctx, s.q(), scanView, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list views: %w", err)
	}
	return all, nil
}

// RemoveView forgets the view, and returns what it was. What is not there is
// NotFound.
func (s *Store) RemoveView(ctx context.Context, project ridgeline.ProjectName, name string) (v ridgeline.View, err error) {
	ActOf(ctx).On(viewSubject(project, name))
	err = s.doing(ctx, "remove view "+name, func(tx *Store) error {
		if v, err = tx.View(ctx, project, name); err != nil {
			return err
		}
		_, err := tx.tx.Exec(ctx, `DELETE FROM run_views WHERE project = $1 AND name = $2`, project, name)
		return err
	})
	return v, err
}

// viewSubject is what the audit trail calls it.
func viewSubject(project ridgeline.ProjectName, name string) string {
	if project == "" {
		return "views/" + name
	}
	return "projects/" + string(project) + "/views/" + name
}

func ofProject(project ridgeline.ProjectName) string {
	if project == "" {
		return " of all projects"
	}
	return " of project " + string(project)
}
