package image

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// BuildGateway makes the image of the gateway on a cluster: the static scorer,
// whose command gateway runs in the container, on nothing but what a system
// says of users, certificates and time zones. As with Build, same inputs are
// the same digest.
func (b *Builder) BuildGateway(ctx context.Context, scorer string) (*Image, error) {
	system := make(tree)
	if err := system.system(); err != nil {
		return nil, fmt.Errorf("base layer: %w", err)
	}
	program := make(tree)
	if err := program.file(inImage(ScorerPath), scorer); err != nil {
		return nil, fmt.Errorf("scorer layer: %w", err)
	}
	program[inImage(ScorerPath)].mode = 0o755
	config := &v1.ConfigFile{Architecture: architecture(), OS: "linux"}
	config.Config = v1.Config{
		Entrypoint: []string{ScorerPath, "gateway"}, User: "65534:65534", WorkingDir: "/",
		Env:          []string{"PATH=/usr/local/bin:/usr/bin:/bin", "SSL_CERT_FILE=" + certificates[0]},
		Labels:       map[string]string{"org.opencontainers.image.title": "ridgeline-gateway"},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}},
	}
	var layers []mutate.Addendum
	for _, part := range []struct {
		kind string
		tree tree
	}{{KindBase, system}, {KindScorer, program}} {
		l, _, err := b.contentLayer(ctx, part.kind, part.tree, nil)
		if err != nil {
			return nil, err
		}
		layers = append(layers, addition(l, part.kind))
	}
	return assemble(config, layers)
}
