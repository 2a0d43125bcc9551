package ui

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/gate"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
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

// modelPage is a model's versions, newest first.
type modelPage struct {
	Model    ridgeline.ModelName
	Project  ridgeline.ProjectName
	Champion int
	Versions []versionRow
}

type versionRow struct {
	ridgeline.ModelVersion
	Report gate.Report
	Live   []ridgeline.Deployment
}

// Comparable reports whether there are two versions whose runs can be compared.
func (p modelPage) Comparable() bool {
	runs := 0
	for _, v := range p.Versions {
		if v.Run != "" {
			runs++
		}
	}
	return runs > 1
}

// versionPage is one version: what it was made of, and where it went.
type versionPage struct {
	ridgeline.ModelVersion
	Why       string
	Rivals    []rival
	Pull      string // the image's name for a registry client
	Pipeline  ridgeline.Pipeline
	Datasets  []datasetLink
	Metrics   []metric
	Params    []param
	Signature string
	Live      []ridgeline.Deployment
	Releases  []ridgeline.Release
	Cost      versionCost
	Release   components.Action
	Acts      actList
}

type datasetLink struct {
	Name, Digest string
	Version      int // 0: not known by a number
}

type metric struct {
	Name  string
	Value float64
}

type param struct{ Name, Value string }

func (u *UI) models(mux *http.ServeMux) {
	mux.Handle("GET /models", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		project := ridgeline.ProjectName(r.URL.Query().Get("project"))
		all, err := u.Store.ModelVersions(ctx, "")
		if err != nil {
			return Page{}, err
		}
		live, err := u.liveVersions(ctx, project)
		rows := byModel(all, project)
		for i := range rows {
			for v, where := range live {
				if v.Model == string(rows[i].Model) {
					rows[i].Live = append(rows[i].Live, where...)
				}
			}
			slices.SortFunc(rows[i].Live, func(a, b ridgeline.Deployment) int { return cmp.Compare(a.Environment, b.Environment) })
		}
		return Page{Title: "Models", Nav: "models", Project: project, Template: "models", Body: modelsPage{rows}}, err
	}))
	mux.Handle("GET /models/{name}", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		return u.modelPage(ctx, ridgeline.ModelName(r.PathValue("name")))
	}))
	mux.Handle("GET /models/{name}/{version}", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		name, version, err := modelVersion(r)
		if err != nil {
			return Page{}, err
		}
		return u.versionPage(ctx, name, version)
	}))
	mux.Handle("POST /models/{name}/{version}/reproduce", u.act("reproduce", ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
		name, version, err := modelVersion(r)
		if err != nil {
			return "", err
		}
		run, err := u.Runs.Reproduce(ctx, name, version, auth.From(ctx).Name)
		return components.Path("runs", run.ID), err
	}))
}

