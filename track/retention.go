package track

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// RetentionTag is the tag of an experiment that says how long what was deleted
// in it can be restored: 30d, 12h, 0, or forever.
const RetentionTag = "ridgeline.retention"

// DefaultRetention is how long where no tag says.
const DefaultRetention = 30 * 24 * time.Hour

const forever = time.Duration(-1)

var retentionDays = regexp.MustCompile(`^(\d{1,5})d$`)

func parseRetention(text string) (time.Duration, error) {
	if text == "forever" {
		return forever, nil
	}
	if m := retentionDays.FindStringSubmatch(text); m != nil {
		days, err := strconv.Atoi(m[1])
		return time.Duration(days) * 24 * time.Hour, err
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, ridgeline.Errorf(ridgeline.Invalid, "%s is '%s': expected a time span such as 30d or 12h, 0, or forever", RetentionTag, text)
	}
	return d, nil
}

func checkRetention(tags []Pair) error {
	for _, t := range tags {
		if t.Key == RetentionTag {
			if _, err := parseRetention(t.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// The kinds of what can be reclaimed.
const (
	KindRun        = "run"
	KindModel      = "logged model"
	KindExperiment = "experiment"
	KindVersion    = "files of deleted versions"
)

// An Expired is what was deleted longer ago than its experiment keeps it.
type Expired struct {
	Kind string
	ID   string
	// Folder is the path of its artifacts; empty when they are not on this server.
	Folder string

	number  int64 // of a run or an experiment
	deleted int64 // when; of a version's files, until when they may have been registered
}

// Expired returns what could be reclaimed at a time: runs and logged models,
// then experiments, which only go when nothing is left in them.
func (s *Store) Expired(ctx context.Context, at time.Time) ([]Expired, error) {
	retentions, err := s.retentions(ctx)
	if err != nil {
		return nil, doing(err, "read how long experiments keep what was deleted")
	}
	var all []Expired
	for _, kind := range []struct{ name, text string }{
		{KindRun, `SELECT id, artifact_uri, number, experiment, deleted FROM runs WHERE stage = 'deleted'`},
		{KindModel, `SELECT id, artifact_uri, 0, experiment, updated FROM models WHERE stage = 'deleted'`},
		{KindExperiment, `SELECT CAST(id AS TEXT), '', id, id, updated FROM experiments WHERE stage = 'deleted' AND id <> 0`},
	} {
		err := each(ctx, s.db.Reader(), func(row sqlq.Row) error {
			e := Expired{Kind: kind.name}
			var uri string
			var experiment int64
			if err := row.Scan(&e.ID, &uri, &e.number, &experiment, &e.deleted); err != nil {
				return err
			}
			keep, tagged := retentions[experiment]
			if !tagged {
				keep = DefaultRetention
			}
			if keep == forever || e.deleted > at.Add(-keep).UnixMilli() {
				return nil
			}
			e.Folder = folderOf(uri)
			all = append(all, e)
			return nil
		}, kind.text)
		if err != nil {
			return nil, doing(err, "look for what was deleted long ago")
		}
	}
	return all, nil
}

var ownArtifacts = regexp.MustCompile(`^mlflow-artifacts:/+([^/].*)$`)

// folderOf is the path of the artifacts at an address of this server; empty for
// those that are elsewhere.
func folderOf(uri string) string {
	if m := ownArtifacts.FindStringSubmatch(uri); m != nil {
		return strings.TrimSuffix(m[1], "/")
	}
	return ""
}

func (s *Store) retentions(ctx context.Context) (map[int64]time.Duration, error) {
	all := map[int64]time.Duration{}
	err := each(ctx, s.db.Reader(), func(row sqlq.Row) error {
		var id int64
		var text string
		if err := row.Scan(&id, &text); err != nil {
			return err
		}
		keep, err := parseRetention(text)
		if err != nil {
			keep = forever // what cannot be read must not lose anything
		}
		all[id] = keep
		return nil
	}, `SELECT experiment, value FROM experiment_tags WHERE key = $1`, RetentionTag)
	return all, err
}

// Purge forgets what has expired, with all that belongs to it, and reports
// whether it did: what was restored meanwhile, or is gone, is left alone, and an
// experiment that still has something in it stays.
func (s *Store) Purge(ctx context.Context, e Expired) (purged bool, err error) {
	err = s.group.Do(ctx, func(q sqlq.Querier) error {
		purged = false
		var n int64
		var err error
		switch e.Kind {
		case KindRun:
			n, err = q.Exec(ctx, `DELETE FROM runs WHERE number = $1 AND stage = 'deleted' AND deleted <= $2`, e.number, e.deleted)
		case KindModel:
			n, err = q.Exec(ctx, `DELETE FROM models WHERE id = $1 AND stage = 'deleted' AND updated <= $2`, e.ID, e.deleted)
		case KindExperiment:
			n, err = q.Exec(ctx, `DELETE FROM experiments WHERE id = $1 AND stage = 'deleted' AND updated <= $2
				AND NOT EXISTS (SELECT 1 FROM runs WHERE experiment = $1) AND NOT EXISTS (SELECT 1 FROM models WHERE experiment = $1)`, e.number, e.deleted)
		case KindVersion: // of each row by itself, because it may be registered again at this moment
			n, err = q.Exec(ctx, `DELETE FROM artifacts WHERE root = $1 AND modified <= $2`, e.Folder, e.deleted)
		}
		if err != nil || n == 0 {
			return err
		}
		if purged = true; e.Kind == KindVersion {
			return nil
		}
		return purgeRest(ctx, q, e)
	})
	return purged, doing(err, "reclaim %s %s", e.Kind, e.ID)
}

// purgeRest removes the rows of what is gone.
func purgeRest(ctx context.Context, q sqlq.Querier, e Expired) error {
	var tables []string
	var id any = e.number
	switch e.Kind {
	case KindRun:
		tables = []string{"params", "tags", "latest", "unsettled", "arrived", "fresh", "points", "inputs", "run_models"}
	case KindModel:
		tables, id = []string{"model_params", "model_tags", "model_metrics"}, e.ID
	case KindExperiment:
		tables = []string{"experiment_tags", "datasets"}
	}
	column := map[string]string{KindRun: "run", KindModel: "model", KindExperiment: "experiment"}[e.Kind]
	for _, table := range tables {
		if _, err := q.Exec(ctx, fmt.Sprintf(`DELETE FROM %s WHERE %s = $1`, table, column), id); err != nil {
			return err
		}
	}
	if e.Folder == "" {
		return nil
	}
	where, args := below(e.Folder)
	_, err := q.Exec(ctx, `DELETE FROM artifacts WHERE `+where, args...)
	return err
}

// EachContent calls fn for every artifact, with its whole path.
func (s *Store) EachContent(ctx context.Context, fn func(a Artifact)) error {
	return doing(s.eachArtifact(ctx, "", func(path string, a Artifact) {
		a.Path = path
		fn(a)
	}), "read the artifacts")
}
