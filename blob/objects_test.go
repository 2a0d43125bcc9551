package blob_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
)

func TestObjects(t *testing.T) {
	dir := t.TempDir()
	for name, address := range map[string]string{"folder": dir, "memory": "mem://"} {
		t.Run(name, func(t *testing.T) {
			s, err := blob.Open(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			o := s.Objects("predictions")
			for _, name := range []string{"wine/q/1/b.parquet", "wine/q/1/a.parquet", "wine/q/10/c.parquet", "wines/x"} {
				if err := o.Put(t.Context(), name, strings.NewReader("old")); err != nil {
					t.Fatal(err)
				}
			}
			if err := o.Put(t.Context(), "wine/q/1/a.parquet", strings.NewReader("replaced")); err != nil {
				t.Fatal(err)
			}
			list := func(below string) string {
				t.Helper()
				all, err := o.List(t.Context(), below)
				if err != nil {
					t.Fatal(err)
				}
				for i := range all {
					if time.Since(all[i].Changed) > time.Hour {
						t.Errorf("%s changed %v", all[i].Name, all[i].Changed)
					}
					all[i].Changed = time.Time{}
				}
				return strings.ReplaceAll(fmt.Sprint(all), fmt.Sprint(" ", time.Time{}), "")
			}
			if got, want := list("wine/q/1"), "[{wine/q/1/a.parquet 8} {wine/q/1/b.parquet 3}]"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if got := list(""); strings.Count(got, "{") != 4 || list("nowhere") != "[]" {
				t.Errorf("all: %s", got)
			}
			if o.Dir() != "" { // others write there, too
				if err := os.WriteFile(filepath.Join(o.Dir(), "wine", ".half.new"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
				if got := list("wine"); strings.Contains(got, "half") {
					t.Errorf("half-written files are listed: %s", got)
				}
			}
			r, err := o.Get(t.Context(), "wine/q/1/a.parquet")
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			r.Close()
			if err != nil || string(text) != "replaced" {
				t.Errorf("got %q, %v", text, err)
			}
			for range 2 {
				if err := o.Remove(t.Context(), "wine/q/10/c.parquet"); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := o.Get(t.Context(), "wine/q/10/c.parquet"); ridgeline.CodeOf(err) != ridgeline.NotFound {
				t.Errorf("got %v, want NotFound", err)
			}
			for _, name := range []string{"", "/a", "a//b", "../a", "a/../b", "a/.b", "a b"} {
				if err := o.Put(t.Context(), name, strings.NewReader("")); ridgeline.CodeOf(err) != ridgeline.Invalid {
					t.Errorf("%q: %v, want Invalid", name, err)
				}
			}
		})
	}
}
