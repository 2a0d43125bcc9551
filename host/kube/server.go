package kube

import (
	_ "embed" // server.yaml
	"net/url"
	"regexp"
	"strings"
	"text/template"

	"github.com/ridgeline-mlops/ridgeline"
)

//go:embed server.yaml
var serverText string

var serverTemplate = template.Must(template.New("server.yaml").Funcs(template.FuncMap{
	"indent": func(n int, text string) string {
		pad := strings.Repeat(" ", n)
		return pad + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n"+pad)
	},
}).Parse(serverText))

// An Installation is Ridgeline itself on a cluster. What has to be secret is
// in two Secrets that are not printed: ridgeline-server, whose keys become its
// variables, and ridgeline-keys, a folder of files.
type Installation struct {
	Namespace  string
	From       string // as of Role; empty: no network but the server's own pods
	Image      string // of `ridgeline kube image`
	Replicas   int
	Settings   string // content of server.yaml
	URL        string // where people reach it; empty: the Service's own
	Claim      string // PersistentVolumeClaim that all copies mount; empty: they share a bucket
	NodePort   int    // of the Service; 0: none
	PullSecret string // for Image; empty: none
	CPU        string // that each copy asks for
	Memory     string
}

var (
	imageName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._/:@-]{0,400}$`)
	quantity  = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?(m|[KMGT]i?)?$`)
)

// Manifests is what `kubectl apply` makes of an installation: what Role prints,
// and the server.
func (i Installation) Manifests() (string, error) {
	role, err := Role(i.Namespace, i.From)
	if err != nil {
		return "", err
	}
	if err := i.check(); err != nil {
		return "", err
	}
	var out strings.Builder
	out.WriteString(role)
	err = serverTemplate.Execute(&out, struct {
		Installation
		Hash string
	}{i, sum([]byte(i.Settings))})
	return out.String(), err
}

// check refuses what would not be one line of YAML.
func (i *Installation) check() error {
	bad := func(what, got, want string) error {
		return ridgeline.Errorf(ridgeline.Invalid, "%s %q: expected %s", what, got, want)
	}
	switch {
	case !imageName.MatchString(i.Image):
		return bad("image", i.Image, "the name of Ridgeline's own image, such as registry.example.com/ml/ridgeline:1 (see ridgeline kube image)")
	case i.Replicas < 1 || i.Replicas > 20:
		return ridgeline.Errorf(ridgeline.Invalid, "replicas %d: expected 1 to 20", i.Replicas)
	case i.Claim != "" && !mayBeID(ridgeline.DeploymentID(i.Claim)):
		return bad("claim", i.Claim, "the name of a PersistentVolumeClaim")
	case i.PullSecret != "" && !mayBeID(ridgeline.DeploymentID(i.PullSecret)):
		return bad("pull secret", i.PullSecret, "the name of a Secret in the namespace")
	case i.NodePort != 0 && (i.NodePort < 1024 || i.NodePort > 65535):
		return ridgeline.Errorf(ridgeline.Invalid, "node port %d: expected one of the cluster's range, mostly 30000 to 32767", i.NodePort)
	case !quantity.MatchString(i.CPU):
		return bad("cpu", i.CPU, "a number of cores, such as 1 or 500m")
	case !quantity.MatchString(i.Memory):
		return bad("memory", i.Memory, "an amount, such as 2Gi")
	}
	if u, err := url.Parse(i.URL); i.URL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.ContainsAny(i.URL, "\"\\ \n")) {
		return bad("url", i.URL, "an address such as https://ridgeline.example.com")
	}
	return nil
}
