package scope_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/scope"
)

var errAway = errors.New("the database is away")

// keeper knows of each kind one thing of each project.
func keeper() *scope.Keeper {
	owners := scope.Owners{}
	for _, kind := range []scope.Kind{scope.Build, scope.Run, scope.Release, scope.Model, scope.Deployment, scope.Arrival, scope.Logged, scope.Experiment} {
		owners[kind] = func(_ context.Context, id string) (ridgeline.ProjectName, error) {
			switch id {
			case "mine", "r-00000000000000", "b-00000000000000":
				return "iris", nil
			case "theirs", "r-11111111111111", "b-11111111111111":
				return "wine", nil
			case "nobodys":
				return "", nil
			case "away":
				return "", errAway
			}
			return "", ridgeline.Errorf(ridgeline.NotFound, "no %s %s", kind, id)
		}
	}
	return scope.New(owners)
}

func TestKeeper_Hold(t *testing.T) {
	k := keeper()
	token := auth.Principal{Name: "ci", Role: ridgeline.Writer, Project: "iris"}
	const fine = ridgeline.Code("")
	for _, c := range []struct {
		ask  string // method and address
		want ridgeline.Code
		to   string // the address to go on with, when another
	}{
		{"GET /api/v1/projects/iris/data", fine, ""},
		{"POST /api/v1/projects/iris/builds?commit=x", fine, ""},
		{"GET /api/v1/projects/wine/data", ridgeline.NotFound, ""},
		{"POST /api/v1/projects/wine/runs", ridgeline.NotFound, ""},
		{"POST /api/v1/endpoints/wine/qa/traffic", ridgeline.NotFound, ""},
		{"GET /api/v1/builds", fine, "/api/v1/builds?project=iris"},
		{"GET /api/v1/runs?limit=3&project=", fine, "/api/v1/runs?limit=3&project=iris"},
		{"GET /api/v1/runs?project=iris", fine, "/api/v1/runs?project=iris"},
		{"GET /api/v1/runs?project=iris&project=wine", ridgeline.NotFound, ""},
		{"GET /api/v1/runs?project=wine", ridgeline.NotFound, ""},
		{"POST /api/v1/events", fine, "/api/v1/events?project=iris"},
		{"GET /api/v1/runs/mine", fine, ""},
		{"POST /api/v1/runs/theirs/cancel", ridgeline.NotFound, ""},
		{"POST /api/v1/runs/absent/cancel", ridgeline.NotFound, ""},
		{"GET /api/v1/runs/away", ridgeline.Internal, ""},
		{"GET /api/v1/models/nobodys/versions", ridgeline.NotFound, ""},
		{"POST /api/v1/models/mine/releases", fine, ""},
		{"GET /api/v1/logs/run-r-00000000000000-train-1", fine, ""},
		{"GET /api/v1/logs/run-r-11111111111111-train-1", ridgeline.NotFound, ""},
		{"GET /api/v1/logs/build-b-11111111111111-tests", ridgeline.NotFound, ""},
		{"GET /api/v1/logs/elsewhere", ridgeline.NotFound, ""},
		{"POST /api/v1/gc", ridgeline.Denied, ""},
		{"GET /api/v1/tokens", ridgeline.Denied, ""},
		{"GET /metrics", ridgeline.Denied, ""},
		{"GET /api/v1/views", fine, "/api/v1/views?project=iris"},
		{"PUT /api/v1/projects/iris/views/best", fine, ""},
		{"DELETE /api/v1/projects/wine/views/best", ridgeline.NotFound, ""},
		{"PUT /api/v1/views/best", ridgeline.Denied, ""},
		{"POST /projects/iris/views", fine, ""},
		{"POST /projects/wine/views", ridgeline.NotFound, ""},
		{"POST /views/remove", ridgeline.Denied, ""},
		{"GET /api/v1/a-route-to-come", ridgeline.Denied, ""},
		{"GET /api/v1//projects/iris/data", ridgeline.Denied, ""},
		{"GET /git/iris.git/info/refs", fine, ""},
		{"GET /git/wine.git/info/refs", ridgeline.NotFound, ""},
		{"GET /v2/", fine, ""},
		{"GET /v2/_catalog", ridgeline.NotFound, ""},
		{"GET /v2/mine/manifests/1", fine, ""},
		{"GET /v2/theirs/tags/list", ridgeline.NotFound, ""},
		{"PUT /v2/tasks/iris/manifests/latest", fine, ""},
		{"GET /v2/tasks/wine/manifests/latest", ridgeline.NotFound, ""},
		{"POST /v2/mine/blobs/uploads/?from=mine&mount=sha256:1", fine, ""},
		{"POST /v2/mine/blobs/uploads/?from=theirs&mount=sha256:1", fine, "/v2/mine/blobs/uploads/"},
		{"GET /", fine, "/?project=iris"},
		{"GET /ui/runs/rows?skip=100", fine, "/ui/runs/rows?project=iris&skip=100"},
		{"GET /ui/runs/groups?project=wine", ridgeline.NotFound, ""},
		{"GET /cost?month=2026-10", fine, "/cost?month=2026-10&project=iris"},
		{"GET /cost.csv?project=wine", ridgeline.NotFound, ""},
		{"GET /api/v1/costs/month?month=now", fine, "/api/v1/costs/month?month=now&project=iris"},
		{"GET /api/v1/costs/month/lines?project=wine", ridgeline.NotFound, ""},
		{"GET /runs/theirs/gate", ridgeline.NotFound, ""},
		{"GET /runs/mine/logged/theirs/a/b", ridgeline.NotFound, ""},
		{"GET /compare?run=mine&run=theirs", ridgeline.NotFound, ""},
		{"GET /compare?run=mine&run=", fine, ""},
		{"GET /logged?experiment=theirs", ridgeline.NotFound, ""},
		{"GET /ui/logged/rows?experiment=theirs", ridgeline.NotFound, ""},
		{"GET /ui/logged/marks?experiment=mine", fine, ""},
		{"GET /logged/mine/files/a/b", fine, ""},
		{"POST /settings/tokens", ridgeline.Denied, ""},
	} {
		method, address, _ := strings.Cut(c.ask, " ")
		r := httptest.NewRequestWithContext(auth.With(t.Context(), token), method, address, http.NoBody)
		held, err := k.Hold(r)
		if code := codeOf(err); code != c.want {
			t.Errorf("%s: %v, want %q", c.ask, err, c.want)
			continue
		}
		want := c.to
		if want == "" {
			want = address
		}
		if err == nil && held.URL.String() != want {
			t.Errorf("%s goes on as %s, want %s", c.ask, held.URL, want)
		}
	}
}

