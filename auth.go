package ridgeline

import "time"

// Role is what a principal may do; each includes the one before it.
type Role string

// The roles.
const (
	Viewer Role = "viewer" // read
	Writer Role = "writer" // push, train, release
	Admin  Role = "admin"  // tokens, keys
)

// Allows reports whether a principal with role r may do what needs role need.
func (r Role) Allows(need Role) bool {
	rank := map[Role]int{Viewer: 1, Writer: 2, Admin: 3}
	return rank[r] > 0 && rank[r] >= rank[need]
}

// A Token lets a principal in. The store keeps only the hash of its secret.
type Token struct {
	ID      TokenID
	Name    string
	Role    Role
	Project ProjectName // all that it opens; empty: every project
	Hash    string      // sha256 of the secret, 64 hex digits
	Created time.Time
	Expires time.Time // zero: never
	Revoked time.Time // zero: valid
}
