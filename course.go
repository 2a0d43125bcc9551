package ridgeline

import (
	"math"
	"time"
)

// CourseWorth is how many seconds a Course has to cover to be kept.
const CourseWorth = 3

// mostSamples bounds a Course, whatever time it covers.
const mostSamples = 200

// A Course is how much a task used over its time. It has one column for each
// figure, all of the same length; a sample stands for the time since the one
// before it, or since Began.
type Course struct {
	Began   time.Time `json:"began"`         // of the command, by the clock of its machine
	Every   float64   `json:"every_seconds"` // from one sample to the next, about
	Seconds []float64 `json:"seconds"`       // since Began, when the sample was taken
	Cores   []float64 `json:"cores"`         // busy on average
	Memory  []int64   `json:"memory_bytes"`  // resident, the most that was seen
}

// NewCourse is one without samples.
func NewCourse(began time.Time) Course { return Course{Began: began, Every: 1} }

// Length is the time that the samples cover, in seconds.
func (c Course) Length() float64 {
	if len(c.Seconds) == 0 {
		return 0
	}
	return c.Seconds[len(c.Seconds)-1]
}

// Worth reports whether it is long enough to be kept: of what takes some
// seconds, its sums say all.
func (c Course) Worth() bool { return c.Length() >= CourseWorth }

// Due reports whether it is time for another sample, or nearly: who looks now and
// then should not wait for another look.
func (c Course) Due(seconds float64) bool { return seconds-c.Length() >= 0.8*c.Every }

// Add adds a sample: cores that were busy on average since the last one, and
// bytes of memory. When there is no room, each two samples become one, of the
// mean cores and of the larger memory: no processor second and no peak is lost.
// Who has a copy of the Course may go on reading it.
func (c *Course) Add(seconds, cores float64, memory int64) {
	if len(c.Seconds) >= mostSamples {
		c.halve()
	}
	c.Seconds = append(c.Seconds, round(seconds, 100))
	c.Cores = append(c.Cores, round(cores, 1000))
	c.Memory = append(c.Memory, memory)
}

func (c *Course) halve() {
	half := Course{Began: c.Began, Every: 2 * c.Every}
	before := 0.0
	for i := 1; i < len(c.Seconds); i += 2 {
		first, second := c.Seconds[i-1]-before, c.Seconds[i]-c.Seconds[i-1]
		cores := c.Cores[i]
		if whole := first + second; whole > 0 {
			cores = (c.Cores[i-1]*first + c.Cores[i]*second) / whole
		}
		before = c.Seconds[i]
		half.Seconds = append(half.Seconds, before)
		half.Cores = append(half.Cores, round(cores, 1000))
		half.Memory = append(half.Memory, max(c.Memory[i-1], c.Memory[i]))
	}
	*c = half
}

// Whole reports whether the columns are a course: of one length that is not
// too long, with times that rise and figures that are finite and not negative.
func (c Course) Whole() bool {
	if len(c.Seconds) != len(c.Cores) || len(c.Seconds) != len(c.Memory) || len(c.Seconds) > mostSamples {
		return false
	}
	before := 0.0
	for i, at := range c.Seconds {
		if !(at >= before) || !(c.Cores[i] >= 0) || math.IsInf(at, 0) || math.IsInf(c.Cores[i], 0) || c.Memory[i] < 0 {
			return false
		}
		before = at
	}
	return true
}

// CPUSeconds is the processor time of all samples together.
func (c Course) CPUSeconds() (sum float64) {
	before := 0.0
	for i, at := range c.Seconds {
		sum += c.Cores[i] * (at - before)
		before = at
	}
	return sum
}

// Peak is the most memory of all samples, and the most cores.
func (c Course) Peak() (cores float64, memory int64) {
	for i := range c.Seconds {
		cores, memory = max(cores, c.Cores[i]), max(memory, c.Memory[i])
	}
	return cores, memory
}

// Used is what the attempt that it is of has used: by the attempt's end, which
// knows it exactly, else by the samples.
func (c Course) Used(a Attempt) Used {
	if all := a.Used(); all.Known() {
		return all
	}
	_, memory := c.Peak()
	return Used{Seconds: c.Length(), CPU: c.CPUSeconds(), Peak: memory}
}

// An AttemptName is an attempt among all of its run.
type AttemptName struct {
	Step   string
	Number int
}

// An AttemptCourse is the Course of an attempt.
type AttemptCourse struct {
	AttemptName
	Course
}

// Tried are the attempts at all the steps.
func Tried(steps []Step) map[AttemptName]Attempt {
	all := map[AttemptName]Attempt{}
	for _, s := range steps {
		for _, a := range s.Attempts {
			all[AttemptName{s.Name, a.Number}] = a
		}
	}
	return all
}

// round keeps 1/unit of a value.
func round(v, unit float64) float64 { return math.Round(v*unit) / unit }
