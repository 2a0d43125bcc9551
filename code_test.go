package ridgeline_test

import (
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestRemote_Check(t *testing.T) {
	const key = "v1:sealed"
	for address, want := range map[string]struct{ key, says string }{
		"https://github.com/acme/iris":              {},
		"https://github.com/acme/iris.git":          {},
		"http://git.internal:3000/acme/iris.git":    {},
		"https://dev.azure.com/acme/ml/_git/iris":   {},
		"git@github.com:acme/iris.git":              {key: key},
		"git@ssh.dev.azure.com:v3/acme/ml/iris":     {key: key},
		"ssh://git@git.internal:2222/acme/iris.git": {key: key},
		"git@gitlab.com:acme/iris.git":              {says: "deploy key"},
		"ssh://git@git.internal/acme/iris.git":      {says: "deploy key"},
		"https://gitlab.com/acme/iris":              {key: key, says: "cannot open it"},
		"https://bot:hunter2@github.com/acme/iris":  {says: "leave them out"},
		"https://hunter2@github.com/acme/iris":      {says: "leave them out"},
		"ssh://git:hunter2@git.internal/acme/iris":  {key: key, says: "leave it out"},
		"file:///etc":                  {says: "expected https://"},
		"/etc/passwd":                  {says: "expected https://"},
		"ext::sh -c touch% /tmp/x":     {says: "expected https://"},
		"--upload-pack=touch /tmp/x":   {says: "expected https://"},
		"ssh://-oProxyCommand=touch/x": {key: key, says: "expected https://"},
		"-oProxyCommand@host:x":        {key: key, says: "expected https://"},
		"git://git.internal/acme/iris": {says: "expected https://"},
		"https://github.com/":          {says: "expected https://"},
		"https:///acme/iris":           {says: "expected https://"},
		"":                             {says: "expected https://"},
	} {
		r := ridgeline.Remote{Name: "hub", Forge: ridgeline.GitHub, URL: address, Key: want.key}
		err := r.Check()
		switch {
		case want.says == "" && err != nil:
			t.Errorf("%s: %v", address, err)
		case want.says != "" && (ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), want.says)):
			t.Errorf("%s: got %v, expected %q", address, err, want.says)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: the secret is in the error: %v", address, err)
		}
	}
	for _, r := range []ridgeline.Remote{
		{Name: "Hub!", Forge: ridgeline.GitHub, URL: "https://github.com/acme/iris"},
		{Name: "hub", Forge: "sourceforge", URL: "https://github.com/acme/iris"},
		{Name: "hub", Forge: ridgeline.Gitea, URL: "https://github.com/acme/iris", API: "gitea.internal"},
		{Name: "hub", Forge: ridgeline.Gitea, URL: "https://github.com/acme/iris", API: "https://bot:hunter2@gitea.internal"},
	} {
		if err := r.Check(); ridgeline.CodeOf(err) != ridgeline.Invalid || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: got %v", r, err)
		}
	}
}

func TestRemote_Repository(t *testing.T) {
	for address, want := range map[string][2]string{
		"https://github.com/acme/iris.git":          {"github.com", "acme/iris"},
		"https://dev.azure.com/acme/ml/_git/iris":   {"dev.azure.com", "acme/ml/_git/iris"},
		"git@gitlab.com:acme/group/iris.git":        {"gitlab.com", "acme/group/iris"},
		"ssh://git@git.internal:2222/acme/iris.git": {"git.internal", "acme/iris"},
		"http://127.0.0.1:3000/acme/iris/":          {"127.0.0.1", "acme/iris"},
	} {
		host, name := ridgeline.Remote{URL: address}.Repository()
		if host != want[0] || name != want[1] {
			t.Errorf("%s: got %s %s", address, host, name)
		}
	}
}
