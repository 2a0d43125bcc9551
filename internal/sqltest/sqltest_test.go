package sqltest

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestTemplate(t *testing.T) {
	var p Template
	made := 0
	fill := func(url string) error {
		made++
		return os.WriteFile(strings.TrimPrefix(url, "sqlite:"), []byte("tables"), 0o600)
	}
	one, two := strings.TrimPrefix(p.URL(t, fill), "sqlite:"), strings.TrimPrefix(p.URL(t, fill), "sqlite:")
	if err := os.WriteFile(one, []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(two); err != nil || string(text) != "tables" || made != 1 {
		t.Errorf("%q, %v, made %d times", text, err, made)
	}
}

func TestTemplate_that_fails(t *testing.T) {
	if _, err := filled(func(string) error { return errors.ErrUnsupported }); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	open := func(url string) error {
		file := strings.TrimPrefix(url, "sqlite:")
		return errors.Join(os.WriteFile(file, nil, 0o600), os.WriteFile(file+"-wal", nil, 0o600))
	}
	if _, err := filled(open); err == nil || !strings.Contains(err.Error(), "was not closed") {
		t.Error(err)
	}
}
