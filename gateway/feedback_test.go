package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestGateway_feedback(t *testing.T) {
	f := newFixture(t)
	tell := func(method, key, body string) (int, string) {
		t.Helper()
		status, text, _ := send(t, method, f.url+"/feedback", key, strings.NewReader(body))
		return status, text
	}
	for body, want := range map[string]string{
		`{"request_id":"a","label":1.5}`:                                                             "[iris/qa a 0 1.5]",
		`[{"request_id":"a","row":1,"label":"x"},{"request_id":"b","label":null}]`:                   `[iris/qa a 1 "x" iris/qa b 0 null]`,
		"{\"request_id\":\"a\",\"label\":[1]}\n{\"request_id\":\"b\",\"row\":2,\"label\":{\"c\":1}}": `[iris/qa a 0 [1] iris/qa b 2 {"c":1}]`,
	} {
		f.labels = nil
		status, text := tell(http.MethodPost, f.key, body)
		var got []string
		for _, l := range f.labels {
			got = append(got, fmt.Sprintf("%s/%s %s %d %s", l.Project, l.Environment, l.Request, l.Row, l.Label))
			if l.At.IsZero() || l.Received.IsZero() {
				t.Errorf("%s: without a time: %+v", body, l)
			}
		}
		if status != 200 || fmt.Sprint(got) != want || text != fmt.Sprintf("{\"accepted\":%d}\n", len(got)) {
			t.Errorf("%s: %d %s, kept %v, want %s", body, status, text, got, want)
		}
	}
	f.labels = nil
	if status, _ := tell(http.MethodPost, f.key, `{"request_id":"a","label":1,"at":"2026-03-01T12:00:00+01:00"}`); status != 200 || f.labels[0].At.Format("15:04") != "11:00" {
		t.Errorf("at: %d, %+v", status, f.labels)
	}
	f.labels = nil
	for body, says := range map[string]string{
		"":                                      "0 labels",
		"[]":                                    "0 labels",
		`{"request_id":"a"}`:                    "label of request a",
		`{"label":1}`:                           "request_id",
		`{"request_id":"a","label":1,"rwo":3}`:  "rwo",
		`{"request_id":"a","label":1,"row":-1}`: "counted from 0",
		`{"request_id":"a","label":1} {`:        "label 2",
		`[{"request_id":"a","label":1}]]`:       "label 2",
		`nonsense`:                              "label 1",
		"[" + strings.Repeat(`{"request_id":"a","label":1},`, 10_000) + `{"request_id":"a","label":1}]`: "10001 labels",
	} {
		if status, text := tell(http.MethodPost, f.key, body); status != 422 || !strings.Contains(text, says) {
			t.Errorf("%.60s: %d %s, want 422 with %q", body, status, text, says)
		}
	}
	if status, _ := tell(http.MethodPost, "wrong", `{"request_id":"a","label":1}`); status != 401 {
		t.Errorf("with a wrong key: %d", status)
	}
	if status, _ := tell(http.MethodGet, f.key, ""); status != 405 {
		t.Errorf("GET: %d", status)
	}
	if status, _ := tell(http.MethodPost, f.key, strings.Repeat(" ", 11<<20)); status != 413 {
		t.Errorf("too large: %d", status)
	}
	if len(f.labels) != 0 {
		t.Errorf("kept of what was refused: %v", f.labels)
	}
	f.broken = ridgeline.Errorf(ridgeline.Unavailable, "away")
	if status, _ := tell(http.MethodPost, f.key, `{"request_id":"a","label":1}`); status != 503 {
		t.Errorf("the store is away: %d", status)
	}
}
