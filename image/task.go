package image

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// KindTools is the layer of a task's image with the environment's own programs
// and, on a base made from this machine, its shell and the usual tools.
const KindTools = "tools"

// A TaskSpec says what goes into the image in which a pipeline's step runs. It
// shares the layers below the application with the images of the same
// environment's models, so that a node has most of it already.
type TaskSpec struct {
	Base         Base
	Scorer       string // path of the static scorer, whose command task runs in the container
	Worker       fs.FS  // as of a Spec
	SitePackages string // of the installed environment
	Programs     string // its folder of programs
	Environment  string // lock hash
	Python       string // "3.11"
	App          string // folder of the project's code; empty for none
	Labels       map[string]string
}

// BuildTask makes the image of a task. As with Build, same inputs are the same
// digest.
func (b *Builder) BuildTask(ctx context.Context, t TaskSpec) (*Image, error) {
	s := Spec{
		Base: t.Base, Scorer: t.Scorer, Worker: t.Worker, SitePackages: t.SitePackages, Environment: t.Environment, Python: t.Python, App: t.App,
		ModelName: "task", Version: 1, Labels: t.Labels, // the name is for check alone: there is no model
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	config, additions, err := b.base(ctx, &s)
	if err != nil {
		return nil, err
	}
	layers, python, err := b.environmentLayers(ctx, &s)
	if err != nil {
		return nil, err
	}
	tools, err := toolsTree(t.Programs, t.Base.Reference == "")
	if err != nil {
		return nil, fmt.Errorf("tools layer: %w", err)
	}
	l, _, err := b.contentLayer(ctx, KindTools, tools, nil)
	if err != nil {
		return nil, err
	}
	layers = append(layers, l)
	if t.App != "" {
		if l, err = b.applicationLayer(ctx, &s, python); err != nil {
			return nil, err
		}
		layers = append(layers, l)
	}
	for _, l := range layers {
		additions = append(additions, addition(l, l.Kind))
	}
	s.configure(config)
	labels := map[string]string{"org.opencontainers.image.title": "task"}
	for k, v := range t.Labels {
		labels[k] = v
	}
	env := []string{"PATH=" + EnvironmentPath + "/bin:/usr/local/bin:/usr/bin:/bin"}
	for _, kv := range config.Config.Env {
		if !strings.HasPrefix(kv, "PATH=") && !strings.HasPrefix(kv, "RIDGELINE_") && !strings.HasPrefix(kv, "AZUREML_") {
			env = append(env, kv)
		}
	}
	config.Config.Entrypoint, config.Config.Env, config.Config.Labels, config.Config.ExposedPorts = []string{ScorerPath, "task"}, env, labels, nil
	return assemble(config, additions)
}

// tools are what steps' commands call beside Python, as far as this machine
// has them.
var tools = strings.Fields(`sh bash env setsid nice timeout true false test [ echo printf cat cp mv rm ln ls mkdir rmdir mktemp touch chmod stat du df
	head tail sort uniq cut tr wc tee comm join paste split seq expr date sleep pwd basename dirname readlink realpath id whoami uname hostname nproc
	md5sum sha1sum sha256sum base64 od sed grep egrep fgrep awk find xargs diff cmp tar gzip gunzip zcat which kill ps`)

// toolsTree holds an environment's programs, and this machine's tools.
func toolsTree(programs string, machine bool) (tree, error) {
	t := make(tree)
	if programs != "" {
		if err := t.programs(programs); err != nil {
			return nil, err
		}
	}
	if !machine {
		return t, nil
	}
	binaries, err := t.machine(tools)
	if err != nil || len(binaries) == 0 {
		return t, err
	}
	_, err = t.libraries(binaries[0], binaries[1:])
	return t, err
}

// machine adds programs of this machine, those that it has, and tells which of
// them need libraries.
func (t tree) machine(names []string) (binaries []string, err error) {
	for _, name := range names {
		from := ""
		for _, dir := range []string{"/usr/bin", "/bin"} {
			if from == "" && exists(filepath.Join(dir, name)) {
				from = filepath.Join(dir, name)
			}
		}
		if from == "" {
			continue
		}
		if err := t.program(path.Join("/usr/bin", name), from); err != nil {
			return nil, err
		}
		if isELF(from) {
			binaries = append(binaries, from)
		}
	}
	return binaries, nil
}

// program adds one that may be run.
func (t tree) program(at, from string) error {
	at = inImage(at)
	if err := t.file(at, from); err != nil {
		return err
	}
	t[at].mode = 0o755
	return nil
}

// isELF tells a program from a script.
func isELF(file string) bool {
	f, err := elf.Open(file)
	if err == nil {
		_ = f.Close()
	}
	return err == nil
}

// programs adds those that packages have brought. Their first line names the
// environment's interpreter, which is elsewhere in the image.
func (t tree) programs(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	old := []byte(filepath.Dir(dir))
	for _, f := range files {
		name := f.Name()
		if f.Type()&fs.ModeSymlink != 0 || f.IsDir() || strings.HasPrefix(name, "python") || strings.HasPrefix(strings.ToLower(name), "activate") || name == "pydoc.bat" || name == "deactivate.bat" {
			continue
		}
		p, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if bytes.HasPrefix(p, []byte("#!")) {
			p = bytes.ReplaceAll(p, old, []byte(EnvironmentPath))
		}
		t.data(inImage(path.Join(EnvironmentPath, "bin", name)), 0o755, p)
	}
	return nil
}
