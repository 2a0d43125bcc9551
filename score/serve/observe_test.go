package serve

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/score"
	"github.com/ridgeline-mlops/ridgeline/score/exchange"
)

// order notes what happens in which order: it is an Observer and a
// ResponseWriter.
type order struct {
	http.ResponseWriter
	seen []string
}

func (o *order) Observe(x *exchange.Exchange, _ *http.Request) {
	o.seen = append(o.seen, fmt.Sprintf("observed %s %d", x.Dialect, x.Status))
}

func (o *order) WriteHeader(status int) {
	o.seen = append(o.seen, fmt.Sprint("sent ", status))
	o.ResponseWriter.WriteHeader(status)
}

func TestHandler_observers(t *testing.T) {
	var o *order
	front := score.New(score.Config{})
	h := Handler(front, Config{Observers: []Observer{observer(func(x *exchange.Exchange, r *http.Request) { o.Observe(x, r) })}, Config: score.Config{Log: slog.New(slog.DiscardHandler)}})
	for _, c := range []struct {
		name, method, path, body string
		want                     []string
	}{
		{"a refused request is seen before its answer", "HEAD", "/score", "", []string{"observed azureml 405", "sent 405"}},
		{"an id too long is seen", "POST", "/score", "{}", []string{"observed azureml 431", "sent 431"}},
		{"what no dialect answers is not seen", "GET", "/healthz/live", "", []string{"sent 200"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o = &order{ResponseWriter: httptest.NewRecorder()}
			r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			r.Header.Set("X-Request-Id", strings.Repeat("x", 100+len(c.body)/2))
			h.ServeHTTP(o, r)
			if !slices.Equal(o.seen, c.want) {
				t.Errorf("in this order: %q, want %q", o.seen, c.want)
			}
		})
	}
}

type observer func(x *exchange.Exchange, r *http.Request)

func (f observer) Observe(x *exchange.Exchange, r *http.Request) { f(x, r) }

func TestTraceparent(t *testing.T) {
	const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for value, read := range map[string]bool{
		"00-" + trace + "-" + span + "-01":                             true,
		"cc-" + trace + "-" + span + "-01-of-a-later-version":          true,
		"00-" + trace + "-" + span + "-01-more":                        false,
		"ff-" + trace + "-" + span + "-01":                             false,
		"00-" + strings.ToUpper(trace) + "-" + span + "-01":            false,
		"00-" + strings.Repeat("0", 32) + "-" + span + "-01":           false,
		"00-" + trace + "-" + strings.Repeat("0", 16) + "-01":          false,
		"00-" + trace + "-" + span:                                     false,
		"00-" + trace + span + "--01-":                                 false,
		"":                                                             false,
		"cc-" + trace + "-" + span + "-01of-a-version-with-no-divider": false,
	} {
		gotTrace, gotSpan := traceparent(http.Header{"Traceparent": {value}})
		if wantTrace, wantSpan := map[bool]string{true: trace}[read], map[bool]string{true: span}[read]; gotTrace != wantTrace || gotSpan != wantSpan {
			t.Errorf("%q gave %q and %q, want %q and %q", value, gotTrace, gotSpan, wantTrace, wantSpan)
		}
	}
}
