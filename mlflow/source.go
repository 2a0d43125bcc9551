package mlflow

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/track"
)

// Trees are folders kept as archives, under their digests.
type Trees interface {
	// GetTree unpacks an archive as the folder dir.
	GetTree(ctx context.Context, digest, dir string) error
}

// A sourceRef is where a client says that a version's folder is, and what of it
// was found here.
type sourceRef struct {
	URI, Run, Model  string // the run and the logged model may be empty
	hasRun, hasModel bool   // the client named them

	folder string // of its own, among the artifacts; empty: the files are not here
	size   int64
}

func (s sourceRef) invalid(needs string) error {
	return invalid("Invalid model version source: '%s'. The %s request parameter must identify the resource that contains the source.", s.URI, needs)
}

// resolve finds the files of a source, checks that the run or the logged model
// that is named has them, and keeps them for the version. A source elsewhere is
// taken as it is. The messages are those of mlflow/server/handlers.py, 3.17.
func (a *API) resolve(ctx context.Context, s *sourceRef) error {
	kind, rest, ok := strings.Cut(s.URI, ":")
	kind = strings.ToLower(kind)
	if !ok || kind == "file" || len(kind) == 1 { // a letter: a Windows drive
		what := "run_id"
		if s.Model != "" {
			what = "model_id"
		}
		return invalid("Invalid model version source: '%s'. To use a local path as a model version source, the %s request parameter has to be specified and the local path has to be "+
			"contained within the artifact directory of the run specified by the %s.", strings.TrimPrefix(s.URI, "file://"), what, what)
	}
	if leadsUp(s.URI) {
		return invalid("Invalid model version source: '%s'. If supplying a source as an http, https, local file path, ftp, objectstore, or mlflow-artifacts uri, "+
			"an absolute path must be provided without relative path references present. Please provide an absolute path.", s.URI)
	}
	from, err := "", error(nil)
	switch kind {
	case "models":
		if from, err = a.fromModels(ctx, s, rest); err != nil || s.folder != "" {
			return err
		}
	case "runs":
		run, inside, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
		switch {
		case s.Model != "" || strings.HasPrefix(rest, "//"):
			return s.invalid("model_id")
		case run != s.Run:
			return s.invalid("run_id")
		}
		root, err := a.rootOf(ctx, s)
		if err != nil {
			return err
		}
		from = root + "/" + inside
	case "mlflow-artifacts":
		root, err := a.rootOf(ctx, s)
		if err != nil {
			return err
		}
		if from = strings.Trim(rest, "/"); root == "" || from != root && !strings.HasPrefix(from, root+"/") {
			return s.invalid(map[bool]string{true: "model_id", false: "run_id"}[s.Model != ""])
		}
	}
	if from == "" {
		return nil
	}
	from = strings.Trim(from, "/")
	if err := a.mayReadPath(ctx, from); err != nil {
		return err
	}
	s.folder, s.size, err = a.Track.RegisterFiles(ctx, from)
	return err
}

// rootOf is where the run or the logged model that is named has its artifacts;
// empty when neither is.
func (a *API) rootOf(ctx context.Context, s *sourceRef) (string, error) {
	uri := ""
	if s.Model != "" {
		m, err := a.Track.Model(ctx, s.Model)
		if ridgeline.CodeOf(err) == ridgeline.NotFound {
			return "", s.invalid("model_id")
		} else if err != nil {
			return "", err
		}
		uri = m.ArtifactURI
		if s.Run == "" {
			s.Run = m.SourceRun
		}
	} else if s.Run != "" {
		run, err := a.Track.Run(ctx, s.Run)
		if ridgeline.CodeOf(err) == ridgeline.NotFound {
			return "", s.invalid("run_id")
		} else if err != nil {
			return "", err
		}
		uri = run.ArtifactURI
	}
	return strings.Trim(strings.TrimPrefix(uri, scheme), "/"), nil
}

