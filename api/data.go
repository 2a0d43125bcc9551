package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/intake"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// DatasetState is a dataset and the version of it that is in use.
type DatasetState struct {
	Project string     `json:"project"`
	Name    string     `json:"name"`
	Source  string     `json:"source,omitempty" doc:"where it comes from, as the newest pipeline has it"`
	Watch   string     `json:"watch,omitempty" doc:"how often the source is looked at by itself"`
	Starts  bool       `json:"starts" doc:"an accepted new version starts the pipeline"`
	Current int        `json:"current" doc:"version that runs work on; 0 when none"`
	Rows    int64      `json:"rows"`
	Size    int64      `json:"size"`
	Held    int        `json:"quarantined" doc:"the last arrival's version, when it is in quarantine; 0 when not"`
	Looked  *time.Time `json:"looked,omitempty" doc:"when the source was last looked at"`
	Problem string     `json:"problem,omitempty" doc:"why that failed"`
}

// Arrival is something new at one of a dataset's sources, and what became of
// it.
type Arrival struct {
	ID       string         `json:"id"`
	Project  string         `json:"project"`
	Dataset  string         `json:"dataset"`
	Version  int            `json:"version" doc:"0 until it has one"`
	Source   string         `json:"source" enum:"commit,remote,upload"`
	Origin   string         `json:"origin"`
	Status   string         `json:"status" enum:"arriving,proposed,accepted,quarantined,unchanged,failed"`
	Digest   string         `json:"digest,omitempty"`
	Size     int64          `json:"size"`
	Rows     int64          `json:"rows"`
	Files    int            `json:"files"`
	Reason   string         `json:"reason,omitempty" doc:"why it is in quarantine, or could not be fetched"`
	Findings []data.Finding `json:"findings,omitempty" doc:"of every rule, kept or broken"`
	Released *Override      `json:"released,omitempty" doc:"who took it out of quarantine, and why"`
	Cause    string         `json:"cause"`
	Caller   string         `json:"caller,omitempty"`
	Run      string         `json:"run,omitempty" doc:"run it started"`
	Created  time.Time      `json:"created"`
	Ended    *time.Time     `json:"ended,omitempty"`
}

// DatasetDetail is one version with all that is known of it.
type DatasetDetail struct {
	Dataset
	Current  bool                    `json:"current"`
	Single   bool                    `json:"single" doc:"one file by itself, not a folder"`
	Files    []ridgeline.DatasetFile `json:"files"`
	Profile  *data.Profile           `json:"profile,omitempty"`
	Arrivals []Arrival               `json:"arrivals" doc:"that brought this version, newest first"`
}

// ShownFiles is how many files a version's answer lists.
const ShownFiles = 100_000

// DatasetDiff is what changed from one version to another.
type DatasetDiff struct {
	Difference data.Difference `json:"difference"`
	A          Dataset         `json:"a"`
	B          Dataset         `json:"b"`
	Same       bool            `json:"same" doc:"the content is the same"`
}

// OfDataset names a dataset. It is exported because huma reads no embedded field of
// a type that is not.
type OfDataset struct {
	Project string `path:"project"`
	Name    string `path:"name"`
}

// OfVersion names a version of a dataset.
type OfVersion struct {
	Project string `path:"project"`
	Name    string `path:"name"`
	Version string `path:"version" doc:"a number, or current"`
}

func (v OfVersion) number() (int, error) {
	if v.Version == "current" {
		return 0, nil
	}
	n, err := strconv.Atoi(v.Version)
	if err != nil || n < 1 {
		return 0, ridgeline.Errorf(ridgeline.Invalid, "version %q: expected a number from 1 on, or current", v.Version)
	}
	return n, nil
}

