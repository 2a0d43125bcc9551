package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/vault"
)

// secretVariable is the name of an environment variable whose value no log is
// to show.
var secretVariable = regexp.MustCompile(`(?i)(PASSWORD|PASSWD|TOKEN|SECRET|CREDENTIAL|ACCOUNT_KEY|STORAGE_KEY|ACCESS_KEY|API_KEY|CONNECTION_STRING)`)

// secrets are what this server knows and no task's log is to show: its own
// keys and tokens, those of endpoints, webhooks and remotes, and what the
// server's environment has under a name that says so. Tasks are given none of
// them; but on this machine a task can read what its user can read.
func (n *node) secrets(access *auth.Authenticator, kept ...func(context.Context) ([]string, error)) func(context.Context) []string {
	return func(ctx context.Context) []string {
		var all []string
		for _, path := range []string{n.path("token"), filepath.Join(n.options.Keys, "secret"), filepath.Join(n.options.Keys, vault.FileName)} {
			if text, err := os.ReadFile(path); err == nil {
				all = append(all, string(text))
			}
		}
		for _, v := range os.Environ() {
			if name, value, _ := strings.Cut(v, "="); secretVariable.MatchString(name) {
				all = append(all, value)
			}
		}
		endpoints, err := n.store.Endpoints(ctx, "")
		for _, e := range endpoints {
			all = append(all, access.EndpointKey(e, auth.Primary), access.EndpointKey(e, auth.Secondary))
		}
		for _, list := range kept {
			more, failed := list(ctx)
			if err == nil {
				err = failed
			}
			all = append(all, more...)
		}
		if err != nil && ctx.Err() == nil {
			n.options.Log.Warn("some secrets could not be read: logs that are kept now may show them", "error", err)
		}
		return all
	}
}
