// Package api is Ridgeline's JSON dialect over HTTP, described by OpenAPI 3.1,
// and its Go client, which is all the command line speaks.
//
// It decides nothing: builds, runs and releases are started in their own
// packages, and what may be seen of them is read from the store.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/bill"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/build"
	"github.com/ridgeline-mlops/ridgeline/forge"
	"github.com/ridgeline-mlops/ridgeline/gc"
	"github.com/ridgeline-mlops/ridgeline/intake"
	"github.com/ridgeline-mlops/ridgeline/pipeline"
	"github.com/ridgeline-mlops/ridgeline/prediction"
	"github.com/ridgeline-mlops/ridgeline/release"
	"github.com/ridgeline-mlops/ridgeline/storage"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/trigger"
)

// An API answers below /api/v1/. All fields are needed.
type API struct {
	Store        *store.Store
	Blob         *blob.Store
	Builds       *build.Builder
	Runs         *pipeline.Runner
	Intake       *intake.Intake
	Releases     *release.Releaser
	Predictions  *prediction.Log
	Webhooks     *trigger.Webhooks
	Schedules    *trigger.Schedules
	Inbox        *trigger.Inbox
	Remotes      *forge.Hub
	Garbage      *gc.Collector
	Storage      *storage.Meter
	Auth         *auth.Authenticator
	Sessions     *auth.Sessions
	Ready        func(ctx context.Context, id ridgeline.DeploymentID) (int, error) // copies of a deployment that answer
	BaseURL      string                                                            // such as http://127.0.0.1:8470
	RegistryHost string                                                            // such as 127.0.0.1:8470
	Bills        bill.Ledger
	Leads        func() bool // whether this server runs the flows
	Version      string
	Temp         string // where a pushed archive is unpacked before it is kept
	Log          *slog.Logger
}

// MaxPush is the largest source archive taken, in bytes.
const MaxPush = 2 << 30

// Handler returns the routes.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	config := huma.DefaultConfig("Ridgeline", a.Version)
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "/api/v1/openapi", "", "/api/v1/schemas"
	config.Info.Description = "The MLOps loop: builds, runs, models, releases and endpoints."
	config.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	config.Security = []map[string][]string{{"token": {}}}
	api := humago.New(mux, config)
	api.UseMiddleware(placed)
	a.builds(api)
	a.runs(api)
	a.gates(api)
	a.models(api)
	a.releases(api)
	a.endpoints(api)
	a.tokens(api)
	a.signIns(api)
	a.remotes(api)
	a.webhooks(api)
	a.schedules(api)
	a.events(api)
	a.data(api, mux)
	a.predictions(api, mux)
	a.costs(api)
	a.logTokens(api)
	a.garbage(api)
	a.room(api)
	a.audit(api)
	a.views(api)
	mux.HandleFunc("GET /api/v1/logs/{task}", a.log)
	return mux
}

// schemaName tells types of one name apart that different packages have: one of
// neither this nor the root package is called by its package, too.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	switch pkg := path.Base(t.PkgPath()); {
	case t.PkgPath() == "" || pkg == "api" || pkg == "ridgeline" || pkg == "huma" || pkg == "v2":
		return name
	default:
		return strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
}

// body is an answer with nothing but a body.
type body[T any] struct {
	Body T
}

// route adds an operation that a caller with the role may use; if it changes
// something, the audit trail has who did so. Errors are spelled in RFC 9457's form; the cause of an internal one goes to the log.
func route[I, O any](a *API, api huma.API, op huma.Operation, need ridgeline.Role, handle func(ctx context.Context, in *I) (O, error)) {
	answer(a, api, op, need, func(ctx context.Context, in *I) (*body[O], error) {
		out, err := handle(ctx, in)
		return &body[O]{Body: out}, err
	})
}

// answer is route for an operation whose answer is more than a body: O as
// huma reads it, with headers and a status.
func answer[I, O any](a *API, api huma.API, op huma.Operation, need ridgeline.Role, handle func(ctx context.Context, in *I) (*O, error)) {
	op.Path = "/api/v1" + op.Path
	op.Description = "Needs the role " + string(need) + "."
	do := audited(a, op, func(ctx context.Context, in *I) (*O, error) {
		if who := auth.From(ctx); !who.Role.Allows(need) {
			return nil, ridgeline.Errorf(ridgeline.Denied, "%s is a %s; this needs a %s", who.Name, who.Role, need)
		}
		return handle(ctx, in)
	})
	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := do(ctx, in)
		if err != nil {
			return nil, a.problem(op, err)
		}
		return out, nil
	})
}

// plain is an answer that is text of its own kind.
type plain struct {
	Type string `header:"Content-Type"`
	Body []byte
}

// text adds an operation that answers with a document instead of JSON.
func text[I any](a *API, api huma.API, op huma.Operation, need ridgeline.Role, kind string, handle func(ctx context.Context, in *I) ([]byte, error)) {
	op.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{kind: {Schema: &huma.Schema{Type: "string"}}}}}
	answer(a, api, op, need, func(ctx context.Context, in *I) (*plain, error) {
		out, err := handle(ctx, in)
		return &plain{kind + "; charset=utf-8", out}, err
	})
}

// statuses is the HTTP spelling of the error codes.
var statuses = map[ridgeline.Code]int{
	ridgeline.Invalid:     http.StatusUnprocessableEntity,
	ridgeline.NotFound:    http.StatusNotFound,
	ridgeline.Conflict:    http.StatusConflict,
	ridgeline.Denied:      http.StatusForbidden,
	ridgeline.Unavailable: http.StatusServiceUnavailable,
	ridgeline.Internal:    http.StatusInternalServerError,
}

// Status is the HTTP status that answers an error of the code.
func Status(code ridgeline.Code) int { return statuses[code] }

func (a *API) problem(op huma.Operation, err error) error {
	code := ridgeline.CodeOf(err)
	if code == ridgeline.Internal {
		a.Log.Error("api", "operation", op.OperationID, "error", err)
		return huma.NewError(Status(code), "an unexpected error occurred; the server's log has it")
	}
	return huma.NewError(Status(code), err.Error())
}

// list is an answer that is never null.
func list[T, V any](rows []T, view func(T) V) []V {
	out := make([]V, 0, len(rows))
	for _, row := range rows {
		out = append(out, view(row))
	}
	return out
}
