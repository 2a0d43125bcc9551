// Package storetest gives tests empty stores. What is put into them it leaves to
// the tests.
package storetest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/internal/sqltest"
	"github.com/ridgeline-mlops/ridgeline/store"
)

var template sqltest.Template

// Address is that of a fresh, empty store on SQLite, for store.Open.
func Address(t testing.TB) string {
	t.Helper()
	return template.URL(t, func(url string) error {
		s, err := store.Open(context.WithoutCancel(t.Context()), url, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		return s.Close()
	})
}
