package ridgeline

import (
	"math"
	"testing"
	"time"
)

func TestCourse_Add(t *testing.T) {
	c := NewCourse(time.Unix(1, 0))
	const day = 86_400
	var used float64
	for at := 1.0; at <= day; at++ {
		if !c.Due(at) {
			continue
		}
		length := at - c.Length()
		cores, memory := 0.5+math.Mod(at, 7)/10, int64(1e6)
		if at > 50_000 && at-length <= 50_000 {
			memory = 9e9
		}
		used += cores * length
		c.Add(at, cores, memory)
		if !c.Whole() {
			t.Fatalf("after %v s it is not whole: %+v", at, c)
		}
	}
	if n := len(c.Seconds); n < mostSamples/2 || n > mostSamples {
		t.Errorf("a day has %d samples, want from %d to %d", n, mostSamples/2, mostSamples)
	}
	if got := c.CPUSeconds(); math.Abs(got-used) > used/100 {
		t.Errorf("%.0f processor seconds are left of %.0f", got, used)
	}
	if _, memory := c.Peak(); memory != 9e9 {
		t.Errorf("the peak of 9 GB, seen once, has become %d bytes", memory)
	}
	if c.Length() < day-c.Every {
		t.Errorf("it ends after %v s of %d", c.Length(), day)
	}
}

func TestCourse_Add_leavesCopiesAlone(t *testing.T) {
	c := NewCourse(time.Unix(1, 0))
	for at := range mostSamples {
		c.Add(float64(at+1), 1, int64(at))
	}
	held := c
	c.Add(mostSamples+1, 3, 5)
	if len(held.Seconds) != mostSamples || held.Seconds[7] != 8 || held.Memory[7] != 7 {
		t.Errorf("the copy has changed: %v %v", held.Seconds[:8], held.Memory[:8])
	}
	if c.Every != 2 || len(c.Seconds) != mostSamples/2+1 {
		t.Errorf("%d samples, one each %v s", len(c.Seconds), c.Every)
	}
}

func TestCourse_Whole(t *testing.T) {
	for what, c := range map[string]Course{
		"columns of two lengths": {Seconds: []float64{1}, Cores: []float64{1, 2}, Memory: []int64{1}},
		"back in time":           {Seconds: []float64{2, 1}, Cores: []float64{1, 1}, Memory: []int64{1, 1}},
		"a negative core":        {Seconds: []float64{1}, Cores: []float64{-1}, Memory: []int64{1}},
		"a negative amount":      {Seconds: []float64{1}, Cores: []float64{1}, Memory: []int64{-1}},
		"no number":              {Seconds: []float64{1}, Cores: []float64{math.NaN()}, Memory: []int64{1}},
		"too long":               {Seconds: make([]float64, 201), Cores: make([]float64, 201), Memory: make([]int64, 201)},
	} {
		if c.Whole() {
			t.Errorf("%s: is taken for whole", what)
		}
	}
	if !(Course{}).Whole() {
		t.Error("an empty one is not whole")
	}
}
