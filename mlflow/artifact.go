package mlflow

import (
	"context"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/track"
)

// Contents keeps the bytes of artifacts under their digests.
type Contents interface {
	Put(ctx context.Context, r io.Reader) (digest string, size int64, err error)
	Get(ctx context.Context, digest string) (io.ReadCloser, error)
	Seek(ctx context.Context, digest string) (io.ReadSeekCloser, error)
}

// scheme begins the address of artifacts that go through this server.
const scheme = "mlflow-artifacts:/"

// mountArtifacts answers below /api/2.0/mlflow-artifacts/.
func (a *API) mountArtifacts(mux *http.ServeMux) {
	for _, prefix := range []string{"/api/2.0/mlflow-artifacts/", "/ajax-api/2.0/mlflow-artifacts/"} {
		for _, r := range []struct {
			method, path string
			read         bool
			handle       func(w http.ResponseWriter, r *http.Request) error
		}{
			{"GET", "artifacts", true, a.listFolder},
			{"GET", "artifacts/{path...}", true, a.download},
			{"PUT", "artifacts/{path...}", false, a.upload},
			{"DELETE", "artifacts/{path...}", false, a.deleteArtifacts},
			{"GET", "presigned/{path...}", true, a.presigned},
			{"POST", "mpu/create/{path...}", false, a.createUpload},
			{"PUT", "mpu/parts/{upload}/{number}", false, a.putPart},
			{"GET", "mpu/parts/{upload}", false, a.listParts},
			{"POST", "mpu/complete/{path...}", false, a.completeUpload},
			{"POST", "mpu/abort/{path...}", false, a.abortUpload},
		} {
			mux.HandleFunc(r.method+" "+prefix+r.path, func(w http.ResponseWriter, req *http.Request) {
				if err := mayUse(req.Context(), r.read); err != nil {
					Fail(w, err)
					return
				}
				if err := r.handle(w, req); err != nil {
					a.logged(req, err)
					Fail(w, err)
				}
			})
		}
	}
}

func mayUse(ctx context.Context, read bool) error {
	need := ridgeline.Writer
	if read {
		need = ridgeline.Viewer
	}
	if p := auth.From(ctx); !p.Role.Allows(need) {
		return ridgeline.Errorf(ridgeline.Denied, "%s is a %s; this needs a %s", p.Name, p.Role, need)
	}
	return nil
}

// safePath refuses paths that lead out of where they begin, however often they
// are encoded.
func safePath(p string) (string, error) {
	for decoded := p; ; {
		if strings.ContainsAny(decoded, "\x00\\") || strings.HasPrefix(decoded, "/") || decoded != "" && path.Clean("/"+decoded) != "/"+strings.TrimSuffix(decoded, "/") {
			return "", ridgeline.Errorf(ridgeline.Invalid, "Invalid path: '%s' has an empty part, '.', '..' or a backslash: use a relative path with slashes between its parts", p)
		}
		next, err := url.PathUnescape(decoded)
		if err != nil || next == decoded {
			return strings.TrimSuffix(p, "/"), nil
		}
		decoded = next
	}
}

// writable returns the path of a request, if the caller may write there.
func (a *API) writable(r *http.Request) (string, error) {
	return a.writablePath(r.Context(), r.PathValue("path"))
}

func (a *API) writablePath(ctx context.Context, given string) (string, error) {
	p, err := safePath(given)
	if err != nil {
		return "", err
	}
	if p == "" {
		return "", ridgeline.Errorf(ridgeline.Invalid, "Invalid path: name a file below artifacts/")
	}
	if p == track.RegistryFolder || strings.HasPrefix(p, track.RegistryFolder+"/") {
		return "", ridgeline.Errorf(ridgeline.Denied, "'%s' belongs to registered model versions, whose files do not change: log the model again and register a new version", p)
	}
	if auth.From(ctx).Project == "" {
		return p, nil
	}
	if err := a.mayReadPath(ctx, p); err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(p, "/")
	id, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return "", denied(auth.From(ctx).Project, "'"+p+"'")
	}
	return p, a.mayWriteExperiment(ctx, id)
}

