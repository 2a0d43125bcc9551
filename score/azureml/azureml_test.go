package azureml

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
)

func TestStatusOf(t *testing.T) {
	want := map[exchange.Reason]int{
		exchange.Invalid: 400, exchange.TooLarge: 413, exchange.Stalled: 408, exchange.Cut: 400, exchange.Unsupported: 415, exchange.Unserved: 404,
		exchange.Shed: 503, exchange.Stopped: 503,
		exchange.Timeout: 500, exchange.Raised: 500, exchange.Died: 500, exchange.Unusable: 500, exchange.Broken: 500,
	}
	for _, reason := range exchange.Reasons() {
		if got, _ := statusOf(reason); got != want[reason] {
			t.Errorf("%d is %d, want %d", reason, got, want[reason])
		}
	}
}

func TestAccessLog(t *testing.T) {
	var out bytes.Buffer
	log := &AccessLog{To: &out}
	for _, c := range []struct {
		target string
		x      exchange.Exchange
		want   string
	}{
		{"/score", exchange.Exchange{Status: 200, Worker: 9204, Answer: make([]byte, 20)}, `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} I \[9204\] azmlinfsrv - POST /score 200 \d+\.\d{3}ms 20\n$`},
		{"/score?a=1&b=%0A", exchange.Exchange{Status: 503}, fmt.Sprintf(`^[^\n]+ I \[%d\] azmlinfsrv - POST /score\?a=1&b=%%0A 503 \d+\.\d{3}ms 0\n$`, os.Getpid())},
		{"/a%0Ab", exchange.Exchange{Status: 404}, `^[^\n]+ POST /a%0Ab 404 \d+\.\d{3}ms 0\n$`},
	} {
		out.Reset()
		c.x.Began = time.Now()
		log.Observe(&c.x, httptest.NewRequest("POST", c.target, nil))
		if !regexp.MustCompile(c.want).MatchString(out.String()) {
			t.Errorf("%s: %q is not %s", c.target, out.String(), c.want)
		}
	}
}
