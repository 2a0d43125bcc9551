// Package sqltest gives tests SQLite databases that were made once: to make all
// tables anew takes two seconds under the race detector, and nothing is learned
// by doing so for each test.
//
// It knows nothing of what is in them.
package sqltest

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// A Template is a database that each test gets a copy of. The zero value is
// ready; one is shared by the tests of a process.
type Template struct {
	once    sync.Once
	content []byte
	err     error
}

// URL is the address of a fresh copy. The first call makes what is copied: fill
// opens the database at an address, and closes it again.
func (p *Template) URL(t testing.TB, fill func(url string) error) string {
	t.Helper()
	p.once.Do(func() { p.content, p.err = filled(fill) })
	file := filepath.Join(t.TempDir(), "app.db")
	if err := errors.Join(p.err, os.WriteFile(file, p.content, 0o600)); err != nil {
		t.Fatalf("make a database for tests: %v", err)
	}
	return "sqlite:" + file
}

func filled(fill func(url string) error) ([]byte, error) {
	dir, err := os.MkdirTemp("", "sqltest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "app.db")
	if err := fill("sqlite:" + file); err != nil {
		return nil, err
	}
	if _, err := os.Stat(file + "-wal"); err == nil {
		return nil, errors.New("the database was not closed: a part of it is in " + file + "-wal")
	}
	return os.ReadFile(file)
}
