package mlflow

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// logging are the routes by which scripts say what they do: data, of which there
// may be thousands a second, and not somebody's decision.
var logging = map[string]bool{
	"experiments/create": true, "experiments/update": true, "experiments/set-experiment-tag": true, "experiments/delete-experiment-tag": true,
	"runs/create": true, "runs/update": true, "runs/log-metric": true, "runs/log-parameter": true, "runs/log-batch": true, "runs/set-tag": true, "runs/delete-tag": true,
	"runs/log-inputs": true, "runs/outputs": true, "runs/log-model": true,
	"logged-models": true, "PATCH logged-models/{model_id}": true, "logged-models/{model_id}/params": true, "logged-models/{model_id}/tags": true, "logged-models/{model_id}/tags/{tag_key}": true,
}

// What a route changes is in the audit trail, or what scripts log.
func TestAudit_of_every_route(t *testing.T) {
	a := &API{}
	for _, r := range slices.Concat(a.routes(), a.registryRoutes()) {
		if log := logging[r.path] || logging[r.method+" "+r.path]; !r.read && r.audits() == log {
			t.Errorf("%s %s: in the audit trail: %t, what scripts log: %t", r.method, r.path, r.audits(), log)
		}
	}
}

// So is who was kept out: for the role, or by the project.
func TestAudit_of_refusals(t *testing.T) {
	f := newFixture(t)
	if _, err := f.api.Registry.EnsureProject(t.Context(), "theirs", time.Now()); err != nil {
		t.Fatal(err)
	}
	f.caller = auth.Principal{Name: "them", Role: ridgeline.Writer, Project: "theirs"}
	f.want("POST", rest+"experiments/create", `{"name": "theirs"}`, 200, `"1"`)
	run := f.run("1")
	f.caller = auth.Principal{Name: "narrow", Role: ridgeline.Writer, Project: "mine"}
	f.want("GET", rest+"runs/get?run_id="+run, "", 404, "not found")
	f.want("GET", rest+"runs/get?run_id=0123", "", 404, "not found")
	f.want("POST", rest+"experiments/create", `{"name": "theirs/sweep"}`, 403, "may write")
	f.caller = auth.Principal{Name: "reader", Role: ridgeline.Viewer}
	f.want("POST", rest+"runs/log-metric", `{"run_id": "`+run+`", "key": "loss", "value": 1, "timestamp": 1}`, 403, "")
	f.want("POST", rest+"registered-models/create", `{"name": "m"}`, 403, "")
	events, err := f.api.Registry.AuditEvents(t.Context(), store.AuditFilter{Outcome: ridgeline.AuditRefused})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		got = append(got, strings.Join([]string{e.Who, e.Action, e.Subject}, " "))
	}
	want := []string{"reader registered-models/create models/m", "reader enter runs/log-metric", "narrow enter experiments/theirs/sweep", "narrow enter logged/" + run}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
