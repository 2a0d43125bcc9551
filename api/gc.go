package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/gc"
	"github.com/ridgeline-mlops/ridgeline/storage"
	"github.com/ridgeline-mlops/ridgeline/store"
)

func (a *API) garbage(api huma.API) {
	type in struct {
		Body struct {
			Delete bool   `json:"delete,omitempty" doc:"reclaim; else say what would be reclaimed"`
			Grace  string `json:"grace,omitempty" doc:"how long a content is left alone that nothing mentions yet, such as 24h, which it is when absent"`
		}
	}
	op := huma.Operation{OperationID: "collect-garbage", Method: http.MethodPost, Path: "/gc", Summary: "Reclaim what nobody needs, or say what that would be", Tags: []string{"server"}}
	route(a, api, op, ridgeline.Admin, func(ctx context.Context, in *in) (gc.Report, error) {
		if !in.Body.Delete {
			store.ActOf(ctx).Nothing()
		}
		o := gc.Options{Delete: in.Body.Delete, Grace: gc.Grace}
		if in.Body.Grace != "" {
			d, err := time.ParseDuration(in.Body.Grace)
			if err != nil || d < 0 {
				return gc.Report{}, ridgeline.Errorf(ridgeline.Invalid, "grace is %q: expected a time span such as 24h or 30m", in.Body.Grace)
			}
			o.Grace = d
		}
		return a.Garbage.Collect(ctx, o)
	})
}

func (a *API) room(api huma.API) {
	type in struct {
		Now bool `query:"now" doc:"measure anew, which takes a while where there is much"`
	}
	op := huma.Operation{OperationID: "get-storage", Method: http.MethodGet, Path: "/storage", Summary: "What takes room, by kind, as it was measured within the last hour", Tags: []string{"server"}}
	route(a, api, op, ridgeline.Admin, func(ctx context.Context, in *in) (storage.Report, error) {
		if r, ok := a.Storage.Last(); ok && !in.Now {
			return r, nil
		}
		return a.Storage.Measure(ctx)
	})
}
