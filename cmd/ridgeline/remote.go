package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
)

func (c *cli) remote() *cobra.Command {
	cmd := &cobra.Command{Use: "remote", Short: "Repositories on GitHub, GitLab, Azure DevOps, Gitea or Bitbucket whose webhooks have their code built"}
	cmd.AddCommand(c.remoteAdd(), c.remoteList(), c.remoteShow(), c.remoteRemove(), c.remoteTest())
	return cmd
}

// remoteFlags are what remote add is told.
type remoteFlags struct {
	project, forge, url, api, user            string
	secretFile, tokenFile, keyFile, knownFile string
	secretStdin, forks                        bool
}

func (c *cli) remoteAdd() *cobra.Command {
	var f remoteFlags
	cmd := &cobra.Command{
		Use: "add NAME", Args: cobra.ExactArgs(1),
		Short: "Have a repository's webhooks build its code; prints what to enter on the forge",
		Long: `Add keeps a repository under a name, in place of one of that name, and prints the webhook's
address and secret, and where on the forge they belong. A private repository needs a token
(for https) or a deploy key (for SSH); with a token, statuses of commits are reported back.
Secrets are kept encrypted and never shown; the webhook's own only now, when none was given.`,
		Example: `  ridgeline remote add origin --forge github --url https://github.com/acme/iris.git --token-file token
  ridgeline remote add origin --forge gitlab --url git@gitlab.com:acme/iris.git --deploy-key-file key`,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := projectHere(f.project)
			if err != nil {
				return err
			}
			body, err := f.body(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			return post(cmd.Context(), c, "/api/v1/projects/"+url.PathEscape(name)+"/remotes", body, func(r api.Remote) error {
				fmt.Fprintf(c.out, "remote %s of project %s: %s\n\n%s", r.Name, r.Project, r.URL, instructions(r))
				return nil
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.project, "project", "", "project (default: the one whose folder this is)")
	flags.StringVar(&f.forge, "forge", "", "github, gitlab, azure-devops, gitea (Forgejo, too) or bitbucket")
	flags.StringVar(&f.url, "url", "", "address of the repository, as the forge shows it for cloning")
	flags.StringVar(&f.api, "api", "", "base address of the forge's API, where it is not the usual one")
	flags.StringVar(&f.user, "user", "", "user that the token belongs to, where the forge wants one")
	flags.StringVar(&f.secretFile, "secret-file", "", "file with the webhook's secret (default: a new one is made)")
	flags.BoolVar(&f.secretStdin, "secret-stdin", false, "read the webhook's secret from standard input")
	flags.StringVar(&f.tokenFile, "token-file", "", "file with a token that may read the repository and write commit statuses")
	flags.StringVar(&f.keyFile, "deploy-key-file", "", "file with a private SSH key that may read the repository")
	flags.StringVar(&f.knownFile, "known-hosts-file", "", "file with the SSH host keys to expect (default: the first one seen is kept)")
	flags.BoolVar(&f.forks, "forks", false, "build pull requests from other repositories, too: their authors' code then runs on the server")
	cmd.MarkFlagsMutuallyExclusive("secret-file", "secret-stdin")
	return cmd
}

// body reads the files that hold secrets: they are never on a command line,
// which other users of the machine can see.
func (f remoteFlags) body(stdin io.Reader, name string) (map[string]any, error) {
	if f.forge == "" || f.url == "" {
		return nil, usage("remote add needs --forge and --url")
	}
	body := map[string]any{"name": name, "forge": f.forge, "url": f.url, "api": f.api, "user": f.user, "forks": f.forks}
	for field, path := range map[string]string{"secret": f.secretFile, "token": f.tokenFile, "deploy_key": f.keyFile, "known_hosts": f.knownFile} {
		if path == "" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the %s: %w", strings.ReplaceAll(field, "_", " "), err)
		}
		if body[field] = strings.TrimSpace(string(text)); body[field] == "" {
			return nil, usage("%s is empty", path)
		}
	}
	if f.secretStdin {
		text, err := io.ReadAll(io.LimitReader(stdin, 10_000))
		if err != nil {
			return nil, fmt.Errorf("read the secret: %w", err)
		}
		if body["secret"] = strings.TrimSpace(string(text)); body["secret"] == "" {
			return nil, usage("--secret-stdin: nothing came on standard input")
		}
	}
	return body, nil
}

// instructions say what to enter where.
func instructions(r api.Remote) string {
	secret := r.Secret
	if secret == "" {
		secret = "the one you gave"
	}
	rows := map[ridgeline.Forge][2]string{
		ridgeline.GitHub:      {"Settings > Webhooks > Add webhook", "Payload URL     %s\nContent type    application/json\nSecret          %s\nEvents          Pushes, Pull requests"},
		ridgeline.GitLab:      {"Settings > Webhooks > Add new webhook", "URL             %s\nSecret token    %s   (or Signing token: give its whsec_… here with --secret-file)\nTrigger         Push events, Merge request events"},
		ridgeline.AzureDevOps: {"Project settings > Service hooks > + > Web Hooks, once for \"Code pushed\" and once for each \"Pull request\" event", "URL             %s\nBasic authentication username   ridgeline\nBasic authentication password   %s"},
		ridgeline.Gitea:       {"Settings > Webhooks > Add webhook > Gitea", "Target URL      %s\nContent type    application/json\nSecret          %s\nTrigger on      Push, Pull request (opened, synchronized)"},
		ridgeline.Bitbucket:   {"Repository settings > Webhooks > Add webhook", "URL             %s\nSecret          %s\nTriggers        Repository push; Pull request created, updated"},
	}[ridgeline.Forge(r.Forge)]
	out := "On the forge: " + rows[0] + "\n  " + strings.ReplaceAll(fmt.Sprintf(rows[1], r.Webhook, secret), "\n", "\n  ") + "\n\n"
	if r.Secret != "" {
		out += "The secret is shown this once.\n"
	}
	if !r.Token {
		out += "No statuses of commits are reported back: that needs a token (--token-file).\n"
	}
	return out + fmt.Sprintf("Then: ridgeline remote test %s --project %s\n", r.Name, r.Project)
}

func (c *cli) remoteList() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "list", Short: "List remotes",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return get(cmd.Context(), c, query("/api/v1/remotes", "project", project), func(list []api.Remote) error {
				var rows [][]string
				for _, r := range list {
					rows = append(rows, []string{r.Name, r.Project, r.Forge, r.URL, opener(r), ago(r.Created)})
				}
				return table(c.out, []string{"REMOTE", "PROJECT", "FORGE", "URL", "WITH", "ADDED"}, rows)
			})
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "only this project's")
	return cmd
}

