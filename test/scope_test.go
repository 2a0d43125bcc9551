package test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestScope asks a server with two projects, by the token of one, for the things
// of the other: by every route of the API, as its own description lists them, by
// the registry, git and the pages. (MLflow's routes: package mlflow.)
func TestScope(t *testing.T) {
	r := newRidgeline(t)
	for _, name := range []string{"theirs", "ours"} {
		push(t, r, name, true)
		finished(t, r, name)
	}
	one := func(what, field string) string {
		list := decode[[]map[string]any](t, r.must(".", what, "--project", "theirs", "--json"))
		id, _ := list[0][field].(string)
		if id == "" {
			t.Fatalf("ridgeline %s tells no %s: %v", what, field, list[0])
		}
		return id
	}
	token := decode[struct{ Secret, Project string }](t, r.must(".", "token", "create", "ci", "--role", "writer", "--project", "ours", "--json"))
	if token.Project != "ours" {
		t.Fatalf("the token is of project %q", token.Project)
	}
	if _, problem, ok := r.do(".", "token", "create", "boss", "--role", "admin", "--project", "ours"); ok || !strings.Contains(problem, "a viewer or a writer") {
		t.Errorf("an admin of one project: %s", problem)
	}
	if _, problem, ok := r.do(".", "token", "create", "typo", "--project", "urs"); ok || !strings.Contains(problem, "urs") {
		t.Errorf("a token of a project that is not there: %s", problem)
	}
	secret := "Bearer " + token.Secret
	run, build, release := one("runs", "id"), one("builds", "build"), one("releases", "id")
	endpoints := decode[[]struct{ Deployments []struct{ ID string } }](t, r.must(".", "endpoints", "--project", "theirs", "--json"))
	ids := map[string]string{"builds": build, "runs": run, "releases": release, "deployments": endpoints[0].Deployments[0].ID}
	foreign := func(text string) bool {
		return slices.ContainsFunc([]string{run, build, release, `"theirs"`, "/theirs/"}, func(mark string) bool { return mark != "" && strings.Contains(text, mark) })
	}
	fill := func(path, project string) string {
		first, _, _ := strings.Cut(strings.TrimPrefix(path, "/api/v1/"), "/")
		id := ids[first]
		if id == "" {
			id = "x-00000000000000"
		}
		return strings.NewReplacer("{project}", project, "{id}", id, "{version}", "1", "{environment}", "qa", "{which}", "primary",
			"{name}", map[bool]string{true: project, false: "points"}[first == "models"]).Replace(path)
	}

	described := decode[struct {
		Paths map[string]map[string]json.RawMessage
	}](t, call(t, "GET", r.address()+"/api/v1/openapi.json", secret, "").body)
	asked := 0
	for path, methods := range described.Paths {
		for method := range methods {
			asked++
			method = strings.ToUpper(method)
			a := call(t, method, r.address()+fill(path, "theirs"), secret, "{}")
			switch {
			case foreign(a.body) && a.status/100 == 2:
				t.Errorf("%s %s tells of another project: %s", method, path, a.body)
			case strings.Contains(path, "{") && a.status != http.StatusNotFound && a.status != http.StatusForbidden:
				t.Errorf("%s %s of another project: %d %s", method, path, a.status, a.body)
			case method == "GET" && !strings.Contains(path, "{") && a.status/100 == 2:
				if a := call(t, method, r.address()+path+"?project=theirs", secret, ""); a.status != http.StatusNotFound {
					t.Errorf("%s %s?project=theirs: %d %s", method, path, a.status, a.body)
				}
			}
			// What is described without a project's name in it is about the server, and
			// closed; what an administrator alone may do is one of these.
			if method == "GET" && strings.Contains(path, "{project}") && !strings.Contains(path, "{id}") && !strings.Contains(path, "{name}") {
				if a := call(t, method, r.address()+fill(path, "ours"), secret, ""); a.status/100 != 2 {
					t.Errorf("%s %s of the token's own project: %d %s", method, path, a.status, a.body)
				}
			}
		}
	}
	if asked < 50 {
		t.Errorf("the description has %d routes: expected all", asked)
	}
	for _, path := range []string{
		"/api/v1/logs/run-" + run + "-train-1", "/v2/theirs/tags/list", "/v2/_catalog", "/git/theirs.git/info/refs?service=git-upload-pack", "/metrics",
		"/api/v1/projects/theirs/predictions.parquet", "/api/v1/projects/theirs/datasets/points/versions/1/files/points.csv",
	} {
		if a := call(t, "GET", r.address()+path, secret, ""); a.status != http.StatusNotFound && a.status != http.StatusForbidden {
			t.Errorf("GET %s: %d %s", path, a.status, a.body)
		}
	}
	for _, path := range []string{"/v2/ours/tags/list", "/v2/", "/api/v1/models", "/api/v1/runs"} {
		if a := call(t, "GET", r.address()+path, secret, ""); a.status != http.StatusOK {
			t.Errorf("GET %s: %d %s", path, a.status, a.body)
		}
	}
	for _, environment := range []string{"qa", "production"} {
		for project, want := range map[string]int{"theirs": http.StatusUnauthorized, "ours": http.StatusOK} {
			if a := call(t, "POST", r.address()+"/endpoints/"+project+"/"+environment+"/score", secret, `{"data": [[0.5]]}`); a.status != want {
				t.Errorf("scoring at %s/%s: %d %s, want %d", project, environment, a.status, a.body, want)
			}
		}
	}

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	in, err := browser.PostForm(r.address()+"/sign-in", url.Values{"token": {token.Secret}, "next": {"/projects/ours"}})
	if err != nil {
		t.Fatal(err)
	}
	in.Body.Close()
	page := func(path string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.address()+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/html")
		res, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	for _, path := range []string{"/", "/projects", "/builds", "/runs", "/models", "/releases", "/live", "/data", "/settings", "/logged", "/projects/ours", "/models/ours", "/live/ours/qa"} {
		if status, text := page(path); status != http.StatusOK || strings.Contains(text, "theirs") || strings.Contains(text, run) {
			t.Errorf("page %s: %d, another project's things: %v", path, status, strings.Contains(text, "theirs"))
		}
	}
	for _, path := range []string{"/?project=theirs", "/runs?project=theirs", "/projects/theirs", "/runs/" + run, "/runs/" + run + "/gate", "/builds/" + build, "/releases/" + release, "/models/theirs", "/models/theirs/1", "/live/theirs/qa", "/data/theirs/points", "/compare?run=" + run, "/ui/logs/run-" + run + "-train-1/all"} {
		if status, text := page(path); status != http.StatusNotFound {
			t.Errorf("page %s: %d %s", path, status, tail(text, 300))
		}
	}
}
