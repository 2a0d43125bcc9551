package forge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// The events that lead to builds.
const (
	push        = "push"
	pullRequest = "pull request"
)

// A change is a commit that is new on a branch or in a pull request.
type change struct {
	event  string
	branch string // of a pull request: where it comes from
	number string // of a pull request
	ref    string // where git finds the commit
	hash   string
	fork   bool // from another repository
}

// A payload is what a webhook says, read.
type payload struct {
	changes []change
	why     string    // why there is nothing to do, when there are none
	at      time.Time // when it happened, in the forge's own signed words; zero where it does not say
	name    string    // the repository's full name, such as acme/iris
	host    string    // of its clone address; empty where it does not say
	id      string    // the repository's id, where statuses need it
}

// parse reads a payload as the forge documents it. The kind of the event is
// in a header, but for Azure DevOps.
func parse(f ridgeline.Forge, h http.Header, body []byte) (payload, error) {
	read := map[ridgeline.Forge]func(http.Header, []byte) (payload, error){
		ridgeline.GitHub: parseGitHub, ridgeline.Gitea: parseGitea, ridgeline.GitLab: parseGitLab,
		ridgeline.AzureDevOps: parseAzure, ridgeline.Bitbucket: parseBitbucket,
	}[f]
	p, err := read(h, body)
	if err != nil {
		return p, ridgeline.Errorf(ridgeline.Invalid, "the payload is not what %s documents: %v", f, err)
	}
	for i, c := range p.changes {
		if !hashRE.MatchString(c.hash) || !strings.HasPrefix(c.ref, "refs/") || strings.ContainsAny(c.ref+c.branch, "\x00\n:") {
			return p, ridgeline.Errorf(ridgeline.Invalid, "the payload is not what %s documents: change %d is of commit %q at %q", f, i+1, c.hash, c.ref)
		}
	}
	return p, nil
}

func ignored(format string, args ...any) payload { return payload{why: fmt.Sprintf(format, args...)} }

// pushed is the change that a push made to a ref; nothing for a tag or for a
// branch that was deleted.
func (p *payload) pushed(ref, hash string) {
	branch, ok := strings.CutPrefix(ref, "refs/heads/")
	switch {
	case !ok:
		p.why = fmt.Sprintf("%s is no branch", ref)
	case strings.Trim(hash, "0") == "":
		p.why = fmt.Sprintf("branch %s was deleted", branch)
	default:
		p.changes = append(p.changes, change{event: push, branch: branch, ref: ref, hash: hash})
	}
}

// hubRepository is a repository as GitHub and Gitea show it.
type hubRepository struct {
	FullName string          `json:"full_name"`
	CloneURL string          `json:"clone_url"`
	PushedAt json.RawMessage `json:"pushed_at"` // GitHub: seconds in a push, text elsewhere
}

// hubPush and hubPull are what GitHub and Gitea have in common:
// docs.github.com/webhooks/webhook-events-and-payloads, docs.gitea.com/usage/webhooks.
type hubPush struct {
	Ref        string        `json:"ref"`
	After      string        `json:"after"`
	Repository hubRepository `json:"repository"`
}

type hubPull struct {
	Action      string        `json:"action"`
	Number      int64         `json:"number"`
	Repository  hubRepository `json:"repository"`
	PullRequest struct {
		UpdatedAt time.Time `json:"updated_at"`
		Head      struct {
			Ref  string         `json:"ref"`
			SHA  string         `json:"sha"`
			Repo *hubRepository `json:"repo"` // null when the fork is gone
		} `json:"head"`
		Base struct {
			Repo hubRepository `json:"repo"`
		} `json:"base"`
	} `json:"pull_request"`
}

func parseGitHub(h http.Header, body []byte) (payload, error) {
	return parseHub(h.Get("X-GitHub-Event"), body, "opened", "reopened", "synchronize")
}

func parseGitea(h http.Header, body []byte) (payload, error) {
	event := h.Get("X-Gitea-Event")
	if event == "" {
		event = h.Get("X-Forgejo-Event")
	}
	return parseHub(event, body, "opened", "reopened", "synchronized")
}

