package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/track/query"
)

// A RegistrySearch asks for a page of models or of versions.
type RegistrySearch struct {
	Terms  []query.Term  // of query.RegisteredModels or query.ModelVersions
	Orders []query.Order // of query.RegisteredModelOrders or query.ModelVersionOrders
	Max    int
	Offset int
	// Project asks for those of one project alone.
	Project ridgeline.ProjectName
}

var modelColumns = map[string]string{"name": "m.name", "last_updated_timestamp": "m.updated"}

var versionColumns = map[string]string{
	"name": "v.model", "run_id": "v.tracking_run", "source_path": "v.uri", "version_number": "v.version",
	"creation_timestamp": "v.created", "last_updated_timestamp": "v.updated",
}

// SearchModels returns a page of the models, by name where no order says
// otherwise, and whether there are more.
func (s *Store) SearchModels(ctx context.Context, search RegistrySearch) ([]ridgeline.RegisteredModel, bool, error) {
	order, err := registryOrder(search.Orders, modelColumns, "m.name")
	if err != nil {
		return nil, false, err
	}
	r := registryQuery{}
	if search.Project != "" {
		r.where.WriteString(" AND m.project = " + r.arg(search.Project))
	}
	for _, t := range search.Terms {
		r.and(t, modelColumns, query.RegisteredModels, "model_tags x WHERE x.model = m.name")
	}
	all, err := collect(ctx, s.q(), scanModel, r.page(selectModels+" WHERE m.deleted = 0", order, search), r.args...)
	if err != nil {
		return nil, false, fmt.Errorf("search models: %w", err)
	}
	more := len(all) > search.Max
	all = all[:min(len(all), search.Max)]
	return all, more, s.describe(ctx, all)
}

// SearchVersions returns a page of the versions with their tags, changed last
// first where no order says otherwise, and whether there are more.
func (s *Store) SearchVersions(ctx context.Context, search RegistrySearch) ([]ridgeline.ModelVersion, bool, error) {
	if len(search.Orders) == 0 {
		search.Orders = []query.Order{{Kind: query.Attribute, Key: "last_updated_timestamp", Descending: true}}
	}
	order, err := registryOrder(search.Orders, versionColumns, "v.model", "v.version DESC")
	if err != nil {
		return nil, false, err
	}
	r := registryQuery{}
	if search.Project != "" {
		r.where.WriteString(" AND v.model IN (SELECT name FROM models WHERE project = " + r.arg(search.Project) + ")")
	}
	for _, t := range search.Terms {
		r.and(t, versionColumns, query.ModelVersions, "model_version_tags x WHERE x.model = v.model AND x.version = v.version")
	}
	all, err := collect(ctx, s.q(), scanVersion, r.page(selectVersions+" WHERE v.deleted = 0", order, search), r.args...)
	if err != nil {
		return nil, false, fmt.Errorf("search model versions: %w", err)
	}
	more := len(all) > search.Max
	all = all[:min(len(all), search.Max)]
	return all, more, s.tagVersions(ctx, all)
}

// LatestVersions returns the newest version of each stage, of each of the
// models, with its tags.
func (s *Store) LatestVersions(ctx context.Context, models []ridgeline.ModelName) ([]ridgeline.ModelVersion, error) {
	var all []ridgeline.ModelVersion
	err := inBatches(models, func(batch []ridgeline.ModelName) error {
		var f filter
		f.and("v.deleted = 0")
		in(&f, "v.model", batch)
		f.and("NOT EXISTS (SELECT 1 FROM model_versions n WHERE n.model = v.model AND n.stage = v.stage AND n.deleted = 0 AND n.version > v.version)")
		text, args := f.sql(selectVersions, "v.model, v.version", 0)
		some, err := collect(ctx, s.q(), scanVersion, text, args...)
		all = append(all, some...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find the latest versions: %w", err)
	}
	return all, s.tagVersions(ctx, all)
}

// A registryQuery gathers conditions and their arguments.
type registryQuery struct {
	where strings.Builder
	args  []any
}

func (r *registryQuery) arg(v any) string {
	r.args = append(r.args, v)
	return "$" + strconv.Itoa(len(r.args))
}

// and adds a term; tags is where a tag x is looked for.
func (r *registryQuery) and(t query.Term, columns map[string]string, g query.Grammar, tags string) {
	r.where.WriteString(" AND ")
	switch {
	case t.Kind == query.Tag:
		r.where.WriteString("EXISTS (SELECT 1 FROM " + tags + " AND x.key = " + r.arg(t.Key) + " AND " + t.SQL("x.value", r.arg) + ")")
	case g.Attributes[t.Key]:
		r.where.WriteString(t.NumberSQL(columns[t.Key], r.arg))
	default:
		r.where.WriteString(t.SQL(columns[t.Key], r.arg))
	}
}

func (r *registryQuery) page(query, order string, search RegistrySearch) string {
	return query + r.where.String() + " ORDER BY " + order + " LIMIT " + r.arg(int64(search.Max+1)) + " OFFSET " + r.arg(int64(search.Offset))
}

// registryOrder is an order as columns; ties are broken by what is not among
// them.
func registryOrder(orders []query.Order, columns map[string]string, ties ...string) (string, error) {
	var parts, seen []string
	for _, o := range orders {
		column := columns[o.Key]
		if slices.Contains(seen, column) {
			return "", ridgeline.Errorf(ridgeline.Invalid, "`order_by` contains duplicate fields: %s", o.Key)
		}
		seen = append(seen, column)
		if o.Descending {
			column += " DESC"
		}
		parts = append(parts, column)
	}
	for _, tie := range ties {
		if column, _, _ := strings.Cut(tie, " "); !slices.Contains(seen, column) {
			parts = append(parts, tie)
		}
	}
	return strings.Join(parts, ", "), nil
}
