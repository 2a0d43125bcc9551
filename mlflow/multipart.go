package mlflow

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/valyala/fastjson"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/track"
)

// Large files come in parts and go in ranges, so that what was interrupted goes
// on where it was. MLflow's protocol has clients send the parts to addresses that
// it is given, which elsewhere lead to an object store; here they lead back, with
// the caller's own credentials.

// Uploads keeps the parts of files until they are joined.
type Uploads interface {
	Begin(ctx context.Context, about string) (id string, err error)
	About(ctx context.Context, id string) (string, error)
	Describe(ctx context.Context, id, about string) error
	PutPart(ctx context.Context, id string, number int, r io.Reader) error
	Parts(ctx context.Context, id string) (sizes map[int]int64, err error)
	Join(ctx context.Context, id string, parts int) (digest string, size int64, err error)
	Empty(ctx context.Context, id string) error
	Remove(ctx context.Context, id string) error
}

// maxParts of 10 MB, MLflow's size, are 100 GB.
const maxParts = 10_000

// inParts is from what size on a client is told to fetch a file in ranges.
const inParts = 64 << 20

// unsupported is what makes MLflow's client send the file in one piece.
const unsupported = "Multipart upload is not supported for the current artifact repository"

// about is what is remembered of an upload.
type about struct {
	Path   string `json:"path"`
	Parts  int    `json:"parts"`
	Joined bool   `json:"joined,omitempty"` // a client that repeats itself is answered the same
}

// joining has one at a time put an upload's parts together: a client asks again
// when it has waited for two minutes.
type joining struct{ locks sync.Map }

func (j *joining) lock(id string) (unlock func()) {
	l, _ := j.locks.LoadOrStore(id, new(sync.Mutex))
	l.(*sync.Mutex).Lock()
	return func() {
		l.(*sync.Mutex).Unlock()
		j.locks.Delete(id)
	}
}