// Everybody else is left alone, and a request keeps what a mux has read of it.
func TestKeeper_Hold_leaves_others(t *testing.T) {
	k := keeper()
	for _, who := range []auth.Principal{{}, {Name: "admin", Role: ridgeline.Admin}, {Name: "run", Role: ridgeline.Writer, Project: "iris", Run: "r-1"}} {
		r := httptest.NewRequestWithContext(auth.With(t.Context(), who), http.MethodGet, "/api/v1/projects/wine/data", http.NoBody)
		if held, err := k.Hold(r); err != nil || held != r {
			t.Errorf("%+v: %v", who, err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /runs/{id}/artifacts/{step}", func(_ http.ResponseWriter, r *http.Request) {
		held, err := k.Hold(r)
		if err != nil || held.PathValue("step") != "train" || held.PathValue("rest") != "" {
			t.Errorf("%v, step %q", err, held.PathValue("step"))
		}
	})
	token := auth.Principal{Name: "ci", Role: ridgeline.Writer, Project: "iris"}
	mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(auth.With(t.Context(), token), http.MethodGet, "/runs/mine/artifacts/train", http.NoBody))
}

func codeOf(err error) ridgeline.Code {
	if err == nil {
		return ""
	}
	return ridgeline.CodeOf(err)
}
