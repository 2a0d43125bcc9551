package ui

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// viewMenu is the tables of runs that people have saved, those of the project
// that is chosen first, and what saves and removes them.
type viewMenu struct {
	Saved []ridgeline.View
	Here  ridgeline.View // the table that is shown; its name, if it is one of them
	Odd   bool           // nobody can save it: its address has what no table has
	Asked string         // a name that was given, of another view that may be replaced
	form
}

func (u *UI) views(mux *http.ServeMux) {
	for below, suffix := range map[string]string{"/projects/{project}": "", "": "-of-all"} {
		mux.Handle("POST "+below+"/views", u.answers("save-view"+suffix, http.StatusOK, ridgeline.Writer, u.saveView))
		mux.Handle("POST "+below+"/views/{name}/replace", u.act("save-view"+suffix, ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
			v, err := sentView(ctx, r, r.PathValue("name"))
			if err != nil {
				return "", err
			}
			return v.Address(), u.Store.SaveView(ctx, v, true)
		}))
		mux.Handle("POST "+below+"/views/{name}/remove", u.act("remove-view"+suffix, ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
			v, err := u.Store.RemoveView(ctx, ridgeline.ProjectName(r.PathValue("project")), r.PathValue("name"))
			return v.Address(), err
		}))
	}
}

// sentView is the table that a form was on, as a view of that name.
func sentView(ctx context.Context, r *http.Request, name string) (ridgeline.View, error) {
	return ridgeline.NewView(ridgeline.ProjectName(r.PathValue("project")), name, r.PostForm.Get("query"), auth.From(ctx).Name, time.Now().UTC())
}

// saveView leads to the view, or answers with the table again, on which stands
// what was wrong, or that there is another view of that name.
func (u *UI) saveView(ctx context.Context, r *http.Request) (Page, error) {
	name := r.PostForm.Get("name")
	v, err := sentView(ctx, r, name)
	if err == nil {
		err = u.Store.SaveView(ctx, v, false)
	}
	if err == nil {
		return Page{Next: v.Address()}, nil
	}
	f, again := refused(r, "name", err)
	if there := ridgeline.CodeOf(err) == ridgeline.Conflict; !again && !there {
		return Page{}, err
	}
	q, unread := url.ParseQuery(v.Query)
	if unread != nil {
		return Page{}, err
	}
	if v.Project != "" {
		q.Set("project", string(v.Project))
	}
	body, _, failed := u.loadRuns(ctx, q)
	if failed != nil {
		return Page{}, failed
	}
	if body.Views.form = f; !again {
		body.Views.form = form{r.URL.Path, r.PostForm, "name", "There is another view of this name: give another one, or replace it."}
		body.Views.Asked = name
	}
	body.Parts = "" // its rows are not fetched into an address that only takes forms
	return Page{Title: "Runs", Nav: "runs", Project: v.Project, Still: true, Template: "runs", Body: body}, err
}

// viewMenu reads the views for the table at an address.
func (u *UI) viewMenu(ctx context.Context, q url.Values) (out viewMenu, err error) {
	out.Here.Project = ridgeline.ProjectName(q.Get("project"))
	if _, out.Here.Query, err = ridgeline.ViewQuery(q.Encode()); err != nil {
		out.Odd = true
	}
	var of []ridgeline.ProjectName
	if out.Here.Project != "" {
		of = append(of, out.Here.Project)
		if !auth.From(ctx).Scoped() {
			of = append(of, "")
		}
	}
	saved, err := u.Store.Views(ctx, of...)
	out.list(saved)
	return out, err
}

// list puts the views of the project that is chosen first, and finds this table
// among them.
func (m *viewMenu) list(saved []ridgeline.View) {
	others := func(v ridgeline.View) bool { return v.Project != m.Here.Project }
	m.Saved = slices.Concat(slices.DeleteFunc(slices.Clone(saved), others), slices.DeleteFunc(saved, func(v ridgeline.View) bool { return !others(v) }))
	for _, v := range m.Saved {
		if !m.Odd && m.Here.Name == "" && m.Now(v) {
			m.Here.Name = v.Name
		}
	}
}

// Now reports whether that view is what is shown.
func (m viewMenu) Now(v ridgeline.View) bool {
	return v.Project == m.Here.Project && v.Query == m.Here.Query
}

// Open reports whether the menu is still needed.
func (m viewMenu) Open() bool { return m.At != "" }

// address is where forms about the views of the project go.
func (m viewMenu) address(parts ...any) string {
	if m.Here.Project != "" {
		parts = append([]any{"projects", m.Here.Project, "views"}, parts...)
	} else {
		parts = append([]any{"views"}, parts...)
	}
	return components.Path(parts...)
}

// Save keeps this table under a name.
func (m viewMenu) Save() components.Action {
	a := components.NewAction("Save this table", m.address(), "Whoever may see these runs finds it here: what is chosen, its order, columns and groups.",
		components.NewCLI("views", "save", "NAME", m.Here.Address()), "primary", "query="+m.Here.Query)
	a.Inputs = []components.Input{{Name: "name", Label: "Name", Note: "up to 100 letters", Required: true}}
	return m.filled(a)
}

// Replace keeps this table in place of the view that has the name already.
func (m viewMenu) Replace() components.Action {
	return components.NewAction("Replace "+components.Cut(m.Asked, 30), m.address(m.Asked, "replace"), "The name leads to this table from then on; what it showed before is not kept.",
		components.NewCLI("views", "save", m.Asked, m.Here.Address(), "--replace"), "danger", "query="+m.Here.Query)
}

// Remove forgets the view that is shown.
func (m viewMenu) Remove() components.Action {
	words := []any{"views", "remove", m.Here.Name}
	if m.Here.Project != "" {
		words = append(words, "--project", m.Here.Project)
	}
	return components.NewAction("Remove this view", m.address(m.Here.Name, "remove"), "Nobody finds it here any more. The runs stay as they are.", components.NewCLI(words...), "danger")
}
