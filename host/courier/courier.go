// Package courier takes a task to a machine that shares no disk with the
// server, and its results back: Desk is the server's side, Run the side of the
// task's own container.
//
// Where that container runs is the business of the host that asked for it;
// what a task works on, that of the host's caller.
package courier

import (
	"net/http"
	"net/url"

	"github.com/ridgeline-mlops/ridgeline/host"
)

// An Errand is all that the container has to know. It holds secrets.
type Errand struct {
	Task   host.Task `json:"task"`
	Server string    `json:"server"` // URL of the server that the Desk belongs to
	Token  string    `json:"token"`  // opens this task's routes there, and nothing else
	MaxLog int64     `json:"max_log"`
}

// The folders of a task's container. All below Work is its own and writable.
const (
	Work   = "/work"
	Source = Work + "/src" // a copy of the image's code: the working folder
	Out    = Work + "/out"
	Home   = Work + "/home"
	Data   = Work + "/data"
	In     = Work + "/in"
)

// Pattern is where a Desk is mounted, for http.ServeMux.
const Pattern = "/api/v1/tasks/{task}/{what}"

// The last parts of that path, and their methods.
const (
	partFetch = "content" // GET ?digest=: one of Task.Fetch
	partLog   = "log"     // POST ?offset=: what the command has written from there on
	partKept  = "kept"    // PUT: Task.Keep as a tar archive
	partUsed  = "used"    // PUT: what it has used up to now, a host.Measure
	partEnd   = "end"     // PUT: how it ended, an End
)

// url of a part of the errand's task.
func (e Errand) url(part string) string {
	return e.Server + "/api/v1/tasks/" + url.PathEscape(e.Task.Name) + "/" + part
}

// size is what the Desk answers to a log: how much of it is there. With
// status http.StatusConflict the container goes on from there.
type size struct {
	Size int64 `json:"size"`
}

// gone is the status that says that nobody wants the task any more.
const gone = http.StatusGone
