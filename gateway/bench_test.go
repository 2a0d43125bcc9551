package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkGateway compares a scorer asked directly, over its own kind of
// socket, with the same one behind the gateway: one small request after the
// other on so many connections.
func BenchmarkGateway(b *testing.B) {
	f := newFixture(b)
	at, _ := scorer(b, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header()["Content-Type"] = []string{"application/json"}
		_, _ = w.Write(body)
	})
	f.place("d-1", at)
	f.live("d-1")
	front := httptest.NewServer(f.gateway)
	b.Cleanup(front.Close)
	const body = `{"data":[[1,2,3,4,5,6,7,8,9,10]]}`
	request := fmt.Appendf(nil, "POST /endpoints/iris/qa/score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", f.key, len(body), body)
	for _, way := range []struct{ name, network, address string }{
		{"direct", "unix", strings.TrimPrefix(at.Address, "unix://")},
		{"gateway", "tcp", front.Listener.Addr().String()},
	} {
		for _, n := range []int{1, 32} {
			b.Run(fmt.Sprintf("%s/%d", way.name, n), func(b *testing.B) {
				var mu sync.Mutex
				var all []time.Duration
				var clients sync.WaitGroup
				for range n {
					clients.Go(func() {
						c, err := net.Dial(way.network, way.address)
						if err != nil {
							b.Error(err)
							return
						}
						defer c.Close()
						in, took := bufio.NewReader(c), make([]time.Duration, 0, b.N/n+1)
						for range b.N/n + 1 {
							began := time.Now()
							_, _ = c.Write(request)
							res, err := http.ReadResponse(in, nil)
							if err != nil || res.StatusCode != 200 {
								b.Errorf("got %v, %v", res, err)
								return
							}
							_, _ = io.Copy(io.Discard, res.Body)
							took = append(took, time.Since(began))
						}
						mu.Lock()
						defer mu.Unlock()
						all = append(all, took...)
					})
				}
				clients.Wait()
				slices.Sort(all)
				if len(all) > 0 {
					b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
				}
			})
		}
	}
}
