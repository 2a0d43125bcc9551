package gateway_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// A request to what rests is held until its copies are back, and asks for them
// once; one to what is asked notes that now and then.
func TestGateway_wakes_what_rests(t *testing.T) {
	f := newFixture(t)
	at, _ := scorer(t, says("scored"))
	f.share(ridgeline.Deployment{ID: "d-1", Version: 1, Weight: 100, Idle: time.Hour, Asleep: true})
	var woken atomic.Int32
	f.gateway.Wake = func(ctx context.Context, id ridgeline.DeploymentID) error {
		woken.Add(1)
		time.AfterFunc(300*time.Millisecond, func() { f.place("d-1", at) })
		return f.Asked(ctx, id, time.Now())
	}
	status, answer, _ := post(t, f.url+"/score", f.key, strings.NewReader("{}"))
	if status != 200 || answer != "scored" {
		t.Errorf("got %d %s", status, answer)
	}
	if n := woken.Load(); n != 1 {
		t.Errorf("woken %d times, want once", n)
	}
	asked := func() time.Time {
		f.world.mu.Lock()
		defer f.world.mu.Unlock()
		return f.shares[0].Asked
	}
	f.share(ridgeline.Deployment{ID: "d-1", Version: 1, Weight: 100, Idle: time.Hour, Asked: time.Now().Add(-time.Hour)})
	if err := f.gateway.Switched(t.Context(), "iris", "qa"); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := post(t, f.url+"/score", f.key, strings.NewReader("{}")); status != 200 || time.Since(asked()) > time.Minute {
		t.Errorf("got %d; asked last at %s", status, asked())
	}
}
