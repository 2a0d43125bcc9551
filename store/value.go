package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
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
func jsonText[V map[string]string | []ridgeline.Column | []ridgeline.Override | *ridgeline.Override](v V) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// metrics are numbers by name as JSON. JSON has no NaN and no infinity, and a
// diverged training reports them, so those are written as strings.
type metrics map[string]float64

func (m metrics) text() string {
	if m == nil {
		return "null"
	}
	out := make(map[string]any, len(m))
	for name, f := range m {
		out[name] = f
		if math.IsNaN(f) || math.IsInf(f, 0) {
			out[name] = strconv.FormatFloat(f, 'g', -1, 64)
		}
	}
	b, _ := json.Marshal(out)
	return string(b)
}

// UnmarshalJSON reads numbers, and NaN and infinities from their names.
func (m *metrics) UnmarshalJSON(b []byte) error {
	var raw map[string]any
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*m = nil
	if raw == nil {
		return nil
	}
	*m = make(metrics, len(raw))
	for name, v := range raw {
		switch v := v.(type) {
		case float64:
			(*m)[name] = v
		case string:
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				return fmt.Errorf("metric %s: %w", name, err)
			}
			(*m)[name] = f
		default:
			return fmt.Errorf("metric %s is a %T, expected a number", name, v)
		}
	}
	return nil
}

// absent reports that a query found no row.
func absent(err error) bool { return errors.Is(err, sql.ErrNoRows) }
