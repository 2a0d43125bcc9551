package project

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ridgeline-mlops/ridgeline"
)

// SettingsName is the file of the server's own settings, in its state folder.
const SettingsName = "server.yaml"

// Settings are what a server is told of the world around it, for all projects.
type Settings struct {
	Kubernetes *Kubernetes // nil: there is no host kube
	Pools      []Pool      // of the cluster, beside the one called kube that takes any node
	Prices     Prices
	Budget     Budget
	Images     Images
}

// Kubernetes is the cluster behind `host: kube` and what computes there.
type Kubernetes struct {
	Kubeconfig string          // absolute path; empty: KUBECONFIG, ~/.kube/config or, in a pod, its service account
	Context    string          // of the kubeconfig; empty: its current one
	Namespace  string          // empty: the context's
	Registry   string          // host[:port] from which nodes pull what is in the embedded registry; empty: that of URL
	URL        string          // where pods reach this server; empty: its public address
	Pods       string          // how the server reaches pods: auto, direct or forward
	Gateway    *ClusterGateway // nil: none
}

// Images says where the images of models and steps are pushed to.
type Images struct {
	Push     string // host[/prefix] of a registry; empty: the embedded one
	Insecure bool   // it speaks plain HTTP
}

// Host is the registry's own address.
func (i Images) Host() string {
	host, _, _ := strings.Cut(i.Push, "/")
	return host
}

// LoadSettings reads the server's settings. A file that is not there says
// nothing, unless it was asked for by name.
func LoadSettings(path string, named bool) (Settings, error) {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !named:
		return Settings{}, nil
	case err != nil:
		return Settings{}, ridgeline.Errorf(ridgeline.Invalid, "read the server's settings: %w", err)
	}
	r := &reader{name: path}
	s := r.settings(text, filepath.Dir(path))
	return s, r.err()
}

func (r *reader) settings(text []byte, dir string) Settings {
	var s Settings
	root := r.document(text)
	if root == nil {
		return s
	}
	if root.Kind != yaml.MappingNode {
		r.at(root, "expected a map, such as kubernetes: {namespace: ridgeline}, got %s", found(root))
		return s
	}
	f := r.section(root, SettingsName, "kubernetes", "images", "pools", "prices", "budget")
	if n := f.value("kubernetes"); n != nil {
		s.Kubernetes = r.kubernetes(n, dir)
	}
	s.Images = r.images(f.value("images"))
	s.Pools = r.pools(f.value("pools"), s.Kubernetes != nil)
	s.Prices = r.prices(f.value("prices"))
	s.Budget = r.budget(f.value("budget"), s.Prices)
	return s
}

func (r *reader) kubernetes(n *yaml.Node, dir string) *Kubernetes {
	k := &Kubernetes{Pods: waysToPods[0]}
	if isNull(n) { // `kubernetes:` alone: the cluster that kubectl would use
		return k
	}
	f := r.section(n, "kubernetes", "kubeconfig", "context", "namespace", "registry", "url", "pods", "gateway")
	k.Kubeconfig = r.path(f.value("kubeconfig"), "kubernetes.kubeconfig", "kubeconfig", dir)
	k.Context = r.text(f.value("context"), "kubernetes.context", "production")
	k.Namespace = r.text(f.value("namespace"), "kubernetes.namespace", "ridgeline")
	k.Registry = r.text(f.value("registry"), "kubernetes.registry", "registry.example.com")
	if strings.ContainsAny(k.Registry, "/ ") {
		r.at(f.value("registry"), "kubernetes.registry: expected HOST or HOST:PORT, got %q", clip(k.Registry, 60))
	}
	k.URL = strings.TrimSuffix(r.text(f.value("url"), "kubernetes.url", "https://ridgeline.example.com"), "/")
	if u, err := url.Parse(k.URL); k.URL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		r.at(f.value("url"), "kubernetes.url: expected an address such as https://ridgeline.example.com, got %q", clip(k.URL, 60))
	}
	k.Pods = r.word(f.value("pods"), "kubernetes.pods", waysToPods[0], waysToPods...)
	if f.has("gateway") {
		k.Gateway = r.clusterGateway(f.value("gateway"))
	}
	return k
}

// waysToPods are those of host/kube; the first one tries the others.
var waysToPods = []string{"auto", "direct", "forward"}

var registryPath = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`)

func (r *reader) images(n *yaml.Node) Images {
	var i Images
	if n == nil || isNull(n) {
		return i
	}
	f := r.section(n, "images", "push", "insecure")
	i.Push = r.text(f.value("push"), "images.push", "registry.example.com/ml")
	if !registryPath.MatchString(i.Push) || !ridgeline.HostedImage(i.Push+"/x") {
		r.at(cmp.Or(f.value("push"), n), "images.push: expected HOST/PREFIX of a registry, such as registry.example.com/ml, got %q", clip(i.Push, 80))
	}
	i.Insecure = r.truth(f.value("insecure"), "images.insecure", false)
	return i
}

// path reads a file's path on the server's machine, seen from the settings'
// folder.
func (r *reader) path(n *yaml.Node, what, example, dir string) string {
	s := r.text(n, what, example)
	if s == "" || filepath.IsAbs(s) {
		return s
	}
	if rest, ok := strings.CutPrefix(s, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			r.at(n, "%s: %s", what, fmt.Sprintf("no home folder is known for %q: write the whole path", clip(s, 60)))
			return ""
		}
		return filepath.Join(home, rest)
	}
	return filepath.Join(dir, s)
}
