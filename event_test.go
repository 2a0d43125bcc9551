package ridgeline

import (
	"slices"
	"strings"
	"testing"
)

func TestSubscription_Check(t *testing.T) {
	for url, want := range map[string]string{
		"https://example.com/hook?key=1": "", "http://10.0.0.7:8080": "",
		"example.com": "such as https", "ftp://example.com/": "such as https", "https:///x": "such as https",
		"https://ann:secret@example.com/": "user name", "https://example.com/#a": "behind the #",
	} {
		err := Subscription{URL: url}.Check()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", url, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the message repeats the password: %v", url, err)
		}
	}
	err := Subscription{URL: "https://example.com", Types: []string{"dev.ridgeline.run.*", "dev.ridgeline.rum.*"}}.Check()
	if CodeOf(err) != Invalid || !strings.Contains(err.Error(), `"dev.ridgeline.rum.*"`) {
		t.Error(err)
	}
	if err := (Subscription{URL: "https://example.com", Types: []string{"["}}).Check(); CodeOf(err) != Invalid {
		t.Error(err)
	}
}

func TestSubscription_Wants(t *testing.T) {
	e := Event{Type: StatusEvent("run", Failed), Project: "iris"}
	for _, c := range []struct {
		sub  Subscription
		want bool
	}{
		{Subscription{}, true},
		{Subscription{Project: "iris"}, true},
		{Subscription{Project: "other"}, false},
		{Subscription{Types: []string{"dev.ridgeline.build.*", "dev.ridgeline.run.failed"}}, true},
		{Subscription{Types: []string{"dev.ridgeline.run.succeeded"}}, false},
		{Subscription{Types: []string{"*"}}, true},
	} {
		if got := c.sub.Wants(e); got != c.want {
			t.Errorf("%+v: got %v", c.sub, got)
		}
	}
}

func TestEventTypes(t *testing.T) {
	all := EventTypes()
	if !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Error("not sorted, or not unique")
	}
	for _, want := range []string{"dev.ridgeline.run.started", "dev.ridgeline.release.waiting", "dev.ridgeline.build.failed"} {
		if !slices.Contains(all, want) {
			t.Errorf("no %s in %v", want, all)
		}
	}
}
