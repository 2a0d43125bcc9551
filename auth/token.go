package auth

import (
	"crypto/rand"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// NewToken makes a token and its secret, which nothing but the answer to whoever
// asked for it will ever hold. It is valid for so many days, 0 for ever, once it
// is stored. With a project it opens that one alone; an admin's, whose things
// are the whole server's, cannot have one.
func NewToken(name string, role ridgeline.Role, project ridgeline.ProjectName, days float64, now time.Time) (t ridgeline.Token, secret string, err error) {
	if project != "" && role.Allows(ridgeline.Admin) {
		return t, "", ridgeline.Errorf(ridgeline.Invalid, "a token of project %s is a viewer or a writer; what an admin does is about the whole server: leave the project or take another role", project)
	}
	id, err := ridgeline.NewID("t", now, rand.Read)
	if err != nil {
		return t, "", err
	}
	secret = NewSecret()
	t = ridgeline.Token{ID: ridgeline.TokenID(id), Name: name, Role: role, Project: project, Hash: Hash(secret), Created: now}
	if days > 0 {
		t.Expires = now.Add(time.Duration(days * 24 * float64(time.Hour)))
	}
	return t, secret, nil
}
