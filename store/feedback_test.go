package store

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

func testFeedback(t *testing.T, s *Store) {
	ctx := t.Context()
	p := must(s.EnsureProject(ctx, "wine", at(0)))(t).Name
	label := func(request string, row int, value string, known, received int) ridgeline.Feedback {
		return ridgeline.Feedback{Project: p, Environment: "qa", Request: request, Row: row, Label: json.RawMessage(value), At: at(known), Received: at(received)}
	}
	all := func(environment string, since time.Time) (list []ridgeline.Feedback) {
		t.Helper()
		ok(t, s.Feedback(ctx, p, environment, since, func(f ridgeline.Feedback) error { list = append(list, f); return nil }))
		return list
	}
	a, b := label("a", 0, `1.5`, 1, 10), label("a", 1, `"gut é"`, 1, 11)
	ok(t, s.SaveFeedback(ctx, []ridgeline.Feedback{a, b}))
	ok(t, s.SaveFeedback(ctx, []ridgeline.Feedback{a, b})) // twice is once
	same(t, all("qa", at(0)), []ridgeline.Feedback{a, b})
	same(t, all("", at(11)), []ridgeline.Feedback{b})
	same(t, len(all("production", at(0))), 0)

	newer, older := label("a", 0, `{"x":[1,null]}`, 5, 12), label("a", 0, `0`, 0, 13)
	ok(t, s.SaveFeedback(ctx, []ridgeline.Feedback{newer, older}))
	same(t, all("qa", at(0)), []ridgeline.Feedback{b, newer})

	for says, wrong := range map[string]ridgeline.Feedback{
		"request_id":   label("", 0, `1`, 1, 1),
		"rows are":     label("x", -1, `1`, 1, 1),
		"a JSON value": label("x", 0, `nope`, 1, 1),
		"65536":        label("x", 0, `"`+strings.Repeat("x", 70_000)+`"`, 1, 1),
	} {
		err := s.SaveFeedback(ctx, []ridgeline.Feedback{label("fine", 0, `1`, 1, 20), wrong})
		if ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want Invalid with %q", err, says)
		}
	}
	same(t, len(all("", at(0))), 2) // nothing of what was refused is kept

	ok(t, s.ForgetFeedback(ctx, p, at(12)))
	same(t, all("", at(0)), []ridgeline.Feedback{newer})
}
