package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/image"
	"github.com/ridgeline-mlops/ridgeline/pyenv"
)

// ownImage is what `kube image` is told, and what it answers.
type ownImage struct {
	base, push, output, name string
	insecure                 bool
}

type ownImageResult struct {
	Digest    string `json:"digest"`              // of the manifest
	Reference string `json:"reference,omitempty"` // where it was pushed: name@digest
	File      string `json:"file,omitempty"`
	Size      int64  `json:"size"` // bytes, compressed
	Sent      int64  `json:"sent"` // bytes, to the registry
}

func (c *cli) kubeImage() *cobra.Command {
	var o ownImage
	cmd := &cobra.Command{
		Use: "image", Short: "Build Ridgeline's own image, and push it or write it to a file",
		Long: `Image builds the image that "ridgeline kube manifests --image" runs: this program, uv, and a base.
The base is made of this machine's Python, git, ssh and shell (Linux with glibc), or it is an image
of yours that has them (--base). Nothing else is needed: no Docker, no root. The same program on the
same base is the same digest. To a registry it signs in by Docker's configuration.`,
		Example: "  ridgeline kube image --push registry.example.com/ml/ridgeline:1\n  ridgeline kube image --output ridgeline.tar && docker load -i ridgeline.tar",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (o.push == "") == (o.output == "") {
				return usage("say where the image goes: --push HOST/REPOSITORY:TAG, or --output FILE.tar")
			}
			result, err := c.buildOwnImage(cmd.Context(), o)
			if err != nil {
				return err
			}
			if c.json {
				return c.print(result)
			}
			fmt.Fprintf(c.out, "%s (%.1f MB)\n", cmp.Or(result.Reference, result.File+" "+result.Digest), float64(result.Size)/1e6)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.push, "push", "", "push it there: HOST/REPOSITORY:TAG")
	flags.StringVar(&o.output, "output", "", "write it to this file, for docker load, podman load, ctr images import")
	flags.StringVar(&o.name, "name", "ridgeline:latest", "name of the image in that file")
	flags.StringVar(&o.base, "base", "", "image to build on, with Python 3.9 or newer, git and glibc; default: made of this machine's own")
	flags.BoolVar(&o.insecure, "insecure", false, "the registry speaks plain HTTP")
	return cmd
}

// buildOwnImage makes the image of the program that runs. Its layers are kept
// in the state folder, as those of models.
func (c *cli) buildOwnImage(ctx context.Context, o ownImage) (result ownImageResult, err error) {
	dir, err := c.stateDir()
	if err != nil {
		return result, err
	}
	envs, err := pyenv.New(pyenv.Options{Dir: filepath.Join(dir, "python")})
	if err != nil {
		return result, err
	}
	spec := image.ServerSpec{Base: image.Base{Reference: o.base}, Version: version()}
	if o.base == "" {
		if spec.Base.Interpreter, _, err = envs.Interpreter(ctx); err != nil {
			return result, err
		}
	}
	if spec.UV, err = envs.UV(ctx); err != nil {
		return result, err
	}
	if spec.Program, err = os.Executable(); err != nil {
		return result, fmt.Errorf("find this program's own file: %w", err)
	}
	builder, err := image.NewBuilder(image.Options{Dir: filepath.Join(dir, "layers")})
	if err != nil {
		return result, err
	}
	defer func() { _ = builder.Close() }()
	img, err := builder.BuildServer(ctx, spec)
	if err != nil {
		return result, err
	}
	result.Digest = img.Digest()
	for _, l := range img.Layers() {
		result.Size += l.Size
	}
	if o.output != "" {
		result.File = o.output
		return result, img.WriteTar(o.output, o.name)
	}
	pushed, err := builder.Push(ctx, img, o.push, image.Connection{Insecure: o.insecure, Docker: true})
	result.Reference, result.Sent = pushed.Reference, pushed.Bytes
	return result, err
}
