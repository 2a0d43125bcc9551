package release

import (
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestUsed(t *testing.T) {
	before := map[string]told{"a": {measured: true, cpu: 10, memory: 1, peak: 5}, "b": {measured: true, cpu: 100, peak: 9}, "gone": {measured: true, cpu: 7}}
	now := map[string]told{
		"a":   {measured: true, cpu: 14, memory: 100, peak: 500},
		"b":   {measured: true, cpu: 2, memory: 10, peak: 50}, // started again
		"new": {measured: true, cpu: 1, memory: 1, peak: 5},
		"old": {}, // its image's scorer does not say
	}
	got, memory := used(now, before, 15)
	if want := (ridgeline.Used{Seconds: 45, CPU: 7, Peak: 500}); got != want || memory != 111 {
		t.Errorf("%+v and %v bytes, want %+v and 111", got, memory, want)
	}
	if u, _ := used(map[string]told{"old": {}}, nil, 15); u.Known() {
		t.Errorf("what nobody saw is known: %+v", u)
	}
	if u, _ := used(nil, before, 15); u.Known() {
		t.Errorf("what another server asks is known here: %+v", u)
	}
}
