package main

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/pipeline"
	"github.com/ridgeline-mlops/ridgeline/python"
)

//go:embed all:embedded
var embedded embed.FS

// unpackRuntime lays out the embedded programs and the worker under names made
// of their content.
func unpackRuntime(dir string) (runtime pipeline.Runtime, supervisor string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return runtime, "", err
	}
	if runtime.Scorer, err = unpackProgram(dir, "scorer"); err != nil {
		return runtime, "", err
	}
	if supervisor, err = unpackProgram(dir, "supervisor"); err != nil {
		return runtime, "", err
	}
	if runtime.Spool, err = unpackProgram(dir, "spool"); err != nil {
		return runtime, "", err
	}
	runtime.Worker, err = python.Unpack(dir)
	return runtime, supervisor, err
}

func unpackProgram(dir, name string) (string, error) {
	binary, err := embedded.Open("embedded/" + name)
	if err != nil {
		return "", ridgeline.Errorf(ridgeline.Invalid, "this ridgeline was built without its %s: build it with make build", name)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, binary); err != nil { // in pieces: a copy of all would stay in the heap for long
		return "", err
	}
	path := filepath.Join(dir, name+"-"+hex.EncodeToString(sum.Sum(nil)[:8]))
	if exists(path) {
		return path, nil
	}
	if _, err := binary.(io.Seeker).Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o700)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, binary)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return path, os.Rename(path+".new", path)
}
