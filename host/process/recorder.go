package process

import (
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// A recorder makes the course of a command from looks at it, which come as
// they may.
type recorder struct {
	course ridgeline.Course
	cpu    float64 // the most processor seconds that a look has shown
	noted  float64 // of these, what the course has
	memory int64   // the most since the last sample
}

// look takes in what was used up to now. Processor seconds that a look missed,
// since a process ended beside it, are in the next one.
func (r *recorder) look(since time.Duration, cpu float64, memory int64) {
	r.cpu, r.memory = max(r.cpu, cpu), max(r.memory, memory)
	if at := since.Seconds(); r.course.Due(at) {
		r.add(at, memory)
	}
}

// end is the course of a command that has ended, up to its end. What was left
// unseen since the last look is too little for a sample of its own.
func (r *recorder) end(all ridgeline.Usage) ridgeline.Course {
	r.cpu = max(r.cpu, all.CPUSeconds)
	if all.WallSeconds-r.course.Length() >= r.course.Every/4 && r.memory > 0 {
		r.add(all.WallSeconds, 0)
	}
	return r.course
}

// add makes a sample of what was seen since the last one. The next one starts
// from the memory that there is now.
func (r *recorder) add(at float64, now int64) {
	r.course.Add(at, (r.cpu-r.noted)/(at-r.course.Length()), r.memory)
	r.noted, r.memory = r.cpu, now
}
