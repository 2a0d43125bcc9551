package migrate

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// placeholder is the tag of a version that stands where one was deleted there,
// so that those behind it keep their numbers.
const placeholder = "ridgeline.placeholder"

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
		err = c.to.post(ctx, "registered-models/create", map[string]any{"name": m.Name, "description": m.Description, "tags": tags}, nil)
	}
	if err != nil {
		return err
	}
	if !slices.Contains(found.Model.Tags, mark) {
		c.note("a model %q is registered here already, and was not copied from there: rename one of the two, and copy again", m.Name)
		return nil
	}
	c.count("registered models", 0, 1)
	if err := c.versions(ctx, m); err != nil {
		return err
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

// versions makes the versions that are not here, each under its number.
func (c *copier) versions(ctx context.Context, m Registered) error {
	here, err := c.versionsHere(ctx, m.Name)
	if err != nil || len(m.Versions) == 0 {
		return err
	}
	next := Number(1)
	if n := len(here); n > 0 {
		next = here[n-1].Version + 1
	}
	sources := make([]string, len(m.Versions))
	for i, v := range m.Versions {
		if sources[i] = c.source(v); sources[i] == "" {
			c.note("version %d of %s is made of %s, which is none of the artifacts that were copied; it and those behind it are left out", v.Version, m.Name, v.Source)
			m.Versions, sources = m.Versions[:i], sources[:i]
			break
		}
	}
	for i, v := range m.Versions {
		for ; next <= v.Version; next++ {
			in := map[string]any{"name": m.Name, "source": sources[i]}
			if run, of := strings.CutPrefix(sources[i], "runs:/"); of {
				in["run_id"], _, _ = strings.Cut(run, "/")
			} else {
				in["model_id"], _, _ = strings.Cut(strings.TrimPrefix(sources[i], "models:/"), "/")
			}
			if next < v.Version {
				in["tags"] = []Pair{{placeholder, "deleted where it was copied from"}}
			} else {
				in["tags"], in["description"] = v.Tags, v.Description
				if v.Run != "" && in["run_id"] == nil {
					in["run_id"] = v.Run
				}
			}
			var made struct {
				Version Version `json:"model_version"`
			}
			err := c.to.post(ctx, "model-versions/create", in, &made)
			if refused(err, http.StatusBadRequest, http.StatusNotFound) {
				c.note("version %d of %s: %v; it and those behind it are left out", next, m.Name, err)
				return c.clear(ctx, m.Name)
			}
			if err != nil {
				return err
			}
			if made.Version.Version != next {
				return fmt.Errorf("version %d became version %d here: somebody registers versions of it meanwhile", next, made.Version.Version)
			}
		}
		if v.Stage != "" && v.Stage != "None" {
			err := c.to.post(ctx, "model-versions/transition-stage", map[string]any{"name": m.Name, "version": fmt.Sprint(v.Version), "stage": v.Stage, "archive_existing_versions": false}, nil)
			if err != nil {
				return err
			}
		}
	}
	return c.clear(ctx, m.Name)
}

// clear removes the placeholders.
func (c *copier) clear(ctx context.Context, name string) error {
	here, err := c.versionsHere(ctx, name)
	for _, v := range here {
		if slices.ContainsFunc(v.Tags, func(t Pair) bool { return t.Key == placeholder }) {
			if err := c.to.ask(ctx, http.MethodDelete, protocol+"model-versions/delete", map[string]any{"name": name, "version": fmt.Sprint(v.Version)}, nil); err != nil {
				return err
			}
		}
	}
	return err
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
