package host

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"
)

// Transport returns a connection pool for a Copy's address, and what the URL of
// a request to it begins with.
func Transport(address string) (transport *http.Transport, base string) {
	transport = &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: 30 * time.Second, DisableCompression: true}
	path, isUnix := strings.CutPrefix(address, "unix://")
	if !isUnix {
		return transport, strings.TrimSuffix(address, "/")
	}
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return transport, "http://scorer"
}
