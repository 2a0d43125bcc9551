package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/host/kube"
)

func (c *cli) kube() *cobra.Command {
	cmd := &cobra.Command{Use: "kube", Short: "What a Kubernetes cluster needs to be one of this server's hosts"}
	var namespace, from string
	manifests := &cobra.Command{
		Use: "manifests", Short: "Print the namespace, the rights and the network policies, for kubectl apply -f -",
		Example: "  ridgeline kube manifests --from 10.1.2.3/32 | kubectl apply -f -",
		RunE: func(*cobra.Command, []string) error {
			text, err := kube.Role(namespace, from)
			if err != nil {
				return usage("%v", err)
			}
			if c.json {
				return c.print(map[string]string{"namespace": namespace, "yaml": text})
			}
			_, err = fmt.Fprint(c.out, text)
			return err
		},
	}
	manifests.Flags().StringVar(&namespace, "namespace", "ridgeline", "the namespace")
	manifests.Flags().StringVar(&from, "from", "0.0.0.0/0", "network from which the gateway, which is in the server, reaches scorers")
	cmd.AddCommand(manifests, c.kubeImage())
	return cmd
}
