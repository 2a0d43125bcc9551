package prediction

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/score/journal"
)

// A Query chooses what of a project's log is looked at. Zero values choose
// everything.
type Query struct {
	Project      ridgeline.ProjectName
	Environment  string
	Version      string
	Request      string // one request's id
	Status       int    // HTTP's; 4 and 5 stand for all of their hundred
	Since, Until time.Time
	Limit        int    // rows that are answered at most
	SQL          string // one SELECT over the tables predictions, probes, collected and feedback; else the newest predictions come first
}

// MaxRows bounds an answer.
const MaxRows = 10_000

// Ask answers a query. What the scorers of this machine have not finished yet
// is part of it.
func (l *Log) Ask(ctx context.Context, q Query) (data.Answer, error) {
	view, err := l.look(ctx, q)
	if err != nil {
		return data.Answer{}, err
	}
	defer view.close()
	query := q.SQL
	if query == "" {
		query = newest
	}
	return data.Ask(ctx, data.Question{Files: view.files, Setup: view.setup, Query: query, Limit: min(max(q.Limit, 1), MaxRows)})
}

const newest = `SELECT * FROM predictions ORDER BY time DESC, request_id, "row"`

// Export writes what a query chooses to a Parquet file. It has no SQL.
func (l *Log) Export(ctx context.Context, q Query, file string) (rows int64, err error) {
	view, err := l.look(ctx, q)
	if err != nil {
		return 0, err
	}
	defer view.close()
	return data.Export(ctx, view.setup, newest, file)
}

// A view is the log as DuckDB sees it: files, and the statements that make
// tables of them.
type view struct {
	dir   string
	files []string
	setup []string
}

func (v *view) close() { _ = os.RemoveAll(v.dir) }

func (l *Log) look(ctx context.Context, q Query) (_ *view, err error) {
	if _, err := l.Store.Project(ctx, q.Project); err != nil {
		return nil, err
	}
	v := &view{}
	if v.dir, err = os.MkdirTemp(l.Temp, "predictions-"); err != nil {
		return nil, fmt.Errorf("look at the inference log: %w", err)
	}
	defer func() {
		if err != nil {
			v.close()
		}
	}()
	if err = l.gather(ctx, q, v); err != nil {
		return nil, err
	}
	labels := filepath.Join(v.dir, "feedback.json")
	if err = l.labels(ctx, q, labels); err != nil {
		return nil, err
	}
	v.setup = tables(q, v.files, labels)
	v.files = append(v.files, labels)
	return v, nil
}

// gather finds the files that the query may need: those of the store, and what
// is not there yet.
func (l *Log) gather(ctx context.Context, q Query, v *view) error {
	// First what waits, then what is there: a segment that is brought meanwhile
	// is found at least once, and then left out by its name.
	waiting, err := l.waiting(q, v.dir)
	if err != nil {
		return err
	}
	list, err := l.Files.List(ctx, string(q.Project))
	if err != nil {
		return err
	}
	counted, err := l.counted(ctx, list)
	if err != nil {
		return err
	}
	waiting = slices.DeleteFunc(waiting, func(w string) bool { return counted.names[filepath.Base(w)] })
	for _, f := range counted.files {
		hour, ok := hourOf(f.Name)
		waiting = slices.DeleteFunc(waiting, func(w string) bool { return filepath.Base(w) == path.Base(f.Name) })
		if !ok || q.Version != "" && strings.Split(f.Name, "/")[2] != q.Version ||
			hour.Add(time.Hour).Before(q.Since) || !q.Until.IsZero() && hour.Add(-time.Hour).After(q.Until) {
			continue // requests begin up to an hour before they are answered
		}
		file, err := l.local(ctx, f.Name, v.dir)
		if ridgeline.CodeOf(err) == ridgeline.NotFound {
			continue // forgotten since
		} else if err != nil {
			return err
		}
		v.files = append(v.files, file)
	}
	v.files = append(v.files, waiting...)
	return nil
}

// local is a file's path on this machine, where it is brought if need be.
func (l *Log) local(ctx context.Context, name, dir string) (string, error) {
	if l.Files.Dir() != "" {
		return filepath.Join(l.Files.Dir(), filepath.FromSlash(name)), nil
	}
	r, err := l.Files.Get(ctx, name)
	if err != nil {
		return "", err
	}
	defer r.Close()
	file := filepath.Join(dir, path.Base(name))
	f, err := os.Create(file)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, r)
	return file, errors.Join(err, f.Close())
}

// waiting converts what the scorers of this machine have written and not
// brought to the files yet.
func (l *Log) waiting(q Query, dir string) (files []string, err error) {
	copies, err := l.copies()
	if err != nil {
		return nil, err
	}
	for _, c := range copies {
		list, err := journal.Segments(c)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, segment := range list {
			file := filepath.Join(dir, journal.FileName(segment))
			rows, err := snapshot(segment, file, q)
			if errors.Is(err, fs.ErrNotExist) {
				continue // brought to the files since
			} else if err != nil {
				return nil, err
			}
			if rows > 0 {
				files = append(files, file)
			}
		}
	}
	return files, nil
}

