package flow

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

const (
	steps   = `SELECT step FROM ledger ORDER BY step`
	results = `SELECT result FROM ledger ORDER BY step`
)

// A finished ledger: each step's row once, with the result the step had.
func finished(t *testing.T, database string) {
	t.Helper()
	if got := rows(t, database, steps); !slices.Equal(got, []int{0, 1, 2, 3}) {
		t.Errorf("rows of steps %v, want each of 0 to 3 once", got)
	}
	if got := rows(t, database, results); !slices.Equal(got, []int{0, 1, 4, 9}) {
		t.Errorf("results %v, want 0 1 4 9", got)
	}
}

func TestFlow_Killed(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		folder := t.TempDir()
		release := hold(t, folder, 2)
		first := spawn(t, os.Args[0], database, folder)
		first.says(t, "step 2")
		first.signal(t, syscall.SIGKILL)
		first.gone(t)
		if got := rows(t, database, steps); !slices.Equal(got, []int{0, 1}) {
			t.Fatalf("rows of steps %v after the kill, want 0 and 1", got)
		}

		// Twice in the same step: it is the third process that gets through.
		second := spawn(t, os.Args[0], database, folder)
		second.says(t, "step 2")
		second.signal(t, syscall.SIGKILL)
		second.gone(t)

		release()
		third := spawn(t, os.Args[0], database, folder)
		before := third.says(t, "done one")
		if slices.Contains(before, "step 0") || slices.Contains(before, "step 1") {
			t.Errorf("a finished step ran again: %q", before)
		}
		finished(t, database)
		third.signal(t, syscall.SIGTERM)
		third.says(t, "stopped")
	})
}

func TestFlow_Stopped(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		folder := t.TempDir()
		release := hold(t, folder, 1)
		first := spawn(t, os.Args[0], database, folder)
		first.says(t, "step 1")
		first.signal(t, syscall.SIGTERM)
		first.says(t, "stopped")
		first.gone(t)

		release()
		second := spawn(t, os.Args[0], database, folder)
		second.says(t, "step 1")
		second.says(t, "done one")
		finished(t, database)
	})
}

// An upgrade changes the binary, and so the hash that DBOS takes for the
// application's version when it is not told one.
func TestFlow_Upgraded(t *testing.T) {
	database, folder := filepath.Join(t.TempDir(), "flow.db"), t.TempDir()
	release := hold(t, folder, 2)
	first := spawn(t, os.Args[0], database, folder)
	first.says(t, "step 2")
	first.signal(t, syscall.SIGKILL)
	first.gone(t)

	binary, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	upgraded := filepath.Join(t.TempDir(), "upgraded")
	if err := os.WriteFile(upgraded, append(binary, "another binary"...), 0o755); err != nil {
		t.Fatal(err)
	}
	release()
	spawn(t, upgraded, database, folder).says(t, "done one")
	finished(t, database)
}
