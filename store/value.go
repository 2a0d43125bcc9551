package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// encoding turns Go values into what the columns hold: times as microseconds
// since 1970 (0 for the zero time), truths as 0 and 1, bytes as text, and text
// as valid UTF-8 without NUL, which PostgreSQL refuses and log lines contain.
type encoding struct{ sqlq.Querier }

func (e encoding) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	return e.Querier.Exec(ctx, query, encode(args)...)
}

func (e encoding) Query(ctx context.Context, query string, args ...any) (sqlq.Rows, error) {
	return e.Querier.Query(ctx, query, encode(args)...)
}

func (e encoding) QueryRow(ctx context.Context, query string, args ...any) sqlq.Row {
	return e.Querier.QueryRow(ctx, query, encode(args)...)
}

func encode(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		switch v := a.(type) {
		case time.Time:
			out[i] = micros(v)
		case bool:
			out[i] = int64(0)
			if v {
				out[i] = int64(1)
			}
		case []byte:
			out[i] = cleanText(string(v))
		default:
			out[i] = a
			if r := reflect.ValueOf(a); r.Kind() == reflect.String {
				out[i] = cleanText(r.String())
			}
		}
	}
	return out
}

func cleanText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// asStored is the time as it comes back from a column.
func asStored(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMicro(t.UnixMicro()).UTC()
}

// scanner is a destination made of a function.
type scanner func(src any) error

func (s scanner) Scan(src any) error { return s(src) }

// asTime reads a time column.
func asTime(t *time.Time) sql.Scanner {
	return scanner(func(src any) error {
		n, ok := src.(int64)
		if !ok {
			return fmt.Errorf("expected microseconds, got %T", src)
		}
		*t = time.Time{}
		if n != 0 {
			*t = time.UnixMicro(n).UTC()
		}
		return nil
	})
}

// asBool reads a truth column.
func asBool(b *bool) sql.Scanner {
	return scanner(func(src any) error {
		n, ok := src.(int64)
		if !ok {
			return fmt.Errorf("expected 0 or 1, got %T", src)
		}
		*b = n != 0
		return nil
	})
}

// asBytes reads a text column into bytes; empty is nil.
func asBytes(b *[]byte) sql.Scanner {
	return scanner(func(src any) error {
		switch v := src.(type) {
		case string:
			*b = []byte(v)
		case []byte:
			*b = append([]byte(nil), v...)
		default:
			return fmt.Errorf("expected text, got %T", src)
		}
		if len(*b) == 0 {
			*b = nil
		}
		return nil
	})
}

// asJSON reads a text column written by jsonText.
func asJSON(v any) sql.Scanner {
	return scanner(func(src any) error {
		var b []byte
		if err := asBytes(&b).Scan(src); err != nil {
			return err
		}
		return json.Unmarshal(b, v)
	})
}

// jsonText writes what cannot fail to be JSON; nil stays distinct from empty.
func jsonText[V map[string]string | map[string]int | ridgeline.Metrics | ridgeline.Result | ridgeline.Report | []ridgeline.Column | []ridgeline.Override | *ridgeline.Override | ridgeline.Course](v V) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// absent reports that a query found no row.
func absent(err error) bool { return errors.Is(err, sql.ErrNoRows) }
