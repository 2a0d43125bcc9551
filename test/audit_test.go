package test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestAudit asks, by the token of a viewer, for every change that the API's own
// description lists, and expects each to be in the audit trail as refused: what
// keeps that a change was refused keeps that it was made, too.
func TestAudit(t *testing.T) {
	// What changes nothing although it is a POST.
	asks := map[string]string{
		"gate-again":      "makes a report once more and shows it",
		"ask-predictions": "asks the inference log",
	}
	r := newRidgeline(t)
	token := strings.TrimSpace(r.must(".", "token", "create", "looker", "--role", "viewer"))
	secret := "Bearer " + token
	described := decode[struct {
		Paths map[string]map[string]struct{ OperationID string }
	}](t, call(t, "GET", r.address()+"/api/v1/openapi.json", secret, "").body)
	want := map[string]string{} // route by its action
	for path, methods := range described.Paths {
		for method, op := range methods {
			method = strings.ToUpper(method)
			if method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions {
				continue
			}
			address := regexp.MustCompile(`{[a-z]+}`).ReplaceAllString(strings.NewReplacer("{version}", "1", "{which}", "primary").Replace(path), "nothing") + "?commit=" + strings.Repeat("0", 40)
			var a answer
			for body := map[string]any{}; ; { // what is said to be wrong is mended, so that the answer is about who asks
				text, err := json.Marshal(body)
				if err != nil {
					t.Fatal(err)
				}
				a = call(t, method, r.address()+address, secret, string(text))
				if !mend(a.body, body) {
					break
				}
			}
			if _, is := asks[op.OperationID]; !is {
				want[op.OperationID] = method + " " + path + " answered " + a.body
			}
		}
	}
	if len(want) < 25 {
		t.Fatalf("the description has %d changes: expected all", len(want))
	}
	var events []struct{ Who, Action, Outcome string }
	if err := json.Unmarshal([]byte(r.must(".", "audit", "--who", "looker", "--limit", "1000", "--json")), &events); err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		delete(want, e.Action)
	}
	for action, route := range want {
		t.Errorf("the audit trail has nothing of %s: %s", action, route)
	}
	if out := r.must(".", "audit", "--verify"); !strings.Contains(out, "each is as it was written") {
		t.Error(out)
	}
}

var (
	lackingRE = regexp.MustCompile(`required property (\w+)`)
	wordRE    = regexp.MustCompile(`one of \\"([\w-]+)[^"]*"","location":"body\.(\w+)"`)
	kindRE    = regexp.MustCompile(`expected (integer|number|boolean|array|object)","location":"body\.(\w+)"`)
)

// mend gives the fields of a body what an answer says they have to have. It
// reports whether anything is another than before.
func mend(answer string, body map[string]any) (mended bool) {
	set := func(field string, v any) {
		mended = mended || !reflect.DeepEqual(body[field], v)
		body[field] = v
	}
	for _, found := range lackingRE.FindAllStringSubmatch(answer, -1) {
		if body[found[1]] == nil {
			set(found[1], "nothing")
		}
	}
	for _, found := range wordRE.FindAllStringSubmatch(answer, -1) {
		set(found[2], found[1])
	}
	for _, found := range kindRE.FindAllStringSubmatch(answer, -1) {
		set(found[2], map[string]any{"integer": 1, "number": 1, "boolean": true, "array": []any{}, "object": map[string]any{}}[found[1]])
	}
	return mended
}
