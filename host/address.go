package host

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"
)

// dialTimeout is short: a machine that is gone does not refuse, it says
// nothing, and another copy can answer meanwhile.
const dialTimeout = time.Second

// Transport returns a connection pool for a Copy's address, and what the URL of
// a request to it begins with.
func Transport(address string) (transport *http.Transport, base string) {
	transport = &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: 30 * time.Second, DisableCompression: true}
	path, isUnix := strings.CutPrefix(address, "unix://")
	if !isUnix {
		transport.DialContext = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext
		return transport, strings.TrimSuffix(address, "/")
	}
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return transport, "http://scorer"
}
