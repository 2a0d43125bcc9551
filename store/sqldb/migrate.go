package sqldb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

const createMigrations = `CREATE TABLE IF NOT EXISTS ridgeline_migrations (
	name    TEXT PRIMARY KEY,
	sha256  TEXT NOT NULL,
	applied BIGINT NOT NULL
)`

var migrationName = regexp.MustCompile(`^[0-9]{4}-[a-z0-9-]+\.sql$`)

// A migration is one file: SQL that both databases understand, applied once.
type migration struct{ name, sha256, text string }

// migrate applies, in the order of their names, the migrations that the
// database does not have yet, each in a transaction of its own. It fails, and
// changes nothing further, when the recorded ones are not the beginning of
// that list: an edited file, or a database that a newer program has changed.
func migrate(ctx context.Context, db engine, files fs.FS, log *slog.Logger) error {
	all, err := migrations(files)
	if err != nil {
		return err
	}
	err = db.write(ctx, func(q sqlq.Querier) error {
		if err := db.lockMigrations(ctx, q); err != nil {
			return err
		}
		_, err := q.Exec(ctx, createMigrations)
		return err
	})
	if err != nil {
		return fmt.Errorf("prepare the migrations: %w", err)
	}
	for {
		next := ""
		err := db.write(ctx, func(q sqlq.Querier) error {
			next, err = migrateOne(ctx, db, q, all)
			return err
		})
		switch {
		case err != nil:
			return err
		case next == "":
			return nil
		}
		log.Info("database migrated", "migration", next)
	}
}

// migrateOne checks what is recorded and applies the first migration that is
// not; it returns that one's name, empty when there was none left.
func migrateOne(ctx context.Context, db engine, q sqlq.Querier, all []migration) (string, error) {
	// Another server may be migrating too: look again under the lock each time.
	if err := db.lockMigrations(ctx, q); err != nil {
		return "", fmt.Errorf("lock the migrations: %w", err)
	}
	recorded, err := recordedMigrations(ctx, q)
	if err != nil {
		return "", fmt.Errorf("read the migrations: %w", err)
	}
	var next *migration
	for i, m := range all {
		sum, applied := recorded[m.name]
		delete(recorded, m.name)
		switch {
		case applied && sum != m.sha256:
			return "", ridgeline.Errorf(ridgeline.Conflict, "migration %s was edited after it had been applied to this database (sha256 %.12s there, %.12s in this program): undo the edit and add a new migration instead", m.name, sum, m.sha256)
		case applied && next != nil:
			return "", ridgeline.Errorf(ridgeline.Conflict, "migration %s comes before %s, which this database already has: give it a higher number", next.name, m.name)
		case !applied && next == nil:
			next = &all[i]
		}
	}
	for name := range recorded {
		return "", ridgeline.Errorf(ridgeline.Conflict, "this database was changed by a newer Ridgeline (it has migration %s, which this program does not know): start that newer version, or restore a backup made by this one", name)
	}
	if next == nil {
		return "", nil
	}
	if _, err := q.Exec(ctx, db.dialect(next.text)); err != nil {
		return "", fmt.Errorf("apply migration %s: %w", next.name, err)
	}
	const record = `INSERT INTO ridgeline_migrations (name, sha256, applied) VALUES ($1, $2, $3)`
	if _, err := q.Exec(ctx, record, next.name, next.sha256, time.Now().UnixMicro()); err != nil {
		return "", fmt.Errorf("record migration %s: %w", next.name, err)
	}
	return next.name, nil
}

func recordedMigrations(ctx context.Context, q sqlq.Querier) (map[string]string, error) {
	rows, err := q.Query(ctx, `SELECT name, sha256 FROM ridgeline_migrations`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	recorded := map[string]string{}
	for rows.Next() {
		var name, sum string
		if err := rows.Scan(&name, &sum); err != nil {
			return nil, err
		}
		recorded[name] = sum
	}
	return recorded, rows.Err()
}

// migrations reads the files, in the order of their names.
func migrations(files fs.FS) ([]migration, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, fmt.Errorf("list the migrations: %w", err)
	}
	var all []migration
	for _, e := range entries {
		if !migrationName.MatchString(e.Name()) {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "migration file %q: expected a name such as 0001-first.sql", e.Name())
		}
		text, err := fs.ReadFile(files, e.Name())
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		// A checkout with other line ends is the same migration.
		text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
		sum := sha256.Sum256(text)
		all = append(all, migration{name: e.Name(), sha256: hex.EncodeToString(sum[:]), text: string(text)})
	}
	return all, nil
}
