package process

import (
	"context"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
)

var _ host.Metered = Services{}

// Used implements host.Metered by what the kernel says of the processes below
// the copies' supervisors.
func (s Services) Used(ctx context.Context, id ridgeline.DeploymentID) (cpu, memory float64, err error) {
	if err := ctx.Err(); err != nil || checkName("workload", string(id)) != nil {
		return 0, 0, err
	}
	want, ok, err := read[host.Workload](s.h.serviceDir(string(id)), wantFile)
	if err != nil || !ok {
		return 0, 0, err
	}
	for n := range want.Replicas {
		st, ok, _ := read[started](s.h.copyDir(id, n), startedFile)
		if !ok || st.Boot != bootID() {
			continue
		}
		tree, err := below(st.PID)
		if err != nil {
			return 0, 0, err
		}
		for _, p := range tree {
			cpu += p.cpu
			memory += float64(p.rss)
		}
	}
	return cpu, memory, nil
}
