package kube

import (
	_ "embed" // role.yaml
	"net/netip"
	"regexp"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// SpotClass is the priority class of spot pools, for `kubectl apply`.
//
//go:embed spot.yaml
var SpotClass string

//go:embed role.yaml
var role string

// portForwarding is the right that a server within the cluster does not need,
// and its reason.
var portForwarding = regexp.MustCompile(`(?m)^#.*\n.*pods/portforward.*\n`)

// Role is what a server needs of a cluster, for `kubectl apply`: a namespace,
// a service account with the rights of it, and who may reach scorers: the
// server's own pods and, as a CIDR, the network that a server outside is in,
// which may also reach them through the API server. An empty from is none.
func Role(namespace, from string) (string, error) {
	if !mayBeID(ridgeline.DeploymentID(namespace)) {
		return "", ridgeline.Errorf(ridgeline.Invalid, "namespace %q: use 1 to 40 lower-case letters, digits and dashes", namespace)
	}
	text := role
	if from == "" {
		text = strings.Replace(text, "    - ipBlock: {cidr: FROM}\n", "", 1)
		text = portForwarding.ReplaceAllString(text, "")
	} else if _, err := netip.ParsePrefix(from); err != nil {
		return "", ridgeline.Errorf(ridgeline.Invalid, "network %q: expected a range such as 10.0.0.0/16", from)
	}
	return strings.NewReplacer("NAMESPACE", namespace, "FROM", from).Replace(text), nil
}
