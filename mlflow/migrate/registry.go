package migrate

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

func (c *copier) registered(ctx context.Context, m Registered) error {
	m.Tags = without(m.Tags)
	mark := Pair{imported, fmt.Sprint(m.Created)} // tells it from another source's model of that name
	c.count("registered models", 1, 0)
	c.count("versions", int64(len(m.Versions)), 0)
	c.count("aliases", int64(len(m.Aliases)), 0)
	var found struct {
		Model Registered `json:"registered_model"`
	}
	err := c.to.get(ctx, "registered-models/get", url.Values{"name": {m.Name}}, &found)
	if refused(err, http.StatusNotFound) {
		tags := append(slices.Clone(m.Tags), mark)
		found.Model.Tags = tags
		err = c.to.post(ctx, "registered-models/create", map[string]any{"name": m.Name, "description": m.Description, "tags": tags, "creation_timestamp": m.Created}, nil)
	}
	if err != nil {
		return err
	}
	if !slices.Contains(found.Model.Tags, mark) {
		c.note("a model %q is registered here already, and was not copied from there: rename one of the two, and copy again", m.Name)
		return nil
	}
	c.count("registered models", 0, 1)
	made, err := c.versions(ctx, m)
	if err != nil {
		return err
	}
	if made || found.Model.Name == "" { // what was made above has changed it last
		err := c.to.ask(ctx, http.MethodPatch, protocol+"registered-models/update", map[string]any{"name": m.Name, "description": m.Description, "last_updated_timestamp": m.Updated}, nil)
		if err != nil {
			return err
		}
	}
	here, err := c.versionsHere(ctx, m.Name)
	if err != nil {
		return err
	}
	numbers := map[Number]bool{}
	for _, v := range here {
		numbers[v.Version] = true
	}
	for _, v := range m.Versions {
		if numbers[v.Version] {
			c.count("versions", 0, 1)
		}
	}
	for _, a := range m.Aliases {
		if !numbers[a.Version] {
			continue
		}
		err := c.to.post(ctx, "registered-models/alias", map[string]any{"name": m.Name, "alias": a.Alias, "version": fmt.Sprint(a.Version)}, nil)
		if refused(err, http.StatusBadRequest) {
			c.note("alias %s of %s: %v", a.Alias, m.Name, err)
			continue
		}
		if err != nil {
			return err
		}
		c.count("aliases", 0, 1)
	}
	return nil
}

func (c *copier) versionsHere(ctx context.Context, name string) ([]Version, error) {
	var all []Version
	q := url.Values{"filter": {"name = '" + strings.ReplaceAll(name, "'", "''") + "'"}, "max_results": {"1000"}}
	err := c.to.list(ctx, "model-versions/search", q, func(p page) error {
		all = append(all, p.Versions...)
		return nil
	})
	inOrder(all)
	return all, err
}

// versions makes the versions that are not here, each under its number and with
// its times, and reports whether there were any.
func (c *copier) versions(ctx context.Context, m Registered) (made bool, err error) {
	all, err := c.versionsHere(ctx, m.Name)
	if err != nil {
		return false, err
	}
	here := map[Number]bool{}
	for _, v := range all {
		here[v.Version] = true
	}
	for _, v := range m.Versions {
		if here[v.Version] {
			continue
		}
		source := c.source(v)
		if source == "" {
			c.note("version %d of %s is made of %s, which is none of the artifacts that were copied; it is left out", v.Version, m.Name, v.Source)
			continue
		}
		in := map[string]any{
			"name": m.Name, "source": source, "version": fmt.Sprint(v.Version), "creation_timestamp": v.Created, "last_updated_timestamp": v.Updated, "tags": v.Tags, "description": v.Description,
		}
		if run, of := strings.CutPrefix(source, "runs:/"); of {
			in["run_id"], _, _ = strings.Cut(run, "/")
		} else {
			in["model_id"], _, _ = strings.Cut(strings.TrimPrefix(source, "models:/"), "/")
		}
		if v.Run != "" && in["run_id"] == nil {
			in["run_id"] = v.Run
		}
		err := c.to.post(ctx, "model-versions/create", in, nil)
		if refused(err, http.StatusBadRequest, http.StatusNotFound) {
			c.note("version %d of %s: %v; it is left out", v.Version, m.Name, err)
			continue
		}
		if err != nil {
			return made, err
		}
		made = true
		if v.Stage != "" && v.Stage != "None" {
			err := c.to.post(ctx, "model-versions/transition-stage", map[string]any{
				"name": m.Name, "version": fmt.Sprint(v.Version), "stage": v.Stage, "archive_existing_versions": false, "last_updated_timestamp": v.Updated,
			}, nil)
			if err != nil {
				return made, err
			}
		}
	}
	return made, nil
}

// source is where a version's files are here; empty when they are not.
func (c *copier) source(v Version) string {
	if strings.HasPrefix(v.Source, "models:/m-") || strings.HasPrefix(v.Source, "runs:/") {
		return v.Source
	}
	rest := ""
	for at := plainLocation(v.Source); at != ""; {
		if p, ok := c.places[at]; ok && p.Model != "" {
			return "models:/" + p.Model
		} else if ok {
			return "runs:/" + p.Run + rest
		}
		i := strings.LastIndexByte(at, '/')
		if i < 0 {
			return ""
		}
		at, rest = at[:i], at[i:]+rest
	}
	return ""
}
