package ui

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// endpointsPage is every endpoint, and what answers there.
type endpointsPage struct{ Places []place }

// endpointPage is an endpoint: its figures, its log, and a console to ask it.
type endpointPage struct {
	place
	URL     string
	Rows    []endpointRow
	History endpointHistory
	Log     components.Log
	Console console
	Acts    actList
}

// An endpointRow is a deployment with its figures.
type endpointRow struct {
	livePart
	ridgeline.Figures
	Used ridgeline.Used
	Held ridgeline.Held // asked for each copy
}

// Memory is the most that one copy has had, of what was asked for.
func (r endpointRow) Memory() string {
	text := components.Bytes(r.Used.Peak)
	if r.Held.Memory > 0 {
		text += " of " + components.Bytes(r.Held.Memory)
	}
	return text
}

// Cores is how many one copy kept busy on average, of what was asked for.
func (r endpointRow) Cores() string {
	text := fmt.Sprintf("%.2g", r.Used.Cores())
	if r.Held.CPU > 0 {
		text += fmt.Sprintf(" of %.3g", r.Held.CPU)
	}
	return text
}

// Advice is what was asked for in vain, or was nearly too little.
func (r endpointRow) Advice() string { return r.Held.Advice(r.Used) }

// A console is a request by hand, and its answer.
type console struct {
	Path, Body string
	Curl       string
	Python     string
	CLI        components.CLI
	Asked      bool
	Status     int
	By         string // the deployment that answered
	Took       float64
	Answer     string
}

// logTail is how much of a scorer's log a page shows, in bytes.
const logTail = 32 << 10

func (u *UI) endpoints(mux *http.ServeMux) {
	mux.Handle("GET /live", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		project := ridgeline.ProjectName(r.URL.Query().Get("project"))
		var body endpointsPage
		rows, err := u.Store.Endpoints(ctx, project)
		for _, e := range rows {
			p, err := u.place(ctx, e)
			if err != nil {
				return Page{}, err
			}
			body.Places = append(body.Places, p)
		}
		return Page{Title: "Endpoints", Nav: "endpoints", Project: project, Template: "endpoints", Body: body}, err
	}))
	at := func(r *http.Request) (ridgeline.ProjectName, string) {
		return ridgeline.ProjectName(r.PathValue("project")), r.PathValue("environment")
	}
	mux.Handle("GET /live/{project}/{environment}", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		project, environment := at(r)
		return u.endpointPage(ctx, project, environment, r.URL.Query(), console{Path: "/score"})
	}))
	mux.HandleFunc("POST /live/{project}/{environment}", func(w http.ResponseWriter, r *http.Request) {
		r, ok := u.enter(w, r)
		if !ok {
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			u.fail(w, r, formError(err))
			return
		}
		project, environment := at(r)
		c, err := u.ask(r.Context(), project, environment, console{Path: r.PostFormValue("path"), Body: r.PostFormValue("body")})
		if err != nil {
			u.fail(w, r, err)
			return
		}
		p, err := u.endpointPage(r.Context(), project, environment, r.URL.Query(), c)
		if err != nil {
			u.fail(w, r, err)
			return
		}
		p.Still = true // what was asked stays
		u.write(w, r, http.StatusOK, p)
	})
}

func (u *UI) endpointPage(ctx context.Context, project ridgeline.ProjectName, environment string, q url.Values, c console) (Page, error) {
	e, err := u.Store.Endpoint(ctx, project, environment)
	if err != nil {
		return Page{}, err
	}
	body := endpointPage{URL: u.BaseURL + components.Path("endpoints", project, environment)}
	if body.place, err = u.place(ctx, e); err != nil {
		return Page{}, err
	}
	if body.History, err = u.history(ctx, body.place, q); err != nil {
		return Page{}, err
	}
	figures := u.Figures(project, environment)
	served, err := u.Store.Served(ctx, project)
	if err != nil {
		return Page{}, err
	}
	for _, d := range body.Live {
		row := endpointRow{livePart: d, Figures: figures[d.Name()]}
		if i := slices.IndexFunc(served, func(s store.Served) bool { return s.Deployment == d.ID }); i >= 0 {
			row.Used, row.Held = served[i].Used, served[i].Held
		}
		body.Rows = append(body.Rows, row)
	}
	if body.Main.ID != "" {
		text, err := u.ServiceLog(ctx, body.Main.ID, logTail)
		if err != nil {
			return Page{}, err
		}
		body.Log = components.NewLog("Log of version "+fmt.Sprint(body.Main.Version), "", splitLines(text))
	}
	if c.Body == "" {
		c.Body = u.example(ctx, body.Version)
	}
	body.Console = body.calls(c)
	if body.Acts, err = u.actsOn(ctx, "endpoints/"+string(project)+"/"+environment); err != nil {
		return Page{}, err
	}
	return Page{
		Title: fmt.Sprintf("%s · %s", project, environment), Nav: "endpoints", Project: project, Busy: true, Template: "endpoint", Body: body,
		Crumbs: []components.Crumb{{Text: "Endpoints", URL: components.Path("live", "?project="+string(project))}, {Text: string(project) + " · " + environment}},
	}, nil
}

