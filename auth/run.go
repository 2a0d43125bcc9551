package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// runSecret is the start of a run's token. What follows is what it is for, and
// a seal over that: nothing has to be kept to know it again.
const runSecret = Secret + "run_"

// RunToken makes the token of a run's steps: it lets them track what they do,
// until it expires.
func (a *Authenticator) RunToken(run ridgeline.RunID, project ridgeline.ProjectName, expires time.Time) string {
	claims := fmt.Sprintf("%s.%s.%d", project, run, expires.Unix())
	return runSecret + claims + "." + a.seal("run", claims)
}

// seal proves that claims of a kind were made by this server.
func (a *Authenticator) seal(kind, claims string) string {
	mac := hmac.New(sha256.New, a.secret)
	fmt.Fprintf(mac, "%s token\x00%s", kind, claims)
	return encode(mac.Sum(nil)[:20])
}

func (a *Authenticator) runPrincipal(secret string, now time.Time) (Principal, error) {
	claims, seal, _ := cutLast(strings.TrimPrefix(secret, runSecret), ".")
	if subtle.ConstantTimeCompare([]byte(seal), []byte(a.seal("run", claims))) != 1 {
		return Principal{}, ridgeline.Errorf(ridgeline.Denied, "this token of a run was not made by this server: a step gets its own in MLFLOW_TRACKING_TOKEN")
	}
	parts := strings.Split(claims, ".")
	if len(parts) != 3 {
		return Principal{}, ridgeline.Errorf(ridgeline.Denied, "this token of a run is of a form that this server does not know")
	}
	expires, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || now.Unix() >= expires {
		return Principal{}, ridgeline.Errorf(ridgeline.Denied, "the token of run %s has expired: it is good while the step runs", parts[1])
	}
	return Principal{
		Name: "run " + parts[1], Role: ridgeline.Writer, Run: ridgeline.RunID(parts[1]), Project: ridgeline.ProjectName(parts[0]),
	}, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
