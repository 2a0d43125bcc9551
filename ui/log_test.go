package ui

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// What a box shows and what its stream sends afterwards are the log, each line
// once.
func TestLog(t *testing.T) {
	s := open(t).signIn("managing")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	logs := s.ui.Blob.Logs()
	ok(t, logs.Append(ctx, "run-1-train-1", 0, []byte("one\r\ntwo <b>\nthr")))
	box, err := s.ui.logBox(ctx, "run-1-train-1", "train", true)
	ok(t, err)
	if !slices.Equal(box.Lines, []string{"one", "two <b>"}) {
		t.Errorf("%q", box.Lines)
	}
	ended, err := s.ui.logBox(ctx, "run-1-train-1", "train", false)
	ok(t, err)
	if !slices.Equal(ended.Lines, []string{"one", "two <b>", "thr"}) || ended.Stream != "" {
		t.Errorf("%q %q", ended.Lines, ended.Stream)
	}
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.url+box.Stream, nil)
	res, err := s.Do(r)
	ok(t, err)
	defer res.Body.Close()
	ok(t, logs.Append(ctx, "run-1-train-1", 16, []byte("ee\nfour\n")))
	var got []string
	for in := bufio.NewScanner(res.Body); len(got) < 2 && in.Scan(); {
		if data, found := strings.CutPrefix(in.Text(), "data: "); found {
			var lines []string
			ok(t, json.Unmarshal([]byte(data), &lines))
			got = append(got, lines...)
		}
	}
	if !slices.Equal(got, []string{"three", "four"}) {
		t.Errorf("%q", got)
	}
}