func parseHub(event string, body []byte, actions ...string) (payload, error) {
	switch event {
	case "push":
		var in hubPush
		if err := json.Unmarshal(body, &in); err != nil {
			return payload{}, err
		}
		p := payload{name: in.Repository.FullName, host: hostOf(in.Repository.CloneURL)}
		if seconds, err := strconv.ParseInt(string(in.Repository.PushedAt), 10, 64); err == nil {
			p.at = time.Unix(seconds, 0)
		}
		p.pushed(in.Ref, in.After)
		return p, nil
	case "pull_request", "pull_request_sync":
		var in hubPull
		if err := json.Unmarshal(body, &in); err != nil {
			return payload{}, err
		}
		if !contains(actions, in.Action) {
			return ignored("pull request %d was %s", in.Number, in.Action), nil
		}
		head, number := in.PullRequest.Head, strconv.FormatInt(in.Number, 10)
		return payload{
			name: in.Repository.FullName, host: hostOf(in.Repository.CloneURL), at: in.PullRequest.UpdatedAt,
			changes: []change{{
				event: pullRequest, branch: head.Ref, number: number, ref: "refs/pull/" + number + "/head", hash: head.SHA,
				fork: head.Repo == nil || head.Repo.FullName != in.PullRequest.Base.Repo.FullName,
			}},
		}, nil
	case "":
		return payload{}, fmt.Errorf("no header says which event it is")
	}
	return ignored("event %s starts nothing", event), nil
}

// parseGitLab reads docs.gitlab.com/user/project/integrations/webhook_events.
func parseGitLab(_ http.Header, body []byte) (payload, error) {
	var in struct {
		Kind    string `json:"object_kind"`
		Ref     string `json:"ref"`
		After   string `json:"after"`
		Project struct {
			Path string `json:"path_with_namespace"`
			URL  string `json:"git_http_url"`
		} `json:"project"`
		Attributes struct {
			Number    int64  `json:"iid"`
			Action    string `json:"action"`
			OldHash   string `json:"oldrev"` // there when an update brought commits
			Branch    string `json:"source_branch"`
			Source    int64  `json:"source_project_id"`
			Target    int64  `json:"target_project_id"`
			LastState struct {
				Hash string `json:"id"`
			} `json:"last_commit"`
		} `json:"object_attributes"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return payload{}, err
	}
	p := payload{name: in.Project.Path, host: hostOf(in.Project.URL)}
	switch in.Kind {
	case "push":
		p.pushed(in.Ref, in.After)
		return p, nil
	case "merge_request":
		a, number := in.Attributes, strconv.FormatInt(in.Attributes.Number, 10)
		if !contains([]string{"open", "reopen"}, a.Action) && (a.Action != "update" || a.OldHash == "") {
			return ignored("merge request %s: %s brings no commit", number, a.Action), nil
		}
		p.changes = []change{{
			event: pullRequest, branch: a.Branch, number: number, ref: "refs/merge-requests/" + number + "/head", hash: a.LastState.Hash, fork: a.Source != a.Target,
		}}
		return p, nil
	case "":
		return payload{}, fmt.Errorf("object_kind is missing")
	}
	return ignored("event %s starts nothing", in.Kind), nil
}

// parseAzure reads learn.microsoft.com/azure/devops/service-hooks/events.
func parseAzure(_ http.Header, body []byte) (payload, error) {
	var in struct {
		Type     string    `json:"eventType"`
		Created  time.Time `json:"createdDate"`
		Resource struct {
			Updates []struct {
				Name string `json:"name"`
				New  string `json:"newObjectId"`
			} `json:"refUpdates"`
			Repository struct {
				ID  string `json:"id"`
				URL string `json:"remoteUrl"`
			} `json:"repository"`
			Number int64           `json:"pullRequestId"`
			Status string          `json:"status"`
			Source string          `json:"sourceRefName"`
			Fork   json.RawMessage `json:"forkSource"`
			Last   struct {
				Hash string `json:"commitId"`
			} `json:"lastMergeSourceCommit"`
		} `json:"resource"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return payload{}, err
	}
	r := in.Resource
	host, name := ridgeline.Remote{URL: r.Repository.URL}.Repository()
	p := payload{at: in.Created, id: r.Repository.ID, host: host, name: name}
	switch in.Type {
	case "git.push":
		for _, u := range r.Updates {
			p.pushed(u.Name, u.New)
		}
		return p, nil
	case "git.pullrequest.created", "git.pullrequest.updated":
		if r.Status != "active" {
			return ignored("pull request %d is %s", r.Number, r.Status), nil
		}
		p.changes = []change{{
			event: pullRequest, branch: strings.TrimPrefix(r.Source, "refs/heads/"), number: strconv.FormatInt(r.Number, 10), ref: r.Source, hash: r.Last.Hash,
			fork: len(r.Fork) > 0 && string(r.Fork) != "null",
		}}
		return p, nil
	case "":
		return payload{}, fmt.Errorf("eventType is missing")
	}
	return ignored("event %s starts nothing", in.Type), nil
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

func hostOf(address string) string {
	host, _ := ridgeline.Remote{URL: address}.Repository()
	return host
}