// self is the address under which the caller reaches this server.
func self(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// credentials are the headers that a client is to send with what it is told to do
// next: its own.
func credentials(b []byte, r *http.Request) []byte {
	return begin(b).some("Authorization", r.Header.Get("Authorization")).end()
}

func (a *API) createUpload(w http.ResponseWriter, r *http.Request) error {
	if auth.From(r.Context()).Run != "" {
		// What is sent in one piece, the spool beside a step keeps while the server
		// is away; parts it does not.
		write(w, http.StatusNotImplemented, "NOT_IMPLEMENTED", unsupported)
		return nil
	}
	var parser fastjson.Parser
	body, err := read(r, &parser)
	if err != nil {
		return err
	}
	local, parts := body.need("path"), body.whole("num_parts", 1)
	if body.err != nil {
		return body.err
	}
	if parts < 1 || parts > maxParts {
		return invalid("num_parts is %d: expected 1 to %d; choose larger parts with MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", parts, maxParts)
	}
	name := local[strings.LastIndexAny(local, `/\`)+1:]
	if name == "" {
		return invalid("path '%s' names no file", local)
	}
	p, err := a.writablePath(r.Context(), strings.TrimSuffix(r.PathValue("path"), "/")+"/"+name)
	if err != nil {
		return err
	}
	text, err := json.Marshal(about{Path: p, Parts: int(parts)})
	if err != nil {
		return err
	}
	id, err := a.Uploads.Begin(r.Context(), string(text))
	if err != nil {
		return err
	}
	numbers := make([]int, parts)
	for i := range numbers {
		numbers[i] = i + 1
	}
	o := begin(nil).text("upload_id", id)
	list(o, "credentials", numbers, func(b []byte, n int) []byte {
		at := self(r) + "/api/2.0/mlflow-artifacts/mpu/parts/" + id + "/" + strconv.Itoa(n)
		return begin(b).text("url", at).whole("part_number", int64(n)).raw("headers", func(b []byte) []byte { return credentials(b, r) }).end()
	})
	return answer(w, o.end())
}

// uploadOf is an upload that the caller may write.
func (a *API) uploadOf(ctx context.Context, id string) (u about, err error) {
	text, err := a.Uploads.About(ctx, id)
	if err != nil {
		return u, err
	}
	if err := json.Unmarshal([]byte(text), &u); err != nil {
		return u, err
	}
	_, err = a.writablePath(ctx, u.Path)
	return u, err
}

func (a *API) putPart(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("upload")
	u, err := a.uploadOf(r.Context(), id)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(r.PathValue("number"))
	if err != nil || number < 1 || number > u.Parts {
		return invalid("part '%s': expected 1 to %d, as the upload was begun", r.PathValue("number"), u.Parts)
	}
	if u.Joined {
		return ridgeline.Errorf(ridgeline.Conflict, "upload %s is complete: begin another one", id)
	}
	if err := a.Uploads.PutPart(r.Context(), id, number, r.Body); err != nil {
		return err
	}
	w.Header().Set("ETag", `"`+strconv.Itoa(number)+`"`)
	return answer(w, nil)
}

// listParts tells whoever goes on with an upload which parts it need not send.
func (a *API) listParts(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("upload")
	u, err := a.uploadOf(r.Context(), id)
	if err != nil {
		return err
	}
	sizes, err := a.Uploads.Parts(r.Context(), id)
	if err != nil {
		return err
	}
	o := begin(nil).text("upload_id", id).text("path", u.Path).whole("num_parts", int64(u.Parts)).truth("complete", u.Joined)
	list(o, "parts", slices.Sorted(maps.Keys(sizes)), func(b []byte, n int) []byte {
		return begin(b).whole("part_number", int64(n)).whole("size", sizes[n]).end()
	})
	return answer(w, o.end())
}

// asked is the upload that a request to complete or to abort is about.
func (a *API) asked(r *http.Request) (id string, u about, err error) {
	var parser fastjson.Parser
	body, err := read(r, &parser)
	if err != nil {
		return "", u, err
	}
	if id = body.need("upload_id"); body.err != nil {
		return "", u, body.err
	}
	u, err = a.uploadOf(r.Context(), id)
	return id, u, err
}

func (a *API) completeUpload(w http.ResponseWriter, r *http.Request) error {
	id, _, err := a.asked(r)
	if err != nil {
		return err
	}
	defer a.joining.lock(id)()
	ctx := context.WithoutCancel(r.Context()) // a client that has lost patience comes back
	u, err := a.uploadOf(ctx, id)             // what another one has made of it
	if err != nil {
		return err
	}
	if u.Joined {
		return answer(w, nil)
	}
	digest, size, err := a.Uploads.Join(ctx, id, u.Parts)
	if err != nil {
		return err
	}
	if err := a.Track.PutArtifact(ctx, track.Artifact{Path: u.Path, Digest: digest, Size: size}); err != nil {
		return err
	}
	u.Joined = true
	text, err := json.Marshal(u)
	if err != nil {
		return err
	}
	if err := a.Uploads.Describe(ctx, id, string(text)); err != nil {
		return err
	}
	if err := a.Uploads.Empty(ctx, id); err != nil {
		return err
	}
	return answer(w, nil)
}

func (a *API) abortUpload(w http.ResponseWriter, r *http.Request) error {
	id, u, err := a.asked(r)
	switch {
	case ridgeline.CodeOf(err) == ridgeline.NotFound:
		return answer(w, nil)
	case err != nil:
		return err
	case u.Joined: // its client gave up waiting for the answer
		return answer(w, nil)
	}
	if err := a.Uploads.Remove(r.Context(), id); err != nil {
		return err
	}
	return answer(w, nil)
}

// presigned tells a client where to fetch a file from: here. With its size, which
// only that of a large file comes with, it fetches ranges, several at a time, and
// those that failed again.
func (a *API) presigned(w http.ResponseWriter, r *http.Request) error {
	p, err := safePath(r.PathValue("path"))
	if err != nil {
		return err
	}
	if err := a.mayReadPath(r.Context(), p); err != nil {
		return err
	}
	file, err := a.Track.Artifact(r.Context(), p)
	if err != nil {
		return err
	}
	at := self(r) + (&url.URL{Path: "/api/2.0/mlflow-artifacts/artifacts/" + p}).EscapedPath()
	o := begin(nil).text("url", at).raw("headers", func(b []byte) []byte { return credentials(b, r) })
	if file.Size >= inParts {
		o.whole("file_size", file.Size)
	}
	return answer(w, o.end())
}