func (a *API) data(api huma.API, mux *http.ServeMux) {
	tags := []string{"data"}
	route(a, api, huma.Operation{OperationID: "list-dataset-versions", Method: http.MethodGet, Path: "/projects/{project}/data", Summary: "Versions of a project's datasets", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *struct {
			Project string `path:"project"`
			Name    string `query:"name"`
		}) ([]Dataset, error) {
			rows, err := a.Store.DatasetVersions(ctx, ridgeline.ProjectName(in.Project), in.Name)
			return list(rows, viewDataset), err
		})
	route(a, api, huma.Operation{OperationID: "list-datasets", Method: http.MethodGet, Path: "/projects/{project}/datasets", Summary: "A project's datasets and their versions in use", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *struct {
			Project string `path:"project"`
		}) ([]DatasetState, error) {
			rows, err := a.Intake.States(ctx, ridgeline.ProjectName(in.Project))
			return list(rows, viewState), err
		})
	route(a, api, huma.Operation{OperationID: "show-dataset-version", Method: http.MethodGet, Path: "/projects/{project}/datasets/{name}/versions/{version}",
		Summary: "One version: schema, statistics, files and arrivals", Tags: tags}, ridgeline.Viewer, a.datasetVersion)
	route(a, api, huma.Operation{OperationID: "diff-dataset", Method: http.MethodGet, Path: "/projects/{project}/datasets/{name}/diff", Summary: "What changed from one version to another", Tags: tags},
		ridgeline.Viewer, a.datasetDiff)
	route(a, api, huma.Operation{OperationID: "list-arrivals", Method: http.MethodGet, Path: "/projects/{project}/datasets/{name}/arrivals", Summary: "What arrived at a dataset, newest first", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *struct {
			OfDataset
			Limit int `query:"limit" default:"50" minimum:"1" maximum:"1000"`
		}) ([]Arrival, error) {
			rows, err := a.Store.Arrivals(ctx, store.ArrivalFilter{Project: ridgeline.ProjectName(in.Project), Dataset: in.Name, Limit: in.Limit, Status: shown})
			return list(rows, viewArrival), err
		})
	route(a, api, huma.Operation{OperationID: "show-arrival", Method: http.MethodGet, Path: "/arrivals/{id}", Summary: "One arrival with its report", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *byID) (Arrival, error) {
			row, err := a.Store.Arrival(ctx, ridgeline.ArrivalID(in.ID))
			return viewArrival(row), err
		})
	a.deliveries(api, tags)
	mux.HandleFunc("GET /api/v1/projects/{project}/datasets/{name}/versions/{version}/files/{file...}", a.datasetFile)
	mux.HandleFunc("HEAD /api/v1/blobs/{digest}", a.hasBlob)
	mux.HandleFunc("PUT /api/v1/blobs/{digest}", a.putBlob)
}

// shown are the arrivals that people care for.
var shown = []ridgeline.ArrivalStatus{ridgeline.Arriving, ridgeline.Accepted, ridgeline.Quarantined, ridgeline.Lost}

type upload struct {
	OfDataset
	Body struct {
		Single  bool                    `json:"single,omitempty" doc:"one file by itself, not a folder"`
		Files   []ridgeline.DatasetFile `json:"files,omitempty" maxItems:"100000" doc:"whose bytes were put to /api/v1/blobs/{sha256} before"`
		Address string                  `json:"address,omitempty" maxLength:"4000" doc:"to fetch the files from, instead"`
	}
}

// Look is what came of a look at a source.
type Look struct {
	Found   bool     `json:"found" doc:"something new is arriving"`
	Arrival *Arrival `json:"arrival,omitempty"`
}

// deliveries are the routes that bring data in.
func (a *API) deliveries(api huma.API, tags []string) {
	route(a, api, huma.Operation{OperationID: "add-data", Method: http.MethodPost, Path: "/projects/{project}/datasets/{name}/arrivals",
		Summary: "Deliver files, or an address to fetch them from, to a dataset", Tags: tags, DefaultStatus: http.StatusAccepted, MaxBodyBytes: 64 << 20,
	}, ridgeline.Writer, func(ctx context.Context, in *upload) (Arrival, error) {
		row, err := a.Intake.Add(ctx, intake.Upload{
			Project: ridgeline.ProjectName(in.Project), Dataset: in.Name, Single: in.Body.Single, Files: in.Body.Files, Address: in.Body.Address, Caller: auth.From(ctx).Name,
		})
		return viewArrival(row), err
	})
	route(a, api, huma.Operation{OperationID: "look-at-source", Method: http.MethodPost, Path: "/projects/{project}/datasets/{name}/look",
		Summary: "Look now whether a dataset's source has anything new", Tags: tags,
	}, ridgeline.Writer, func(ctx context.Context, in *OfDataset) (Look, error) {
		row, found, err := a.Intake.Look(ctx, ridgeline.ProjectName(in.Project), in.Name, "rest", auth.From(ctx).Name)
		out := Look{Found: found}
		if found {
			view := viewArrival(row)
			out.Arrival = &view
		}
		return out, err
	})
	route(a, api, huma.Operation{OperationID: "accept-data", Method: http.MethodPost, Path: "/projects/{project}/datasets/{name}/versions/{version}/accept",
		Summary: "Take a quarantined version into use", Tags: tags,
	}, ridgeline.Writer, func(ctx context.Context, in *struct {
		OfVersion
		Body struct {
			Reason string `json:"reason" maxLength:"2000" doc:"kept with the arrival and in the audit trail"`
		}
	}) (Arrival, error) {
		version, err := in.number()
		if err != nil {
			return Arrival{}, err
		}
		row, err := a.Intake.Accept(ctx, ridgeline.ProjectName(in.Project), in.Name, version, in.Body.Reason, auth.From(ctx).Name)
		return viewArrival(row), err
	})
}

