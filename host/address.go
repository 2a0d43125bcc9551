package host

import (
	"context"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A machine that is gone does not refuse, it says nothing, and another copy can
// answer meanwhile. So little time it has to take a connection, and to
// acknowledge what was sent: its kernel does so, however long the model takes.
const (
	dialTimeout = time.Second
	ackTimeout  = 3 * time.Second
)

// Transport returns a connection pool for a Copy's address, and what the URL of
// a request to it begins with.
func Transport(address string) (transport *http.Transport, base string) {
	transport = &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: 30 * time.Second, DisableCompression: true}
	path, isUnix := strings.CutPrefix(address, "unix://")
	if !isUnix {
		dialer := net.Dialer{
			Timeout: dialTimeout, Control: acknowledged,
			KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: ackTimeout, Interval: time.Second, Count: 3},
		}
		transport.DialContext = dialer.DialContext
		return transport, strings.TrimSuffix(address, "/")
	}
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return transport, "http://scorer"
}

// acknowledged has a connection end when its peer acknowledges nothing for
// ackTimeout (TCP_USER_TIMEOUT, tcp(7)); by itself Linux goes on for a quarter
// of an hour.
func acknowledged(_, _ string, c syscall.RawConn) error {
	var set error
	err := c.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(ackTimeout.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return set
}
