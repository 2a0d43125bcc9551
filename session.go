package ridgeline

import "time"

// A Session stands for a token in a browser, which is not to be given the
// token itself. It opens what the token opens, and no longer than the token
// does.
type Session struct {
	Hash       string // sha256 of the session's own secret, 64 hex digits
	Credential string // sha256 of the token that it stands for
	Once       bool   // it is a link to sign in with: good for one session
	Created    time.Time
	Expires    time.Time
	Ended      time.Time // zero: valid; signed out, or the link was used
}

// Check refuses a session that is over.
func (s Session) Check(now time.Time) error {
	switch {
	case s.Once && !s.Ended.IsZero():
		return Errorf(Denied, "this link was used already: ridgeline sign-in prints another one")
	case s.Once && !now.Before(s.Expires):
		return Errorf(Denied, "this link has expired: ridgeline sign-in prints another one")
	case !s.Ended.IsZero() || !now.Before(s.Expires):
		return Errorf(Denied, "this session is over: sign in again")
	}
	return nil
}
