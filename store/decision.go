package store

import (
	"context"
	"fmt"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// OverrideVersion makes a registered version the champion because a person
// says so. The override stays with the version, in the model's ledger and in
// the audit trail. To override for the champion is Conflict.
func (s *Store) OverrideVersion(ctx context.Context, model ridgeline.ModelName, version int, o ridgeline.Override) (ridgeline.ModelVersion, error) {
	const crown = `UPDATE model_versions SET champion = 1, overrides = $1 WHERE model = $2 AND version = $3`
	var v ridgeline.ModelVersion
	err := s.doing(ctx, fmt.Sprintf("override the gate for version %d of model %s", version, model), func(tx *Store) error {
		if err := o.Check(); err != nil {
			return err
		}
		if _, err := tx.lock(ctx, "models", "name = $1", model); err != nil {
			return err
		}
		var err error
		if v, err = tx.ModelVersion(ctx, model, version); err != nil {
			return err
		}
		if v.Run == "" {
			return ridgeline.Errorf(ridgeline.Conflict, "version %d of model %s was registered by hand and is not packed yet: `ridgeline release %s:%d` does that, and takes it to the gate", version, model, model, version)
		}
		if v.Champion {
			return ridgeline.Errorf(ridgeline.Conflict, "version %d is the champion of model %s already: to put it live again use ridgeline release %s:%d", version, model, model, version)
		}
		v.Overrides, v.Champion = append(v.Overrides, o), true
		if _, err := tx.tx.Exec(ctx, demote, model); err != nil {
			return err
		}
		if _, err := tx.tx.Exec(ctx, crown, jsonText(v.Overrides), model, version); err != nil {
			return err
		}
		if err := tx.audit(ctx, "promote", versionPath(model, version), o.Who, o.Reason, o.At); err != nil {
			return err
		}
		if err := tx.emitVersion(ctx, ridgeline.EventModelPromoted, v); err != nil {
			return err
		}
		return tx.AddDecision(ctx, ridgeline.Decision{Model: model, Version: version, Run: v.Run, At: o.At, Verdict: v.Verdict, Override: &o})
	})
	return v, err
}

// AddDecision writes the next line of the model's ledger. The decision of a
// run is written once; its override, if there is one, is a line of its own
// when it comes later.
func (s *Store) AddDecision(ctx context.Context, d ridgeline.Decision) error {
	const there = `SELECT count(*) FROM decisions WHERE model = $1 AND run = $2 AND at = $3`
	const insert = `INSERT INTO decisions (model, position, version, run, at, holdout, length, fresh, life, alpha, verdict, overridden)
		SELECT $1, coalesce(max(position), 0) + 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 FROM decisions WHERE model = $12`
	return s.doing(ctx, fmt.Sprintf("add to the ledger of model %s", d.Model), func(tx *Store) error {
		if _, err := tx.lock(ctx, "models", "name = $1", d.Model); err != nil {
			return err
		}
		var n int
		if err := tx.tx.QueryRow(ctx, there, d.Model, d.Run, d.At).Scan(&n); err != nil || n > 0 {
			return err
		}
		_, err := tx.tx.Exec(ctx, insert, d.Model, d.Version, d.Run, d.At, d.Holdout, d.Rows, d.New, d.Life, d.Alpha, d.Verdict, jsonText(d.Override), d.Model)
		return err
	})
}

// Decisions returns the model's ledger, oldest first.
func (s *Store) Decisions(ctx context.Context, model ridgeline.ModelName) ([]ridgeline.Decision, error) {
	const query = `SELECT model, version, run, at, holdout, length, fresh, life, alpha, verdict, overridden FROM decisions WHERE model = $1 ORDER BY position`
	all, err := collect(ctx, s.q(), func(row sqlq.Row) (d ridgeline.Decision, err error) {
		return d, row.Scan(&d.Model, &d.Version, &d.Run, asTime(&d.At), asBytes(&d.Holdout), &d.Rows, &d.New, &d.Life, &d.Alpha, &d.Verdict, asJSON(&d.Override))
	}, query, model)
	if err != nil {
		return nil, fmt.Errorf("read the ledger of model %s: %w", model, err)
	}
	return all, nil
}
