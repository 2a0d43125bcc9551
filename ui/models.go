package ui

import (
	"context"
	"net/http"
	"strconv"

	"github.com/ridgeline-mlops/ridgeline"
)

// modelsPage is every model with its champion.
type modelsPage struct{ Models []modelRow }

type modelRow struct {
	Model    ridgeline.ModelName
	Project  ridgeline.ProjectName
	Champion *ridgeline.ModelVersion // nil: none yet
	Newest   ridgeline.ModelVersion
	Versions int
	Live     []ridgeline.Deployment
}

func (u *UI) models(mux *http.ServeMux) {
	mux.Handle("GET /models", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		project := ridgeline.ProjectName(r.URL.Query().Get("project"))
		all, err := u.Store.ModelVersions(ctx, "")
		if err != nil {
			return Page{}, err
		}
		return Page{Title: "Models", Nav: "models", Project: project, Template: "models", Body: modelsPage{byModel(all, project)}}, nil
	}))
}

// byModel gathers versions, newest first, by their model.
func byModel(versions []ridgeline.ModelVersion, project ridgeline.ProjectName) []modelRow {
	at := map[ridgeline.ModelName]int{}
	var rows []modelRow
	for _, v := range versions {
		if project != "" && v.Project != project {
			continue
		}
		i, ok := at[v.Model]
		if !ok {
			i = len(rows)
			at[v.Model] = i
			rows = append(rows, modelRow{Model: v.Model, Project: v.Project, Newest: v})
		}
		rows[i].Versions++
		if v.Champion {
			rows[i].Champion = &v
		}
	}
	return rows
}

// modelVersion reads which version a request is about.
func modelVersion(r *http.Request) (ridgeline.ModelName, int, error) {
	version, err := strconv.Atoi(r.PathValue("version"))
	if err != nil || version < 1 {
		return "", 0, ridgeline.Errorf(ridgeline.NotFound, "no version %q: versions are numbers from 1", r.PathValue("version"))
	}
	return ridgeline.ModelName(r.PathValue("name")), version, nil
}
