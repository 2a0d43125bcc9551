package ridgeline

import (
	"encoding/base32"
	"encoding/binary"
	"regexp"
	"strings"
	"time"
)

// The ids. Runs, builds and releases sort by the time they were made.
type (
	ProjectName  string // also a path segment and an image name: see CheckName
	ModelName    string
	BuildID      string // b-…
	RunID        string // r-…
	ReleaseID    string // l-…
	DeploymentID string // d-…: one version placed in one environment
	TokenID      string // t-…
)

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID makes an id that sorts by time: prefix, a dash, then 14 characters of
// Crockford's base32 over a 32-bit second count since 2020 followed by 5
// random bytes. random is called once for those bytes (crypto/rand.Read).
func NewID(prefix string, at time.Time, random func([]byte) (int, error)) (string, error) {
	var b [9]byte
	binary.BigEndian.PutUint32(b[:4], uint32(at.Unix()-1577836800))
	if _, err := random(b[4:]); err != nil {
		return "", err
	}
	return prefix + "-" + strings.ToLower(idEncoding.EncodeToString(b[:]))[:14], nil
}

var nameRE = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// CheckName says whether a name of a project, model, environment, dataset or
// step can be used. Names appear in addresses and image names, so they are
// lower-case letters, digits and single dashes, 2 to 40 characters.
func CheckName(kind, name string) error {
	if len(name) < 2 || len(name) > 40 || !nameRE.MatchString(name) {
		return Errorf(Invalid, "%s name %q: use 2 to 40 lower-case letters, digits and single dashes, starting with a letter", kind, name)
	}
	return nil
}
