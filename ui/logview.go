package ui

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// A logView is a task's log with a search over all of it, and the way to all
// of it.
type logView struct {
	Task   string
	Box    components.Log
	Cut    bool   // the box begins later than the log
	Size   string // of the whole log
	Query  string // what is searched for; empty: nothing is
	Found  []foundLine
	More   bool        // there are more lines found than are shown
	Hidden [][2]string // what else the address of the page says
	Line   components.CLI
}

// A foundLine is a line of the log with its number from 1.
type foundLine struct {
	Number int
	Text   string
}

// mostFound is how many lines a search shows.
const mostFound = 500

var errEnough = errors.New("enough is found")

// viewLog is the log of a task; live says that more may come. The query's q is
// searched for.
func (u *UI) viewLog(ctx context.Context, task, label string, live bool, query url.Values, line components.CLI) (out logView, err error) {
	out = logView{Task: task, Query: query.Get("q"), Line: line}
	if live && query.Has(liveParam) {
		out.Box = followed(task, label)
	} else if out.Box, err = u.logBox(ctx, task, label, live); err != nil {
		return out, err
	}
	size, err := u.Blob.Logs().Size(ctx, task)
	if err != nil {
		return out, err
	}
	out.Size, out.Cut = components.Bytes(size), size > logShown
	if out.Query == "" {
		return out, nil
	}
	out.Line.Line += " --grep " + components.Quote(out.Query)
	log, err := u.Blob.Logs().Open(ctx, task, 0)
	if err != nil {
		return out, err
	}
	defer log.Close()
	err = blob.SearchLines(log, out.Query, func(n int, text string) error {
		if len(out.Found) == mostFound {
			out.More = true
			return errEnough
		}
		out.Found = append(out.Found, foundLine{n, text})
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, err
}

// wholeLog sends all that a task has written, as a file of text.
func (u *UI) wholeLog(w http.ResponseWriter, r *http.Request) {
	r, ok := u.enter(w, r)
	if !ok {
		return
	}
	log, err := u.Blob.Logs().Open(r.Context(), r.PathValue("task"), 0)
	if err != nil {
		u.fail(w, r, err)
		return
	}
	defer log.Close()
	u.download(w, r, r.PathValue("task")+".log", log)
}
