package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

func testCourses(t *testing.T, s *Store) {
	ctx := t.Context()
	r := ridgeline.Run{ID: "r-1", Project: project(t, s), Pipeline: 1, Cause: "cli", Status: ridgeline.Running, Created: at(1), Started: at(1)}
	ok(t, s.CreateRun(ctx, r))
	ok(t, s.PlanSteps(ctx, r.ID, planned("train", "tune")))
	course := func(began time.Time, samples int) ridgeline.Course {
		c := ridgeline.NewCourse(began)
		for i := range samples {
			c.Add(float64(i+1), 1.5, int64(1e8+i))
		}
		return c
	}
	save := func(step string, number int, c ridgeline.Course) {
		t.Helper()
		ok(t, s.SaveAttempt(ctx, r.ID, step, ridgeline.Attempt{Number: number, Task: "t", Status: ridgeline.Running, Started: c.Began}))
		ok(t, s.SaveCourse(ctx, r.ID, step, number, c))
	}
	list := func(step string, limit int) (out []string) {
		for _, c := range must(s.Courses(ctx, r.ID, step, limit))(t) {
			out = append(out, fmt.Sprintf("%s %d: %v s", c.Step, c.Number, c.Length()))
		}
		return out
	}
	same(t, len(list("", 10)), 0)
	save("tune", 1, course(at(3), 20))
	save("train", 1, course(at(1), 5))
	save("train", 2, course(at(2), 300))
	same(t, list("", 10), []string{"train 1: 5 s", "train 2: 300 s", "tune 1: 20 s"})
	same(t, list("", 2), []string{"train 2: 300 s", "tune 1: 20 s"})
	same(t, list("tune", 2), []string{"tune 1: 20 s"})
	same(t, len(list("other", 2)), 0)
	same(t, len(must(s.Courses(ctx, "r-2", "", 10))(t)), 0)
	same(t, must(s.Courses(ctx, r.ID, "train", 1))(t)[0].Course, course(at(2), 300))

	// It grows; what comes late says nothing new; a command that began anew does.
	save("tune", 1, course(at(3), 30))
	save("tune", 1, course(at(3), 25))
	same(t, list("tune", 1), []string{"tune 1: 30 s"})
	save("tune", 1, course(at(4), 4))
	same(t, list("tune", 1), []string{"tune 1: 4 s"})

	broken := course(at(1), 3)
	broken.Cores = broken.Cores[1:]
	if err := s.SaveCourse(ctx, r.ID, "train", 1, broken); ridgeline.CodeOf(err) != ridgeline.Invalid {
		t.Errorf("columns of two lengths: %v", err)
	}
	if err := s.SaveCourse(ctx, r.ID, "train", 9, course(at(1), 3)); err == nil {
		t.Error("an attempt that there is not has a course")
	}
}