// fromModels reads models:/m-ID, the address of a logged model, whose folder it
// returns, and models:/NAME/VERSION or models:/NAME@ALIAS, of which the new
// version is a copy.
func (a *API) fromModels(ctx context.Context, s *sourceRef, rest string) (string, error) {
	if strings.HasPrefix(rest, "//") {
		return "", s.invalid("model_id")
	}
	name, which, versioned := strings.Cut(strings.Trim(rest, "/"), "/")
	name, alias, aliased := strings.Cut(name, "@")
	if !versioned && !aliased {
		if s.Model == "" || name != s.Model {
			return "", s.invalid("model_id")
		}
		return a.rootOf(ctx, s)
	}
	model, version := ridgeline.ModelName(name), 0
	if _, err := a.Registry.RegisteredModel(ctx, model); err != nil {
		return "", err
	}
	if err := a.mayReadRegistered(ctx, model); err != nil {
		return "", err
	}
	version, err := strconv.Atoi(which)
	if aliased {
		version, err = a.aliased(ctx, model, alias)
	} else if err != nil {
		version, err = a.staged(ctx, model, which)
	}
	if err != nil {
		return "", err
	}
	v, err := a.Registry.RegisteredVersion(ctx, model, version)
	if err != nil {
		return "", err
	}
	if s.hasRun && s.Run != v.TrackingRun || s.hasModel && s.Model != v.LoggedModel {
		return "", invalid("Invalid model version source: '%s'. The run_id and model_id request parameters must match the referenced model version.", s.URI)
	}
	s.URI, s.Run, s.Model = fmt.Sprintf("models:/%s/%d", model, version), v.TrackingRun, v.LoggedModel
	s.folder, s.size, err = a.filesOf(ctx, v)
	if err != nil || s.folder == "" {
		return "", err
	}
	// As files of its own, should the version that it is a copy of be deleted.
	s.folder, s.size, err = a.Track.RegisterFiles(ctx, s.folder)
	return "", err
}

// staged is the newest version of a stage, or of all for "latest".
func (a *API) staged(ctx context.Context, model ridgeline.ModelName, stage string) (int, error) {
	if strings.EqualFold(stage, "latest") {
		return a.aliased(ctx, model, stage)
	}
	stage, err := stageName(stage)
	if err != nil {
		return 0, err
	}
	latest, err := a.Registry.LatestVersions(ctx, []ridgeline.ModelName{model})
	if i := slices.IndexFunc(latest, func(v ridgeline.ModelVersion) bool { return v.Stage == stage }); i >= 0 {
		return latest[i].Version, nil
	}
	if err == nil {
		err = ridgeline.Errorf(ridgeline.NotFound, "No versions of model with name '%s' and stage '%s' found", model, stage)
	}
	return 0, err
}

// leadsUp reports whether an address has a part "..", however often it is
// encoded.
func leadsUp(uri string) bool {
	for {
		if strings.ContainsRune(uri, 0) || slices.Contains(strings.FieldsFunc(uri, func(c rune) bool { return c == '/' || c == '\\' }), "..") {
			return true
		}
		next, err := url.QueryUnescape(uri)
		if err != nil || next == uri {
			return false
		}
		uri = next
	}
}

// folderOf is where a version's files are, or will be once they are asked for.
func folderOf(v ridgeline.ModelVersion) string {
	if v.Folder == "" && v.Artifact != "" {
		return track.RegistryFolder + "/" + v.Artifact
	}
	return v.Folder
}

// whereToLoad is where a client finds the files of a version.
func (a *API) whereToLoad(ctx context.Context, v ridgeline.ModelVersion) (string, error) {
	folder, _, err := a.filesOf(ctx, v)
	if err != nil {
		return "", err
	}
	if folder == "" { // they are not here
		return v.URI, nil
	}
	return scheme + folder, nil
}

// filesOf sees to it that the files of a version are among the artifacts. What a
// pipeline made is an archive until somebody asks for its files.
func (a *API) filesOf(ctx context.Context, v ridgeline.ModelVersion) (string, int64, error) {
	if v.Folder != "" || v.Artifact == "" {
		return v.Folder, v.Size, nil
	}
	temp, err := os.MkdirTemp(a.Temp, "model-")
	if err != nil {
		return "", 0, fmt.Errorf("unpack version %d of model %s: %w", v.Version, v.Model, err)
	}
	defer os.RemoveAll(temp)
	dir := filepath.Join(temp, "model")
	if err := a.Trees.GetTree(ctx, v.Artifact, dir); err != nil {
		return "", 0, fmt.Errorf("unpack version %d of model %s: %w", v.Version, v.Model, err)
	}
	var files []track.Artifact
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		digest, size, err := a.Contents.Put(ctx, f)
		inside, relErr := filepath.Rel(dir, p)
		files = append(files, track.Artifact{Path: filepath.ToSlash(inside), Digest: digest, Size: size})
		if err == nil {
			err = relErr
		}
		return err
	})
	if err != nil {
		return "", 0, fmt.Errorf("keep the files of version %d of model %s: %w", v.Version, v.Model, err)
	}
	folder := folderOf(v)
	if err := a.Track.PutRegistered(ctx, folder, files); err != nil {
		return "", 0, err
	}
	// An MLflow folder may lie one folder deeper, where its clients do not look.
	for _, f := range files {
		if base, file := path.Split(f.Path); file == "MLmodel" && strings.Count(base, "/") == 1 {
			folder += "/" + strings.TrimSuffix(base, "/")
		}
	}
	return folder, v.Size, a.Registry.SetVersionFolder(ctx, v.Model, v.Version, folder)
}
