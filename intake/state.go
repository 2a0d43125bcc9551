package intake

import (
	"cmp"
	"context"
	"slices"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/store"
	"time"
)

// A State is a dataset with what its project's newest pipeline says of it.
type State struct {
	ridgeline.Dataset
	Origin  string // where it comes from; empty when the newest pipeline does not have it
	Watch   time.Duration
	Starts  bool
	Version ridgeline.DatasetVersion // the one in use; zero when none
	Held    int                      // the last arrival's version, when it is in quarantine
}

// States returns the project's datasets by name: those of its newest pipeline,
// and those that had something arrive before.
func (i *Intake) States(ctx context.Context, name ridgeline.ProjectName) ([]State, error) {
	rows, err := i.Store.Datasets(ctx, name)
	if err != nil {
		return nil, err
	}
	var all []State
	for _, row := range rows {
		all = append(all, State{Dataset: row})
	}
	sets, err := i.settings(ctx, i.Store, name)
	if err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
		return nil, err
	}
	for _, set := range sets {
		at := slices.IndexFunc(all, func(s State) bool { return s.Name == set.Name })
		if at < 0 {
			at = len(all)
			all = append(all, State{Dataset: ridgeline.Dataset{Project: name, Name: set.Name}})
		}
		all[at].Origin, all[at].Watch, all[at].Starts = blob.Printable(set.Path), set.Watch, set.Starts
	}
	for n := range all {
		s := &all[n]
		if s.Current > 0 {
			if s.Version, err = i.Store.DatasetVersion(ctx, name, s.Name, s.Current); err != nil {
				return nil, err
			}
		}
		last, err := i.Store.Arrivals(ctx, store.ArrivalFilter{
			Project: name, Dataset: s.Name, Limit: 1, Status: []ridgeline.ArrivalStatus{ridgeline.Accepted, ridgeline.Quarantined},
		})
		if err != nil {
			return nil, err
		}
		if len(last) > 0 && last[0].Status == ridgeline.Quarantined {
			s.Held = last[0].Version
		}
	}
	slices.SortFunc(all, func(a, b State) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}
