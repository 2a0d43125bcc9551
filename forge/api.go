package forge

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// words are the forges' own for our states.
var words = map[ridgeline.Forge]map[state]string{
	ridgeline.GitHub:      {pending: "pending", running: "pending", success: "success", failure: "failure", cancelled: "error"},
	ridgeline.Gitea:       {pending: "pending", running: "pending", success: "success", failure: "failure", cancelled: "error"},
	ridgeline.GitLab:      {pending: "pending", running: "running", success: "success", failure: "failed", cancelled: "canceled"},
	ridgeline.AzureDevOps: {pending: "pending", running: "pending", success: "succeeded", failure: "failed", cancelled: "error"},
	ridgeline.Bitbucket:   {pending: "INPROGRESS", running: "INPROGRESS", success: "SUCCESSFUL", failure: "FAILED", cancelled: "STOPPED"},
}

// An api is where a remote's repository is found in its forge's API.
type api struct {
	base string // without a slash at its end
	path string // of the repository below base, ready for an address
}

// cloud reports whether a Bitbucket is the one in the cloud.
func cloud(host string) bool { return host == "bitbucket.org" }

// apiOf finds the API, by the remote's own word or by what is usual.
func apiOf(r ridgeline.Remote) (api, error) {
	host, name := r.Repository()
	base := strings.TrimSuffix(r.API, "/")
	origin := "https://" + host
	if u, err := url.Parse(r.URL); err == nil && u.Host != "" && u.Scheme != "ssh" {
		origin = u.Scheme + "://" + u.Host
	}
	usual := func(suffix string) {
		if base == "" {
			base = origin + suffix
		}
	}
	switch r.Forge {
	case ridgeline.GitHub: // docs.github.com/rest/commits/statuses
		if host == "github.com" {
			origin = "https://api.github.com"
			usual("")
		}
		usual("/api/v3") // GitHub Enterprise Server
		return api{base, "/repos/" + escaped(name)}, nil
	case ridgeline.Gitea:
		usual("/api/v1")
		return api{base, "/repos/" + escaped(name)}, nil
	case ridgeline.GitLab: // docs.gitlab.com/api/commits
		usual("/api/v4")
		return api{base, "/projects/" + url.PathEscape(name)}, nil
	case ridgeline.Bitbucket:
		if cloud(host) { // developer.atlassian.com/cloud/bitbucket/rest/api-group-commit-statuses
			origin = "https://api.bitbucket.org"
			usual("/2.0")
			return api{base, "/repositories/" + escaped(name)}, nil
		}
		usual("/rest/api/latest") // developer.atlassian.com/server/bitbucket/how-tos/updating-build-status-for-commits
		project, repository, ok := strings.Cut(strings.TrimPrefix(name, "scm/"), "/")
		if !ok {
			break
		}
		return api{base, "/projects/" + url.PathEscape(project) + "/repos/" + url.PathEscape(repository)}, nil
	case ridgeline.AzureDevOps:
		return azureAPI(r, base, origin, host, name)
	}
	return api{}, ridgeline.Errorf(ridgeline.Invalid, "no API is known for %s: name it with --api", r.URL)
}

// azureAPI: learn.microsoft.com/rest/api/azure/devops/git/statuses/create. A
// repository is at https://dev.azure.com/ORG/PROJECT/_git/NAME, or over SSH at
// git@ssh.dev.azure.com:v3/ORG/PROJECT/NAME.
func azureAPI(r ridgeline.Remote, base, origin, host, name string) (api, error) {
	project, repository, ok := strings.Cut(name, "/_git/")
	if host == "ssh.dev.azure.com" || host == "vs-ssh.visualstudio.com" {
		origin = "https://dev.azure.com"
		name = strings.TrimPrefix(name, "v3/")
		cut := strings.LastIndex(name, "/")
		if ok = cut > 0; ok {
			project, repository = name[:cut], name[cut+1:]
		}
	}
	if !ok {
		return api{}, ridgeline.Errorf(ridgeline.Invalid, "%s is no repository of Azure DevOps: expected https://dev.azure.com/ORG/PROJECT/_git/NAME", r.URL)
	}
	if base == "" {
		base = origin + "/" + escaped(project)
	}
	return api{base, "/_apis/git/repositories/" + url.PathEscape(repository)}, nil
}

// escaped is a path whose parts may hold anything.
func escaped(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if plain, err := url.PathUnescape(part); err == nil { // it may be escaped in the remote's address
			part = plain
		}
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/")
}

// status is the request that reports a commit's status.
func status(remote ridgeline.Remote, r report) (address string, body any, err error) {
	a, err := apiOf(remote)
	if err != nil {
		return "", nil, err
	}
	word, at := words[remote.Forge][r.State], a.base+a.path
	host, _ := remote.Repository()
	switch remote.Forge {
	case ridgeline.GitHub, ridgeline.Gitea:
		return at + "/statuses/" + r.Hash, map[string]string{
			"state": word, "target_url": r.URL, "description": clip(r.Text, 140), "context": r.Context,
		}, nil
	case ridgeline.GitLab:
		in := map[string]string{"state": word, "target_url": r.URL, "description": clip(r.Text, 255), "name": r.Context}
		if r.PullRequest == "" {
			in["ref"] = r.Branch
		}
		return at + "/statuses/" + r.Hash, in, nil
	case ridgeline.AzureDevOps:
		if r.Repository != "" {
			at = a.base + "/_apis/git/repositories/" + url.PathEscape(r.Repository)
		}
		at += "/commits/" + r.Hash
		if r.PullRequest != "" { // a branch policy of a pull request looks at its own statuses only
			at = strings.TrimSuffix(at, "/commits/"+r.Hash) + "/pullRequests/" + r.PullRequest
		}
		genre, name, _ := strings.Cut(r.Context, "/")
		return at + "/statuses?api-version=7.1", map[string]any{
			"state": word, "targetUrl": r.URL, "description": clip(r.Text, 255), "context": map[string]string{"genre": genre, "name": name},
		}, nil
	case ridgeline.Bitbucket:
		in := map[string]string{"key": keyOf(r.Context), "state": word, "url": r.URL, "name": r.Context, "description": clip(r.Text, 255)}
		if cloud(host) {
			return at + "/commit/" + r.Hash + "/statuses/build", in, nil
		}
		if r.State == cancelled {
			in["state"] = "CANCELLED"
		}
		return at + "/commits/" + r.Hash + "/builds", in, nil
	}
	return "", nil, ridgeline.Errorf(ridgeline.Invalid, "unknown forge %q", remote.Forge)
}

// authorize shows the forge the token as it wants to see it.
func authorize(req *http.Request, remote ridgeline.Remote, token string) {
	switch remote.Forge {
	case ridgeline.GitHub:
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Accept", "application/vnd.github+json")
		req.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	case ridgeline.GitLab:
		req.Header.Set("PRIVATE-TOKEN", token)
	case ridgeline.Gitea:
		req.Header.Set("Authorization", "token "+token)
	case ridgeline.AzureDevOps:
		req.SetBasicAuth("", token)
	case ridgeline.Bitbucket:
		if remote.User != "" { // an API token of a person's, instead of a repository's own
			req.SetBasicAuth(remote.User, token)
			return
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
}
