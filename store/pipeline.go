package store

import (
	"context"
	"fmt"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// PublishPipeline gives the pipeline the next version of its project, notes it
// on its build and returns it so. Where the newest version is the same code in
// the same environment, that one is noted and returned, with the build that
// published it: however often a commit comes, and whichever way, it is one
// pipeline. It happens once per build: the same build again returns what it
// got then. A build that failed or was cancelled publishes nothing: Conflict.
// p.Version is not looked at.
func (s *Store) PublishPipeline(ctx context.Context, p ridgeline.Pipeline) (ridgeline.Pipeline, error) {
	const insert = `INSERT INTO pipelines (project, build, hash, tree, environment, lock, python, config, created, version)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, (SELECT COALESCE(MAX(version), 0) + 1 FROM pipelines WHERE project = $1))`
	var published ridgeline.Pipeline
	err := s.changeBuild(ctx, "publish the pipeline of", p.Build, func(tx *Store, b *ridgeline.Build) (err error) {
		switch {
		case b.Project != p.Project:
			return ridgeline.Errorf(ridgeline.Invalid, "build %s is of project %s, not %s", b.ID, b.Project, p.Project)
		case b.Pipeline != 0:
			published, err = tx.Pipeline(ctx, p.Project, b.Pipeline)
			return err
		case b.Status.Terminal() && b.Status != ridgeline.Succeeded:
			return ended("build", b.ID, b.Status)
		}
		if err := tx.lockProject(ctx, p.Project); err != nil {
			return err
		}
		if err := tx.saveCommit(ctx, p.Project, p.Commit); err != nil {
			return err
		}
		newest, err := tx.Pipeline(ctx, p.Project, 0)
		switch {
		case err == nil && newest.Stands(p):
			published = newest
			_, err = tx.tx.Exec(ctx, `UPDATE builds SET pipeline = $1 WHERE id = $2`, published.Version, p.Build)
			return err
		case err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound:
			return err
		}
		if _, err := tx.tx.Exec(ctx, insert, p.Project, p.Build, p.Commit.Hash, p.Commit.Tree, p.Environment, p.Lock, p.Python, p.Config, p.Created); err != nil {
			return err
		}
		if published, err = tx.Pipeline(ctx, p.Project, 0); err != nil {
			return err
		}
		if _, err = tx.tx.Exec(ctx, `UPDATE builds SET pipeline = $1 WHERE id = $2`, published.Version, p.Build); err != nil {
			return err
		}
		return tx.emitPipeline(ctx, published)
	})
	return published, err
}

const selectPipelines = `SELECT p.project, p.version, p.build, p.environment, p.lock, p.python, p.config, p.created, ` + commitColumns + `
	FROM pipelines p JOIN commits c ON c.project = p.project AND c.hash = p.hash AND c.tree = p.tree JOIN builds b ON b.id = p.build`

func scanPipeline(row sqlq.Row) (p ridgeline.Pipeline, err error) {
	err = row.Scan(append([]any{&p.Project, &p.Version, &p.Build, &p.Environment, &p.Lock, &p.Python, &p.Config, asTime(&p.Created)},
		commitFields(&p.Commit)...)...)
	return p, err
}

// Pipeline returns a published version of the project; version 0 is the newest.
func (s *Store) Pipeline(ctx context.Context, project ridgeline.ProjectName, version int) (ridgeline.Pipeline, error) {
	var f filter
	f.and("p.project = ?", project)
	if version != 0 {
		f.and("p.version = ?", version)
	}
	query, args := f.sql(selectPipelines, "p.version DESC", 1)
	p, err := scanPipeline(s.q().QueryRow(ctx, query, args...))
	switch {
	case absent(err) && version == 0:
		return p, ridgeline.Errorf(ridgeline.NotFound, "project %s has no published pipeline: push it, a green build publishes one", project)
	case absent(err):
		return p, ridgeline.Errorf(ridgeline.NotFound, "project %s has no pipeline version %d", project, version)
	case err != nil:
		return p, fmt.Errorf("read pipeline %d of %s: %w", version, project, err)
	}
	return p, nil
}

// Pipelines returns the project's published versions, newest first.
func (s *Store) Pipelines(ctx context.Context, project ridgeline.ProjectName) ([]ridgeline.Pipeline, error) {
	all, err := collect(ctx, s.q(), scanPipeline, selectPipelines+` WHERE p.project = $1 ORDER BY p.version DESC`, project)
	if err != nil {
		return nil, fmt.Errorf("list pipelines of %s: %w", project, err)
	}
	return all, nil
}

// PipelineByEnvironment returns the newest pipeline published with the locked
// environment of that hash: whoever has to make the environment again finds
// the lock there.
func (s *Store) PipelineByEnvironment(ctx context.Context, environment string) (ridgeline.Pipeline, error) {
	var f filter
	f.and("p.environment = ?", environment)
	query, args := f.sql(selectPipelines, "p.created DESC", 1)
	p, err := scanPipeline(s.q().QueryRow(ctx, query, args...))
	switch {
	case absent(err):
		return p, ridgeline.Errorf(ridgeline.NotFound, "no pipeline was published with environment %s", environment)
	case err != nil:
		return p, fmt.Errorf("read the pipeline with environment %s: %w", environment, err)
	}
	return p, nil
}
