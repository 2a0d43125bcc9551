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
	ok(t, logs.Append(ctx, "run-1-train-1", 16, []byte("ee\nfour\n")))
	if got := stream(ctx, t, s, box.Stream, "", 2); !slices.Equal(got, []string{"three", "four"}) {
		t.Errorf("%q", got)
	}
	// The box of a page that is made again has no lines: its stream brings them.
	if got := stream(ctx, t, s, followed("run-1-train-1", "train").Stream, "", 4); !slices.Equal(got, []string{"one", "two <b>", "three", "four"}) {
		t.Errorf("from the end's beginning: %q", got)
	}
	// A browser that comes again gets what it has not had.
	if got := stream(ctx, t, s, box.Stream, "19", 1); !slices.Equal(got, []string{"four"}) {
		t.Errorf("after the third line: %q", got)
	}
}

// stream reads so many lines from a log's stream.
func stream(ctx context.Context, t *testing.T, s *site, address, after string, lines int) (got []string) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+address, nil)
	ok(t, err)
	if after != "" {
		r.Header.Set("Last-Event-ID", after)
	}
	res, err := s.Do(r)
	ok(t, err)
	defer res.Body.Close()
	for in := bufio.NewScanner(res.Body); len(got) < lines && in.Scan(); {
		if data, found := strings.CutPrefix(in.Text(), "data: "); found {
			var some []string
			ok(t, json.Unmarshal([]byte(data), &some))
			got = append(got, some...)
		}
	}
	return got
}
