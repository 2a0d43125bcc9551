package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/forge"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// Remote is a repository on a forge whose webhooks have its code built here.
// Its secrets are never shown, but for Secret when it is added.
type Remote struct {
	Name      string    `json:"name"`
	Project   string    `json:"project"`
	Forge     string    `json:"forge"`
	URL       string    `json:"url"`
	API       string    `json:"api,omitempty"`
	User      string    `json:"user,omitempty"`
	Token     bool      `json:"token" doc:"whether there is one; without it no statuses are reported"`
	DeployKey bool      `json:"deploy_key" doc:"whether there is one"`
	Forks     bool      `json:"forks" doc:"whether pull requests of other repositories are built"`
	Webhook   string    `json:"webhook" doc:"address for the forge to call"`
	Secret    string    `json:"secret,omitempty" doc:"what the forge proves its calls with"`
	Caller    string    `json:"caller"`
	Created   time.Time `json:"created"`
	Notices   []Notice  `json:"notices,omitempty" doc:"what its webhook has announced, newest first"`
}

// Notice is a forge's word that code has changed, and what came of it.
type Notice struct {
	ID          string     `json:"id"`
	Remote      string     `json:"remote"`
	Event       string     `json:"event" enum:"push,pull request"`
	Branch      string     `json:"branch"`
	PullRequest string     `json:"pull_request,omitempty"`
	Commit      string     `json:"commit"`
	Status      string     `json:"status" doc:"queued until there is a build, or a reason why not"`
	Reason      string     `json:"reason,omitempty"`
	Attempts    int        `json:"attempts" doc:"to fetch the commit, that failed"`
	Next        *time.Time `json:"next,omitempty" doc:"when it is tried again"`
	Build       string     `json:"build,omitempty"`
	Reported    string     `json:"reported,omitempty" doc:"what became of the commit's last status: delivered, pending, or why it could not be delivered"`
	Created     time.Time  `json:"created"`
	Ended       *time.Time `json:"ended,omitempty"`
}

// RemoteTest is what a look at a remote found.
type RemoteTest struct {
	Remote string        `json:"remote"`
	OK     bool          `json:"ok"`
	Checks []forge.Trial `json:"checks"`
}

func (a *API) viewRemote(r ridgeline.Remote) Remote {
	return Remote{
		Name: r.Name, Project: string(r.Project), Forge: string(r.Forge), URL: r.URL, API: r.API, User: r.User, Token: r.Token != "", DeployKey: r.Key != "",
		Forks: r.Forks, Webhook: a.Remotes.URL + forge.HookPath(r.Project, r.Name), Caller: r.Caller, Created: r.Created,
	}
}

func viewNotice(n ridgeline.Notice) Notice {
	out := Notice{
		ID: string(n.ID), Remote: n.Remote, Event: n.Event, Branch: n.Branch, PullRequest: n.PullRequest, Commit: n.Hash, Status: string(n.Status),
		Reason: n.Reason, Attempts: n.Attempts, Build: string(n.Build), Created: n.Created, Ended: optional(n.Ended),
	}
	if !n.Status.Terminal() {
		out.Next = optional(n.Next)
	}
	return out
}

type remoteInput struct {
	Project string `path:"project"`
	Body    struct {
		Name       string `json:"name"`
		Forge      string `json:"forge" enum:"github,gitlab,azure-devops,gitea,bitbucket"`
		URL        string `json:"url" maxLength:"2000" doc:"what git fetches from: https://…, ssh://… or user@host:path"`
		API        string `json:"api,omitempty" maxLength:"2000" doc:"base address of the forge's API; default: the usual one"`
		User       string `json:"user,omitempty" maxLength:"200" doc:"beside the token; default: the forge's usual"`
		Secret     string `json:"secret,omitempty" maxLength:"1000" doc:"of the webhook; default: a new one"`
		Token      string `json:"token,omitempty" maxLength:"10000" doc:"to fetch over https and to report statuses"`
		DeployKey  string `json:"deploy_key,omitempty" maxLength:"20000" doc:"private SSH key to fetch with"`
		KnownHosts string `json:"known_hosts,omitempty" maxLength:"20000" doc:"SSH host keys to expect, as in a known_hosts file; default: the first one seen is kept"`
		Forks      bool   `json:"forks,omitempty" doc:"build pull requests of other repositories, too: their authors' code then runs on this server"`
	}
}

type remotePath struct {
	Project string `path:"project"`
	Name    string `path:"name"`
}

