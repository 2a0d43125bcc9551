package ridgeline

// Spent is what computing took away from others: what was set aside, for as
// long as it was, or what was used where nothing was set aside.
type Spent struct {
	CPU    float64 `json:"cpu_seconds"`         // core seconds
	Memory float64 `json:"memory_byte_seconds"` // bytes times seconds
	GPU    float64 `json:"gpu_seconds"`         // device seconds
}

// Spent is what an attempt has taken. One that was cut off without telling what
// it used is charged what was set aside for it, while it was there.
func (a Attempt) Spent() Spent {
	wall := a.Usage.WallSeconds
	if wall == 0 && !a.Ended.IsZero() {
		wall = a.Ended.Sub(a.Started).Seconds()
	}
	return a.Held.Over(wall, a.Usage.CPUSeconds, float64(a.Usage.PeakMemory)*wall)
}

// Over is what was held for so many seconds, or what was used beyond that:
// CPU time in seconds, and memory in bytes times seconds.
func (h Held) Over(seconds, cpu, memory float64) Spent {
	return Spent{CPU: max(h.CPU*seconds, cpu), Memory: max(float64(h.Memory)*seconds, memory), GPU: float64(h.GPU) * seconds}
}

// Plus adds.
func (s Spent) Plus(t Spent) Spent {
	return Spent{s.CPU + t.CPU, s.Memory + t.Memory, s.GPU + t.GPU}
}