// modelVersion reads which version a request is about.
func modelVersion(r *http.Request) (ridgeline.ModelName, int, error) {
	version, err := strconv.Atoi(r.PathValue("version"))
	if err != nil || version < 1 {
		return "", 0, ridgeline.Errorf(ridgeline.NotFound, "no version %q: versions are numbers from 1", r.PathValue("version"))
	}
	return ridgeline.ModelName(r.PathValue("name")), version, nil
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

// liveVersions are the deployments that may answer, by their version.
func (u *UI) liveVersions(ctx context.Context, project ridgeline.ProjectName) (map[components.Version][]ridgeline.Deployment, error) {
	all, err := u.Store.Deployments(ctx, store.DeploymentFilter{Project: project, States: []ridgeline.DeploymentState{ridgeline.DeploymentLive}})
	out := map[components.Version][]ridgeline.Deployment{}
	for _, d := range all {
		v := components.NewVersion(d.Model, d.Version)
		out[v] = append(out[v], d)
	}
	return out, err
}

func (u *UI) modelPage(ctx context.Context, name ridgeline.ModelName) (Page, error) {
	versions, err := u.Store.ModelVersions(ctx, name)
	if err != nil {
		return Page{}, err
	}
	if len(versions) == 0 {
		return Page{}, ridgeline.Errorf(ridgeline.NotFound, "no model %q: the models that there are stand under Models", name)
	}
	body := modelPage{Model: name, Project: versions[0].Project}
	live, err := u.liveVersions(ctx, body.Project)
	for _, v := range versions {
		row := versionRow{ModelVersion: v, Live: live[components.NewVersion(v.Model, v.Version)]}
		_ = json.Unmarshal(v.Report, &row.Report) // without one its cells stay empty
		if v.Champion {
			body.Champion = v.Version
		}
		body.Versions = append(body.Versions, row)
	}
	return Page{
		Title: string(name), Nav: "models", Project: body.Project, Template: "model", Body: body,
		Crumbs: []components.Crumb{{Text: "Models", URL: components.Path("models", "?project="+string(body.Project))}, {Text: string(name)}},
	}, err
}

func (u *UI) versionPage(ctx context.Context, name ridgeline.ModelName, version int) (Page, error) {
	v, err := u.Store.ModelVersion(ctx, name, version)
	if err != nil {
		return Page{}, err
	}
	body := versionPage{ModelVersion: v, Why: why(v)}
	p := Page{
		Title: fmt.Sprintf("%s v%d", v.Model, v.Version), Nav: "models", Project: v.Project, Template: "version",
		Crumbs: []components.Crumb{
			{Text: "Models", URL: components.Path("models", "?project="+string(v.Project))}, {Text: string(v.Model), URL: components.Path("models", v.Model)}, {Text: fmt.Sprintf("v%d", v.Version)},
		},
	}
	body.Pull = ridgeline.ImageReference(u.Registry, v.Image)
	body.describe()
	if err := u.origin(ctx, &body); err != nil {
		return p, err
	}
	if err := u.whereabouts(ctx, &body); err != nil {
		return p, err
	}
	body.Cost, err = u.versionCost(ctx, v)
	p.Body = body
	return p, err
}

// describe sorts what the version is known by.
func (p *versionPage) describe() {
	for name, value := range p.ModelVersion.Metrics {
		p.Metrics = append(p.Metrics, metric{name, value})
	}
	slices.SortFunc(p.Metrics, func(a, b metric) int { return cmp.Compare(a.Name, b.Name) })
	for name, value := range p.ModelVersion.Params {
		p.Params = append(p.Params, param{name, value})
	}
	slices.SortFunc(p.Params, func(a, b param) int { return cmp.Compare(a.Name, b.Name) })
	var text bytes.Buffer
	if json.Indent(&text, p.ModelVersion.Signature, "", "  ") == nil {
		p.Signature = text.String()
	}
}

// origin finds what the version was made of.
func (u *UI) origin(ctx context.Context, p *versionPage) (err error) {
	if p.Pipeline, err = u.Store.Pipeline(ctx, p.Project, p.ModelVersion.Pipeline); err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
		return err
	}
	p.Release = releaseAction(p.ModelVersion, u.environmentNames(ctx, p.Pipeline))
	if p.Acts, err = u.actsOn(ctx, fmt.Sprintf("models/%s/versions/%d", p.Model, p.ModelVersion.Version)); err != nil {
		return err
	}
	for name, digest := range p.Data {
		link := datasetLink{Name: name, Digest: digest}
		known, err := u.Store.DatasetVersions(ctx, p.Project, name)
		if err != nil {
			return err
		}
		for _, d := range known {
			if d.Digest == digest {
				link.Version = d.Version
			}
		}
		p.Datasets = append(p.Datasets, link)
	}
	slices.SortFunc(p.Datasets, func(a, b datasetLink) int { return cmp.Compare(a.Name, b.Name) })
	if p.Run != "" {
		p.Rivals, err = u.rivals(ctx, p.Project, p.Model, p.Run)
	}
	return err
}

// whereabouts finds where the version went.
func (u *UI) whereabouts(ctx context.Context, p *versionPage) error {
	live, err := u.liveVersions(ctx, p.Project)
	if err != nil {
		return err
	}
	p.Live = live[components.NewVersion(p.Model, p.Version)]
	releases, err := u.Store.Releases(ctx, store.ReleaseFilter{Project: p.Project, Limit: 500})
	for _, r := range releases {
		if r.Model == p.Model && r.Version == p.Version {
			p.Releases = append(p.Releases, r)
		}
	}
	return err
}
