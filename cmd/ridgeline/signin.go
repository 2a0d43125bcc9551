package main

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/api"
)

func (c *cli) signIn() *cobra.Command {
	return &cobra.Command{
		Use:   "sign-in",
		Short: "Print a link that signs a browser in, once",
		Long: `Sign-in prints a link to the server's pages. Whoever opens it, once and within the hour, is signed
in as the one whose token this command has used, for two weeks or as long as that token lasts.`,
		Example: "  ridgeline sign-in",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			link, err := api.Post[api.SignInLink](cmd.Context(), client, "/api/v1/sign-in-links", nil)
			if err != nil {
				return err
			}
			link.URL = strings.TrimSuffix(client.URL, "/") + link.Path // as the server is reached from here
			if c.json {
				return c.print(link)
			}
			_, err = fmt.Fprintln(c.out, link.URL)
			return err
		},
	}
}

// signInLink makes the link that a starting server shows to its operator.
func (n *node) signInLink(ctx context.Context) (string, error) {
	code, err := n.sessions.AdminLink(ctx, time.Now().UTC())
	if err != nil {
		return "", fmt.Errorf("make a link to sign in: %w", err)
	}
	return cmp.Or(strings.TrimSuffix(n.options.PublicURL, "/"), n.url) + "/sign-in?code=" + url.QueryEscape(code), nil
}
