package intake

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/store"
)

func arrivalsOf(name ridgeline.ProjectName, dataset string, from ridgeline.Source, status ...ridgeline.ArrivalStatus) store.ArrivalFilter {
	return store.ArrivalFilter{Project: name, Dataset: dataset, Source: from, Status: status}
}

// Look looks whether there is anything new at the place that the dataset's path
// names, as the project's newest pipeline has it. What is new begins to arrive,
// and its arrival is returned; so is one that has not ended. Nothing new is
// false. cause says who looks.
func (i *Intake) Look(ctx context.Context, name ridgeline.ProjectName, dataset, cause, caller string) (a ridgeline.Arrival, found bool, err error) {
	set, err := i.setting(ctx, i.Store, name, dataset)
	if err != nil {
		return a, false, err
	}
	if !set.Remote() {
		return a, false, ridgeline.Errorf(ridgeline.Invalid, "dataset %s lies in the project (%s): a push brings its next version", dataset, set.Path)
	}
	a, found, err = i.look(ctx, name, set, cause, caller)
	problem := ""
	if err != nil {
		if ctx.Err() != nil {
			return a, false, ctx.Err()
		}
		problem = err.Error()
	}
	if noted := i.Store.NoteLook(ctx, name, dataset, problem, time.Now().UTC()); noted != nil && err == nil {
		err = noted
	}
	if err != nil || !found {
		return a, false, err
	}
	return a, true, i.Start(ctx, Kind, string(a.ID))
}

func (i *Intake) look(ctx context.Context, name ridgeline.ProjectName, set setting, cause, caller string) (a ridgeline.Arrival, found bool, err error) {
	open, err := i.Store.Arrivals(ctx, arrivalsOf(name, set.Name, ridgeline.FromRemote, ridgeline.Arriving))
	if err != nil {
		return a, false, err
	}
	if len(open) > 0 {
		return open[0], true, nil
	}
	place, err := blob.OpenPlace(ctx, set.Path)
	if err != nil {
		return a, false, err
	}
	defer func() { _ = place.Close() }()
	list, err := place.List(ctx)
	if err != nil {
		return a, false, err
	}
	last, err := i.last(ctx, name, set.Name, ridgeline.FromRemote)
	if err != nil {
		return a, false, err
	}
	if fp := list.Fingerprint(); fp != "" && fp == last.Fingerprint {
		if same, err := i.settled(ctx, last, set); err != nil || same {
			return a, false, err
		}
	}
	if a, err = newArrival(name, set.Name, ridgeline.FromRemote); err != nil {
		return a, false, err
	}
	a.Address, a.Origin, a.Cause, a.Caller = set.Path, place.String(), cause, caller
	err = i.Store.CreateArrival(ctx, a)
	if ridgeline.CodeOf(err) == ridgeline.Conflict { // somebody else looked at the same time
		open, err := i.Store.Arrivals(ctx, arrivalsOf(name, set.Name, ridgeline.FromRemote, ridgeline.Arriving))
		if err != nil || len(open) == 0 {
			return a, false, err
		}
		return open[0], true, nil
	}
	return a, true, err
}

// Wait returns the arrival once it has ended.
func (i *Intake) Wait(ctx context.Context, id ridgeline.ArrivalID) (ridgeline.Arrival, error) {
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		a, err := i.Store.Arrival(ctx, id)
		if err != nil || a.Status.Terminal() {
			return a, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return a, ctx.Err()
		}
	}
}

const (
	watchTick   = time.Second
	watchers    = 4 // looks at once
	longestWait = time.Hour
)

// A watched dataset is one whose source is looked at by itself.
type watched struct {
	next   time.Time
	failed int // looks in a row
	busy   bool
}

// Watch looks at the sources of all datasets that want it, until ctx ends. Only
// one server of several may do so. Nothing is remembered that a restart would
// lose: after it every source is looked at anew.
func (i *Intake) Watch(ctx context.Context) {
	state, known := map[string]*watched{}, map[ridgeline.ProjectName]knownSets{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, watchers)
	for ctx.Err() == nil {
		sets, err := i.watching(ctx, known)
		if err != nil && ctx.Err() == nil {
			i.Log.Error("find the datasets to watch", "error", err)
		}
		mu.Lock()
		for _, one := range sets {
			key := string(one.project) + "/" + one.set.Name + "@" + one.set.Path
			w := state[key]
			if w == nil {
				// Not all at once after a start.
				w = &watched{next: time.Now().Add(time.Duration(rand.Float64() * float64(min(one.set.Watch, 2*time.Second))))}
				state[key] = w
			}
			if w.busy || time.Now().Before(w.next) {
				continue
			}
			w.busy = true
			wg.Go(func() {
				slots <- struct{}{}
				_, _, err := i.Look(ctx, one.project, one.set.Name, "watch", "ridgeline")
				<-slots
				mu.Lock()
				defer mu.Unlock()
				w.busy = false
				w.after(err, one.set.Watch)
				if err != nil && ctx.Err() == nil {
					i.Log.Warn("a dataset's source cannot be looked at", "project", one.project, "dataset", one.set.Name, "error", err, "next", time.Until(w.next).Round(time.Second))
				}
			})
		}
		mu.Unlock()
		select {
		case <-time.After(watchTick):
		case <-ctx.Done():
		}
	}
}

// after plans the next look: at the dataset's own pace, give or take a tenth so
// that many do not fall together, and ever more seldom while looks fail.
func (w *watched) after(err error, every time.Duration) {
	wait := every
	if err == nil {
		w.failed = 0
	} else {
		w.failed++
		wait = max(wait, min(wait<<min(w.failed, 10), longestWait))
	}
	w.next = time.Now().Add(time.Duration((0.9 + 0.2*rand.Float64()) * float64(wait)))
}

type watchedSet struct {
	project ridgeline.ProjectName
	set     setting
}

// knownSets are the datasets of a pipeline version, which never change.
type knownSets struct {
	version int
	sets    []setting
}

// watching finds the datasets whose source is to be looked at, and keeps in
// known what it has read. A project whose configuration cannot be read keeps no
// other one from it.
func (i *Intake) watching(ctx context.Context, known map[ridgeline.ProjectName]knownSets) ([]watchedSet, error) {
	newest, err := i.Store.NewestPipelines(ctx)
	if err != nil {
		return nil, err
	}
	var all []watchedSet
	for _, p := range newest {
		k := known[p.Project]
		if k.version != p.Version {
			k.version = p.Version
			if k.sets, err = i.settings(ctx, i.Store, p.Project); err != nil {
				i.Log.Warn("a project's datasets cannot be watched", "project", p.Project, "error", err)
			}
			known[p.Project] = k
		}
		for _, set := range k.sets {
			if set.Watch > 0 && set.Remote() {
				all = append(all, watchedSet{p.Project, set})
			}
		}
	}
	return all, nil
}

// Covers finds the watched or unwatched datasets whose source an object of a
// bucket belongs to, for blob events: address is s3://bucket/key,
// azblob://container/key or gs://bucket/key.
func (i *Intake) Covers(ctx context.Context, address string) ([]ridgeline.Dataset, error) {
	projects, err := i.Store.Projects(ctx)
	if err != nil {
		return nil, err
	}
	var all []ridgeline.Dataset
	for _, p := range projects {
		sets, err := i.settings(ctx, i.Store, p.Name)
		if err != nil {
			continue
		}
		for _, set := range sets {
			if set.Remote() && blob.Covers(set.Path, address) {
				all = append(all, ridgeline.Dataset{Project: p.Name, Name: set.Name})
			}
		}
	}
	return all, nil
}