func (a *API) upload(w http.ResponseWriter, r *http.Request) error {
	p, err := a.writable(r)
	if err != nil {
		return err
	}
	// A body that stops half way is an error of the reader, and leaves nothing.
	digest, size, err := a.Contents.Put(r.Context(), r.Body)
	if err != nil {
		return err
	}
	if err := a.Track.PutArtifact(r.Context(), track.Artifact{Path: p, Digest: digest, Size: size}); err != nil {
		return err
	}
	return answer(w, nil)
}

func answer(w http.ResponseWriter, b []byte) error {
	if b == nil {
		b = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b)
	return nil
}

func (a *API) download(w http.ResponseWriter, r *http.Request) error {
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
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	if t := mime.TypeByExtension(path.Ext(p)); t != "" {
		h.Set("Content-Type", t)
	}
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(p)}))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", `"`+file.Digest+`"`)
	lost := func(err error) error {
		if ridgeline.CodeOf(err) == ridgeline.NotFound {
			return ridgeline.Errorf(ridgeline.NotFound, "the content of artifact '%s' (sha256 %s) is missing here: restore the blob store from a backup, or log the artifact again", p, file.Digest)
		}
		return err
	}
	if r.Header.Get("Range") != "" || r.Header.Get("If-None-Match") != "" {
		content, err := a.Contents.Seek(r.Context(), file.Digest)
		if err != nil {
			return lost(err)
		}
		defer content.Close()
		http.ServeContent(w, r, "", time.Time{}, content)
		return nil
	}
	content, err := a.Contents.Get(r.Context(), file.Digest)
	if err != nil {
		return lost(err)
	}
	defer content.Close()
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Length", strconv.FormatInt(file.Size, 10))
	if _, err := io.Copy(w, content); err != nil {
		a.logged(r, err)
		panic(http.ErrAbortHandler) // the client must not take what it got for the file
	}
	return nil
}

func (a *API) deleteArtifacts(w http.ResponseWriter, r *http.Request) error {
	p, err := a.writable(r)
	if err != nil {
		return err
	}
	if err := a.Track.DeleteArtifacts(r.Context(), p); err != nil {
		return err
	}
	return answer(w, nil)
}

func appendFile(folder string) func(b []byte, f track.Artifact) []byte {
	return func(b []byte, f track.Artifact) []byte {
		o := begin(b).text("path", path.Join(folder, f.Path)).truth("is_dir", f.Folder)
		if !f.Folder {
			o.whole("file_size", f.Size)
		}
		return o.end()
	}
}

// listFolder lists a folder with the names of what is in it.
func (a *API) listFolder(w http.ResponseWriter, r *http.Request) error {
	p, err := safePath(strings.TrimPrefix(r.URL.Query().Get("path"), "/"))
	if err != nil {
		return err
	}
	if err := a.mayReadPath(r.Context(), p); err != nil {
		return err
	}
	files, err := a.Track.Artifacts(r.Context(), p)
	if err != nil {
		return err
	}
	o := begin(nil)
	list(o, "files", files, appendFile(""))
	return answer(w, o.end())
}

// listRun lists a folder of a run with paths that begin at the run.
func (a *API) listRun(ctx context.Context, r *request, b []byte) ([]byte, error) {
	id := r.run()
	if r.err != nil {
		return nil, r.err
	}
	run, err := a.Track.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	return a.listAt(ctx, run.ArtifactURI, r.text("path"), b)
}

// listModel lists a folder of a logged model.
func (a *API) listModel(ctx context.Context, r *request, b []byte) ([]byte, error) {
	m, err := a.Track.Model(ctx, r.http.PathValue("model_id"))
	if err != nil {
		return nil, err
	}
	return a.listAt(ctx, m.ArtifactURI, r.text("artifact_directory_path"), b)
}

func (a *API) listAt(ctx context.Context, uri, folder string, b []byte) ([]byte, error) {
	folder, err := safePath(folder)
	if err != nil {
		return nil, err
	}
	root, here := strings.CutPrefix(uri, scheme)
	if !here {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "the artifacts are at %s, which does not go through this server: list them there with MLflow's client", uri)
	}
	at := path.Join(strings.Trim(root, "/"), folder)
	if err := a.mayReadPath(ctx, at); err != nil {
		return nil, err
	}
	files, err := a.Track.Artifacts(ctx, at)
	o := begin(b).text("root_uri", uri)
	list(o, "files", files, appendFile(folder))
	return o.end(), err
}