func (a *API) datasetVersion(ctx context.Context, in *OfVersion) (DatasetDetail, error) {
	number, err := in.number()
	if err != nil {
		return DatasetDetail{}, err
	}
	name := ridgeline.ProjectName(in.Project)
	v, err := a.Store.DatasetVersion(ctx, name, in.Name, number)
	if err != nil {
		return DatasetDetail{}, err
	}
	out := DatasetDetail{Dataset: viewDataset(v), Files: []ridgeline.DatasetFile{}, Arrivals: []Arrival{}}
	set, err := a.Store.Dataset(ctx, name, in.Name)
	if err != nil {
		return out, err
	}
	out.Current = set.Current == v.Version
	if v.Manifest != "" {
		m, err := a.Intake.Manifest(ctx, v)
		if err != nil {
			return out, err
		}
		out.Single, out.Files = m.Single, m.Files
	}
	if v.Profile != "" {
		p, err := a.Intake.Profile(ctx, v)
		if err != nil {
			return out, err
		}
		out.Profile = &p
	}
	rows, err := a.Store.Arrivals(ctx, store.ArrivalFilter{Project: name, Dataset: in.Name, Status: shown})
	for _, row := range rows {
		if row.Version == v.Version && len(out.Arrivals) < 20 {
			out.Arrivals = append(out.Arrivals, viewArrival(row))
		}
	}
	return out, err
}

func (a *API) datasetDiff(ctx context.Context, in *struct {
	OfDataset
	A int `query:"a" minimum:"0" doc:"version; 0: the one in use"`
	B int `query:"b" minimum:"0"`
}) (DatasetDiff, error) {
	var out DatasetDiff
	from, err := a.Store.DatasetVersion(ctx, ridgeline.ProjectName(in.Project), in.Name, in.A)
	if err != nil {
		return out, err
	}
	to, err := a.Store.DatasetVersion(ctx, ridgeline.ProjectName(in.Project), in.Name, in.B)
	if err != nil {
		return out, err
	}
	out.A, out.B, out.Same = viewDataset(from), viewDataset(to), from.Digest == to.Digest
	out.Difference, err = a.Intake.Diff(ctx, from, to)
	return out, err
}

// allowed answers a caller of a plain handler who may not do this.
func (a *API) allowed(w http.ResponseWriter, r *http.Request, need ridgeline.Role) bool {
	who := auth.From(r.Context())
	if !who.Role.Allows(need) {
		a.refuse(w, "", ridgeline.Errorf(ridgeline.Denied, "%s is a %s; this needs a %s", who.Name, who.Role, need))
		return false
	}
	return true
}

// refuse answers an error of a plain handler as route does.
func (a *API) refuse(w http.ResponseWriter, operation string, err error) {
	code, detail := ridgeline.CodeOf(err), err.Error()
	if code == ridgeline.Internal {
		a.Log.Error("api", "operation", operation, "error", err)
		detail = "an unexpected error occurred; the server's log has it"
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(Status(code))
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(Status(code)), "status": Status(code), "detail": detail})
}

