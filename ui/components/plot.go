package components

import (
	"fmt"
	"math"
)

// A Scale maps values to places of a plot, in percent of its width, so that a
// plot is as wide as there is room for and its text keeps its size.
type Scale struct{ From, To float64 }

// NewScale spans the values, with room at both ends.
func NewScale(values ...float64) Scale {
	s := Scale{math.Inf(1), math.Inf(-1)}
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			s.From, s.To = min(s.From, v), max(s.To, v)
		}
	}
	if s.From > s.To {
		return Scale{0, 1}
	}
	pad := (s.To - s.From) * 0.08
	if pad == 0 {
		pad = max(math.Abs(s.To)*0.1, 1e-9)
	}
	return Scale{s.From - pad, s.To + pad}
}

// share is where a value is, from 0 to 1.
func (s Scale) share(v float64) float64 {
	return min(max((v-s.From)/(s.To-s.From), 0), 1)
}

// X is where a value is.
func (s Scale) X(v float64) string { return fmt.Sprintf("%.3f%%", s.share(v)*100) }

// Width is how far it is from one value to another.
func (s Scale) Width(from, to float64) string {
	return fmt.Sprintf("%.3f%%", max(s.share(to)-s.share(from), 0)*100)
}

// Ticks are a few round values across the scale.
func (s Scale) Ticks() []float64 {
	span := s.To - s.From
	step := math.Pow(10, math.Floor(math.Log10(span)))
	for _, f := range []float64{5, 2, 1, 0.5, 0.2} {
		if n := span / (step * f); n >= 3 {
			step *= f
			break
		}
	}
	var out []float64
	for n := math.Ceil(s.From / step); n*step <= s.To; n++ {
		// A label at the very edge would reach into its neighbour.
		if x := s.share(n * step); x > 0.04 && x < 0.96 {
			out = append(out, n*step)
		}
	}
	return out
}

// An Interval is an estimate with its uncertainty, beside what it is held to.
type Interval struct {
	Scale
	At, Low, High float64
	Margin        float64 // what has to be passed; drawn when above 0
	Tone          string
	Format        func(float64) string
	Label         string // what it says, for those who do not see it
	Level         string // 95 %
}

// Say writes a value as the plot does.
func (i Interval) Say(v float64) string { return i.Format(v) }

// Anchor keeps a label inside the plot: where its text is held.
func (i Interval) Anchor(v float64) string {
	switch x := i.share(v); {
	case x < 0.12:
		return "start"
	case x > 0.88:
		return "end"
	}
	return "middle"
}

// Slots are decisions that may be made, drawn as a row of boxes.
type Slots struct {
	Made  []Slot
	Free  int
	Label string
}

// A Slot is one of them.
type Slot struct {
	Tone, Title string
	URL         string
	Now         bool
}

// Rest is one element for each that is free.
func (s Slots) Rest() []struct{} { return make([]struct{}, max(s.Free, 0)) }
