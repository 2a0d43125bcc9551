package image_test

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/image"
)

// pushed makes an image of others, layer by layer, and returns its reference.
func pushed(t *testing.T, layers ...[]tar.Header) string {
	t.Helper()
	img := v1.Image(empty.Image)
	for _, headers := range layers {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			if h.Mode == 0 {
				h.Mode = 0o644
			}
			content := ""
			if h.Typeflag == tar.TypeReg {
				content, h.Linkname = h.Linkname, ""
				h.Size = int64(len(content))
			}
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, content); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.Append(img, mutate.Addendum{Layer: l, History: v1.History{CreatedBy: "ridgeline model"}}); err != nil {
			t.Fatal(err)
		}
	}
	ref, err := name.ParseReference(newRegistry(t, nil)+"/others/image:1", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	return ref.String()
}

func file(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: content}
}
func dir(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}
}
func link(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to}
}
func hard(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to}
}

func TestBuilder_Unpack_refuses_what_leads_out(t *testing.T) {
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	write(t, secret, "secret")
	up := strings.Repeat("../", 30)
	b := newBuilder(t, t.TempDir())
	for name, layers := range map[string][][]tar.Header{
		"a_file_above":                {{file("../above", "x")}},
		"a_file_far_above":            {{file(up+secret[1:], "x")}},
		"a_whiteout_above":            {{file(up+outside[1:]+"/.wh.secret", "")}},
		"a_whiteout_of_the_parent":    {{dir("a"), file("a/.wh...", "")}},
		"a_hard_link_above":           {{hard("x", up+secret[1:])}},
		"a_link_by_way_of_a_link":     {{dir("deep/er"), link("deep/er/root", "../.."), link("out", "deep/er/root/../../etc/passwd")}},
		"a_file_through_such_a_link":  {{dir("deep/er"), link("deep/er/root", "../.."), link("out", "deep/er/root/.."), file("out/x", "x")}},
		"whiteout_through_such_a_one": {{dir("deep/er"), link("deep/er/root", "../.."), link("out", "deep/er/root/../.."), file("out/.wh.x", "x")}},
	} {
		t.Run(name, func(t *testing.T) {
			to := t.TempDir()
			_, err := b.Unpack(context.Background(), pushed(t, layers...), image.Connection{Insecure: true}, to, nil)
			if ridgeline.CodeOf(err) != ridgeline.Invalid {
				t.Errorf("%v; it had to be refused", err)
			}
			if list, err := os.ReadDir(to); err != nil || len(list) != 0 {
				t.Errorf("%v is left (%v)", list, err)
			}
			if read(t, secret) != "secret" {
				t.Error("a file outside was changed")
			}
		})
	}
}

func TestBuilder_Unpack_keeps_links_of_a_container_inside(t *testing.T) {
	u := unpack(t, newBuilder(t, t.TempDir()), pushed(t, []tar.Header{
		dir("usr/lib"), link("lib", "usr/lib"), file("usr/lib/a", "A"), file("etc/hosts", "inside"),
		link("usr/absolute", "/etc/hosts"),        // the image's, not this machine's
		link("lib/through", "/etc/hosts"),         // is in usr/lib, one deeper than it looks
		link("usr/above", "../../../etc/hosts"),   // nothing is above a container's root
		link("usr/dangling", "/etc/nothing"),      // allowed, and stays inside
		hard("copy", "/usr/lib/a"),                // absolute names of hard links are the image's too
		link("usr/far", "../lib/../../etc/hosts"), // lexically above, really not
	}))
	for name, want := range map[string]string{
		"usr/absolute": "inside", "usr/lib/through": "inside", "usr/above": "inside", "copy": "A", "lib/a": "A", "usr/far": "inside",
	} {
		if got := read(t, filepath.Join(u.Root, name)); got != want {
			t.Errorf("%s leads to %q; want %q", name, got, want)
		}
	}
	if to, err := os.Readlink(filepath.Join(u.Root, "usr/dangling")); err != nil || to != "../etc/nothing" {
		t.Errorf("the dangling link leads to %s (%v)", to, err)
	}
}

func TestBuilder_Unpack_applies_whiteouts(t *testing.T) {
	ref := pushed(t,
		[]tar.Header{dir("a"), file("a/gone", "1"), file("a/stays", "1"), dir("opaque/sub"), file("opaque/old", "1"), file("opaque/sub/old", "1"), file("kind", "file"), dir("folder"), file("folder/x", "1")},
		[]tar.Header{file("a/.wh.gone", ""), file("opaque/sub/new", "2"), file("opaque/.wh..wh..opq", ""), file("opaque/new", "2"), dir("kind"), file("kind/x", "2"), file("folder", "2")},
	)
	u := unpack(t, newBuilder(t, t.TempDir()), ref)
	var got []string
	err := filepath.WalkDir(u.Root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(u.Root, path)
			got = append(got, rel)
		}
		return err
	})
	if want := []string{"a/stays", "folder", "kind/x", "opaque/new", "opaque/sub/new"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v (%v); want %v", got, err, want)
	}
}

func TestBuilder_Unpack(t *testing.T) {
	b, to := newBuilder(t, t.TempDir()), t.TempDir()
	ref := pushed(t, []tar.Header{file("x", "1")})
	kinds := []string{image.KindModel, image.KindScorer} // by the history, where annotations are missing
	// What a process that was killed leaves.
	write(t, filepath.Join(to, ".unpack-1", "root", "half"), "half")
	u, err := b.Unpack(context.Background(), ref, image.Connection{Insecure: true}, to, kinds)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(to, strings.TrimPrefix(u.Digest, "sha256:")+"-scorer-model", "root"); u.Root != want || read(t, filepath.Join(u.Root, "x")) != "1" {
		t.Errorf("root %s; want %s", u.Root, want)
	}
	if list, err := os.ReadDir(to); err != nil || len(list) != 1 {
		t.Errorf("%v is there (%v); the image alone was expected", list, err)
	}

	t.Run("twice_is_once_and_needs_no_registry", func(t *testing.T) {
		write(t, filepath.Join(u.Root, "mark"), "")
		again, err := b.Unpack(context.Background(), "127.0.0.1:1/others/image@"+u.Digest, image.Connection{Insecure: true}, to, kinds)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(again.Root, "mark")); err != nil {
			t.Error("the folder was made again")
		}
	})
	t.Run("at_the_same_time", func(t *testing.T) {
		to := t.TempDir()
		done := make(chan error)
		for range 8 {
			go func() {
				_, err := b.Unpack(context.Background(), ref, image.Connection{Insecure: true}, to, kinds)
				done <- err
			}()
		}
		for range 8 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if list, err := os.ReadDir(to); err != nil || len(list) != 1 {
			t.Errorf("%v is there (%v)", list, err)
		}
	})
	t.Run("an_unknown_kind", func(t *testing.T) {
		if _, err := b.Unpack(context.Background(), ref, image.Connection{Insecure: true}, to, []string{"moon"}); ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Error(err)
		}
	})
}
