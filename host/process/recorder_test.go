package process

import (
	"math"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestRecorder(t *testing.T) {
	r := recorder{course: ridgeline.NewCourse(time.Unix(1, 0))}
	look := func(ms int, cpu float64, memory int64) { r.look(time.Duration(ms)*time.Millisecond, cpu, memory) }
	look(300, 0.3, 5e8) // a peak between two samples
	look(600, 0.6, 1e8)
	look(1000, 1, 1e8)
	look(2000, 0.4, 2e8) // a process has ended just while it was looked for
	look(3000, 3, 2e8)   // and is among what was reaped
	look(3200, 3.2, 7e8)
	c := r.end(ridgeline.Usage{WallSeconds: 3.5, CPUSeconds: 3.6})
	want := ridgeline.Course{Seconds: []float64{1, 2, 3, 3.5}, Cores: []float64{1, 0, 2, 1.2}, Memory: []int64{5e8, 2e8, 2e8, 7e8}}
	if len(c.Seconds) != 4 {
		t.Fatalf("%+v, want %+v", c, want)
	}
	for i := range want.Seconds {
		if c.Seconds[i] != want.Seconds[i] || math.Abs(c.Cores[i]-want.Cores[i]) > 1e-6 || c.Memory[i] != want.Memory[i] {
			t.Errorf("sample %d: %v s, %v cores, %d bytes; want %+v", i, c.Seconds[i], c.Cores[i], c.Memory[i], want)
		}
	}
	if got := c.CPUSeconds(); math.Abs(got-3.6) > 1e-6 {
		t.Errorf("%v processor seconds, want 3.6", got)
	}
}

func TestRecorder_of_a_moment(t *testing.T) {
	r := recorder{course: ridgeline.NewCourse(time.Unix(1, 0))}
	r.look(20*time.Millisecond, 0, 1e6)
	if c := r.end(ridgeline.Usage{WallSeconds: 0.05}); len(c.Seconds) != 0 || !c.Whole() {
		t.Errorf("%+v, want nothing", c)
	}
}
