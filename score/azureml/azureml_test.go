package azureml

import (
	"testing"

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
