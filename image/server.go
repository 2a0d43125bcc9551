package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/ridgeline-mlops/ridgeline"
)

// KindServer is the layer of Ridgeline's own image with its program.
const KindServer = "server"

// Where things are in Ridgeline's own image. A container gives it a folder
// that user 65534 can write to at ServerState, and one at /tmp; nothing else
// is written to.
const (
	ServerPath  = "/usr/local/bin/ridgeline"
	ServerState = "/var/lib/ridgeline"
	uvPath      = "/usr/local/bin/uv"
)

// A ServerSpec says what goes into Ridgeline's own image: a base with Python,
// what the server calls (git, ssh, uv, a shell and the tools that steps use),
// and its program. Of a base by reference all but uv is expected to be there.
type ServerSpec struct {
	Base    Base
	UV      string            // path of uv's program
	Program string            // path of ridgeline's
	Version string            // for the image's label
	Labels  map[string]string // beside it
}

// BuildServer makes Ridgeline's own image. As with Build, same inputs are the
// same digest; another version of Ridgeline differs in the last layer only.
func (b *Builder) BuildServer(ctx context.Context, s ServerSpec) (*Image, error) {
	if s.Base.Reference == "" && s.Base.Interpreter == "" {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "no base: give an image reference or a Python interpreter of this machine")
	}
	config, additions, err := b.base(ctx, &Spec{Base: s.Base})
	if err != nil {
		return nil, err
	}
	machine := s.Base.Reference == ""
	if !machine {
		if err := checkServerBase(s.Base.Reference, additions); err != nil {
			return nil, err
		}
	}
	tools, err := serverTools(s.UV, machine)
	if err != nil {
		return nil, fmt.Errorf("tools layer: %w", err)
	}
	program := make(tree)
	if err := program.program(ServerPath, s.Program); err != nil {
		return nil, fmt.Errorf("server layer: %w", err)
	}
	for _, part := range []struct {
		kind string
		tree tree
	}{{KindTools, tools}, {KindServer, program}} {
		l, cached, err := b.contentLayer(ctx, part.kind, part.tree, nil)
		if err != nil {
			return nil, err
		}
		b.note(ctx, l, cached)
		additions = append(additions, addition(l, part.kind))
	}
	s.configure(config)
	return assemble(config, additions)
}

func (s *ServerSpec) configure(c *v1.ConfigFile) {
	//nolint:staticcheck // DockerVersion is deprecated, but bases still have one, and it is not ours
	c.Created, c.Author, c.Container, c.DockerVersion, c.History = v1.Time{}, "", "", "", nil
	labels := map[string]string{"org.opencontainers.image.title": "ridgeline", "org.opencontainers.image.version": s.Version}
	for k, v := range s.Labels {
		labels[k] = v
	}
	c.Config = v1.Config{
		Entrypoint: []string{ServerPath}, Cmd: []string{"up", "--listen", "0.0.0.0:8470"},
		User: "65534:65534", WorkingDir: ServerState,
		// git and uv want a home; the projects' Pythons must not write beside their sources.
		Env:          overlay(c.Config.Env, []string{"HOME=" + ServerState, "RIDGELINE_DIR=" + ServerState, "UV_PYTHON_DOWNLOADS=never"}),
		Labels:       labels,
		ExposedPorts: map[string]struct{}{"8470/tcp": {}},
	}
}

// serverTools holds uv and, on a base made from this machine, what of it the
// server calls.
func serverTools(uv string, machine bool) (tree, error) {
	t := make(tree)
	t.dir(inImage(ServerState), fs.ModeSticky|0o777) // a volume that begins as its copy can be written to
	if err := t.program(uvPath, uv); err != nil {
		return nil, err
	}
	if !machine {
		return t, nil
	}
	binaries, err := t.machine(append([]string{"ssh", "ssh-keyscan"}, tools...))
	if err != nil {
		return nil, err
	}
	git, err := t.git()
	if err != nil {
		return nil, err
	}
	_, err = t.libraries(git[0], append(append(git[1:], uv), binaries...))
	return t, err
}

// git adds this machine's git: its program, and beside it what fetches by
// http and the names that its commands go by.
func (t tree) git() (binaries []string, err error) {
	const advice = "; install git, or name a base that has it: --base"
	found, err := exec.LookPath("git")
	if err != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "the server needs git, and this machine has none: %w"+advice, err)
	}
	out, err := exec.Command(found, "--exec-path").Output()
	if err != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "%s --exec-path: %w"+advice, found, err)
	}
	at := strings.TrimSpace(string(out))
	own := filepath.Join(at, "git")
	if err := t.program("/usr/bin/git", own); err != nil {
		return nil, err
	}
	self, err := os.Stat(own)
	if err != nil {
		return nil, err
	}
	list, err := os.ReadDir(at)
	if err != nil {
		return nil, err
	}
	binaries = []string{own}
	for _, d := range list {
		from, name := filepath.Join(at, d.Name()), merged(path.Join(at, d.Name()))
		info, err := os.Stat(from)
		switch {
		case err != nil || info.IsDir():
		case os.SameFile(self, info): // a command, by a link of either kind
			t.link(inImage(name), "/usr/bin/git")
		case strings.HasPrefix(d.Name(), "git-remote-") || strings.HasPrefix(d.Name(), "git-sh-") || d.Name() == "git-submodule":
			if err := t.program(name, from); err != nil {
				return nil, err
			}
			if isELF(from) {
				binaries = append(binaries, from)
			}
		}
	}
	t.dir("usr/share/git-core/templates", 0o755) // else each new repository begins with a warning
	return binaries, nil
}

// checkServerBase reads a base's layers for what the server cannot do without:
// a pod that does not start tells less.
func checkServerBase(reference string, layers []mutate.Addendum) error {
	missing := map[string]string{"git": "git", "python3": "Python 3", "sh": "a shell", "libc.so.6": "glibc (Alpine has another C library)", "libstdc++.so.6": "libstdc++"}
	for _, l := range layers {
		content, err := l.Layer.Uncompressed()
		if err != nil {
			return classify(err, "read base image "+reference)
		}
		for r := tar.NewReader(content); len(missing) > 0; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				_ = content.Close()
				return classify(err, "read base image "+reference)
			}
			switch dir := path.Base(path.Dir(h.Name)); {
			case h.Typeflag == tar.TypeDir:
			case dir == "bin" || strings.HasPrefix(path.Base(h.Name), "lib"):
				delete(missing, path.Base(h.Name))
			}
		}
		_ = content.Close()
	}
	var names []string
	for _, name := range []string{"python3", "git", "sh", "libc.so.6", "libstdc++.so.6"} {
		if what, ok := missing[name]; ok {
			names = append(names, what)
		}
	}
	if len(names) > 0 {
		return ridgeline.Errorf(ridgeline.Invalid, "base image %s lacks what the server needs: %s; install it there, or leave --base out to build from this machine's own", reference, strings.Join(names, ", "))
	}
	return nil
}

// WriteTar writes an image under a name (host/repository:tag) to a file that
// `docker load`, `podman load` and `ctr images import` read.
func (i *Image) WriteTar(file, ref string) error {
	tag, err := name.NewTag(ref)
	if err != nil {
		return ridgeline.Errorf(ridgeline.Invalid, "image name %q: host/repository:tag was expected: %w", ref, err)
	}
	if err := tarball.WriteToFile(file+".new", tag, i.image); err != nil {
		_ = os.Remove(file + ".new")
		return fmt.Errorf("write %s: %w", file, err)
	}
	return os.Rename(file+".new", file)
}
