package ui

import (
	"cmp"
	"context"
	"net/http"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/forge"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// remotePage is a repository on a forge, and what its webhook has announced.
type remotePage struct {
	ridgeline.Remote
	Webhook string // address for the forge to call
	Shown   string // the webhook's secret, this once
	Trials  []forge.Trial
	Notices []ridgeline.Notice
}

// mostNotices is how many a page lists.
const mostNotices = 50

func (u *UI) remotes(mux *http.ServeMux) {
	at := func(r *http.Request) (ridgeline.ProjectName, string) {
		return ridgeline.ProjectName(r.PathValue("project")), r.PathValue("name")
	}
	mux.Handle("GET /projects/{project}/remotes/{name}", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		project, name := at(r)
		return u.remotePage(ctx, project, name)
	}))
	mux.Handle("POST /projects/{project}/remotes", u.answers("add-remote", http.StatusCreated, ridgeline.Writer, u.addRemote))
	mux.Handle("POST /projects/{project}/remotes/{name}/remove", u.act("remove-remote", ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
		project, name := at(r)
		if _, err := u.Store.Remote(ctx, project, name); err != nil {
			return "", err
		}
		return components.Path("projects", project), u.Store.RemoveRemote(ctx, project, name)
	}))
	mux.Handle("POST /projects/{project}/remotes/{name}/test", u.answers("test-remote", http.StatusOK, ridgeline.Writer, func(ctx context.Context, r *http.Request) (Page, error) {
		project, name := at(r)
		p, err := u.remotePage(ctx, project, name)
		body, ok := p.Body.(remotePage)
		if err != nil || !ok {
			return Page{}, err
		}
		body.Trials, err = u.Remotes.Test(ctx, body.Remote)
		p.Body, p.Still = body, true
		return p, err
	}))
}

func (u *UI) remotePage(ctx context.Context, project ridgeline.ProjectName, name string) (Page, error) {
	r, err := u.Store.Remote(ctx, project, name)
	if err != nil {
		return Page{}, err
	}
	body := remotePage{Remote: r, Webhook: u.Remotes.URL + forge.HookPath(project, name)}
	body.Notices, err = u.Store.Notices(ctx, store.NoticeFilter{Project: project, Remote: name, Limit: mostNotices})
	busy := len(body.Notices) > 0 && !body.Notices[0].Status.Terminal()
	return Page{
		Title: "Remote " + name, Nav: "projects", Project: project, Busy: busy, Template: "remote", Body: body,
		Crumbs: []components.Crumb{{Text: "Projects", URL: "/projects"}, {Text: string(project), URL: components.Path("projects", project)}, {Text: "remote " + name}},
	}, err
}

// addRemote answers with the remote's page, on which the webhook's secret is to
// be seen this once; or with the form again, what is wrong beside its field.
func (u *UI) addRemote(ctx context.Context, r *http.Request) (Page, error) {
	text := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	remote := ridgeline.Remote{
		Project: ridgeline.ProjectName(r.PathValue("project")), Name: text("name"), Forge: ridgeline.Forge(text("forge")), URL: text("url"), API: text("api"), User: text("user"),
		KnownHosts: text("known_hosts"), Forks: text("forks") == "yes", Caller: auth.From(ctx).Name,
	}
	secrets := forge.Secrets{Webhook: text("secret"), Token: text("token"), Key: text("deploy_key")}
	added, shown, err := u.Remotes.Add(ctx, remote, secrets)
	if err != nil {
		return u.projectAgain(ctx, remoteProblem(remote, secrets), r, err)
	}
	store.ActOf(ctx).Made("projects/" + string(added.Project) + "/remotes/" + added.Name)
	p, err := u.remotePage(ctx, added.Project, added.Name)
	if body, ok := p.Body.(remotePage); ok && secrets.Webhook == "" { // else whoever asks knows it
		body.Shown = shown
		p.Body, p.Still = body, true
	}
	return p, err
}

