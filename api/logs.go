package api

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/ridgeline-mlops/ridgeline/blob"
)

// log answers with what a task has written: from ?offset= on, its last ?tail=
// bytes, or, of ?q=TEXT, the lines that contain the text, each as
// NUMBER:LINE. It is plain text, and streamed.
func (a *API) log(w http.ResponseWriter, r *http.Request) {
	task, query := r.PathValue("task"), r.URL.Query()
	number := func(name string) int64 {
		n, err := strconv.ParseInt(query.Get(name), 10, 64)
		if err != nil || n < 0 {
			return 0
		}
		return n
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	var text io.Reader
	if tail := number("tail"); tail > 0 {
		end, err := a.Blob.Logs().Tail(r.Context(), task, tail)
		if err != nil {
			http.Error(w, "the log cannot be read", http.StatusInternalServerError)
			a.Log.Error("read log", "task", task, "error", err)
			return
		}
		text = bytes.NewReader(end)
	} else {
		log, err := a.Blob.Logs().Open(r.Context(), task, number("offset"))
		if err != nil {
			http.Error(w, "the log cannot be read", http.StatusInternalServerError)
			a.Log.Error("read log", "task", task, "error", err)
			return
		}
		defer log.Close()
		text = log
	}
	var err error
	if q := query.Get("q"); q != "" {
		err = blob.SearchLines(text, q, func(n int, line string) error {
			_, err := fmt.Fprintf(w, "%d:%s\n", n, line)
			return err
		})
	} else {
		_, err = io.Copy(w, text)
	}
	if err != nil && r.Context().Err() == nil {
		a.Log.Error("send log", "task", task, "error", err)
	}
}
