package api

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/prediction"
)

// PredictionFilter chooses what of a project's inference log is looked at.
type PredictionFilter struct {
	Environment string     `json:"environment,omitempty" maxLength:"100"`
	Version     int        `json:"version,omitempty" minimum:"0" doc:"of the model; 0 or absent: all"`
	Request     string     `json:"request,omitempty" maxLength:"200" doc:"one request's id"`
	Status      int        `json:"status,omitempty" minimum:"0" maximum:"999" doc:"HTTP's; 4 and 5 stand for all of their hundred"`
	Since       *time.Time `json:"since,omitempty"`
	Until       *time.Time `json:"until,omitempty"`
}

func (f PredictionFilter) query(project string) prediction.Query {
	q := prediction.Query{Project: ridgeline.ProjectName(project), Environment: f.Environment, Request: f.Request, Status: f.Status}
	if f.Version > 0 {
		q.Version = strconv.Itoa(f.Version)
	}
	if f.Since != nil {
		q.Since = *f.Since
	}
	if f.Until != nil {
		q.Until = *f.Until
	}
	return q
}

type predictionsInput struct {
	Project string `path:"project"`
	Body    struct {
		PredictionFilter
		SQL   string `json:"sql,omitempty" maxLength:"100000" doc:"one SELECT over the tables predictions, probes, collected and feedback; absent: the newest predictions"`
		Limit int    `json:"limit,omitempty" minimum:"0" maximum:"10000" doc:"rows at most; 0 or absent: 20"`
	}
}

// Answer is a table.
type Answer struct {
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
	More    bool     `json:"more" doc:"there are more rows"`
}

// LogState is how far a deployment's inference log is behind.
type LogState struct {
	PendingBytes  int64   `json:"pending_bytes" doc:"not brought to their storage yet"`
	BehindSeconds float64 `json:"behind_seconds" doc:"age of the oldest of these"`
	Dropped       int64   `json:"dropped" doc:"requests whose records were lost for lack of disk space"`
}

func (a *API) predictions(api huma.API, mux *http.ServeMux) {
	route(a, api, huma.Operation{
		OperationID: "ask-predictions", Method: http.MethodPost, Path: "/projects/{project}/predictions", Metadata: map[string]any{asks: true},
		Summary: "What a project's endpoints were asked and answered, with the labels that came later", Tags: []string{"predictions"},
	}, ridgeline.Writer, func(ctx context.Context, in *predictionsInput) (Answer, error) {
		q := in.Body.query(in.Project)
		q.SQL, q.Limit = in.Body.SQL, in.Body.Limit
		if q.Limit == 0 {
			q.Limit = 20
		}
		found, err := a.Predictions.Ask(ctx, q)
		return viewAnswer(found), err
	})
	mux.HandleFunc("GET /api/v1/projects/{project}/predictions.parquet", a.exportPredictions)
}

func viewAnswer(found data.Answer) Answer {
	return Answer{Columns: append([]string{}, found.Columns...), Rows: append([][]any{}, found.Rows...), More: found.More}
}

// exportPredictions answers with a Parquet file of what ?environment=,
// version=, request=, status=, since= and until= choose.
func (a *API) exportPredictions(w http.ResponseWriter, r *http.Request) {
	if !a.allowed(w, r, ridgeline.Writer) {
		return
	}
	q, err := filterOf(r)
	if err != nil {
		a.refuse(w, "export-predictions", err)
		return
	}
	dir, err := os.MkdirTemp(a.Temp, "export-")
	if err != nil {
		a.refuse(w, "export-predictions", err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "predictions.parquet")
	rows, err := a.Predictions.Export(r.Context(), q, file)
	if err != nil {
		a.refuse(w, "export-predictions", err)
		return
	}
	f, err := os.Open(file)
	if err != nil {
		a.refuse(w, "export-predictions", err)
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	}
	w.Header().Set("Content-Type", "application/vnd.apache.parquet")
	w.Header().Set("X-Ridgeline-Rows", strconv.FormatInt(rows, 10))
	if _, err := io.Copy(w, f); err != nil && r.Context().Err() == nil {
		a.Log.Error("send predictions", "error", err) // the client sees too few bytes
	}
}

func filterOf(r *http.Request) (prediction.Query, error) {
	given := r.URL.Query()
	f := PredictionFilter{Environment: given.Get("environment"), Request: given.Get("request")}
	for name, into := range map[string]*int{"version": &f.Version, "status": &f.Status} {
		if v := given.Get(name); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 {
				return prediction.Query{}, ridgeline.Errorf(ridgeline.Invalid, "%s=%q: expected a number", name, v)
			}
			*into = n
		}
	}
	for name, into := range map[string]**time.Time{"since": &f.Since, "until": &f.Until} {
		if v := given.Get(name); v != "" {
			at, err := time.Parse(time.RFC3339, v)
			if err != nil {
				return prediction.Query{}, ridgeline.Errorf(ridgeline.Invalid, "%s=%q: expected a time such as 2026-03-01T12:00:00Z", name, v)
			}
			*into = &at
		}
	}
	return f.query(r.PathValue("project")), nil
}

// logState tells how far a deployment's inference log is behind.
func (a *API) logState(id ridgeline.DeploymentID) (*LogState, error) {
	p, err := a.Predictions.Waits(id)
	if err != nil {
		return nil, fmt.Errorf("look at the inference log of %s: %w", id, err)
	}
	s := &LogState{PendingBytes: p.Bytes, Dropped: p.Dropped}
	if !p.Since.IsZero() {
		s.BehindSeconds = math.Max(0, math.Round(time.Since(p.Since).Seconds()))
	}
	return s, nil
}

// LogToken lets the scorers of a deployment bring their inference log.
type LogToken struct {
	URL     string    `json:"url" doc:"RIDGELINE_LOG_URL"`
	Token   string    `json:"token" doc:"RIDGELINE_LOG_TOKEN; shown this once"`
	Expires time.Time `json:"expires"`
}

func (a *API) logTokens(api huma.API) {
	route(a, api, huma.Operation{
		OperationID: "make-log-token", Method: http.MethodPost, Path: "/deployments/{id}/log-token",
		Summary: "Let a deployment's scorers on other machines bring their inference log, and nothing else", Tags: []string{"predictions"},
	}, ridgeline.Writer, func(ctx context.Context, in *struct {
		ID   string `path:"id"`
		Body *struct {
			Hours float64 `json:"hours,omitempty" minimum:"0" maximum:"8784" doc:"0 or absent: 24"`
		}
	}) (LogToken, error) {
		hours := 24.0
		if in.Body != nil && in.Body.Hours > 0 {
			hours = in.Body.Hours
		}
		d, err := a.Store.Deployment(ctx, ridgeline.DeploymentID(in.ID))
		if err != nil {
			return LogToken{}, err
		}
		expires := time.Now().Add(time.Duration(hours * float64(time.Hour))).UTC().Truncate(time.Second)
		return LogToken{URL: a.BaseURL + "/api/v1/deployments/" + in.ID + "/log", Token: a.Auth.LogToken(d.ID, expires), Expires: expires}, nil
	})
}
