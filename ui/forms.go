package ui

import (
	"context"
	"net/http"
	"net/url"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// A form is what somebody has filled in and sent, and what was wrong with it. A
// page has it that shows the form again.
type form struct {
	At      string     // the address it was sent to; empty: nothing was sent
	Sent    url.Values // what was filled in
	Field   string     // the name of what was wrong
	Problem string
}

// filled is an action as it was sent, open, with what is wrong beside its field;
// or as it is, when it was not sent. Secrets have to be given again.
func (f form) filled(a components.Action) components.Action {
	if f.At != a.URL {
		return a
	}
	a.Open = true
	inputs := a.Inputs
	a.Inputs = make([]components.Input, len(inputs))
	for i, in := range inputs {
		if !in.Secret && in.Type != "password" {
			in.Value = f.Sent.Get(in.Name)
		}
		if in.Name == f.Field {
			in.Problem = f.Problem
		}
		a.Inputs[i] = in
	}
	return a
}

// refused is a form that was not taken for what is in it; of other errors there
// is none.
func refused(r *http.Request, field string, err error) (form, bool) {
	if code := ridgeline.CodeOf(err); code != ridgeline.Invalid && code != ridgeline.Denied {
		return form{}, false
	}
	return form{r.URL.Path, r.PostForm, field, err.Error()}, true
}

// answers adds what a form does that answers with a page of its own, under the
// status done: one that shows a secret once, the next one, or the form again. That goes with
// the error.
func (u *UI) answers(action string, done int, need ridgeline.Role, do func(ctx context.Context, r *http.Request) (Page, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, ok := u.enter(w, r)
		if !ok {
			return
		}
		var p Page
		err := u.acts(w, r, action, need, func(ctx context.Context) (err error) {
			p, err = do(ctx, r.WithContext(ctx))
			return err
		})
		switch {
		case err != nil && p.Template == "":
			u.fail(w, r, err)
		case err != nil:
			u.write(w, r, statuses[ridgeline.CodeOf(err)], p)
		case p.Next != "":
			http.Redirect(w, r, local(p.Next), http.StatusSeeOther)
		default:
			u.write(w, r, done, p)
		}
	})
}

// settingsAgain and projectAgain are the pages of a form that was not taken.
func (u *UI) settingsAgain(ctx context.Context, field string, r *http.Request, err error) (Page, error) {
	f, again := refused(r, field, err)
	if !again {
		return Page{}, err
	}
	body, failed := u.loadSettings(ctx, "")
	if failed != nil {
		return Page{}, failed
	}
	body.form = f
	return Page{Title: "Settings", Nav: "settings", Still: true, Template: "settings", Body: body}, err
}

func (u *UI) projectAgain(ctx context.Context, field string, r *http.Request, err error) (Page, error) {
	f, again := refused(r, field, err)
	if !again {
		return Page{}, err
	}
	name := ridgeline.ProjectName(r.PathValue("project"))
	body, failed := u.loadProject(ctx, name, r.URL.Query())
	if failed != nil {
		return Page{}, failed
	}
	body.form = f
	return Page{Title: string(name), Nav: "projects", Project: name, Still: true, Template: "project", Body: body}, err
}
