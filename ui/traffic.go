package ui

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// What the form of an endpoint's traffic calls a deployment's shares, before
// its name.
const (
	weightField = "weight."
	mirrorField = "mirror."
)

// traffic is what a person changes of an endpoint, beside what a release does.
func (u *UI) traffic(mux *http.ServeMux) {
	at := func(r *http.Request) (ridgeline.ProjectName, string, string) {
		p, e := ridgeline.ProjectName(r.PathValue("project")), r.PathValue("environment")
		return p, e, components.Path("live", p, e)
	}
	mux.Handle("POST /live/{project}/{environment}/traffic", u.act("set-traffic", ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
		p, e, next := at(r)
		t, err := givenTraffic(r.PostForm)
		if err != nil {
			return "", err
		}
		return next, u.Releases.SetTraffic(ctx, p, e, t)
	}))
	mux.Handle("POST /live/{project}/{environment}/retire", u.act("retire-deployment", ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
		p, e, next := at(r)
		version, err := ridgeline.VersionNamed(r.PostFormValue("deployment"))
		if err != nil {
			return "", err
		}
		return next, u.Releases.Retire(ctx, p, e, version)
	}))
	mux.Handle("POST /live/{project}/{environment}/wake", u.act("wake", ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
		p, e, next := at(r)
		endpoint, err := u.Store.Endpoint(ctx, p, e)
		if err == nil && endpoint.Live == "" {
			err = ridgeline.Errorf(ridgeline.Conflict, "nothing is live in %s/%s that could be woken", p, e)
		}
		if err != nil {
			return "", err
		}
		return next, u.Releases.Wake(ctx, endpoint.Live)
	}))
	mux.Handle("POST /live/{project}/{environment}/rotate", u.act("rotate-key", ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
		p, e, _ := at(r)
		_, err := u.Store.RotateKey(ctx, p, e, r.PostFormValue("key"))
		return "/settings", err
	}))
}

// Traffic is the action that shares an endpoint's requests among its
// deployments.
func (p endpointPage) Traffic() components.Action {
	words := []any{"traffic", p.Project, p.Environment}
	a := components.Action{Label: "Share the requests", URL: components.Path("live", p.Project, p.Environment, "traffic")}
	a.Text = fmt.Sprintf("Percent of the requests, 100 together; or 0, and nobody answers. A copy goes to a deployment without any, of %d %% of the requests at most.", ridgeline.MaxMirror)
	for _, r := range p.Rows {
		words = append(words, r.Name()+"="+strconv.Itoa(r.Weight))
		a.Inputs = append(a.Inputs,
			components.Input{Name: weightField + r.Name(), Label: r.Name() + " answers", Value: strconv.Itoa(r.Weight), Type: "number", Required: true},
			components.Input{Name: mirrorField + r.Name(), Label: r.Name() + " gets a copy of", Value: strconv.Itoa(r.Mirror), Type: "number", Required: true})
	}
	a.Line = components.NewCLI(words...)
	return a
}

// givenTraffic reads what Traffic has asked for.
func givenTraffic(form url.Values) (ridgeline.Traffic, error) {
	t := ridgeline.Traffic{Weights: map[int]int{}, Mirror: map[int]int{}}
	for field, values := range form {
		for prefix, shares := range map[string]map[int]int{weightField: t.Weights, mirrorField: t.Mirror} {
			name, ok := strings.CutPrefix(field, prefix)
			if !ok {
				continue
			}
			version, err := ridgeline.VersionNamed(name)
			if err != nil {
				return t, err
			}
			if shares[version], err = strconv.Atoi(strings.TrimSpace(values[0])); err != nil {
				return t, ridgeline.Errorf(ridgeline.Invalid, "%s: %q: expected a whole number of percent", name, values[0])
			}
		}
	}
	return t, nil
}

// Idle reports that the deployment gets no requests, so that it may go.
func (r endpointRow) Idle() bool { return r.Weight == 0 && r.Mirror == 0 }

// Readiness is the word for how many copies of what answers most do.
func (p place) Readiness() string {
	switch {
	case p.Main.Asleep:
		return "asleep"
	case p.Main.Copies > 0:
		return "ready"
	}
	return "not ready"
}

// Resting says why there are no copies, and when they come back; empty while
// there should be some.
func (p place) Resting() string {
	why, until := p.Main.Resting(time.Now())
	switch {
	case why == "":
		return ""
	case until.IsZero():
		return "Its copies rest: " + why + ". The next request brings them back."
	}
	return "Its copies rest: " + why + ". They come back on " + until.Format("Monday at 15:04 (-07:00)") + ", or with the next request."
}

// releaseAction takes a version through the environments, or to stand beside
// what is live.
func releaseAction(v ridgeline.ModelVersion, environments []string) components.Action {
	a := components.NewAction("Release", components.Path("models", v.Model, v.Version, "release"), fmt.Sprintf("Version %d goes through the environments of %s.", v.Version, v.Project),
		components.NewCLI("release", fmt.Sprintf("%s:%d", v.Model, v.Version)), "primary")
	where := components.Input{Name: "environment", Label: "Where to", Choices: [][2]string{{"", "all environments, in order"}}}
	for _, e := range environments {
		where.Choices = append(where.Choices, [2]string{e, "only " + e})
	}
	a.Inputs = []components.Input{where, {Name: "beside", Label: "What is live there", Choices: [][2]string{{"", "is replaced"}, {"yes", "stays and keeps all requests; this stands beside it"}}}}
	return a
}

// environmentNames are the environments of the pipeline that made a version;
// none where its configuration cannot be read any more.
func (u *UI) environmentNames(ctx context.Context, p ridgeline.Pipeline) (names []string) {
	config, err := u.Runs.Config(ctx, p)
	if err != nil {
		u.Log.Warn("pages: read a pipeline's configuration", "project", p.Project, "pipeline", p.Version, "error", err)
		return nil
	}
	for _, e := range config.Release.Environments {
		names = append(names, e.Name)
	}
	return names
}

// Rotations are the actions that replace the keys of an endpoint.
func (settingsPage) Rotations(e ridgeline.Endpoint) (out []components.Action) {
	for _, key := range []string{auth.Primary, auth.Secondary} {
		out = append(out, components.NewAction("Replace the "+key, components.Path("live", e.Project, e.Environment, "rotate"),
			"Whoever uses this key is refused from now on; the other key goes on. The new one is told by ridgeline endpoints --json.",
			components.NewCLI("endpoints", "rotate", e.Project, e.Environment, key), "danger", "key="+key))
	}
	return out
}
