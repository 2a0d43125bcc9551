package serve

import (
	"os"

	"github.com/prometheus/procfs"
)

// userHz is the unit of times in /proc: 100 on every architecture that Go has
// (Linux's USER_HZ).
const userHz = 100

// used is what this process and all below it take: models compute in workers.
type used struct {
	cpu    float64 // seconds, since this process began
	memory uint64  // resident bytes, shared pages counted for each who has them
	peak   uint64  // the most that each had, added up
}

// usedNow looks at the processes of this machine, or of this container. Where
// they cannot be looked at, ok is false.
func usedNow() (u used, ok bool) {
	all, err := procfs.AllProcs()
	if err != nil {
		return used{}, false
	}
	type process struct {
		procfs.Proc
		procfs.ProcStat
	}
	below := map[int][]process{}
	var tree []process
	for _, p := range all {
		stat, err := p.Stat()
		switch {
		case err != nil: // it has ended meanwhile
		case p.PID == os.Getpid():
			tree = append(tree, process{p, stat})
		default:
			below[stat.PPID] = append(below[stat.PPID], process{p, stat})
		}
	}
	for i := 0; i < len(tree); i++ {
		p := tree[i]
		tree = append(tree, below[p.Proc.PID]...)
		u.cpu += (float64(p.UTime) + float64(p.STime) + float64(p.CUTime) + float64(p.CSTime)) / userHz // with those it has waited for
		u.memory += uint64(max(p.ResidentMemory(), 0))
		if status, err := p.NewStatus(); err == nil {
			u.peak += status.VmHWM
		}
	}
	return u, len(tree) > 0
}