func (a *API) remotes(api huma.API) {
	tags := []string{"remotes"}
	route(a, api, huma.Operation{
		OperationID: "add-remote", Method: http.MethodPost, Path: "/projects/{project}/remotes", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Have the webhooks of a repository on a forge build its code; replaces a remote of that name",
	}, ridgeline.Writer, a.addRemote)
	route(a, api, huma.Operation{OperationID: "list-remotes", Method: http.MethodGet, Path: "/remotes", Summary: "Repositories on forges", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *struct {
			Project string `query:"project"`
		}) ([]Remote, error) {
			rows, err := a.Store.Remotes(ctx, ridgeline.ProjectName(in.Project))
			return list(rows, a.viewRemote), err
		})
	route(a, api, huma.Operation{
		OperationID: "show-remote", Method: http.MethodGet, Path: "/projects/{project}/remotes/{name}", Tags: tags,
		Summary: "One remote, and what became of its webhook's last announcements",
	}, ridgeline.Viewer, a.showRemote)
	route(a, api, huma.Operation{
		OperationID: "remove-remote", Method: http.MethodPost, Path: "/projects/{project}/remotes/{name}/remove", Tags: tags,
		Summary: "Forget a remote and its secrets; its webhook is refused from then on",
	}, ridgeline.Writer, func(ctx context.Context, in *remotePath) (Remote, error) {
		r, err := a.Store.Remote(ctx, ridgeline.ProjectName(in.Project), in.Name)
		if err != nil {
			return Remote{}, err
		}
		return a.viewRemote(r), a.Store.RemoveRemote(ctx, r.Project, r.Name)
	})
	route(a, api, huma.Operation{
		OperationID: "test-remote", Method: http.MethodPost, Path: "/projects/{project}/remotes/{name}/test", Tags: tags,
		Summary: "Look whether a remote can be fetched from, whether its token is taken, and whether its webhook has called",
	}, ridgeline.Writer, a.testRemote)
	route(a, api, huma.Operation{OperationID: "show-notice", Method: http.MethodGet, Path: "/projects/{project}/notices/{id}", Summary: "What became of a webhook's announcement", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *struct {
			Project string `path:"project"`
			ID      string `path:"id"`
		}) (Notice, error) {
			n, err := a.Store.Notice(ctx, ridgeline.NoticeID(in.ID))
			if err == nil && string(n.Project) != in.Project {
				err = ridgeline.Errorf(ridgeline.NotFound, "project %s has no notice %s", in.Project, in.ID)
			}
			return viewNotice(n), err
		})
}

func (a *API) addRemote(ctx context.Context, in *remoteInput) (Remote, error) {
	b := in.Body
	r, secret, err := a.Remotes.Add(ctx, ridgeline.Remote{
		Project: ridgeline.ProjectName(in.Project), Name: b.Name, Forge: ridgeline.Forge(b.Forge), URL: b.URL, API: b.API, User: b.User,
		KnownHosts: b.KnownHosts, Forks: b.Forks, Caller: auth.From(ctx).Name,
	}, forge.Secrets{Webhook: b.Secret, Token: b.Token, Key: b.DeployKey})
	if err != nil {
		return Remote{}, err
	}
	out := a.viewRemote(r)
	if b.Secret == "" { // else whoever asks knows it
		out.Secret = secret
	}
	return out, nil
}

func (a *API) showRemote(ctx context.Context, in *struct {
	Project string `path:"project"`
	Name    string `path:"name"`
	Limit   int    `query:"limit" default:"20" minimum:"1" maximum:"200"`
},
) (Remote, error) {
	r, err := a.Store.Remote(ctx, ridgeline.ProjectName(in.Project), in.Name)
	if err != nil {
		return Remote{}, err
	}
	notices, err := a.Store.Notices(ctx, store.NoticeFilter{Project: r.Project, Remote: r.Name, Limit: in.Limit})
	if err != nil {
		return Remote{}, err
	}
	out := a.viewRemote(r)
	for _, n := range notices {
		v := viewNotice(n)
		last, err := a.Store.Deliveries(ctx, store.Target{Kind: ridgeline.DeliveryStatus, Name: forge.Target(n)}, 1)
		if err != nil {
			return Remote{}, err
		}
		for _, d := range last {
			v.Reported = string(d.State)
			if d.State != ridgeline.DeliveryDone && d.Message != "" {
				v.Reported += ": " + d.Message
			}
		}
		out.Notices = append(out.Notices, v)
	}
	return out, nil
}

func (a *API) testRemote(ctx context.Context, in *remotePath) (RemoteTest, error) {
	r, err := a.Store.Remote(ctx, ridgeline.ProjectName(in.Project), in.Name)
	if err != nil {
		return RemoteTest{}, err
	}
	checks, err := a.Remotes.Test(ctx, r)
	out := RemoteTest{Remote: r.Name, OK: err == nil, Checks: checks}
	for _, c := range checks {
		out.OK = out.OK && (c.OK || c.Name != "fetch" && !(c.Name == "statuses" && r.Token != ""))
	}
	return out, err
}
