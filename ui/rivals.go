package ui

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// A rival is what a run is compared with by one click: the run that made a
// version which answers requests, or the champion.
type rival struct{ Text, URL string }

// rivals are those of a run of a model, in the order of their versions; of a
// run that has made no model, those of its project. None of them is the run
// itself.
func (u *UI) rivals(ctx context.Context, project ridgeline.ProjectName, model ridgeline.ModelName, run ridgeline.RunID) (out []rival, err error) {
	live, err := u.liveVersions(ctx, project)
	if err != nil {
		return nil, err
	}
	add := func(what string, v ridgeline.ModelVersion) {
		if v.Run != "" && v.Run != run {
			out = append(out, rival{fmt.Sprintf("Compare with %s, %s", what, versionName(model, v)), comparison(v.Run, run)})
		}
	}
	known := map[components.Version]bool{}
	for _, one := range slices.SortedFunc(maps.Keys(live), func(a, b components.Version) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.Version, b.Version))
	}) {
		where := answering(live[one])
		if model != "" && one.Model != string(model) || len(where) == 0 {
			continue
		}
		v, err := u.Store.ModelVersion(ctx, ridgeline.ModelName(one.Model), one.Version)
		if ridgeline.CodeOf(err) == ridgeline.NotFound {
			continue // it was deleted while it goes on answering
		}
		if err != nil {
			return nil, err
		}
		known[one] = true
		add("what is live in "+strings.Join(where, " and "), v)
	}
	if model == "" {
		return out, nil
	}
	champion, ok, err := u.Store.Champion(ctx, model)
	if ok && !known[components.NewVersion(model, champion.Version)] {
		add("the champion", champion)
	}
	return out, err
}

// answering are the environments in which any of the deployments gets requests
// of its own, and not only copies of others'.
func answering(all []ridgeline.Deployment) (names []string) {
	for _, d := range all {
		if d.Weight > 0 {
			names = append(names, d.Environment)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// versionName is v3, with the name of the model where that is not known.
func versionName(model ridgeline.ModelName, v ridgeline.ModelVersion) string {
	if model == "" {
		return fmt.Sprintf("%s v%d", v.Model, v.Version)
	}
	return fmt.Sprintf("v%d", v.Version)
}

// comparison is the address of runs beside each other.
func comparison(runs ...ridgeline.RunID) string {
	q := url.Values{}
	for _, r := range runs {
		q.Add("run", string(r))
	}
	return "/compare?" + q.Encode()
}
