package forge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// parseBitbucket reads the events of Bitbucket Cloud
// (support.atlassian.com/bitbucket-cloud/docs/event-payloads) and of Bitbucket
// Data Center (confluence.atlassian.com/bitbucketserver, "Event payload"),
// which share nothing but the header.
func parseBitbucket(h http.Header, body []byte) (payload, error) {
	switch event := h.Get("X-Event-Key"); event {
	case "repo:push":
		return bitbucketPush(body)
	case "pullrequest:created", "pullrequest:updated":
		return bitbucketPull(body)
	case "repo:refs_changed":
		return dataCenterPush(body)
	case "pr:opened", "pr:from_ref_updated":
		return dataCenterPull(body)
	case "":
		return payload{}, fmt.Errorf("the header X-Event-Key is missing")
	default:
		return ignored("event %s starts nothing", event), nil
	}
}

type cloudRepository struct {
	FullName string `json:"full_name"`
}

func bitbucketPush(body []byte) (payload, error) {
	var in struct {
		Repository cloudRepository `json:"repository"`
		Push       struct {
			Changes []struct {
				New *struct { // null when it was deleted
					Type   string `json:"type"` // branch or tag
					Name   string `json:"name"`
					Target struct {
						Hash string `json:"hash"`
					} `json:"target"`
				} `json:"new"`
			} `json:"changes"`
		} `json:"push"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return payload{}, err
	}
	p := payload{name: in.Repository.FullName, host: "bitbucket.org", why: "a branch or tag was deleted"}
	for _, c := range in.Push.Changes {
		switch {
		case c.New == nil:
		case c.New.Type != "branch":
			p.why = fmt.Sprintf("%s %s is no branch", c.New.Type, c.New.Name)
		default:
			p.pushed("refs/heads/"+c.New.Name, c.New.Target.Hash)
		}
	}
	return p, nil
}

func bitbucketPull(body []byte) (payload, error) {
	type side struct {
		Commit struct {
			Hash string `json:"hash"` // the first 12 digits
		} `json:"commit"`
		Branch struct {
			Name string `json:"name"`
		} `json:"branch"`
		Repository *cloudRepository `json:"repository"`
	}
	var in struct {
		Repository cloudRepository `json:"repository"`
		Pull       struct {
			ID      int64     `json:"id"`
			State   string    `json:"state"`
			Updated time.Time `json:"updated_on"`
			Source  side      `json:"source"`
		} `json:"pullrequest"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return payload{}, err
	}
	r := in.Pull
	if r.State != "OPEN" {
		return ignored("pull request %d is %s", r.ID, r.State), nil
	}
	return payload{
		name: in.Repository.FullName, host: "bitbucket.org", at: r.Updated,
		changes: []change{{
			event: pullRequest, branch: r.Source.Branch.Name, number: strconv.FormatInt(r.ID, 10), ref: "refs/heads/" + r.Source.Branch.Name, hash: r.Source.Commit.Hash,
			fork: r.Source.Repository == nil || r.Source.Repository.FullName != in.Repository.FullName,
		}},
	}, nil
}

// dataCenterTime is how Bitbucket Data Center writes a moment.
const dataCenterTime = "2006-01-02T15:04:05-0700"

func dataCenterPush(body []byte) (payload, error) {
	var in struct {
		Date    string `json:"date"`
		Changes []struct {
			Ref struct {
				ID string `json:"id"`
			} `json:"ref"`
			Hash string `json:"toHash"`
			Type string `json:"type"`
		} `json:"changes"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return payload{}, err
	}
	p := payload{why: "nothing changed"}
	p.at, _ = time.Parse(dataCenterTime, in.Date)
	for _, c := range in.Changes {
		if c.Type == "DELETE" {
			c.Hash = ""
		}
		p.pushed(c.Ref.ID, c.Hash)
	}
	return p, nil
}

func dataCenterPull(body []byte) (payload, error) {
	type side struct {
		Branch     string `json:"displayId"`
		Hash       string `json:"latestCommit"`
		Repository struct {
			ID int64 `json:"id"`
		} `json:"repository"`
	}
	var in struct {
		Date string `json:"date"`
		Pull struct {
			ID   int64 `json:"id"`
			From side  `json:"fromRef"`
			To   side  `json:"toRef"`
		} `json:"pullRequest"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return payload{}, err
	}
	number := strconv.FormatInt(in.Pull.ID, 10)
	p := payload{changes: []change{{
		event: pullRequest, branch: in.Pull.From.Branch, number: number, ref: "refs/pull-requests/" + number + "/from", hash: in.Pull.From.Hash,
		fork: in.Pull.From.Repository.ID != in.Pull.To.Repository.ID,
	}}}
	p.at, _ = time.Parse(dataCenterTime, in.Date)
	return p, nil
}