func snapshot(segment, file string, q Query) (rows int64, err error) {
	in, err := os.Open(segment)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	if info, err := in.Stat(); err != nil || info.ModTime().Before(q.Since) {
		return 0, err
	}
	if o, err := journal.OriginOf(in); err != nil || o.Project != string(q.Project) {
		return 0, nil // what is no segment is said by Adopt
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	out, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriterSize(out, 256<<10)
	rows, err = journal.Convert(in, w)
	return rows, errors.Join(err, w.Flush(), out.Close())
}

// labels writes the feedback that may belong to the query's rows. It cannot be
// older than they are, but for clocks that differ.
func (l *Log) labels(ctx context.Context, q Query, file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	e := json.NewEncoder(w)
	since := q.Since
	if !since.IsZero() {
		since = since.Add(-time.Hour)
	}
	err = l.Store.Feedback(ctx, q.Project, q.Environment, since, func(f ridgeline.Feedback) error {
		label := string(f.Label)
		var text string
		if json.Unmarshal(f.Label, &text) == nil {
			label = text // 'good' in SQL, not '"good"'
		}
		return e.Encode(map[string]any{"environment": f.Environment, "request_id": f.Request, "row": f.Row, "label": label,
			"at": f.At.UnixMicro(), "received": f.Received.UnixMicro()})
	})
	return errors.Join(err, w.Flush(), f.Close())
}

// columns are those that every file has, and those that some have, with
// DuckDB's types: a table has them although there is no file.
const columns = `NULL::TIMESTAMPTZ AS time, NULL::VARCHAR AS request_id, NULL::INTEGER AS "row", NULL::INTEGER AS "rows", NULL::VARCHAR AS client_id, NULL::VARCHAR AS trace_id,
	NULL::VARCHAR AS project, NULL::VARCHAR AS environment, NULL::VARCHAR AS model, NULL::VARCHAR AS version, NULL::VARCHAR AS deployment, NULL::VARCHAR AS copy,
	NULL::VARCHAR AS dialect, NULL::INTEGER AS status, NULL::VARCHAR AS error, NULL::DOUBLE AS latency_ms, NULL::DOUBLE AS queue_ms, NULL::DOUBLE AS model_ms,
	NULL::INTEGER AS batch, NULL::INTEGER AS worker, NULL::VARCHAR AS omitted, NULL::VARCHAR AS collection, NULL::VARCHAR AS purpose, NULL::VARCHAR AS data,
	NULL::VARCHAR AS request, NULL::VARCHAR AS response`

func tables(q Query, files []string, labels string) []string {
	entries := "SELECT " + columns + " WHERE false"
	if len(files) > 0 {
		entries += " UNION ALL BY NAME SELECT * FROM " + data.ParquetTable(files)
	}
	where := []string{"true"}
	if q.Environment != "" {
		where = append(where, "environment = "+quoted(q.Environment))
	}
	if q.Version != "" {
		where = append(where, "version = "+quoted(q.Version))
	}
	if q.Request != "" {
		where = append(where, "request_id = "+quoted(q.Request))
	}
	switch {
	case q.Status >= 100:
		where = append(where, fmt.Sprintf("status = %d", q.Status))
	case q.Status > 0:
		where = append(where, fmt.Sprintf("status // 100 = %d", q.Status))
	}
	if !q.Since.IsZero() {
		where = append(where, "time >= make_timestamptz("+fmt.Sprint(q.Since.UnixMicro())+")")
	}
	if !q.Until.IsZero() {
		where = append(where, "time < make_timestamptz("+fmt.Sprint(q.Until.UnixMicro())+")")
	}
	return []string{
		"CREATE VIEW entries AS SELECT * FROM (" + entries + ") WHERE " + strings.Join(where, " AND "),
		`CREATE VIEW feedback AS SELECT environment, request_id, "row", label, make_timestamptz("at") AS "at", make_timestamptz(received) AS received
			FROM read_json(` + quoted(labels) + `, format='newline_delimited', columns={environment: 'VARCHAR', request_id: 'VARCHAR', row: 'INTEGER', label: 'VARCHAR', "at": 'BIGINT', received: 'BIGINT'})`,
		`CREATE VIEW predictions AS SELECT e.* EXCLUDE (collection, data, purpose), f.label, f."at" AS label_at
			FROM entries e LEFT JOIN feedback f ON f.environment = e.environment AND f.request_id = e.request_id AND f."row" = e."row" WHERE e.collection IS NULL AND e.purpose IS NULL`,
		`CREATE VIEW probes AS SELECT * EXCLUDE (collection, data) FROM entries WHERE purpose IS NOT NULL AND collection IS NULL`,
		`CREATE VIEW collected AS SELECT time, request_id, "row", project, environment, model, version, deployment, purpose, collection, data FROM entries WHERE collection IS NOT NULL`,
	}
}

func quoted(s string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(s, "\x00", ""), "'", "''") + "'"
}
