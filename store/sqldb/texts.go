package sqldb

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// Texts calls fn with the text of every row of every table of the database,
// whoever it belongs to: the flow engine's tables too, and on PostgreSQL those
// of all schemas but the named ones. fn must not keep the text. It is for those
// who look for what is mentioned anywhere, in columns they need not know.
func (d *DB) Texts(ctx context.Context, except []string, fn func(text string)) error {
	selects, err := d.engine.texts(ctx, except)
	if err != nil {
		return fmt.Errorf("list the tables: %w", err)
	}
	for _, text := range selects {
		if err := eachText(ctx, d.Reader(), text, fn); err != nil {
			return fmt.Errorf("read a table: %w", err)
		}
	}
	return nil
}

func eachText(ctx context.Context, q sqlq.Querier, text string, fn func(string)) error {
	rows, err := q.Query(ctx, text)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			return err
		}
		fn(row)
	}
	return rows.Err()
}

// texts is, for each table, a query for its rows as one text each.
func (db *sqliteDB) texts(ctx context.Context, _ []string) ([]string, error) {
	const columns = `SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY m.name, c.cid`
	quoted := func(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
	byTable, names := map[string][]string{}, []string(nil)
	rows, err := db.readers.QueryContext(ctx, columns)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			return nil, err
		}
		if byTable[table] == nil {
			names = append(names, table)
		}
		byTable[table] = append(byTable[table], "COALESCE(CAST("+quoted(column)+" AS TEXT), '')")
	}
	var all []string
	for _, table := range names {
		all = append(all, "SELECT "+strings.Join(byTable[table], " || ' ' || ")+" FROM "+quoted(table))
	}
	return all, rows.Err()
}

func (db *postgresDB) texts(ctx context.Context, except []string) ([]string, error) {
	const tables = `SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'
		AND table_schema NOT IN ('pg_catalog', 'information_schema') AND NOT table_schema = ANY($1) ORDER BY table_schema, table_name`
	rows, err := db.pool.Query(ctx, tables, append([]string{}, except...))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var schema, table string
		if err := rows.Scan(&schema, &table); err != nil {
			return nil, err
		}
		all = append(all, "SELECT t::text FROM "+pgx.Identifier{schema, table}.Sanitize()+" t")
	}
	return all, rows.Err()
}
