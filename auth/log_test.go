package auth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestAuthenticator_LogToken(t *testing.T) {
	a, other := open(t, t.TempDir(), "", tokens{}), open(t, t.TempDir(), "", tokens{})
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	token := a.LogToken("d-1", now.Add(time.Hour))
	if id, err := a.LogDeployment(token, now); id != "d-1" || err != nil {
		t.Errorf("got %q, %v", id, err)
	}
	if _, err := a.Principal(t.Context(), token, now); ridgeline.CodeOf(err) != ridgeline.Denied {
		t.Errorf("it opens the API: %v", err)
	}
	for name, wrong := range map[string]string{
		"another deployment": strings.Replace(token, "d-1", "d-2", 1), "another server's": other.LogToken("d-1", now.Add(time.Hour)),
		"expired": a.LogToken("d-1", now), "a run's": a.RunToken("d-1", "wine", now.Add(time.Hour)), "none": "", "half": token[:len(token)-3],
	} {
		if id, err := a.LogDeployment(wrong, now); ridgeline.CodeOf(err) != ridgeline.Denied {
			t.Errorf("%s: %q, %v; want Denied", name, id, err)
		}
	}
}
