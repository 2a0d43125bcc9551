package data

import "fmt"

// ToParquet copies a dataset for tests, with the types that Describe sees.
func (d *DB) ToParquet(csv, parquet string) error {
	_, err := d.db.Exec(fmt.Sprintf("COPY (SELECT * FROM read_csv(%s)) TO %s (FORMAT parquet)", literal(csv), literal(parquet)))
	return err
}

// Exec runs a statement for tests that make odd files.
func (d *DB) Exec(query string) error {
	_, err := d.db.Exec(query)
	return err
}

// SetWide says from how many columns on a source counts as wide.
func (d *DB) SetWide(columns int) { d.wide = columns }
