package storage_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/storage"
	"github.com/ridgeline-mlops/ridgeline/track"
)

type known struct{ models, manifests []string }

func (k known) Contents(context.Context) (models, manifests []string, err error) {
	return k.models, k.manifests, nil
}

func TestMeter(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	blobs, err := blob.Open(ctx, filepath.Join(dir, "blob"))
	if err != nil {
		t.Fatal(err)
	}
	defer blobs.Close()
	tracking, err := track.Open(ctx, track.Options{URL: "sqlite:" + filepath.Join(dir, "tracking.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer tracking.Close()
	put := func(text string) string {
		digest, _, err := blobs.Put(ctx, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return digest
	}
	model, file, logged := put("the model"), put("a,b\n1,2\n"), put("logged!")
	if err := tracking.PutArtifact(ctx, track.Artifact{Path: "1/run/artifacts/f", Digest: logged, Size: 7}); err != nil {
		t.Fatal(err)
	}
	if err := tracking.PutArtifact(ctx, track.Artifact{Path: "1/run/artifacts/model", Digest: model, Size: 9}); err != nil {
		t.Fatal(err) // the model was logged, too: it counts once
	}
	list, err := json.Marshal(ridgeline.DatasetManifest{Single: true, Files: []ridgeline.DatasetFile{{Name: "a.csv", Size: 8, Digest: file}}})
	if err != nil {
		t.Fatal(err)
	}
	manifest := put(string(list))
	inTree, err := json.Marshal(ridgeline.DatasetManifest{Tree: put("a tree"), Files: []ridgeline.DatasetFile{{Name: "b.csv", Size: 8, Digest: logged}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "python", "envs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "python", "envs", "x"), bytes.Repeat([]byte("x"), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := blobs.Objects("logs").Put(ctx, "r/train", strings.NewReader("hello")); err != nil {
		t.Fatal(err)
	}
	m := &storage.Meter{
		Metadata: known{[]string{model}, []string{manifest, put(string(inTree)), strings.Repeat("0", 64)}}, Track: tracking, Blob: blobs, Dir: dir, Log: slog.New(slog.DiscardHandler),
		Places: []storage.Place{
			{Kind: "logs", Objects: blobs.Objects("logs")},
			{Kind: "environments", Paths: []string{filepath.Join(dir, "python"), filepath.Join(dir, "none*")}},
			{Kind: "database", Bytes: func(context.Context) (int64, error) { return 4096, nil }},
		},
	}
	if _, ok := m.Last(); ok {
		t.Error("there is a report before the first was made")
	}
	got, err := m.Measure(ctx)
	if err != nil {
		t.Fatal(err)
	}
	others := int64(len(list) + len(inTree) + len("a tree"))
	want := map[string]storage.Kind{
		storage.Models: {Count: 1, Bytes: 9}, storage.Data: {Count: 1, Bytes: 8}, storage.Artifacts: {Count: 1, Bytes: 7}, storage.Others: {Count: 3, Bytes: others},
		"logs": {Count: 1, Bytes: 5}, "environments": {Count: 1, Bytes: 100}, "database": {Bytes: 4096},
	}
	for _, k := range got.Kinds {
		if w := want[k.Kind]; k.Count != w.Count || k.Bytes != w.Bytes {
			t.Errorf("%s: %d files, %d bytes, want %d, %d", k.Kind, k.Count, k.Bytes, w.Count, w.Bytes)
		}
	}
	if len(got.Kinds) != len(want) || got.Bytes != 9+8+7+others+5+100+4096 || got.Free <= 0 || got.Measured.IsZero() {
		t.Errorf("got %+v", got)
	}
	if last, ok := m.Last(); !ok || !slices.Equal(last.Kinds, got.Kinds) {
		t.Errorf("the last report is %+v, want the one just made", last)
	}
}
