package ui

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/scope"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// guest is another browser, signed in with a new token.
func (s *site) guest(role ridgeline.Role, project ridgeline.ProjectName) *site {
	s.t.Helper()
	token, secret, err := auth.NewToken("guest", role, project, 0, time.Now().UTC())
	ok(s.t, err)
	ok(s.t, s.ui.Store.CreateToken(s.t.Context(), token))
	jar, err := cookiejar.New(nil)
	ok(s.t, err)
	return (&site{s.t, s.ui, s.url, &http.Client{Jar: jar, Timeout: 20 * time.Second}}).signIn(secret)
}

func TestViews(t *testing.T) {
	s := open(t)
	s.ui.Scope = scope.New(scope.Owners{})
	s.signIn("managing")
	for _, name := range []ridgeline.ProjectName{"iris", "wine"} {
		_, err := s.ui.Store.EnsureProject(t.Context(), name, time.Now())
		ok(t, err)
	}
	wants := func(what string, status, want int, text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if status != want || !strings.Contains(text, part) {
				t.Fatalf("%s: %d, want %d and %q in:\n%s", what, status, want, part, text)
			}
		}
	}
	s.shows("/runs?project=iris", 200, "No table is saved yet", `ridgeline views save NAME &#39;/runs?project=iris&#39;`)

	// Saved, it is marked wherever in the table and in whatever spelling somebody
	// comes to it; elsewhere it is only listed.
	const odd = `best / 模型 <b>`
	status, text := s.post("/projects/iris/views", "name", odd, "query", "sort=m.loss&skip=900")
	wants("save", status, 200, text, `aria-current="page">best / 模型 &lt;b&gt;`, "Remove this view")
	s.shows("/runs?down=&upto=r-1&sort=m.loss&project=iris", 200, `aria-current="page">best / 模型`)
	if text := s.shows("/runs?project=iris&sort=m.loss&down=1", 200, odd[:4]); strings.Contains(text, "Remove this view") {
		t.Error("another table is marked as the view")
	}
	status, text = s.post("/views", "name", "failed lately", "query", "status=failed")
	wants("save of all", status, 200, text, `aria-current="page">failed lately`, `<span class="tag">iris</span>`)
	s.shows("/runs?project=wine", 200, `failed lately <span class="tag">all projects</span>`)
	if text := s.shows("/runs?project=wine", 200, "wine"); strings.Contains(text, "best / ") {
		t.Error("a project's view is listed with another's runs")
	}
	s.shows("/runs?colour=red", 200, "ridgeline views</code>") // which nobody can save

	// What is wrong stands beside the field; what is there already is asked about.
	for name, says := range map[string]string{" ": "needs a name", strings.Repeat("x", 101): "up to 100 letters", "a\nb": "in one line"} {
		status, text = s.post("/projects/iris/views", "name", name, "query", "sort=took")
		wants("a bad name", status, http.StatusUnprocessableEntity, text, says, `aria-invalid="true"`, `<details class="menu views" open>`)
	}
	status, text = s.post("/projects/iris/views", "name", "bad", "query", "where=loss")
	wants("a bad condition", status, http.StatusUnprocessableEntity, text, "expected a name, one of", `value="bad"`)
	status, text = s.post("/projects/iris/views", "name", odd, "query", "sort=took")
	wants("a name that is taken", status, http.StatusConflict, text, "There is another view of this name", "Replace best / 模型", "/projects/iris/views/best%20%2F%20")
	saved := func() string {
		v, err := s.ui.Store.View(t.Context(), "iris", odd)
		ok(t, err)
		return v.Query
	}
	if saved() != "sort=m.loss" {
		t.Errorf("it was replaced without being asked: %s", saved())
	}
	status, text = s.post("/projects/iris/views/"+url.PathEscape(odd)+"/replace", "query", "sort=took")
	wants("replace", status, 200, text, `aria-current="page">best / 模型`)
	if saved() != "sort=took" {
		t.Errorf("it was not replaced: %s", saved())
	}

	// Who may only look saves nothing; who is of one project sees and makes those
	// of that one.
	viewer := s.guest(ridgeline.Viewer, "")
	if text := viewer.shows("/runs?project=iris", 200, "best / "); strings.Contains(text, "Save this table") {
		t.Error("a viewer is offered to save")
	}
	status, text = viewer.post("/projects/iris/views", "name", "x", "query", "")
	wants("a viewer's", status, http.StatusForbidden, text, "needs a writer")
	mine := s.guest(ridgeline.Writer, "wine")
	if text := mine.shows("/runs", 200, "Views"); strings.Contains(text, "best / ") || strings.Contains(text, "failed lately") {
		t.Error("a token of one project sees another's views")
	}
	status, text = mine.post("/projects/wine/views", "name", "own", "query", "sort=took")
	wants("of its own project", status, 200, text, `aria-current="page">own`)
	for path, want := range map[string]int{"/projects/iris/views": 404, "/views": 403, "/views/failed%20lately/remove": 403, "/projects/iris/views/x/remove": 404} {
		if status, _ := mine.post(path, "name", "x", "query", ""); status != want {
			t.Errorf("%s by a token of another project: %d, want %d", path, status, want)
		}
	}

	status, text = s.post("/projects/iris/views/" + url.PathEscape(odd) + "/remove")
	wants("remove", status, 200, text, "All runs")
	status, text = s.post("/projects/iris/views/" + url.PathEscape(odd) + "/remove")
	wants("remove again", status, http.StatusNotFound, text, "no view")
	did := ""
	events, err := s.ui.Store.AuditEvents(t.Context(), store.AuditFilter{Subject: "projects/iris/views", Outcome: ridgeline.AuditDone})
	ok(t, err)
	for _, e := range events {
		did += e.Action + " " + strings.TrimPrefix(e.Subject, "projects/iris/views/") + e.Made + ", "
	}
	if did != "remove-view "+odd+", save-view "+odd+", save-view "+odd+", " {
		t.Errorf("the audit trail has %s", did)
	}
}
