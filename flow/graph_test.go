package flow

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestGraph(t *testing.T) {
	// 2 is slow: 1 and 3 do not wait for it, 4 does, also over a restart.
	needs := [][]int{{}, {0}, {}, {1}, {2, 3}}
	onBoth(t, func(t *testing.T, database string) {
		var counts [5]atomic.Int32
		third := make(chan struct{})
		handler := func(second bool) Handler {
			return func(c *Context, _ string) error {
				got, errs := Graph(c, "place", needs, func(ctx context.Context, i int, of Results[string]) (string, error) {
					counts[i].Add(1)
					if i == 2 && !second {
						<-ctx.Done()
						return "done by an interrupted step", nil
					}
					if i == 1 {
						return "", ridgeline.Errorf(ridgeline.NotFound, "no place 1")
					}
					text := fmt.Sprint(i)
					for _, j := range needs[i] {
						value, err := of(j)
						text += fmt.Sprintf("(%s %s)", value, ridgeline.CodeOf(err))
					}
					if i == 3 {
						defer close(third)
					}
					return text, nil
				})
				if !second {
					if !Interrupted(errs[2]) || !Interrupted(errs[4]) {
						t.Errorf("errors %v, want 2 and 4 interrupted", errs)
					}
					return errs[4]
				}
				for i, want := range []string{"0", "", "2", "3( not_found)", "4(2 )(3( not_found) )"} {
					if got[i] != want {
						t.Errorf("place %d: %q, want %q", i, got[i], want)
					}
				}
				if ridgeline.CodeOf(errs[1]) != ridgeline.NotFound {
					t.Errorf("place 1: %v", errs[1])
				}
				return nil
			}
		}
		e := launch(t, database, map[string]Handler{"work": handler(false)})
		start(t, e, "work", "one")
		<-third
		shutdown(t, e)
		third = make(chan struct{})

		e = launch(t, database, map[string]Handler{"work": handler(true)})
		ends(t, e, "work", "one", Done)
		for i, want := range []int32{1, 1, 2, 0, 1} {
			// Whether 3 was on record when the engine stopped is chance.
			if got := counts[i].Load(); i != 3 && got != want {
				t.Errorf("place %d ran %d times, want %d", i, got, want)
			}
		}
	})
	t.Run("in no order", func(t *testing.T) {
		e := launch(t, filepath.Join(t.TempDir(), "flow.db"), map[string]Handler{"work": func(c *Context, _ string) error {
			_, errs := Graph(c, "place", [][]int{{1}, {}}, func(context.Context, int, Results[int]) (int, error) { return 0, nil })
			return errs[1]
		}})
		start(t, e, "work", "one")
		ends(t, e, "work", "one", Failed)
	})
}
