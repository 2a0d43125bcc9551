package auth

import (
	"crypto/subtle"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// taskSecret is the start of the token with which a task's container fetches
// what it works on and brings back what it has made.
const taskSecret = Secret + "task_"

// TaskToken makes the token of the container of one task, which opens that
// task's files and nothing else, until it expires.
func (a *Authenticator) TaskToken(task string, expires time.Time) string {
	claims := fmt.Sprintf("%s.%d", task, expires.Unix())
	return taskSecret + claims + "." + a.seal("task", claims)
}

// Task says whose files a token opens.
func (a *Authenticator) Task(secret string, now time.Time) (string, error) {
	claims, seal, _ := cutLast(strings.TrimPrefix(secret, taskSecret), ".")
	if !strings.HasPrefix(secret, taskSecret) || subtle.ConstantTimeCompare([]byte(seal), []byte(a.seal("task", claims))) != 1 {
		return "", ridgeline.Errorf(ridgeline.Denied, "this is no token for the files of a task of this server")
	}
	task, until, _ := cutLast(claims, ".")
	expires, err := strconv.ParseInt(until, 10, 64)
	if err != nil || now.Unix() >= expires {
		return "", ridgeline.Errorf(ridgeline.Denied, "the token for the files of task %s has expired", task)
	}
	return task, nil
}
