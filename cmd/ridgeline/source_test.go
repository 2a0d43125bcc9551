package main

import (
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

// What each CI system tells its jobs, in their documentation's examples.
func TestSource_find(t *testing.T) {
	for name, test := range map[string]struct {
		env          map[string]string
		git          string // the branch that git knows
		given        source
		branch, pull string
	}{
		"a person's branch":      {git: "topic", branch: "topic"},
		"a branch given":         {git: "topic", given: source{Branch: "main"}, branch: "main"},
		"GitHub, a push":         {env: map[string]string{"GITHUB_REF": "refs/heads/feature/a", "GITHUB_REF_NAME": "feature/a"}, branch: "feature/a"},
		"GitHub, a pull request": {env: map[string]string{"GITHUB_REF": "refs/pull/7/merge", "GITHUB_HEAD_REF": "topic", "GITHUB_BASE_REF": "main"}, branch: "topic", pull: "7"},
		"GitHub, a tag":          {env: map[string]string{"GITHUB_REF": "refs/tags/v1"}, branch: "refs/tags/v1"},
		"Azure, a push":          {env: map[string]string{"BUILD_SOURCEBRANCH": "refs/heads/main", "BUILD_SOURCEBRANCHNAME": "main"}, branch: "main"},
		"Azure, a pull request": {env: map[string]string{"BUILD_SOURCEBRANCH": "refs/pull/12/merge", "SYSTEM_PULLREQUEST_PULLREQUESTNUMBER": "12",
			"SYSTEM_PULLREQUEST_PULLREQUESTID": "3456", "SYSTEM_PULLREQUEST_SOURCEBRANCH": "refs/heads/topic"}, branch: "topic", pull: "12"},
		"GitLab, a push":            {env: map[string]string{"CI_COMMIT_BRANCH": "main", "CI_COMMIT_REF_NAME": "main"}, branch: "main"},
		"GitLab, a merge request":   {env: map[string]string{"CI_MERGE_REQUEST_IID": "3", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "topic"}, branch: "topic", pull: "3"},
		"GitLab, a tag":             {env: map[string]string{"CI_COMMIT_TAG": "v2", "CI_COMMIT_REF_NAME": "v2"}, branch: "refs/tags/v2"},
		"Jenkins, a pipeline":       {env: map[string]string{"GIT_BRANCH": "origin/main"}, branch: "main"},
		"Jenkins, a multibranch":    {env: map[string]string{"BRANCH_NAME": "main", "GIT_BRANCH": "main"}, branch: "main"},
		"Jenkins, a change request": {env: map[string]string{"BRANCH_NAME": "PR-9", "CHANGE_ID": "9", "CHANGE_BRANCH": "topic"}, branch: "topic", pull: "9"},
		"Bitbucket":                 {env: map[string]string{"BITBUCKET_BRANCH": "topic", "BITBUCKET_PR_ID": "4"}, branch: "topic", pull: "4"},
	} {
		t.Run(name, func(t *testing.T) {
			commit, at := ridgeline.Commit{Branch: test.git}, test.given
			at.strict = true
			if err := at.find(&commit, func(name string) string { return test.env[name] }); err != nil {
				t.Fatal(err)
			}
			if commit.Branch != test.branch || at.PullRequest != test.pull {
				t.Errorf("branch %q, pull request %q; want %q, %q", commit.Branch, at.PullRequest, test.branch, test.pull)
			}
		})
	}
	nowhere := source{strict: true}
	if err := nowhere.find(&ridgeline.Commit{}, func(string) string { return "" }); ridgeline.CodeOf(err) != ridgeline.Invalid {
		t.Errorf("on no branch: %v", err)
	}
	loose := source{}
	if err := loose.find(&ridgeline.Commit{}, func(string) string { return "" }); err != nil {
		t.Errorf("a person's detached checkout: %v", err)
	}
}
