package api

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// What a search looks at and tells of one line, in bytes.
const (
	searched = 1 << 20
	told     = 4 << 10
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
		err = search(w, text, q)
	} else {
		_, err = io.Copy(w, text)
	}
	if err != nil && r.Context().Err() == nil {
		a.Log.Error("send log", "task", task, "error", err)
	}
}

// search writes the lines of r that contain the text, with their numbers from
// 1. However long the log or a line of it, it holds little: of a line, the
// first MiB is looked at and 4 KiB are told.
func search(w io.Writer, r io.Reader, text string) error {
	in, wanted := bufio.NewReaderSize(r, searched), []byte(text)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		if bytes.Contains(line, wanted) {
			shown := strings.ToValidUTF8(string(bytes.TrimRight(line[:min(len(line), told)], "\r\n")), "\uFFFD")
			if _, err := fmt.Fprintf(w, "%d:%s\n", n, shown); err != nil {
				return err
			}
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}
