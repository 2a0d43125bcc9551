package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/pipeline"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// accepted answers a request for a run, with the address of the run.
type accepted struct {
	Location string `header:"Location" doc:"the run's address"`
	Body     Run
}

// submit starts a run. With a key, as in the IETF's draft of the header
// Idempotency-Key, the same request of the same caller gets the run that the
// first one started, and another request is Invalid. The key is kept in the
// transaction that makes the run; of a request that was refused nothing is.
func (a *API) submit(ctx context.Context, key string, q pipeline.Request) (ridgeline.Run, error) {
	if key == "" {
		return a.Runs.Submit(ctx, q)
	}
	text, err := json.Marshal(q)
	if err != nil {
		return ridgeline.Run{}, err
	}
	sum := sha256.Sum256(text)
	k := store.RequestKey{Project: q.Project, Caller: q.Caller, Key: key, Digest: hex.EncodeToString(sum[:])}
	var run ridgeline.Run
	err = a.Store.InTx(ctx, func(tx *store.Store) error {
		id, err := tx.TakeRequest(ctx, k, time.Now().UTC())
		if err != nil {
			return err
		}
		if id != "" {
			run, err = tx.Run(ctx, id)
			return err
		}
		if run, err = a.Runs.Create(ctx, tx, q); err != nil {
			return err
		}
		return tx.NoteRequest(ctx, k, run.ID)
	})
	if err != nil || run.Status.Terminal() {
		return run, err
	}
	return run, a.Runs.Start(ctx, pipeline.Kind, string(run.ID))
}
