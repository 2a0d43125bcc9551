package auth

import (
	"crypto/rand"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// NewToken makes a token and its secret, which nothing but the answer to whoever
// asked for it will ever hold. It is valid for so many days, 0 for ever, once it
// is stored.
func NewToken(name string, role ridgeline.Role, days float64, now time.Time) (t ridgeline.Token, secret string, err error) {
	id, err := ridgeline.NewID("t", now, rand.Read)
	if err != nil {
		return t, "", err
	}
	secret = NewSecret()
	t = ridgeline.Token{ID: ridgeline.TokenID(id), Name: name, Role: role, Hash: Hash(secret), Created: now}
	if days > 0 {
		t.Expires = now.Add(time.Duration(days * 24 * float64(time.Hour)))
	}
	return t, secret, nil
}
