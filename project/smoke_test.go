package project

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestParseSmoke(t *testing.T) {
	text := `[
  {"name": "two", "request": {"data": [[1, 2], [3, 4]], "s": "\ud83d\ude00\/"},
   "expect": {"status": 200, "path": "result", "shape": [2, -1], "values": [1.5, "é"], "tolerance": {"absolute": 1, "relative": "5%"}},
   "max_latency_ms": 12.5},
  {"request": null}
]`
	got, err := ParseSmoke("smoke.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []SmokeCase{
		{Name: "two", Request: []byte(`{"data": [[1, 2], [3, 4]], "s": "\ud83d\ude00\/"}`),
			Expect:     Expect{Status: 200, Path: "result", Shape: []int{2, -1}, Values: []byte(`[1.5, "é"]`), Tolerance: Tolerance{1, 0.05}},
			MaxLatency: 12500 * time.Microsecond},
		{Name: "case 2", Request: []byte("null"), Expect: Expect{Status: 200, Tolerance: Tolerance{Relative: 1e-6}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseSmoke_reports_every_mistake(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"all at once", "{\"requst\": 1,\n \"expect\": {\"status\": 20, \"shape\": 3,\n  \"tolerance\": -1, \"path\": 7},\n \"max_latency_ms\": \"fast\", \"name\": \"é\", \"é\": 1}", []string{
			`s.json:1:1: case 1: request is missing`,
			`s.json:1:2: case 1: unknown key "requst": did you mean request?`,
			`s.json:2:23: case 1.expect.status: expected a whole number from 100 to 599, got "20"`,
			`s.json:2:36: case 1.expect.shape: expected a list of lengths`,
			`s.json:3:16: case 1.expect.tolerance: expected a number, such as 0.1, or a share, such as "5%", got "-1"`,
			`s.json:3:16: case 1.expect.tolerance: there are no values`,
			`s.json:3:28: case 1.expect.path: expected text, got the value 7`,
			`s.json:4:20: case 1.max_latency_ms: expected a number from 0.001 to 3.6e+06, got "fast"`,
			`s.json:4:41: case 1: unknown key "é"`,
		}},
		{"twice", `{"request": 1, "request": 2}`, []string{`s.json:1:16: case 1: "request" stands here twice`}},
		{"empty", " \n", []string{"s.json:1:1: the file is empty"}},
		{"empty list", "[]", []string{"s.json:1:1: expected a case"}},
		{"a number", "7", []string{"s.json:1:1: expected a case"}},
		{"case is a number", `[{"request": 1}, 7]`, []string{"s.json:1:18: case 2: expected a map with name, path, request, expect, max_latency_ms, got \"7\""}},
		{"half a path", `{"path": "invocations", "request": 1}`, []string{`s.json:1:10: case 1.path: expected a path from the endpoint on, such as "/invocations", got "invocations"`}},
		{"cut short", "{\"request\":\n [1, 2", []string{"s.json:2:6: not JSON: unexpected end"}},
		{"comma", "{\n \"request\": 1,}", []string{"s.json:2:15: not JSON: invalid character '}'"}},
		{"NaN", `{"request": NaN}`, []string{"s.json:1:13: not JSON"}},
		{"two values", `{"request": 1} {}`, []string{"s.json:1:16: not JSON"}},
		{"too deep", strings.Repeat("[", 20000), []string{"exceeded max depth"}},
		{"not utf-8", "\xff", []string{"s.json:1:1: this is not UTF-8"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseSmoke("s.json", []byte(tt.text))
			var m *Mistakes
			if !errors.As(err, &m) {
				t.Fatalf("expected *Mistakes, got %v", err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) {
				t.Fatalf("got:\n%s\nwant %d", err, len(tt.want))
			}
			for i := range lines {
				if !strings.Contains(lines[i], tt.want[i]) {
					t.Errorf("got  %s\nwant %s", lines[i], tt.want[i])
				}
			}
		})
	}
}

func TestSmokeCase_Check(t *testing.T) {
	for _, tt := range []struct {
		name, expect, body string
		status             int
		latency            time.Duration
		want               string // empty: sound
	}{
		{"no expectation", `{}`, `anything`, 200, time.Second, ""},
		{"status", `{}`, "no\n such thing", 503, 0, "c: expected status 200, got 503: no such thing"},
		{"status empty", `{}`, "", 500, 0, "c: expected status 200, got 500: an empty body"},
		{"wanted failure", `{"status": 400}`, "no", 400, 0, ""},
		{"slow", `{}`, "{}", 200, 612 * time.Millisecond, "c: expected an answer within 500ms, it took 612ms"},
		{"path and values", `{"path": "result", "values": [1, 2.5], "tolerance": 0.1}`, `{"result": [1.09, 2.41]}`, 200, 0, ""},
		{"one off", `{"path": "result", "values": [1, 2.5], "tolerance": 0.1}`, `{"result": [1.09, 2.61]}`, 200, 0, "c: result.1: expected 2.5 ± 0.1, got 2.61"},
		{"relative", `{"values": 200, "tolerance": "5%"}`, `190`, 200, 0, ""},
		{"relative off", `{"values": 200, "tolerance": "5%"}`, `189`, 200, 0, "c: expected 200 ± 5 %, got 189"},
		{"default tolerance", `{"values": 0.1}`, `0.10000000001`, 200, 0, ""},
		{"exact", `{"values": 0.1, "tolerance": 0}`, `0.10000000001`, 200, 0, "c: expected 0.1 exactly, got 0.10000000001"},
		{"label", `{"path": "result.0", "values": "cat"}`, `{"result": ["dog"]}`, 200, 0, `c: result.0: expected "cat", got "dog"`},
		{"kind", `{"values": [1]}`, `["1"]`, 200, 0, `c: 0: expected 1 ± 0.0001 %, got "1"`},
		{"null", `{"values": [null, true]}`, `[null, false]`, 200, 0, `c: 1: expected true, got false`},
		{"map may have more", `{"values": {"a": {"b": 1}}}`, `{"a": {"b": 1, "c": 2}, "d": 3}`, 200, 0, ""},
		{"map lacks", `{"values": {"a": 1, "b": 2}}`, `{"a": 1}`, 200, 0, `c: expected a key "b", there is none`},
		{"shape", `{"path": "result", "shape": [2]}`, `{"result": [1, 2]}`, 200, 0, ""},
		{"shape off", `{"path": "result", "shape": [2]}`, `{"result": [[1], [2]]}`, 200, 0, "c: result: expected shape [2], got [2, 1]"},
		{"shape any", `{"shape": [-1, 3]}`, `[[1,2,3],[4,5,6]]`, 200, 0, ""},
		{"scalar shape", `{"shape": []}`, `5`, 200, 0, ""},
		{"ragged", `{"shape": [2, 2]}`, `[[1,2],[3]]`, 200, 0, "c: expected lists of one shape, but element 0 has [2] and element 1 has [1]"},
		{"no key", `{"path": "result"}`, `{"error": "boom"}`, 200, 0, `c: expected a key "result", there is none: the answer is {"error": "boom"}`},
		{"no element", `{"path": "r.3"}`, `{"r": [1]}`, 200, 0, `c: r: expected an element 3, got a list of 1: the answer is {"r": [1]}`},
		{"not JSON", `{"path": "result"}`, `<html>`, 200, 0, "c: expected JSON, got <html>"},
		{"JSON in a string", `{"path": "result", "values": [1]}`, `"{\"result\": [1]}"`, 200, 0, ""},
		{"many", `{"values": [1,1,1,1,1]}`, `[2,2,2,2,2]`, 200, 0, "\nand 2 more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cases, err := ParseSmoke("s.json", []byte(`{"name": "c", "request": {}, "max_latency_ms": 500, "expect": `+tt.expect+`}`))
			if tt.latency == time.Second {
				cases[0].MaxLatency = 0
			}
			if err != nil {
				t.Fatal(err)
			}
			err = cases[0].Check(tt.status, []byte(tt.body), tt.latency)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("a sound answer: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || ridgeline.CodeOf(err) != ridgeline.Invalid):
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func FuzzParseSmoke(f *testing.F) {
	f.Add([]byte(`{"request": {"data": [[1]]}, "expect": {"path": "a.0", "shape": [1], "values": [1], "tolerance": "5%"}}`), []byte(`{"a": [1]}`))
	f.Add([]byte(`[{"request": 1, "expect": {"values": {"a": null}}}]`), []byte(`"{}"`))
	f.Fuzz(func(t *testing.T, text, body []byte) {
		cases, err := ParseSmoke("s.json", text)
		if err != nil {
			var m *Mistakes
			if !errors.As(err, &m) || len(m.List) == 0 {
				t.Fatalf("not *Mistakes: %v", err)
			}
			return
		}
		for _, c := range cases {
			if len(c.Request) == 0 {
				t.Fatalf("no request in %q", text)
			}
			_ = c.Check(200, body, 0)
		}
	})
}
