package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/gate"
	"github.com/ridgeline-mlops/ridgeline/release"
)

type promoteInput struct {
	Name    string `path:"name"`
	Version int    `path:"version" minimum:"1"`
	Body    struct {
		Reason  string `json:"reason" minLength:"1" maxLength:"2000" doc:"why; it stays with the version for ever"`
		Release *bool  `json:"release,omitempty" doc:"release it to the project's environments as well; default true"`
	}
}

func (a *API) gates(api huma.API) {
	tags := []string{"gate"}
	route(a, api, huma.Operation{OperationID: "show-gate", Method: http.MethodGet, Path: "/runs/{id}/gate", Summary: "The gate's report on a run's model", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *byID) (any, error) {
			v, err := a.judged(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			var report any
			return report, json.Unmarshal(v.Report, &report)
		})
	text(a, api, huma.Operation{OperationID: "show-gate-markdown", Method: http.MethodGet, Path: "/runs/{id}/gate/markdown", Summary: "The report, for a pull request", Tags: tags},
		ridgeline.Viewer, "text/markdown", func(ctx context.Context, in *byID) ([]byte, error) {
			v, err := a.judged(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			var report gate.Report
			err = json.Unmarshal(v.Report, &report)
			return []byte(gate.Markdown(report)), err
		})
	text(a, api, huma.Operation{OperationID: "show-gate-rows", Method: http.MethodGet, Path: "/runs/{id}/gate/rows", Summary: "The holdout's rows as both models answered them", Tags: tags},
		ridgeline.Viewer, "text/csv", func(ctx context.Context, in *byID) ([]byte, error) {
			v, err := a.judged(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			if v.Evidence.Rows == "" {
				return nil, ridgeline.Errorf(ridgeline.NotFound, "run %s kept no rows: only values of the metric were compared", in.ID)
			}
			f, err := a.Blob.Get(ctx, v.Evidence.Rows)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			return io.ReadAll(f)
		})
	route(a, api, huma.Operation{
		OperationID: "gate-again", Method: http.MethodPost, Path: "/runs/{id}/gate/again",
		Summary: "Make the report once more from the kept rows, and compare", Tags: tags, Metadata: map[string]any{asks: true},
	}, ridgeline.Viewer, func(ctx context.Context, in *byID) (Again, error) {
		v, err := a.judged(ctx, in.ID)
		if err != nil {
			return Again{}, err
		}
		report, difference, err := a.Runs.Again(ctx, v)
		return Again{Same: difference == "", Difference: difference, Report: report}, err
	})
	route(a, api, huma.Operation{OperationID: "show-ledger", Method: http.MethodGet, Path: "/models/{name}/ledger", Summary: "What has been decided about a model, and what that spent, oldest first", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *struct {
			Name string `path:"name"`
		}) ([]Decision, error) {
			if _, err := a.Store.ModelVersion(ctx, ridgeline.ModelName(in.Name), 0); err != nil {
				return nil, err
			}
			rows, err := a.Store.Decisions(ctx, ridgeline.ModelName(in.Name))
			return list(rows, viewDecision), err
		})
	route(a, api, huma.Operation{
		OperationID: "promote", Method: http.MethodPost, Path: "/models/{name}/versions/{version}/promote",
		Summary: "Make a version champion whatever the gate said, and release it", Tags: tags,
	}, ridgeline.Writer, a.promote)
}

// judged is the version that a run made.
func (a *API) judged(ctx context.Context, id string) (ridgeline.ModelVersion, error) {
	row, err := a.Store.Run(ctx, ridgeline.RunID(id))
	if err != nil {
		return ridgeline.ModelVersion{}, err
	}
	if row.Version == 0 {
		return ridgeline.ModelVersion{}, ridgeline.Errorf(ridgeline.NotFound, "run %s has no gate report: it is %s", row.ID, row.Status)
	}
	return a.Store.ModelVersion(ctx, row.Model, row.Version)
}

func (a *API) promote(ctx context.Context, in *promoteInput) (Promotion, error) {
	who := auth.From(ctx).Name
	o := ridgeline.Override{Who: who, At: time.Now().UTC(), Reason: in.Body.Reason, How: "promote"}
	v, err := a.Store.OverrideVersion(ctx, ridgeline.ModelName(in.Name), in.Version, o)
	if err != nil {
		return Promotion{}, err
	}
	out := Promotion{Model: a.viewVersion(v)}
	if in.Body.Release != nil && !*in.Body.Release {
		return out, nil
	}
	row, err := a.Releases.Submit(ctx, release.Request{Model: v.Model, Version: v.Version, Cause: "override", Caller: who})
	if err != nil {
		return out, fmt.Errorf("version %d of model %s is the champion now, but was not released: %w", v.Version, v.Model, err)
	}
	view := a.viewRelease(row)
	out.Release = &view
	return out, nil
}
