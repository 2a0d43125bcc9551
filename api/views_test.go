package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
	"github.com/ridgeline-mlops/ridgeline/store"
)

func TestAPI_views(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	for _, name := range []ridgeline.ProjectName{"iris", "wine"} {
		if _, err := s.store.EnsureProject(ctx, name, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	const odd = `模型 / best?`
	at := func(path, name string) string { return "/api/v1" + path + "/" + url.PathEscape(name) }
	save := func(c *api.Client, path, query string) (v api.View, err error) {
		return v, c.Do(ctx, http.MethodPut, path, map[string]any{"query": query}, &v)
	}
	v, err := save(s.writer, at("/projects/iris/views", odd), "/runs?where=p.kind = ridge&sort=m.loss&skip=900")
	if err != nil || v.Name != odd || v.Project != "iris" || v.Query != "sort=m.loss&where=p.kind+%3D+ridge" || !strings.HasSuffix(v.URL, "/runs?project=iris&sort=m.loss&where=p.kind+%3D+ridge") || v.Caller == "" {
		t.Fatalf("%+v %v", v, err)
	}
	if v, err := save(s.writer, at("/views", "failed"), "status=failed"); err != nil || v.Project != "" {
		t.Errorf("%+v %v", v, err)
	}
	names := func(path string) (names string) {
		all, err := api.Get[[]api.View](ctx, s.viewer, path)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range all {
			names += v.Project + ":" + v.Name + " "
		}
		return names
	}
	if got := names("/api/v1/views"); got != ":failed iris:"+odd+" " {
		t.Error(got)
	}
	if got := names("/api/v1/views?project=iris") + names("/api/v1/views?project=wine"); got != "iris:"+odd+" " {
		t.Error(got)
	}

	_, err = save(s.writer, at("/projects/iris/views", odd), "sort=took")
	refused(t, err, ridgeline.Conflict, "is there already")
	if v, err := save(s.writer, at("/projects/iris/views", odd)+"?replace=true", "sort=took"); err != nil || v.Query != "sort=took" {
		t.Errorf("%+v %v", v, err)
	}
	_, err = save(s.viewer, at("/projects/iris/views", "mine"), "")
	refused(t, err, ridgeline.Denied, "needs a writer")
	refused(t, s.viewer.Do(ctx, http.MethodDelete, at("/views", "failed"), nil, nil), ridgeline.Denied, "needs a writer")
	for query, says := range map[string]string{"where=loss": "expected a name, one of", "colour=red": `no "colour"`, "project=wine&sort=took": "of project wine"} {
		_, err = save(s.writer, at("/projects/iris/views", "bad"), query)
		refused(t, err, ridgeline.Invalid, says)
	}
	_, err = save(s.writer, at("/views", "bad"), "project=iris")
	refused(t, err, ridgeline.Invalid, "of project iris")
	_, err = save(s.writer, at("/views", strings.Repeat("x", 101)), "")
	refused(t, err, ridgeline.Invalid, "up to 100 letters")
	_, err = save(s.writer, at("/projects/urs/views", "x"), "")
	refused(t, err, ridgeline.NotFound, "urs")

	for _, want := range []ridgeline.Code{"", ridgeline.NotFound} {
		if err := s.writer.Do(ctx, http.MethodDelete, at("/projects/iris/views", odd), nil, nil); err == nil && want != "" || err != nil && ridgeline.CodeOf(err) != want {
			t.Errorf("%v, want %q", err, want)
		}
	}
	events, err := s.store.AuditEvents(ctx, store.AuditFilter{Subject: "projects/iris/views/" + odd, Outcome: ridgeline.AuditDone})
	if err != nil || len(events) != 3 || events[0].Action != "remove-view" || events[2].Action != "save-view" || events[0].Who == "" {
		t.Errorf("the audit trail has %+v %v", events, err)
	}
}
