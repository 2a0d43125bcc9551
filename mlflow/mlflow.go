// Package mlflow speaks MLflow's REST dialect: tracking, with MLflow's names,
// limits, messages and error codes, so that training scripts work unchanged.
//
// What is logged is remembered by package track; who a caller is, is the
// server's to find out. Of MLflow it leaves out what is about generative AI
// (traces, prompts, gateway, evaluation): those routes say so.
package mlflow

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/track"
)

// Version is the release of MLflow whose protocol this follows.
const Version = "3.17.2"

// API answers MLflow's clients.
type API struct {
	Track    *track.Store
	Registry *store.Store
	Door     *auth.Door // has written down who was kept out
	Contents Contents
	Uploads  Uploads
	Trees    Trees
	Temp     string // folder for what is unpacked for a moment
	Log      *slog.Logger

	parsers fastjson.ParserPool
	joining joining
	process string // names this process among those that answer about versions
}

// A handler appends its answer, JSON, to b.
type handler func(ctx context.Context, r *request, b []byte) ([]byte, error)

type route struct {
	method, path string // path below /api/2.0/mlflow/
	read         bool   // a viewer may
	handle       handler
}

// routes are those of the protocol that are answered, in its own order.
func (a *API) routes() []route {
	return []route{
		{"POST", "experiments/create", false, a.createExperiment},
		{"GET", "experiments/search", true, a.searchExperiments},
		{"POST", "experiments/search", true, a.searchExperiments},
		{"GET", "experiments/get", true, a.getExperiment},
		{"GET", "experiments/get-by-name", true, a.getExperimentByName},
		{"POST", "experiments/delete", false, a.deleteExperiment},
		{"POST", "experiments/restore", false, a.restoreExperiment},
		{"POST", "experiments/update", false, a.updateExperiment},
		{"POST", "experiments/set-experiment-tag", false, a.setExperimentTag},
		{"POST", "experiments/delete-experiment-tag", false, a.deleteExperimentTag},
		{"POST", "experiments/search-datasets", true, a.searchDatasets},
		{"POST", "runs/create", false, a.createRun},
		{"GET", "runs/get", true, a.getRun},
		{"POST", "runs/update", false, a.updateRun},
		{"POST", "runs/delete", false, a.deleteRun},
		{"POST", "runs/restore", false, a.restoreRun},
		{"POST", "runs/search", true, a.searchRuns},
		{"POST", "runs/log-metric", false, a.logMetric},
		{"POST", "runs/log-parameter", false, a.logParam},
		{"POST", "runs/log-batch", false, a.logBatch},
		{"POST", "runs/set-tag", false, a.setTag},
		{"POST", "runs/delete-tag", false, a.deleteTag},
		{"POST", "runs/log-inputs", false, a.logInputs},
		{"POST", "runs/outputs", false, a.logOutputs},
		{"POST", "runs/log-model", false, a.logModel},
		{"GET", "metrics/get-history", true, a.getHistory},
		{"GET", "metrics/get-history-bulk", true, a.getHistoryBulk},
		{"GET", "metrics/get-history-bulk-interval", true, a.getHistoryInterval},
		{"POST", "logged-models", false, a.createModel},
		{"POST", "logged-models/search", true, a.searchModels},
		{"GET", "logged-models/{model_id}", true, a.getModel},
		{"PATCH", "logged-models/{model_id}", false, a.finalizeModel},
		{"DELETE", "logged-models/{model_id}", false, a.deleteModel},
		{"POST", "logged-models/{model_id}/params", false, a.logModelParams},
		{"PATCH", "logged-models/{model_id}/tags", false, a.setModelTags},
		{"DELETE", "logged-models/{model_id}/tags/{tag_key}", false, a.deleteModelTag},
		{"GET", "logged-models/{model_id}/artifacts/directories", true, a.listModel},
		{"GET", "artifacts/list", true, a.listRun},
	}
}

// prefixes are where clients and MLflow's pages look for the protocol.
var prefixes = []string{"/api/2.0/mlflow/", "/ajax-api/2.0/mlflow/"}

// Handler answers everything below /api/2.0/, /ajax-api/2.0/ and their 3.0.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	a.process = rand.Text()
	for _, r := range slices.Concat(a.routes(), a.registryRoutes()) {
		for _, prefix := range prefixes {
			mux.Handle(r.method+" "+prefix+r.path, a.adapt(r))
		}
	}
	a.mountArtifacts(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if leftOut(r.URL.Path) {
			Fail(w, &notImplemented{r.URL.Path})
			return
		}
		Fail(w, &noEndpoint{r.Method, r.URL.Path})
	})
	return mux
}

// Open answers what needs no token: the version, that the server is there, and
// what it can do. It is mounted at OpenPaths.
func Open() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, Version)
	})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "OK")
	})
	for _, path := range OpenPaths[2:] {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"store_type":"SqlStore","workspaces_enabled":false,"trace_archival_enabled":false,"multipart_uploads_enabled":true,"multipart_downloads_enabled":true}`)
		})
	}
	return mux
}

// OpenPaths are where Open is mounted, Paths where Handler is.
var (
	OpenPaths = []string{"/version", "/health", "/api/3.0/mlflow/server-info", "/ajax-api/3.0/mlflow/server-info"}
	Paths     = []string{"/api/2.0/", "/api/3.0/", "/ajax-api/"}
)

// leftOut reports whether a path is one of the parts of MLflow that are about
// generative AI, of its own multi-tenancy, or addresses that lead around the
// server.
func leftOut(path string) bool {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) < 4 || parts[2] != "mlflow" {
		return false
	}
	if len(parts) > 4 && parts[3] == "artifacts" && strings.HasPrefix(parts[4], "presigned-") {
		return true
	}
	switch parts[3] {
	case "traces", "unified-traces", "get-online-trace-details", "datasets", "gateway", "scorers", "label-schemas", "review-queues", "issues",
		"prompt-optimization", "prompts", "assessments", "workspaces", "webhooks", "genai", "jobs", "mcp-servers", "secrets", "endpoints":
		return true
	}
	return false
}

// maxBody bounds a request. A dataset's profile alone may be 16 MB.
const maxBody = 40 << 20

// adapt makes an http.Handler: it reads the request, checks the role, and
// answers, or answers with the error.
func (a *API) adapt(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := mayUse(r.Context(), route.read); err != nil && !route.audits() {
			a.kept(route, r, route.path, err)
			Fail(w, err)
			return
		}
		parser := a.parsers.Get()
		defer a.parsers.Put(parser)
		req, err := read(r, parser)
		if err != nil {
			Fail(w, err)
			return
		}
		if err = a.admit(r.Context(), route.path, req); err != nil {
			a.kept(route, r, req.subject(), err)
			a.logged(r, err)
			Fail(w, err)
			return
		}
		b, err := a.audited(route, req)
		if err != nil {
			if !route.audits() {
				a.kept(route, r, req.subject(), err)
			}
			a.logged(r, err)
			Fail(w, err)
			return
		}
		if b == nil {
			b = []byte("{}")
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		_, err = w.Write(b)
		if req.answered != nil {
			req.answered(err == nil && r.Context().Err() == nil)
		}
	})
}

// logged keeps the cause of what is answered without one.
func (a *API) logged(r *http.Request, err error) {
	if ridgeline.CodeOf(err) == ridgeline.Internal && !errors.Is(err, context.Canceled) && r.Context().Err() == nil {
		a.Log.Error("answer MLflow's client", "path", r.URL.Path, "error", err)
	}
}
