package auth

import (
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestRunToken(t *testing.T) {
	dir := t.TempDir()
	a, err := New(dir, dir, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	token := a.RunToken("r-1", "iris", now.Add(time.Hour))
	p, err := a.Principal(t.Context(), token, now)
	if err != nil || p.Run != "r-1" || p.Project != "iris" || p.Role != ridgeline.Writer {
		t.Fatalf("%+v %v", p, err)
	}
	if a.RunToken("r-1", "iris", now.Add(time.Hour)) != token {
		t.Fatal("the same run and end are not the same token")
	}
	other, err := New(t.TempDir(), t.TempDir(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, forged := range map[string]string{
		"another project":  strings.Replace(token, "iris", "rose", 1),
		"another end":      strings.Replace(token, ".4600.", ".9999.", 1),
		"no seal":          token[:strings.LastIndexByte(token, '.')],
		"another server's": other.RunToken("r-1", "iris", now.Add(time.Hour)),
		"nothing":          runSecret,
	} {
		if _, err := a.Principal(t.Context(), forged, now); ridgeline.CodeOf(err) != ridgeline.Denied {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := a.Principal(t.Context(), token, now.Add(time.Hour)); ridgeline.CodeOf(err) != ridgeline.Denied || !strings.Contains(err.Error(), "expired") {
		t.Error(err)
	}
}
