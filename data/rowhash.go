package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// RowHashes returns the hash that decides each row's side in Split, by the
// key columns' values or, without a key, by all of them: what tells whether
// two datasets of one format have a row in common.
func (d *DB) RowHashes(ctx context.Context, path string, keyColumns []string) ([]uint64, error) {
	s, err := d.source(ctx, path)
	if err != nil {
		return nil, err
	}
	key, err := s.indexes(keyColumns)
	if err != nil {
		return nil, err
	}
	switch s.format {
	case csvFormat:
		return hashLines(ctx, &s, csvRows(&s, key))
	case jsonFormat:
		return hashLines(ctx, &s, jsonRows(keyColumns))
	}
	rows, err := d.db.QueryContext(ctx, "SELECT "+s.hashed(key)+" FROM "+s.relation())
	if err != nil {
		return nil, s.explain(ctx, err)
	}
	defer rows.Close()
	var out []uint64
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		h, err := strconv.ParseUint(text, 16, 64)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	if err := rows.Err(); err != nil {
		return nil, s.explain(ctx, err)
	}
	return out, nil
}

func hashLines(ctx context.Context, s *source, open func(io.Reader, string) rowReader) ([]uint64, error) {
	var out []uint64
	var values []byte
	for i, path := range s.files {
		err := func() error {
			f, err := os.Open(path)
			if err != nil {
				return fmt.Errorf("data: %w", err)
			}
			defer f.Close()
			r := open(f, s.names[i])
			if _, err := r.header(); err != nil {
				return err
			}
			for {
				if len(out)%10000 == 0 && ctx.Err() != nil {
					return ctx.Err()
				}
				if _, err := r.next(&values); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				out = append(out, hashOf(values))
			}
		}()
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
