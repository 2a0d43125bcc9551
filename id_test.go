package ridgeline_test

import (
	"crypto/rand"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestNewID(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	newID := func(at time.Time) string {
		t.Helper()
		id, err := ridgeline.NewID("r", at, rand.Read)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	t.Run("looks as documented", func(t *testing.T) {
		if id := newID(at); !regexp.MustCompile(`^r-[0-9a-hjkmnp-tv-z]{14}$`).MatchString(id) {
			t.Errorf("got %q", id)
		}
	})
	t.Run("sorts by the second it was made in", func(t *testing.T) {
		earlier := newID(at)
		for _, later := range []time.Duration{time.Second, time.Minute, 365 * 24 * time.Hour, 80 * 365 * 24 * time.Hour} {
			if id := newID(at.Add(later)); id <= earlier {
				t.Errorf("%q, made %s later, sorts before %q", id, later, earlier)
			}
		}
	})
	t.Run("never twice", func(t *testing.T) {
		seen := map[string]bool{}
		for range 10000 {
			id := newID(at)
			if seen[id] {
				t.Fatalf("%s came twice", id)
			}
			seen[id] = true
		}
	})
	t.Run("passes an error of the source on", func(t *testing.T) {
		broken := errors.New("no entropy")
		if _, err := ridgeline.NewID("r", at, func([]byte) (int, error) { return 0, broken }); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
	})
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"ab", "diabetes", "a1", "iris-v2", "a-b-c", strings.Repeat("a", 40)} {
		if err := ridgeline.CheckName("project", name); err != nil {
			t.Errorf("%q is refused: %v", name, err)
		}
	}
	for _, name := range []string{"", "a", "A", "Iris", "1a", "-ab", "ab-", "a--b", "a_b", "a b", "a/b", "a.b", "../ab", "ab\n", "äb", strings.Repeat("a", 41)} {
		err := ridgeline.CheckName("project", name)
		if ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("%q: got %v, want Invalid", name, err)
		}
	}
}
