package serve

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// A model that leaks is replaced before it hurts, under load, and no request
// is lost.
func TestScore_leak(t *testing.T) {
	t.Parallel()
	s := serve(t, `
import os, time
kept = []
def init(): pass
def run(raw_data):
    kept.append(b"x" * 200_000)
    time.sleep(0.002)
    return [raw_data, os.getpid()]
`, func(c *Config) { c.MaxMemory = 60 << 20 })
	pids := map[string]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for n := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				body := fmt.Sprintf("n%d-%d", n, i)
				r := s.do(t, "POST", "/score", body)
				pid, ok := strings.CutPrefix(r.body, `["`+body+`", `)
				if r.status != 200 || !ok {
					t.Errorf("sent %s, got %+v", body, r)
					return
				}
				mu.Lock()
				pids[pid] = true
				mu.Unlock()
			}
		})
	}
	s.await(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(pids) > 1 })
	close(stop)
	wg.Wait()
	if st := s.Stats(); st.Recycled == 0 || st.Restarts != 0 || st.Hung != 0 {
		t.Errorf("%+v", st)
	}
	if !strings.Contains(s.log.String(), "RIDGELINE_MAX_MEMORY is 60 MB") {
		t.Errorf("the log does not say why:\n%s", s.log)
	}
}
