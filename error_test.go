package ridgeline_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestCodeOf(t *testing.T) {
	conflict := ridgeline.Errorf(ridgeline.Conflict, "run %s already ended", "r-1")
	for name, test := range map[string]struct {
		err  error
		want ridgeline.Code
	}{
		"nothing":                       {nil, ""},
		"classified":                    {conflict, ridgeline.Conflict},
		"wrapped":                       {fmt.Errorf("cancel: %w", conflict), ridgeline.Conflict},
		"joined":                        {errors.Join(errors.New("other"), conflict), ridgeline.Conflict},
		"unclassified":                  {fs.ErrNotExist, ridgeline.Internal},
		"the outermost of two decides":  {ridgeline.Errorf(ridgeline.Invalid, "bad: %w", conflict), ridgeline.Invalid},
		"a context's end has no code":   {context.Canceled, ridgeline.Internal},
		"classified around a plain one": {ridgeline.Errorf(ridgeline.Unavailable, "later: %w", fs.ErrClosed), ridgeline.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ridgeline.CodeOf(test.err); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestErrorf(t *testing.T) {
	err := ridgeline.Errorf(ridgeline.Invalid, "read %s: %w", "data.csv", fs.ErrNotExist)
	if got, want := err.Error(), "read data.csv: file does not exist"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("the cause is lost")
	}
	var classified *ridgeline.Error
	if !errors.As(fmt.Errorf("outer: %w", err), &classified) || classified.Code != ridgeline.Invalid {
		t.Errorf("got %v, want the error with its code", classified)
	}
}

func TestCodes_complete(t *testing.T) {
	seen := map[ridgeline.Code]bool{}
	for _, code := range ridgeline.Codes() {
		if code == "" || seen[code] {
			t.Errorf("%q is empty or there twice", code)
		}
		seen[code] = true
		if got := ridgeline.CodeOf(ridgeline.Errorf(code, "x")); got != code {
			t.Errorf("got %q, want %q", got, code)
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d codes, want 6", len(seen))
	}
}
