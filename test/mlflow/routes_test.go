package mlflow_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/mlflow"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/test/conformance/harness"
)

const (
	routes     = "testdata/routes-3.17.2.txt"
	page       = "../../docs/tracking.md"
	tableBegin = "<!-- routes: written by go test ./test/mlflow -run TestRoutes -record -->\n"
	tableEnd   = "<!-- end of routes -->"
)

// how says which routes are answered in another way than MLflow's.
var how = map[string]string{
	"GET mlflow/metrics/get-history":                        "a run that is not there is an error, and no empty history",
	"GET mlflow/metrics/get-history-bulk-interval":          "also with `sampling=lttb`",
	"POST mlflow/logged-models/search":                      "a dataset without digest is any of that name",
	"GET mlflow-artifacts/artifacts/<path:artifact_path>":   "with ranges and ETags",
	"POST mlflow/runs/search":                               "pages in the usual order are not shifted by new runs",
	"POST mlflow/experiments/update":                        "a deleted one is refused with 400 instead of 500",
	"POST mlflow/registered-models/alias":                   "`champion` and `challenger` of a project's model are the gate's",
	"DELETE mlflow/registered-models/alias":                 "not those two",
	"POST mlflow/registered-models/rename":                  "a model that a pipeline makes keeps its name",
	"DELETE mlflow/registered-models/delete":                "not of a model that a pipeline makes; its numbers are not given out again",
	"DELETE mlflow/model-versions/delete":                   "not of the champion, nor of what answers requests",
	"GET mlflow/model-versions/get-download-uri":            "a version's files are its own",
	"POST mlflow/runs/create":                               "a repeated request is one run: see [decision 0044](decisions/0044-a-repeated-creation-is-one-run.md)",
	"GET mlflow-artifacts/presigned/<path:artifact_path>":   "the address leads back to this server",
	"POST mlflow-artifacts/mpu/create/<path:artifact_path>": "the parts' addresses lead back to this server; not in a step",
}

// TestRoutes sends every request of the protocol, as the client's own files list
// it, and writes what comes of it into the documentation: answered, or 501.
func TestRoutes(t *testing.T) {
	if *record {
		text, err := exec.CommandContext(t.Context(), harness.Python(t, "mlflow-3"), "routes.py").Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(routes, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(routes)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString(tableBegin + "| route | |\n|---|---|\n")
	noted := 0
	registry, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "app.db"), nil) // for the audit trail of refusals
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	handler := (&mlflow.API{Registry: registry, Door: &auth.Door{Trail: registry, Log: slog.New(slog.DiscardHandler)}}).Handler()
	for line := range strings.Lines(string(text)) {
		method, path, _ := strings.Cut(strings.TrimSpace(line), " ")
		// A caller without a role is refused where there is a handler.
		r := httptest.NewRequest(method, "/api/2.0/"+regexp.MustCompile(`[{<][^}>]*[}>]`).ReplaceAllString(path, "x"), nil)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r.WithContext(auth.With(r.Context(), auth.Principal{Role: ridgeline.Role("none")})))
		said := "yes"
		switch w.Code {
		case http.StatusForbidden:
		case http.StatusNotImplemented:
			said = "501"
		default:
			t.Errorf("%s %s: %d %s: answer it, or say that it is left out", method, path, w.Code, w.Body)
		}
		if note := how[method+" "+path]; note != "" {
			noted++
			said += "; " + note
		}
		fmt.Fprintf(&table, "| `%s %s` | %s |\n", method, path, said)
	}
	if noted != len(how) {
		t.Errorf("%d notes for %d routes: one names a route that the protocol does not have", len(how), noted)
	}
	table.WriteString(tableEnd)
	old, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(old), tableBegin)
	_, after, ended := strings.Cut(rest, tableEnd)
	if !ok || !ended {
		t.Fatalf("%s has no place for the table", page)
	}
	if now := before + table.String() + after; now != string(old) {
		if !*record {
			t.Fatalf("the table of routes in %s is not current: run with -record", page)
		}
		if err := os.WriteFile(page, []byte(now), 0o600); err != nil { //nolint:gosec // it is there, with its mode
			t.Fatal(err)
		}
	}
}
