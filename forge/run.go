package forge

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/build"
	"github.com/ridgeline-mlops/ridgeline/git"
	"github.com/ridgeline-mlops/ridgeline/store"
)

const (
	fetchesMost = 3                // projects at once
	fetchFor    = 30 * time.Minute // until a fetch is broken off
	patience    = 24 * time.Hour   // that a fetch is tried
	triesDenied = 3                // when the forge says no, which it sometimes does by mistake
)

// Run fetches and builds what webhooks have announced, until ctx ends. What
// was begun then, the next one begins again. One server of several does it.
func (h *Hub) Run(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	var mu sync.Mutex
	busy := map[ridgeline.ProjectName]bool{} // a project's notices go one after the other
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		due, err := h.Store.Notices(ctx, store.NoticeFilter{Due: time.Now(), Limit: 100})
		if err != nil && ctx.Err() == nil {
			h.Log.Error("look for announced code", "error", err)
		}
		for _, n := range due {
			mu.Lock()
			free := len(busy) < fetchesMost && !busy[n.Project]
			if free {
				busy[n.Project] = true
			}
			mu.Unlock()
			if !free {
				continue
			}
			group.Go(func() {
				h.handle(ctx, n)
				mu.Lock()
				delete(busy, n.Project)
				mu.Unlock()
				h.wake()
			})
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-h.woken:
		}
	}
}

func (h *Hub) wake() {
	select {
	case h.woken <- struct{}{}:
	default:
	}
}

// handle makes a build of a notice, or gives the notice its end, or another
// time.
func (h *Hub) handle(ctx context.Context, n ridgeline.Notice) {
	within, cancel := context.WithTimeout(ctx, fetchFor)
	err := h.build(within, n)
	cancel()
	if err == nil || ctx.Err() != nil {
		return
	}
	h.Log.Warn("code that a webhook announced could not be built", "project", n.Project, "remote", n.Remote, "notice", n.ID, "attempt", n.Attempts+1, "error", err)
	reason := err.Error()
	if ridgeline.CodeOf(err) == ridgeline.Internal {
		reason = "an unexpected error occurred; the server's log has it"
	}
	now := time.Now().UTC()
	if final(err, n, now) {
		err = h.Store.FinishNotice(ctx, n.ID, ridgeline.Failed, reason, "", now)
	} else {
		err = h.Store.PostponeNotice(ctx, n.ID, reason, now.Add(pause(n.Attempts)))
	}
	if err != nil && ctx.Err() == nil {
		h.Log.Error("note what became of announced code", "notice", n.ID, "error", err)
	}
}

// final reports whether another attempt is of no use.
func final(err error, n ridgeline.Notice, now time.Time) bool {
	switch ridgeline.CodeOf(err) {
	case ridgeline.Invalid:
		return true
	case ridgeline.Denied, ridgeline.NotFound:
		return n.Attempts+1 >= triesDenied
	}
	return now.Sub(n.Created) > patience
}

// pause is 5 s before the second attempt, three times as long before each
// further one, and never over 15 minutes.
func pause(attempts int) time.Duration {
	d := 5 * time.Second
	for range min(attempts, 10) {
		d *= 3
	}
	return min(d, 15*time.Minute)
}

// build fetches the commit and records its build together with the end of the
// notice.
func (h *Hub) build(ctx context.Context, n ridgeline.Notice) error {
	remote, err := h.Store.Remote(ctx, n.Project, n.Remote)
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return ridgeline.Errorf(ridgeline.Invalid, "remote %s was removed before the commit was fetched", n.Remote)
	}
	if err != nil {
		return err
	}
	f, err := h.fetch(remote)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		return err
	}
	f.Slot, f.Ref, f.Hash = n.Remote+" "+n.Ref, n.Ref, n.Hash
	var hash string
	err = h.withHosts(ctx, func() (err error) {
		hash, err = f.Run(ctx)
		return err
	})
	if err != nil {
		return err
	}
	taken, err := git.Take(ctx, h.Blob, f.Repository, h.Temp, n.Project, hash)
	if err != nil {
		return err
	}
	taken.Commit.Branch = n.Branch
	var made ridgeline.Build
	err = h.Store.InTx(ctx, func(tx *store.Store) error {
		made, err = h.Builds.Create(ctx, tx, build.Request{
			Commit: taken.Commit, Caller: "webhook " + n.Remote, Cause: "webhook " + string(remote.Forge), PullRequest: n.PullRequest,
		})
		if err != nil {
			return err
		}
		return tx.FinishNotice(ctx, n.ID, ridgeline.Succeeded, taken.Note, made.ID, time.Now().UTC())
	})
	if err != nil {
		return err
	}
	if err := h.Builds.Start(ctx, build.Kind, string(made.ID)); err != nil {
		h.Log.Error("start the build of a webhook", "build", made.ID, "error", err) // the sweeper does it
	}
	return nil
}
