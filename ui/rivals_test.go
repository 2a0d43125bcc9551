package ui

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

// A run is compared with what is live, and with the champion where that is
// another, by one click from each page that tells of it; never with itself, nor
// with what gets copies of requests only.
func TestRivals(t *testing.T) {
	s := furnish(t)
	ctx, st := t.Context(), s.ui.Store
	runs := make([]ridgeline.RunID, 4)
	for i := 1; i < len(runs); i++ {
		runs[i] = aRun(t, s, i, nil, float64(i))
		n, err := st.ReserveVersion(ctx, "kinds", runs[i])
		ok(t, err)
		ok(t, st.RegisterVersion(ctx, ridgeline.ModelVersion{Model: "kinds", Version: n, Source: ridgeline.ByPipeline, Project: "iris", Run: runs[i], Artifact: "a", Verdict: ridgeline.Inconclusive, Created: begun}))
		ok(t, st.RecordVerdict(ctx, runs[i], ridgeline.Inconclusive, "kinds", n))
	}
	link := func(a, b int) string { return strings.ReplaceAll(comparison(runs[a], runs[b]), "&", "&amp;") }
	pages := func(i int) []string {
		return []string{"/runs/" + string(runs[i]), "/runs/" + string(runs[i]) + "/gate", fmt.Sprintf("/models/kinds/%d", i)}
	}
	for _, page := range pages(2) {
		if text := s.shows(page, http.StatusOK); strings.Contains(text, "/compare?") {
			t.Errorf("%s compares with what is live, and nothing is", page)
		}
	}
	deploy := func(id ridgeline.DeploymentID, environment string, version int) {
		ok(t, st.CreateDeployment(ctx, ridgeline.Deployment{ID: id, Project: "iris", Environment: environment, Model: "kinds", Version: version, Host: "process", State: ridgeline.DeploymentStarting, Replicas: 1, Created: begun}))
		ok(t, st.SwitchDeployment(ctx, id, begun))
	}
	deploy("d-1", "production", 1)
	deploy("d-2", "qa", 1)
	_, err := st.OverrideVersion(ctx, "kinds", 3, ridgeline.Override{Who: "ann", At: begun, Reason: "tried by hand", How: "promote"})
	ok(t, err)
	for _, page := range pages(2) {
		s.shows(page, http.StatusOK, "Compare with what is live in production and qa, v1", link(1, 2), "Compare with the champion, v3", link(3, 2))
	}
	for _, page := range pages(1) {
		if text := s.shows(page, http.StatusOK, link(3, 1)); strings.Contains(text, "is live in") {
			t.Errorf("%s compares what is live with itself", page)
		}
	}
	deploy("d-3", "production", 3)
	for _, page := range pages(2) {
		if text := s.shows(page, http.StatusOK, "Compare with what is live in qa, v1", "Compare with what is live in production, v3"); strings.Contains(text, "the champion, v3") {
			t.Errorf("%s names the same run twice", page)
		}
	}
	text := s.shows("/models/kinds", http.StatusOK, "Compare what is ticked")
	for _, r := range runs[1:] {
		if !strings.Contains(text, `name="run" value="`+string(r)+`"`) {
			t.Errorf("the version of %s cannot be ticked", r)
		}
	}
}
