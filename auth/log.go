package auth

import (
	"crypto/subtle"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// logSecret is the start of the token with which a scorer brings its inference
// log. What follows is whose it is, and a seal over that.
const logSecret = Secret + "log_"

// LogToken makes the token with which the scorers of a deployment may bring
// their inference log, and nothing else, until it expires.
func (a *Authenticator) LogToken(id ridgeline.DeploymentID, expires time.Time) string {
	claims := fmt.Sprintf("%s.%d", id, expires.Unix())
	return logSecret + claims + "." + a.seal("log", claims)
}

// LogDeployment says whose inference log a token lets in.
func (a *Authenticator) LogDeployment(secret string, now time.Time) (ridgeline.DeploymentID, error) {
	claims, seal, _ := cutLast(strings.TrimPrefix(secret, logSecret), ".")
	if !strings.HasPrefix(secret, logSecret) || subtle.ConstantTimeCompare([]byte(seal), []byte(a.seal("log", claims))) != 1 {
		return "", ridgeline.Errorf(ridgeline.Denied, "this is no token for an inference log of this server (RIDGELINE_LOG_TOKEN)")
	}
	id, until, _ := cutLast(claims, ".")
	expires, err := strconv.ParseInt(until, 10, 64)
	if err != nil || now.Unix() >= expires {
		return "", ridgeline.Errorf(ridgeline.Denied, "the token for the inference log of %s has expired: make another one", id)
	}
	return ridgeline.DeploymentID(id), nil
}