// opener is what a remote is fetched with.
func opener(r api.Remote) string {
	switch {
	case r.DeployKey && r.Token:
		return "deploy key, token"
	case r.DeployKey:
		return "deploy key"
	case r.Token:
		return "token"
	}
	return "nothing"
}

func (c *cli) remoteShow() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show a remote, and what became of what its webhook announced", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := remotePath(project, args[0])
			if err != nil {
				return err
			}
			return get(cmd.Context(), c, path, func(r api.Remote) error {
				fmt.Fprintf(c.out, "remote %s of project %s: %s, fetched with %s\nwebhook %s\n", r.Name, r.Project, r.URL, opener(r), r.Webhook)
				var rows [][]string
				for _, n := range r.Notices {
					what := n.Branch
					if n.PullRequest != "" {
						what = "#" + n.PullRequest + " " + n.Branch
					}
					status := n.Status
					if n.Next != nil && n.Attempts > 0 {
						status = fmt.Sprintf("failed %d times, again at %s", n.Attempts, n.Next.Local().Format("15:04:05"))
					}
					rows = append(rows, []string{n.ID, what, n.Commit[:min(12, len(n.Commit))], status, n.Build, ago(n.Created), n.Reported, clip(oneLine(n.Reason), 100)})
				}
				return table(c.out, []string{"NOTICE", "WHAT", "COMMIT", "STATUS", "BUILD", "CAME", "REPORTED", "REASON"}, rows)
			})
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "project (default: the one whose folder this is)")
	return cmd
}

func remotePath(project, name string) (string, error) {
	project, err := projectHere(project)
	return "/api/v1/projects/" + url.PathEscape(project) + "/remotes/" + url.PathEscape(name), err
}

func (c *cli) remoteRemove() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Forget a remote and its secrets; its webhook is refused from then on", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := remotePath(project, args[0])
			if err != nil {
				return err
			}
			return post(cmd.Context(), c, path+"/remove", nil, func(r api.Remote) error {
				fmt.Fprintf(c.out, "remote %s of project %s is forgotten; remove its webhook on the forge, too\n", r.Name, r.Project)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "project (default: the one whose folder this is)")
	return cmd
}

func (c *cli) remoteTest() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "test NAME", Short: "Look whether a remote can be fetched from and reported to", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := remotePath(project, args[0])
			if err != nil {
				return err
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			t, err := api.Post[api.RemoteTest](cmd.Context(), client, path+"/test", nil)
			if err != nil {
				return err
			}
			if c.json {
				err = c.print(t)
			} else {
				for _, check := range t.Checks {
					fmt.Fprintf(c.out, "%s %s: %s\n", map[bool]string{true: "ok", false: "--"}[check.OK], check.Name, check.Message)
				}
			}
			if err == nil && !t.OK {
				err = errors.New("the remote does not work yet")
			}
			return err
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "project (default: the one whose folder this is)")
	return cmd
}
