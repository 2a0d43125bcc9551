package ridgeline

import (
	"strings"
	"testing"
	"time"
)

func TestViewQuery(t *testing.T) {
	for _, c := range []struct{ address, project, query string }{
		{"", "", ""},
		{"/runs", "", ""},
		{"http://127.0.0.1:8470/runs?project=iris", "iris", ""},
		{"?status=&verdict=&where=&group=&column=p.b&column=m.a&column=p.b", "", "column=m.a&column=p.b"},
		{"sort=m.loss&down=1&skip=900&upto=r-1&before=r-2&window=9&open=x&inline=1&_live=1", "", "down=1&sort=m.loss"},
		{"down=1&of=m.loss&in=x&fall=1&by=mean", "", ""},
		{"/runs?group=p.kind&of=m.loss&by=mean&fall=1&project=", "", "by=mean&fall=1&group=p.kind&of=m.loss"},
		{"group=verdict&in=", "", "group=verdict&in="},
		{"where=p.q+%3D+what%3F&different=1&status=failed&verdict=rejected#x", "", "different=1&status=failed&verdict=rejected&where=p.q+%3D+what%3F"},
		{"where=p.q = what?", "", "where=p.q+%3D+what%3F"},
		{"sort=took", "", "sort=took"},
	} {
		project, query, err := ViewQuery(c.address)
		if err != nil || string(project) != c.project || query != c.query {
			t.Errorf("%s: %q %q %v, want %q %q", c.address, project, query, err, c.project, c.query)
		}
		v := View{Project: project, Name: "v", Query: query}
		if err := v.Check(); err != nil {
			t.Errorf("%s: %v", c.address, err)
		}
		if again, q, err := ViewQuery(v.Address()); err != nil || again != project || q != query {
			t.Errorf("%s comes back from its address %s as %q %q %v", c.address, v.Address(), again, q, err)
		}
	}
	for address, says := range map[string]string{
		"colour=red": `no "colour"`, "sort=loss": "sort=loss", "status=done": "status=done", "verdict=good": "verdict=good", "group=kind": "group=kind", "column=x": "column=x",
		"group=p.kind&of=p.kind": "of=p.kind", "a=%zz": "cannot be read", "/models?sort=m.x": "no", "column=p." + strings.Repeat("x", 9000): "fewer columns",
	} {
		if _, _, err := ViewQuery(address); CodeOf(err) != Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60s: %v, want %q", address, err, says)
		}
	}
}

func TestNewView(t *testing.T) {
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	for address, want := range map[string]string{"/runs?project=iris&sort=took": "/runs?project=iris&sort=took", "sort=took": "/runs?project=iris&sort=took", "": "/runs?project=iris"} {
		if v, err := NewView("iris", "best", address, "ann", at); err != nil || v.Address() != want || v.Name != "best" || v.Caller != "ann" || !v.Saved.Equal(at) {
			t.Errorf("%s: %+v %v", address, v, err)
		}
	}
	for _, project := range []ProjectName{"", "wine"} {
		if _, err := NewView(project, "best", "project=iris", "ann", at); CodeOf(err) != Invalid || !strings.Contains(err.Error(), "of project iris") {
			t.Errorf("as a view of %q: %v", project, err)
		}
	}
	if _, err := NewView("", "", "sort=x", "ann", at); err == nil || !strings.Contains(err.Error(), "name") {
		t.Errorf("what is wrong with the name is said first: %v", err)
	}
}

func TestView_Check(t *testing.T) {
	for _, name := range []string{"best", "Läufe, die gut sind", "模型 / 🔥", strings.Repeat("ü", 100)} {
		if err := (View{Name: name}).Check(); err != nil {
			t.Error(err)
		}
	}
	for name, says := range map[string]string{
		"": "needs a name", " \t": "needs a name", strings.Repeat("ü", 101): "this one 101", " x": "no space", "x\ny": "one line", "x\u202ey": "one line", "\xff": "one line", "..": "no name",
	} {
		if err := (View{Name: name}).Check(); CodeOf(err) != Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", name, err, says)
		}
	}
	if err := (View{Name: "x", Query: "sort=m.a&down=1"}).Check(); CodeOf(err) != Invalid {
		t.Errorf("a query in another order: %v", err)
	}
}
