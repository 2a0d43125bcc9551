package journal

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCollector(t *testing.T) {
	c, store := config(t)
	c.Redact = []string{"name"}
	j := open(t, c)
	send := func(h http.Handler, kind, body string) int {
		r := httptest.NewRequest(http.MethodPost, "/modeldata/log", strings.NewReader(body))
		r.Header.Set("ce-type", kind)
		r.Header.Set("ce-time", "1700000000")
		r.Header.Set("ce-x-request-id", "r-1")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	if status := send(Collector(j), "azureml.inference.model_inputs", `[{"a":1,"name":"x"},{"a":2}]`); status != 200 {
		t.Fatalf("got %d", status)
	}
	for kind, body := range map[string]string{"azureml.inference.": "[]", "other": "[]", "azureml.inference.a": "{}", "azureml.inference.b": "nonsense"} {
		if status := send(Collector(j), kind, body); status != 400 {
			t.Errorf("%s %s: got %d, want 400", kind, body, status)
		}
	}
	if status := send(Collector(nil), "azureml.inference.model_inputs", `[{"a":1}]`); status != 200 {
		t.Errorf("without a log: %d", status)
	}
	smoke := httptest.NewRequest(http.MethodPost, "/modeldata/log", strings.NewReader(`[{"a":7}]`))
	smoke.Header.Set("ce-type", "azureml.inference.model_inputs")
	smoke.Header.Set("ce-x-ridgeline-purpose", "smoke")
	Collector(j).ServeHTTP(httptest.NewRecorder(), smoke)
	j.Observe(request("r-1"), post)
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, _ := rows(t, store)
	if len(all) != 4 || all[0]["collection"] != "model_inputs" || all[0]["data"] != `{"a":1,"name":null}` || all[1]["row"] != 1 || all[1]["time"] != 1700000000000000 ||
		all[0]["request_id"] != "r-1" || all[0]["model"] != "quality" || all[0]["purpose"] != nil ||
		all[2]["collection"] != "model_inputs" || all[2]["purpose"] != "smoke" || all[2]["data"] != `{"a":7}` || all[3]["collection"] != nil || all[3]["status"] != 200 {
		t.Errorf("got %v", all)
	}
}
