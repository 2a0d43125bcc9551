package gateway

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A copy on a machine that is silent is passed over, and tried by one request
// now and then.
func TestPools_next(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pools
		l := &lane{addresses: []string{"http://10.0.0.1:80", "http://10.0.0.2:80"}}
		turns := func() map[string]int {
			seen := map[string]int{}
			for range 10 {
				seen[p.next(l)]++
			}
			return seen
		}
		first, second := l.addresses[0], l.addresses[1]
		if got := turns(); got[first] != 5 || got[second] != 5 {
			t.Errorf("both answer: %v", got)
		}
		p.of(first).silentUntil.Store(time.Now().Add(silence).UnixNano())
		if got := turns(); got[second] != 10 {
			t.Errorf("the first is silent: %v", got)
		}
		time.Sleep(silence)
		if got := turns(); got[first] != 1 || got[second] != 9 {
			t.Errorf("the first may be tried: %v; want one request", got)
		}
		p.of(first).silentUntil.Store(0) // it has answered
		if got := turns(); got[first] != 5 {
			t.Errorf("both answer again: %v", got)
		}
		for _, a := range l.addresses {
			p.of(a).silentUntil.Store(time.Now().Add(silence).UnixNano())
		}
		if got := turns(); got[first] != 5 || got[second] != 5 {
			t.Errorf("all are silent: %v; want each to be tried", got)
		}
	})
}

func TestSilent(t *testing.T) {
	op := func(doing string, err error) error { return &net.OpError{Op: doing, Net: "tcp", Err: err} }
	for _, test := range []struct {
		err  error
		want bool
	}{
		{op("dial", os.ErrDeadlineExceeded), true},
		{op("dial", os.NewSyscallError("connect", syscall.EHOSTUNREACH)), true},
		{op("read", os.NewSyscallError("read", syscall.ETIMEDOUT)), true},
		{op("dial", os.NewSyscallError("connect", syscall.ECONNREFUSED)), false}, // its machine answers
		{op("read", os.NewSyscallError("read", syscall.ECONNRESET)), false},
		{fmt.Errorf("wrapped: %w", context.Canceled), false},
	} {
		if got := silent(test.err); got != test.want {
			t.Errorf("silent(%v) = %v", test.err, got)
		}
	}
}
