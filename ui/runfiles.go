package ui

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/track"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// An artifact is a file that a step left, or its script logged.
type artifact struct {
	Step, Path string
	Size       int64
	URL        string
	Logged     bool // by the script to tracking; else left in $RIDGELINE_OUT
	Picture    bool // that can be shown
}

// mostFiles is how many files a page lists of one step.
const mostFiles = 500

// addArtifacts lists what the steps left, and what their scripts logged.
func (u *UI) addArtifacts(ctx context.Context, out *runPage, steps []ridgeline.Step) error {
	for _, s := range steps {
		if s.Result.Output == "" {
			continue
		}
		files, err := u.Blob.Files(ctx, s.Result.Output)
		if ridgeline.CodeOf(err) == ridgeline.NotFound {
			continue // reclaimed
		}
		if err != nil {
			return err
		}
		for _, f := range files[:min(len(files), mostFiles)] {
			out.Artifacts = append(out.Artifacts, artifact{Step: s.Name, Path: f.Path, Size: f.Size, Picture: picture(f.Path), URL: components.Path("runs", s.Run, "artifacts", s.Name, query("file", f.Path))})
		}
	}
	logged, err := u.logged(ctx, out.Run)
	if err != nil {
		return err
	}
	for _, l := range logged {
		folder, n := artifactFolder(l), 0
		err := u.Track.EachArtifact(ctx, folder, func(name string, a track.Artifact) error {
			if n++; n > mostFiles {
				return errEnough
			}
			address := components.Path("runs", out.ID, "logged", l.ID)
			for part := range strings.SplitSeq(name, "/") {
				address += components.Path(part)
			}
			out.Artifacts = append(out.Artifacts, artifact{Step: l.Name, Path: name, Size: a.Size, Logged: true, Picture: picture(name), URL: address})
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
	}
	return nil
}

// artifactFolder is where tracking keeps what the run logged.
func artifactFolder(r track.Run) string {
	return strings.TrimPrefix(r.ArtifactURI, "mlflow-artifacts:/")
}

// runArtifact sends a file that a step left.
func (u *UI) runArtifact(w http.ResponseWriter, r *http.Request) {
	r, ok := u.enter(w, r)
	if !ok {
		return
	}
	step, err := u.Store.Step(r.Context(), ridgeline.RunID(r.PathValue("id")), r.PathValue("step"))
	if err == nil && step.Result.Output == "" {
		err = ridgeline.Errorf(ridgeline.NotFound, "step %s left nothing", step.Name)
	}
	if err != nil {
		u.fail(w, r, err)
		return
	}
	tree, err := u.Blob.Get(r.Context(), step.Result.Output)
	if err != nil {
		u.fail(w, r, err)
		return
	}
	defer tree.Close()
	name := r.URL.Query().Get("file")
	for t := tar.NewReader(tree); ; {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			u.fail(w, r, ridgeline.Errorf(ridgeline.NotFound, "step %s left no file %s", step.Name, name))
			return
		case err != nil:
			u.fail(w, r, err)
			return
		case h.Typeflag == tar.TypeReg && path.Clean(h.Name) == name:
			u.download(w, r, name, t)
			return
		}
	}
}

// loggedArtifact sends a file that a step's script logged to tracking.
func (u *UI) loggedArtifact(w http.ResponseWriter, r *http.Request) {
	r, ok := u.enter(w, r)
	if !ok {
		return
	}
	run, err := u.Track.Run(r.Context(), r.PathValue("logged"))
	if err == nil && !slices.ContainsFunc(run.Tags, func(t track.Pair) bool { return t.Key == "ridgeline.run" && t.Value == r.PathValue("id") }) {
		err = ridgeline.Errorf(ridgeline.NotFound, "run %s logged nothing under that name", r.PathValue("id"))
	}
	if err != nil {
		u.fail(w, r, err)
		return
	}
	u.sendLogged(w, r, run)
}

// sendLogged sends the file of a run's artifacts that the address names.
func (u *UI) sendLogged(w http.ResponseWriter, r *http.Request, run track.Run) {
	a, err := u.Track.Artifact(r.Context(), artifactFolder(run)+"/"+r.PathValue("file"))
	var content io.ReadCloser
	if err == nil {
		content, err = u.Blob.Get(r.Context(), a.Digest)
	}
	if err != nil {
		u.fail(w, r, err)
		return
	}
	defer content.Close()
	u.download(w, r, a.Path, content)
}