// remoteProblem is the field that a refused remote was refused for.
func remoteProblem(r ridgeline.Remote, s forge.Secrets) string {
	refused := func(change func(*ridgeline.Remote)) bool {
		one := ridgeline.Remote{Name: "origin", Forge: ridgeline.GitHub, URL: "https://example.com/acme/iris"}
		change(&one)
		return one.Check() != nil
	}
	switch {
	case refused(func(one *ridgeline.Remote) { one.Name = r.Name }):
		return "name"
	case refused(func(one *ridgeline.Remote) { one.Forge = r.Forge }):
		return "forge"
	case refused(func(one *ridgeline.Remote) { one.API = r.API }):
		return "api"
	case refused(func(one *ridgeline.Remote) { one.URL = r.URL }) && refused(func(one *ridgeline.Remote) { one.URL, one.Key = r.URL, "sealed" }):
		return "url"
	case refused(func(one *ridgeline.Remote) { one.URL, one.Key = r.URL, s.Key }):
		return "deploy_key"
	case r.KnownHosts != "" && s.Key == "":
		return "known_hosts"
	}
	return "secret"
}

// forgeNames are what people call the forges.
var forgeNames = map[ridgeline.Forge]string{
	ridgeline.GitHub: "GitHub", ridgeline.GitLab: "GitLab", ridgeline.AzureDevOps: "Azure DevOps", ridgeline.Gitea: "Gitea, Forgejo", ridgeline.Bitbucket: "Bitbucket",
}

// remoteAction adds a remote to a project, or replaces the one that is given.
func remoteAction(project ridgeline.ProjectName, label string, now ridgeline.Remote) components.Action {
	a := components.NewAction(label, components.Path("projects", project, "remotes"), "The repository's webhook has its code built here. In place of a remote of that name, if there is one: give its secrets again, they are never shown.",
		components.NewCLI("remote", "add", cmp.Or(now.Name, "NAME"), "--project", project, "--forge", cmp.Or(now.Forge, "FORGE"), "--url", cmp.Or(now.URL, "URL")))
	kind := components.Input{Name: "forge", Label: "Forge", Value: string(now.Forge)}
	for _, f := range ridgeline.Forges() {
		kind.Choices = append(kind.Choices, [2]string{string(f), forgeNames[f]})
	}
	forks := components.Input{Name: "forks", Label: "Pull requests of other repositories", Choices: [][2]string{{"", "are not built"}, {"yes", "are built: their authors' code runs on this server"}}}
	if now.Forks {
		forks.Value = "yes"
	}
	a.Inputs = []components.Input{
		{Name: "name", Label: "Name", Value: now.Name, Hint: "origin", Required: true}, kind,
		{Name: "url", Label: "Address", Note: "as the forge shows it for cloning", Value: now.URL, Hint: "https://github.com/acme/iris.git", Required: true},
		{Name: "token", Label: "Token", Note: "reads a private repository, reports statuses", Type: "password"},
		{Name: "deploy_key", Label: "Deploy key", Note: "a private SSH key, for an SSH address", Rows: 2, Secret: true},
		{Name: "known_hosts", Label: "Known hosts", Note: "of SSH; none: the first one seen is kept", Value: now.KnownHosts, Rows: 1},
		{Name: "secret", Label: "The webhook's secret", Note: "none: a new one is made, and shown once", Type: "password"},
		{Name: "api", Label: "API", Note: "where it is not the usual address", Value: now.API},
		{Name: "user", Label: "User of the token", Note: "where the forge wants one", Value: now.User}, forks,
	}
	return a
}

// NewRemote is the action that adds a remote.
func (p projectPage) NewRemote() components.Action {
	return p.filled(remoteAction(p.Name, "Add a remote", ridgeline.Remote{}))
}

// Replace is the action that changes the remote.
func (p remotePage) Replace() components.Action {
	return remoteAction(p.Project, "Replace", p.Remote)
}

// TestIt looks whether the remote works.
func (p remotePage) TestIt() components.Action {
	return components.NewAction("Test", components.Path("projects", p.Project, "remotes", p.Name, "test"), "The repository is asked for its branches, the forge's API whether it takes the token. It takes up to a minute.",
		components.NewCLI("remote", "test", p.Name, "--project", p.Project), "primary")
}

// End removes the remote.
func (p remotePage) End() components.Action {
	return components.NewAction("Remove", components.Path("projects", p.Project, "remotes", p.Name, "remove"), "It is forgotten with its secrets, and its webhook is refused from now on. Remove the webhook on the forge, too.",
		components.NewCLI("remote", "remove", p.Name, "--project", p.Project), "danger")
}
