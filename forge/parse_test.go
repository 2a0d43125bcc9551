package forge

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

const newHash = "5f9c1e0b7a4d4c0e9b1a2f3e4d5c6b7a8f9e0d1c"

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestParse(t *testing.T) {
	pushed := []change{{event: push, branch: "main", ref: "refs/heads/main", hash: newHash}}
	pulled := func(number, ref, hash string) []change {
		return []change{{event: pullRequest, branch: "topic/ridge", number: number, ref: ref, hash: hash}}
	}
	forked := pulled("7", "refs/pull/7/head", newHash)
	forked[0].fork = true
	at := func(hour, minute, second int) time.Time {
		return time.Date(2026, 11, 23, hour, minute, second, 0, time.UTC)
	}
	for name, want := range map[string]struct {
		forge  ridgeline.Forge
		header http.Header
		payload
	}{
		"github-push":         {ridgeline.GitHub, header("X-GitHub-Event", "push"), payload{changes: pushed, at: at(9, 0, 0), name: "acme/iris", host: "github.com"}},
		"github-push-tag":     {ridgeline.GitHub, header("X-GitHub-Event", "push"), payload{why: "refs/tags/v1 is no branch", at: at(9, 0, 0), name: "acme/iris", host: "github.com"}},
		"github-push-deleted": {ridgeline.GitHub, header("X-GitHub-Event", "push"), payload{why: "branch topic was deleted", at: at(9, 0, 0), name: "acme/iris", host: "github.com"}},
		"github-ping":         {ridgeline.GitHub, header("X-GitHub-Event", "ping"), payload{why: "event ping starts nothing"}},
		"github-pull":         {ridgeline.GitHub, header("X-GitHub-Event", "pull_request"), payload{changes: pulled("7", "refs/pull/7/head", newHash), at: at(9, 20, 0), name: "acme/iris", host: "github.com"}},
		"github-pull-fork":    {ridgeline.GitHub, header("X-GitHub-Event", "pull_request"), payload{changes: forked, at: at(9, 20, 0), name: "acme/iris", host: "github.com"}},
		"github-pull-closed":  {ridgeline.GitHub, header("X-GitHub-Event", "pull_request"), payload{why: "pull request 7 was closed"}},
		"gitlab-push":         {ridgeline.GitLab, header("X-Gitlab-Event", "Push Hook"), payload{changes: pushed, name: "acme/ml/iris", host: "gitlab.com"}},
		"gitlab-merge":        {ridgeline.GitLab, header("X-Gitlab-Event", "Merge Request Hook"), payload{changes: pulled("16", "refs/merge-requests/16/head", newHash), name: "acme/ml/iris", host: "gitlab.com"}},
		"gitlab-merge-labelled": {
			ridgeline.GitLab, header("X-Gitlab-Event", "Merge Request Hook"),
			payload{why: "merge request 16: update brings no commit"},
		},
		"azure-push": {ridgeline.AzureDevOps, nil, payload{
			changes: pushed, why: "branch gone was deleted", at: at(9, 20, 1).Add(537915300), id: "278d5cd2-584d-4b63-824a-2ba458937249", name: "acme/ml/_git/iris", host: "dev.azure.com",
		}},
		"azure-pull": {ridgeline.AzureDevOps, nil, payload{
			changes: pulled("42", "refs/heads/topic/ridge", newHash), at: at(9, 20, 1).Add(537915300), id: "278d5cd2-584d-4b63-824a-2ba458937249", name: "acme/ml/_git/iris", host: "dev.azure.com",
		}},
		"gitea-push":        {ridgeline.Gitea, header("X-Gitea-Event", "push"), payload{changes: pushed, name: "acme/iris", host: "git.example.com"}},
		"gitea-pull":        {ridgeline.Gitea, header("X-Forgejo-Event", "pull_request"), payload{changes: pulled("3", "refs/pull/3/head", newHash), at: at(9, 20, 0), name: "acme/iris", host: "git.example.com"}},
		"bitbucket-push":    {ridgeline.Bitbucket, header("X-Event-Key", "repo:push"), payload{changes: pushed, why: "tag v1 is no branch", name: "acme/iris", host: "bitbucket.org"}},
		"bitbucket-pull":    {ridgeline.Bitbucket, header("X-Event-Key", "pullrequest:updated"), payload{changes: pulled("5", "refs/heads/topic/ridge", newHash[:12]), at: at(9, 20, 0).Add(532546000), name: "acme/iris", host: "bitbucket.org"}},
		"bitbucket-dc-push": {ridgeline.Bitbucket, header("X-Event-Key", "repo:refs_changed"), payload{changes: pushed, why: "branch gone was deleted", at: at(9, 20, 0)}},
		"bitbucket-dc-pull": {ridgeline.Bitbucket, header("X-Event-Key", "pr:from_ref_updated"), payload{changes: pulled("2", "refs/pull-requests/2/from", newHash), at: at(9, 20, 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parse(want.forge, want.header, fixture(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if !got.at.Equal(want.at) {
				t.Errorf("at %v, expected %v", got.at, want.at)
			}
			got.at, want.at = time.Time{}, time.Time{}
			if !reflect.DeepEqual(got, want.payload) {
				t.Errorf("got  %+v\nwant %+v", got, want.payload)
			}
		})
	}
	all, err := filepath.Glob("testdata/*.json")
	if err != nil || len(all) != 18 {
		t.Errorf("%d payloads in testdata, %v: this table reads 18", len(all), err)
	}
}

func TestParse_refuses(t *testing.T) {
	headers := map[ridgeline.Forge]http.Header{
		ridgeline.GitHub: header("X-GitHub-Event", "push"), ridgeline.Gitea: header("X-Gitea-Event", "push"), ridgeline.GitLab: nil,
		ridgeline.AzureDevOps: nil, ridgeline.Bitbucket: header("X-Event-Key", "repo:push"),
	}
	for f, h := range headers {
		for _, body := range []string{"", "[]", `"text"`, "{", `{"ref": 7, "object_kind": 7, "eventType": 7, "push": 7}`} {
			if _, err := parse(f, h, []byte(body)); ridgeline.CodeOf(err) != ridgeline.Invalid {
				t.Errorf("%s: %q: got %v", f, body, err)
			}
		}
	}
	for _, f := range []ridgeline.Forge{ridgeline.GitHub, ridgeline.Gitea, ridgeline.Bitbucket} {
		if _, err := parse(f, http.Header{}, []byte("{}")); ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("%s without an event: got %v", f, err)
		}
	}
	for _, body := range []string{
		`{"ref": "refs/heads/main", "after": "--upload-pack=touch /tmp/x"}`,
		`{"ref": "refs/heads/main", "after": "main"}`,
		`{"ref": "refs/heads/a:refs/heads/b", "after": "` + newHash + `"}`,
		`{"ref": "refs/heads/a\nb", "after": "` + newHash + `"}`,
	} {
		if _, err := parse(ridgeline.GitHub, headers[ridgeline.GitHub], []byte(body)); ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("%s: got %v", body, err)
		}
	}
}

func TestVerify(t *testing.T) {
	now := time.Unix(1614265330, 0)
	basic := func(password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte("ridgeline:"+password))
	}
	// The first is the example in GitHub's documentation, the GitLab one that of
	// the Standard Webhooks libraries.
	const everybody, world = "It's a Secret to Everybody", "Hello, World!"
	const signature = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	const standard, message = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", `{"test": 2432232314}`
	stamped := func(at, signature string) http.Header {
		return header("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp", at, "webhook-signature", signature)
	}
	const right = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	for name, try := range map[string]struct {
		forge        ridgeline.Forge
		secret, body string
		header       http.Header
		refused      string
	}{
		"github":                          {ridgeline.GitHub, everybody, world, header("X-Hub-Signature-256", "sha256="+signature), ""},
		"github, another body":            {ridgeline.GitHub, everybody, world + " ", header("X-Hub-Signature-256", "sha256="+signature), "signature is wrong"},
		"github, another secret":          {ridgeline.GitHub, everybody + "!", world, header("X-Hub-Signature-256", "sha256="+signature), "signature is wrong"},
		"github, the old signature":       {ridgeline.GitHub, everybody, world, header("X-Hub-Signature", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59"), "not signed"},
		"github, no prefix":               {ridgeline.GitHub, everybody, world, header("X-Hub-Signature-256", signature), "malformed"},
		"github, half a signature":        {ridgeline.GitHub, everybody, world, header("X-Hub-Signature-256", "sha256="+signature[:32]), "signature is wrong"},
		"github, an empty signature":      {ridgeline.GitHub, everybody, world, header("X-Hub-Signature-256", "sha256="), "signature is wrong"},
		"gitea":                           {ridgeline.Gitea, everybody, world, header("X-Gitea-Signature", signature), ""},
		"forgejo":                         {ridgeline.Gitea, everybody, world, header("X-Forgejo-Signature", signature), ""},
		"gitea, unsigned":                 {ridgeline.Gitea, everybody, world, header("X-Gitea-Event", "push"), "not signed"},
		"gitea, wrong":                    {ridgeline.Gitea, everybody, world, header("X-Gitea-Signature", strings.Repeat("0", 64)), "signature is wrong"},
		"bitbucket":                       {ridgeline.Bitbucket, everybody, world, header("X-Hub-Signature", "sha256="+signature), ""},
		"bitbucket, wrong":                {ridgeline.Bitbucket, everybody, "", header("X-Hub-Signature", "sha256="+signature), "signature is wrong"},
		"gitlab, token":                   {ridgeline.GitLab, everybody, world, header("X-Gitlab-Token", everybody), ""},
		"gitlab, wrong token":             {ridgeline.GitLab, everybody, world, header("X-Gitlab-Token", "it's a secret to everybody"), "not the secret"},
		"gitlab, nothing":                 {ridgeline.GitLab, everybody, world, http.Header{}, "neither a signature nor"},
		"gitlab, signed":                  {ridgeline.GitLab, standard, message, stamped("1614265330", right), ""},
		"gitlab, signed twice":            {ridgeline.GitLab, standard, message, stamped("1614265330", "v1,AAAA v1a,BBBB "+right), ""},
		"gitlab, signed for another time": {ridgeline.GitLab, standard, message, stamped("1614265331", right), "signature is wrong"},
		"gitlab, signed another body":     {ridgeline.GitLab, standard, message + " ", stamped("1614265330", right), "signature is wrong"},
		"gitlab, signed without a time":   {ridgeline.GitLab, standard, message, stamped("", right), "webhook-timestamp"},
		"gitlab, signed by another way":   {ridgeline.GitLab, standard, message, stamped("1614265330", strings.Replace(right, "v1,", "v2,", 1)), "signature is wrong"},
		"gitlab, signed, but no token is stored": {
			ridgeline.GitLab, everybody, message, stamped("1614265330", right), "the secret here is none",
		},
		"azure":                    {ridgeline.AzureDevOps, everybody, world, header("Authorization", basic(everybody)), ""},
		"azure, wrong password":    {ridgeline.AzureDevOps, everybody, world, header("Authorization", basic("guess")), "not the secret"},
		"azure, no password":       {ridgeline.AzureDevOps, everybody, world, http.Header{}, "no basic authentication"},
		"a forge that there isn't": {"sourceforge", everybody, world, http.Header{}, "unknown forge"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := verify(try.forge, []byte(try.secret), try.header, []byte(try.body), now)
			switch {
			case try.refused == "" && (err != nil || v.digest == ""):
				t.Errorf("got %+v, %v", v, err)
			case try.refused != "" && (err == nil || !strings.Contains(err.Error(), try.refused)):
				t.Errorf("got %v, expected %q", err, try.refused)
			case err != nil && strings.Contains(err.Error(), try.secret):
				t.Errorf("the secret is in the error: %v", err)
			}
		})
	}
	t.Run("gitlab, signed long ago", func(t *testing.T) {
		for _, at := range []time.Time{now.Add(clockSkew + time.Second), now.Add(-clockSkew - time.Second)} {
			_, err := verify(ridgeline.GitLab, []byte(standard), stamped("1614265330", right), []byte(message), at)
			if err == nil || !strings.Contains(err.Error(), "replay") {
				t.Errorf("at %v: %v", at, err)
			}
		}
	})
}
