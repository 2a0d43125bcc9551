package ridgeline

import (
	"fmt"
	"strings"
	"time"
)

// MonthOf is when the month begins that a time is in, in UTC: what is spent is
// billed by it.
func MonthOf(at time.Time) time.Time {
	at = at.UTC()
	return time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
}

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

// Weight is how much it is in all, in core hours, with memory and GPUs counted as
// clouds' prices have it: a GiB as an eighth of a core, a device as forty. It puts
// runs in an order before anybody knows their price.
func (s Spent) Weight() float64 {
	return (s.CPU + s.Memory/(1<<30)/8 + s.GPU*40) / 3600
}

// Used is what was really used, as far as somebody saw it. What was seen for no
// time is not known, which is something else than nothing.
type Used struct {
	Seconds float64 `json:"seconds"`           // of attempts, or of ready copies, that were seen
	CPU     float64 `json:"cpu_seconds"`       // core seconds
	Peak    int64   `json:"peak_memory_bytes"` // the most that one attempt, or one copy, had at a time
}

// Used is what an attempt has used.
func (a Attempt) Used() Used {
	if a.Usage.CPUSeconds == 0 && a.Usage.PeakMemory == 0 {
		return Used{}
	}
	return Used{Seconds: a.Usage.WallSeconds, CPU: a.Usage.CPUSeconds, Peak: a.Usage.PeakMemory}
}

// Known says whether anybody has seen what was used.
func (u Used) Known() bool { return u.Seconds > 0 }

// Plus adds, of memory the larger one.
func (u Used) Plus(v Used) Used {
	return Used{u.Seconds + v.Seconds, u.CPU + v.CPU, max(u.Peak, v.Peak)}
}

// Cores is how many were busy on average.
func (u Used) Cores() float64 {
	if !u.Known() {
		return 0
	}
	return u.CPU / u.Seconds
}

// Advice says what was asked for and hardly used, and what was nearly too
// little; it is empty where what was used is not known, or nothing is to be
// said. Less than half is hardly, more than nine tenths is nearly.
func (h Held) Advice(u Used) string {
	if !u.Known() {
		return ""
	}
	var all []string
	switch peak := float64(u.Peak); {
	case h.Memory == 0:
	case peak < float64(h.Memory)/2:
		all = append(all, fmt.Sprintf("asked for %s of memory, used at most %s", gigabytes(h.Memory), gigabytes(u.Peak)))
	case peak > float64(h.Memory)*0.9:
		all = append(all, fmt.Sprintf("asked for %s of memory, and used up to %s: more would be safe", gigabytes(h.Memory), gigabytes(u.Peak)))
	}
	if u.Cores() < h.CPU/2 {
		all = append(all, fmt.Sprintf("asked for %.3g cores, used %.2g on average", h.CPU, u.Cores()))
	}
	return strings.Join(all, "; ")
}

// gigabytes writes an amount of memory with two digits, in GB or MB.
func gigabytes(n int64) string {
	if n < 1e9 {
		return fmt.Sprintf("%.3g MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2g GB", float64(n)/1e9)
}
