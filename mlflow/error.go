package mlflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/ridgeline-mlops/ridgeline"
)

// spelling is a code as MLflow's clients know it: its error code, by which they
// choose an exception, and the status, by which they decide about a retry.
var spelling = map[ridgeline.Code]struct {
	code   string
	status int
}{
	ridgeline.Invalid:     {"INVALID_PARAMETER_VALUE", http.StatusBadRequest},
	ridgeline.NotFound:    {"RESOURCE_DOES_NOT_EXIST", http.StatusNotFound},
	ridgeline.Conflict:    {"RESOURCE_ALREADY_EXISTS", http.StatusBadRequest},
	ridgeline.Denied:      {"PERMISSION_DENIED", http.StatusForbidden},
	ridgeline.Unavailable: {"TEMPORARILY_UNAVAILABLE", http.StatusServiceUnavailable},
	ridgeline.Internal:    {"INTERNAL_ERROR", http.StatusInternalServerError},
}

// notImplemented is a part of MLflow that is left out.
type notImplemented struct{ path string }

func (e *notImplemented) Error() string {
	return fmt.Sprintf("Ridgeline does not answer %s: of MLflow it leaves out the generative AI features (tracing, prompts, gateway, evaluation), workspaces, webhooks "+
		"and presigned addresses; experiments, runs, metrics, datasets, logged models, artifacts and the model registry are all here", e.path)
}

// noEndpoint is a path that no MLflow has.
type noEndpoint struct{ method, path string }

func (e *noEndpoint) Error() string {
	return fmt.Sprintf("no route %s %s here: MLflow's REST API is below /api/2.0/mlflow/", e.method, e.path)
}

// badRequest is a request that cannot be read.
type badRequest struct{ message string }

func (e *badRequest) Error() string { return e.message }

// Fail answers with an error as MLflow's clients read it. What is our own fault
// is not told.
func Fail(w http.ResponseWriter, err error) {
	s, message := spelling[ridgeline.CodeOf(err)], err.Error()
	var left *notImplemented
	var none *noEndpoint
	var bad *badRequest
	switch {
	case errors.As(err, &left):
		s.code, s.status = "NOT_IMPLEMENTED", http.StatusNotImplemented
	case errors.As(err, &none):
		s.code, s.status = "ENDPOINT_NOT_FOUND", http.StatusNotFound
	case errors.As(err, &bad):
		s.code, s.status = "BAD_REQUEST", http.StatusBadRequest
	case ridgeline.CodeOf(err) == ridgeline.Internal:
		message = "an unexpected error occurred; the server's log has it"
	}
	write(w, s.status, s.code, message)
}

// Refuse answers a caller who is not let in: 401 for one whose token is missing
// or not known.
func Refuse(w http.ResponseWriter, status int, err error) {
	if status != http.StatusUnauthorized {
		Fail(w, err)
		return
	}
	write(w, status, "UNAUTHENTICATED", err.Error())
}

func write(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error_code": code, "message": message})
}
