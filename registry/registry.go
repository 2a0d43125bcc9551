// Package registry is the embedded OCI registry: the handler behind /v2/ and
// the folder, or the objects of a blob store, that its blobs and manifests live in. It leaves who may call it
// to the server, which puts its own sign-in in front, and what is pushed to
// package image.
package registry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // the driver "filesystem" below
	"github.com/sirupsen/logrus"

	"github.com/ridgeline-mlops/ridgeline/blob"
)

// New returns the registry that keeps its content under dir, as a handler for
// /v2/. What it acknowledged is on disk; a blob or manifest that was only half
// received is not visible. Locations in its answers are relative, so it works
// behind any address. Deletion of manifests and blobs is enabled.
//
// The library it is made of logs through a global; New points that global at
// log, faults of the store as warnings and all else at debug level. With two
// registries in one process the last one made gets the log of both. A nil log
// discards.
func New(dir string, log *slog.Logger) (http.Handler, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("registry folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the registry's folder: %w", err)
	}
	return open(configuration.Storage{"filesystem": {"rootdirectory": dir}}, "", dir, log)
}

// Over returns the registry that keeps its content in objects of a blob store,
// where any number of servers may have it: an upload may go on at another one
// than it began at, if they have the same secret, which signs its address.
// Otherwise it is as New says.
func Over(objects *blob.Objects, secret string, log *slog.Logger) (http.Handler, error) {
	register()
	return open(configuration.Storage{driverName: {"objects": objects}}, secret, "the blob store", log)
}

func open(storage configuration.Storage, secret, where string, log *slog.Logger) (handler http.Handler, err error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	quiet(log)
	storage["delete"] = configuration.Parameters{"enabled": true}
	storage["cache"] = configuration.Parameters{"blobdescriptor": "inmemory"}
	// Uploads whose client went away; Sweep removes the rest at start.
	storage["maintenance"] = configuration.Parameters{"uploadpurging": map[any]any{"enabled": true, "age": "24h", "interval": "6h", "dryrun": false}}
	config := &configuration.Configuration{Storage: storage}
	config.HTTP.RelativeURLs = true
	config.HTTP.Secret = secret // empty: one is made
	config.Catalog.MaxEntries = 1000

	// NewApp reports a bad configuration by panicking.
	defer func() {
		if p := recover(); p != nil {
			handler, err = nil, fmt.Errorf("start the registry in %s: %v", where, p)
		}
	}()
	return handlers.NewApp(context.Background(), config), nil
}

// quiet takes the library's log away from stderr.
func quiet(log *slog.Logger) {
	std := logrus.StandardLogger()
	std.SetOutput(io.Discard)
	std.SetLevel(logrus.WarnLevel)
	hooks := make(logrus.LevelHooks)
	hooks.Add(hook{log})
	std.ReplaceHooks(hooks)
}

// hook hands the library's log lines to slog.
type hook struct{ log *slog.Logger }

func (hook) Levels() []logrus.Level { return logrus.AllLevels }

func (h hook) Fire(e *logrus.Entry) error {
	// Every "no such blob" is an error in the library's eyes, and each push
	// asks for some; only those it has no code for are faults.
	level := slog.LevelDebug
	if fmt.Sprint(e.Data["err.code"]) == "unknown" || e.Level <= logrus.FatalLevel {
		level = slog.LevelWarn
	}
	h.log.Log(context.Background(), level, "registry: "+e.Message,
		"code", e.Data["err.code"], "detail", e.Data["err.detail"], "path", e.Data["http.request.uri"])
	return nil
}
