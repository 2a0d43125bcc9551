package mlflow

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
)

// audits reports whether what a route does is kept in the audit trail: what
// changes the registry, and what deletes or restores. What scripts log is data,
// not somebody's decision.
func (r route) audits() bool {
	return !r.read && (strings.HasPrefix(r.path, "registered-models/") || strings.HasPrefix(r.path, "model-versions/") ||
		strings.HasSuffix(r.path, "/delete") || strings.HasSuffix(r.path, "/restore") || r.method == http.MethodDelete && r.path == "logged-models/{model_id}")
}

// kept keeps in the audit trail who was kept out: for the role, or since what was
// asked for is another project's.
func (a *API) kept(route route, req *http.Request, subject string, err error) {
	var there *foreign
	who := auth.From(req.Context())
	switch {
	case errors.As(err, &there):
		a.Door.Strayed(req.Context(), who, route.path, subject)
	case ridgeline.CodeOf(err) == ridgeline.Denied:
		a.Door.Refused(req.Context(), who, "enter", subject, err)
	}
}

// audited does what a route does, and keeps who asked for it.
func (a *API) audited(route route, req *request) ([]byte, error) {
	if !route.audits() {
		return route.handle(req.http.Context(), req, nil)
	}
	who := auth.From(req.http.Context())
	e := ridgeline.AuditEvent{Who: who.Name, Via: who.Via, Address: who.Address, Action: route.path, Subject: req.subject()}
	if route.method == http.MethodDelete && !strings.Contains(route.path, "/delete") {
		e.Action = "delete " + route.path
	}
	var b []byte
	err := a.Registry.Audited(req.http.Context(), e, func(ctx context.Context) (err error) {
		if err := mayUse(ctx, false); err != nil {
			return err
		}
		b, err = route.handle(ctx, req, nil)
		return err
	})
	return b, err
}

// subject is what a request is about, as the audit trail calls it.
func (r *request) subject() string {
	text := func(name string) string {
		if v := r.field(name); v != nil {
			return strings.Trim(v.String(), `"`)
		}
		return r.query.Get(name)
	}
	switch {
	case text("name") != "" && strings.Contains(r.http.URL.Path, "/mlflow/experiments/"):
		return "experiments/" + text("name")
	case text("name") != "" && text("version") != "":
		return "models/" + text("name") + "/versions/" + text("version")
	case text("name") != "":
		return "models/" + text("name")
	case text("run_id") != "":
		return "logged/" + text("run_id")
	case text("experiment_id") != "":
		return "experiments/" + text("experiment_id")
	}
	return "logged-models/" + r.http.PathValue("model_id")
}
