package main

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host/kube"
	"github.com/ridgeline-mlops/ridgeline/project"
)

func (c *cli) kube() *cobra.Command {
	cmd := &cobra.Command{Use: "kube", Short: "What a Kubernetes cluster needs to be one of this server's hosts, or to run it"}
	cmd.AddCommand(c.kubeManifests(), c.kubeImage())
	return cmd
}

func (c *cli) kubeManifests() *cobra.Command {
	var i kube.Installation
	var settings, registry string
	var spot bool
	cmd := &cobra.Command{
		Use: "manifests", Short: "Print the namespace, the rights, the network policies and, with --image, the server itself, for kubectl apply -f -",
		Long: `Manifests prints what a server outside the cluster needs there: a namespace, the rights in it and the
network policies, each with its reason. With --image it prints Ridgeline itself, too: a Deployment,
its Service, settings, disruption budget and policy.

What has to be secret is not printed. The pods take their variables from the Secret ridgeline-server,
and, unless they share a --claim, the files "secret" and "vault-key" from the Secret ridgeline-keys:

  kubectl -n ridgeline create secret generic ridgeline-server \
    --from-literal=RIDGELINE_DATABASE=postgres://... --from-literal=RIDGELINE_ADMIN_TOKEN=rl_$(openssl rand -hex 20) \
    --from-literal=RIDGELINE_BLOB=s3://bucket/ridgeline --from-literal=AWS_ACCESS_KEY_ID=... --from-literal=AWS_SECRET_ACCESS_KEY=...
  kubectl -n ridgeline create secret generic ridgeline-keys \
    --from-literal=secret=$(openssl rand -hex 20) --from-literal=vault-key=$(openssl rand -hex 32)`,
		Example: "  ridgeline kube manifests --from 10.1.2.3/32 | kubectl apply -f -\n  ridgeline kube manifests --image registry.example.com/ml/ridgeline:1 --url https://ridgeline.example.com | kubectl apply -f -",
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := "", error(nil)
			if i.Image == "" {
				text, err = kube.Role(i.Namespace, cmp.Or(i.From, "0.0.0.0/0"))
			} else if i.Settings, err = clusterSettings(settings, registry, i); err == nil {
				text, err = i.Manifests()
			}
			if err != nil {
				return usage("%v", err)
			}
			if spot {
				text += kube.SpotClass
			}
			if c.json {
				return c.print(map[string]string{"namespace": i.Namespace, "yaml": text})
			}
			_, err = fmt.Fprint(c.out, text)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&i.Namespace, "namespace", "ridgeline", "the namespace")
	flags.StringVar(&i.From, "from", "", "network from which a server outside the cluster reaches scorers (default: any; with --image: none)")
	flags.StringVar(&i.Image, "image", "", "run Ridgeline itself there: its own image, see ridgeline kube image")
	flags.IntVar(&i.Replicas, "replicas", 2, "copies of it, of which one leads")
	flags.StringVar(&i.URL, "url", "", "where people reach it, such as https://ridgeline.example.com; default: its Service's name")
	flags.StringVar(&registry, "registry", "", "HOST[:PORT] under which nodes reach its registry; default: that of --url")
	flags.StringVar(&settings, "settings", "", "file of its settings instead (server.yaml)")
	flags.StringVar(&i.Claim, "claim", "", "PersistentVolumeClaim (ReadWriteMany) that the copies share; default: the bucket that RIDGELINE_BLOB names")
	flags.IntVar(&i.NodePort, "node-port", 0, "port of each node that leads to it")
	flags.StringVar(&i.PullSecret, "pull-secret", "", "Secret of the nodes' sign-in for --image")
	flags.BoolVar(&spot, "spot", false, "and the priority class ridgeline-spot, of pools whose places others may take")
	flags.StringVar(&i.CPU, "cpu", "500m", "what each copy asks of its node")
	flags.StringVar(&i.Memory, "memory", "1Gi", "what each copy asks of its node")
	return cmd
}

// clusterSettings are the settings of a server that runs in the cluster it
// computes on: a person's file, or what follows from its addresses.
func clusterSettings(file, registry string, i kube.Installation) (string, error) {
	if file != "" {
		s, err := project.LoadSettings(file, true)
		if err != nil {
			return "", err
		}
		if s.Kubernetes == nil {
			return "", ridgeline.Errorf(ridgeline.Invalid, "%s: it names no cluster: add kubernetes: {registry: …, url: …}", file)
		}
		text, err := os.ReadFile(file)
		return string(text), err
	}
	if u, err := url.Parse(i.URL); registry == "" && err == nil {
		registry = u.Host
	}
	if registry == "" {
		return "", ridgeline.Errorf(ridgeline.Invalid, "nodes pull the images of models from this server: say under which address they reach it, by --url or --registry")
	}
	return "kubernetes:\n  namespace: " + strconv.Quote(i.Namespace) + "\n  registry: " + strconv.Quote(registry) +
		" # where nodes pull images from\n  url: http://ridgeline." + i.Namespace + ".svc # where pods reach the server\n", nil
}