// calls writes the same request for curl, Python and our own command line. The
// key stays out: a page is seen by more eyes than a shell.
func (p endpointPage) calls(c console) console {
	address := p.URL + c.Path
	var compact bytes.Buffer
	body := c.Body
	if json.Compact(&compact, []byte(c.Body)) == nil {
		body = compact.String()
	}
	c.Curl = fmt.Sprintf("curl -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' \\\n  -d %s \\\n  %s", components.Quote(body), components.Quote(address))
	quoted, _ := json.Marshal(body) // a JSON string is a Python string, too
	c.Python = fmt.Sprintf("import os, urllib.request\nrequest = urllib.request.Request(\n    %q,\n    data=%s.encode(),\n    headers={\n        \"Authorization\": \"Bearer \" + os.environ[\"KEY\"],\n        \"Content-Type\": \"application/json\",\n    },\n)\nprint(urllib.request.urlopen(request).read().decode())", address, quoted)
	c.CLI = components.NewCLI("score", p.Project, p.Environment, "request.json")
	return c
}

// example is a request that the version knows how to answer: the first of its
// environment's smoke tests; empty when it has none.
func (u *UI) example(ctx context.Context, v ridgeline.ModelVersion) string {
	if v.Version == 0 {
		return ""
	}
	text, err := u.Releases.Example(ctx, v)
	if err != nil {
		u.Log.Warn("pages: read an example request", "model", v.Model, "version", v.Version, "error", err)
	}
	return string(text)
}

// ask sends the console's request the way that every client's goes: through
// the gateway, with the endpoint's key.
func (u *UI) ask(ctx context.Context, project ridgeline.ProjectName, environment string, c console) (console, error) {
	if !auth.From(ctx).Role.Allows(ridgeline.Writer) {
		return c, ridgeline.Errorf(ridgeline.Denied, "%s is a viewer; asking an endpoint needs a writer, as its keys do", auth.From(ctx).Name)
	}
	e, err := u.Store.Endpoint(ctx, project, environment)
	if err != nil {
		return c, err
	}
	path, err := url.ParseRequestURI(cmp.Or(c.Path, "/score"))
	if err != nil || path.IsAbs() {
		return c, ridgeline.Errorf(ridgeline.Invalid, "path %q: expected one such as /score, /invocations or /v2/models/NAME/infer", c.Path)
	}
	c.Path = path.RequestURI()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.BaseURL+components.Path("endpoints", project, environment)+c.Path, strings.NewReader(c.Body))
	if err != nil {
		return c, ridgeline.Errorf(ridgeline.Invalid, "path %q: %v", c.Path, err)
	}
	r.Header.Set("Authorization", "Bearer "+u.Auth.EndpointKey(e, auth.Primary))
	r.Header.Set("Content-Type", "application/json")
	w := &answer{header: http.Header{}, status: http.StatusOK}
	began := time.Now()
	u.Score.ServeHTTP(w, r)
	c.Asked, c.Took, c.Status, c.By = true, time.Since(began).Seconds(), w.status, w.header.Get("azureml-model-deployment")
	c.Answer = strings.ToValidUTF8(w.body.String(), "\uFFFD")
	var pretty bytes.Buffer
	if json.Indent(&pretty, w.body.Bytes(), "", "  ") == nil && pretty.Len() < 64<<10 {
		c.Answer = pretty.String()
	}
	return c, nil
}

// answer keeps what a handler answers, up to what a page can show.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header    { return a.header }
func (a *answer) WriteHeader(status int) { a.status = status }
func (a *answer) Write(p []byte) (int, error) {
	const most = 1 << 20
	if room := most - a.body.Len(); room < len(p) {
		a.body.Write(p[:max(room, 0)])
		return 0, io.ErrShortWrite
	}
	return a.body.Write(p)
}

// ErrorShare is the share of requests that a deployment failed to answer.
func (r endpointRow) ErrorShare() float64 {
	if r.Requests == 0 {
		return 0
	}
	return float64(r.Figures.Errors) / float64(r.Requests)
}

// Ms writes a time of the figures.
func (r endpointRow) Ms(seconds float64) string {
	if seconds <= 0 || r.Requests == 0 {
		return "–"
	}
	return components.Seconds(seconds)
}

// Many reports that more than one deployment may answer.
func (p endpointPage) Many() bool {
	return slices.ContainsFunc(p.Rows, func(r endpointRow) bool { return r.ID != p.Main.ID })
}