// datasetFile streams one file of a version.
func (a *API) datasetFile(w http.ResponseWriter, r *http.Request) {
	if !a.allowed(w, r, ridgeline.Viewer) {
		return
	}
	in := OfVersion{Project: r.PathValue("project"), Name: r.PathValue("name"), Version: r.PathValue("version")}
	number, err := in.number()
	if err != nil {
		a.refuse(w, "get-data", err)
		return
	}
	v, err := a.Store.DatasetVersion(r.Context(), ridgeline.ProjectName(in.Project), in.Name, number)
	if err != nil {
		a.refuse(w, "get-data", err)
		return
	}
	body, size, err := a.Intake.Open(r.Context(), v, r.PathValue("file"))
	if err != nil {
		a.refuse(w, "get-data", err)
		return
	}
	defer body.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if _, err := io.Copy(w, body); err != nil && r.Context().Err() == nil {
		a.Log.Error("send a file of a dataset", "error", err) // the client sees too few bytes
	}
}

// hasBlob says whether a content is here already, so that it is not sent again.
func (a *API) hasBlob(w http.ResponseWriter, r *http.Request) {
	if !a.allowed(w, r, ridgeline.Writer) {
		return
	}
	there, err := a.Blob.Has(r.Context(), r.PathValue("digest"))
	switch {
	case err != nil:
		a.refuse(w, "has-blob", err)
	case !there:
		w.WriteHeader(http.StatusNotFound)
	}
}

// putBlob keeps a content whose sha256 the caller knows. It is there whole or
// not at all.
func (a *API) putBlob(w http.ResponseWriter, r *http.Request) {
	if !a.allowed(w, r, ridgeline.Writer) {
		return
	}
	want := r.PathValue("digest")
	if _, err := a.Blob.Has(r.Context(), want); err != nil {
		a.refuse(w, "put-blob", err)
		return
	}
	digest, _, err := a.Blob.Put(r.Context(), r.Body)
	switch {
	case err != nil && r.Context().Err() != nil: // nobody is there to be answered
	case err != nil:
		a.refuse(w, "put-blob", err)
	case digest != want:
		a.refuse(w, "put-blob", ridgeline.Errorf(ridgeline.Conflict, "the content has sha256 %s, not %s: the file changed while it was sent; send it again", digest, want))
	default:
		w.WriteHeader(http.StatusCreated)
	}
}

func viewDataset(d ridgeline.DatasetVersion) Dataset {
	return Dataset{
		Project: string(d.Project), Name: d.Name, Version: d.Version, Digest: d.Digest, Size: d.Size, Rows: d.Rows, FileCount: d.Files,
		Columns: append([]ridgeline.Column{}, d.Columns...), Created: d.Created,
	}
}

func viewState(s intake.State) DatasetState {
	out := DatasetState{
		Project: string(s.Project), Name: s.Name, Source: s.Origin, Starts: s.Starts, Current: s.Current, Rows: s.Version.Rows, Size: s.Version.Size,
		Held: s.Held, Looked: optional(s.Looked), Problem: s.Problem,
	}
	if s.Watch > 0 {
		out.Watch = s.Watch.String()
	}
	return out
}

func viewArrival(r ridgeline.Arrival) Arrival {
	out := Arrival{
		ID: string(r.ID), Project: string(r.Project), Dataset: r.Dataset, Version: r.Version, Source: string(r.Source), Origin: r.Origin, Status: string(r.Status),
		Digest: r.Digest, Size: r.Size, Rows: r.Rows, Files: r.Files, Reason: r.Reason, Released: r.Released, Cause: r.Cause, Caller: r.Caller,
		Run: string(r.Run), Created: r.Created, Ended: optional(r.Ended),
	}
	if len(r.Findings) > 0 {
		_ = json.Unmarshal(r.Findings, &out.Findings) // written by us; a report that cannot be read is none
	}
	return out
}

// PutBlob sends a content unless the server has it. It reports whether bytes
// went over.
func (c *Client) PutBlob(ctx context.Context, digest string, open func() (io.ReadCloser, error)) (sent bool, err error) {
	path := "/api/v1/blobs/" + digest
	res, err := c.send(ctx, http.MethodHead, path, "", nil)
	if err == nil {
		return false, res.Body.Close()
	}
	if ridgeline.CodeOf(err) != ridgeline.NotFound {
		return false, err
	}
	body, err := open()
	if err != nil {
		return false, err
	}
	defer body.Close()
	if res, err = c.send(ctx, http.MethodPut, path, "application/octet-stream", body); err != nil {
		return false, err
	}
	return true, res.Body.Close()
}

// DatasetFile reads a file of a version; the caller closes it.
func (c *Client) DatasetFile(ctx context.Context, path string) (io.ReadCloser, error) {
	res, err := c.send(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}
