package ui

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/pipeline"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// What a form calls the parameters of a run: each of those that the pipeline
// declares, or, where it declares none, all that somebody wants to give.
const (
	paramField  = "param."
	paramsField = "params"
)

func (u *UI) train(mux *http.ServeMux) {
	mux.Handle("POST /projects/{project}/train", u.act("train", ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
		params, err := givenParams(r.PostForm)
		if err != nil {
			return "", err
		}
		row, err := u.Runs.Submit(ctx, pipeline.Request{
			Project: ridgeline.ProjectName(r.PathValue("project")), Params: params, NoCache: r.PostFormValue("cache") == "no",
			Cause: "page", Caller: auth.From(ctx).Name,
		})
		return components.Path("runs", row.ID), err
	}))
}

// trainAction starts the newest pipeline, with what it can be given.
func trainAction(name ridgeline.ProjectName, p project.Pipeline) components.Action {
	a := components.NewAction("Train", components.Path("projects", name, "train"), "The published pipeline starts.",
		components.NewCLI("train", "--project", name, "--param", "NAME=VALUE"), "primary")
	for _, q := range p.Params {
		in := components.Input{Name: paramField + q.Name, Label: q.Name, Note: q.Description, Hint: q.Wants(), Required: q.Default == nil}
		if q.Default != nil {
			in.Value = *q.Default
		}
		for _, c := range q.Choices {
			in.Choices = append(in.Choices, [2]string{c, c})
		}
		if q.Type == project.ParamBool {
			in.Choices = [][2]string{{"true", "true"}, {"false", "false"}}
		}
		a.Inputs = append(a.Inputs, in)
	}
	if len(p.Params) == 0 {
		a.Inputs = append(a.Inputs, components.Input{Name: paramsField, Label: "Parameters", Note: "one a line; none: the scripts' own values", Hint: "NAME=VALUE", Rows: 2})
	}
	a.Inputs = append(a.Inputs, components.Input{Name: "cache", Label: "Steps that were done before", Choices: [][2]string{{"", "are taken from the cache"}, {"no", "run again"}}})
	return a
}

// givenParams reads what trainAction has asked for. What was left empty is not
// given.
func givenParams(form url.Values) (map[string]string, error) {
	out := map[string]string{}
	for field := range form {
		if name, ok := strings.CutPrefix(field, paramField); ok && form.Get(field) != "" {
			out[name] = form.Get(field)
		}
	}
	for line := range strings.Lines(form.Get(paramsField)) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "parameter %q: expected NAME=VALUE, one a line", line)
		}
		out[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return out, nil
}
