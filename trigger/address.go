package trigger

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// Networks are the addresses beyond the public Internet that may be sent to.
// Whoever may add a webhook could otherwise have this server knock at doors
// that only it can reach: its own, its neighbours', and its cloud's metadata
// service (server-side request forgery).
type Networks []netip.Prefix

// ParseNetworks reads a list such as "10.0.0.0/8,192.168.1.7"; "private"
// stands for all of RFC 1918 and fc00::/7.
func ParseNetworks(text string) (Networks, error) {
	var all Networks
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		if word == "private" {
			for _, p := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"} {
				all = append(all, netip.MustParsePrefix(p))
			}
			continue
		}
		prefix, err := netip.ParsePrefix(word)
		if err != nil {
			one, err := netip.ParseAddr(word)
			if err != nil {
				return nil, ridgeline.Errorf(ridgeline.Invalid, "network %q: expected one such as 10.0.0.0/8 or 192.168.1.7, or the word private", word)
			}
			prefix = netip.PrefixFrom(one, one.BitLen())
		}
		all = append(all, prefix.Masked())
	}
	return all, nil
}

// special are the addresses of the public ranges that are not: shared by
// carriers (RFC 6598, where a cloud keeps its metadata), this network
// (RFC 791), benchmarks (RFC 2544), protocols (RFC 6890), reserved (RFC 1112),
// and the two that hide an IPv4 address in an IPv6 one (RFC 6052, RFC 3056).
var special = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"),
}

// Allows reports whether the address may be sent to.
func (n Networks) Allows(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range n {
		if p.Contains(a) {
			return true
		}
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return a.IsGlobalUnicast() && !a.IsPrivate()
}

func (n Networks) check(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if !n.Allows(at.Addr()) {
		return ridgeline.Errorf(ridgeline.Denied,
			"%s is no public address, and this server sends to no other: start it with --webhook-networks %s (or private) to allow it", at.Addr(), at.Addr())
	}
	return nil
}

// Look resolves the host of an address and says whether it may be sent to. A
// host that cannot be resolved now is no error: it may be later.
func (n Networks) Look(ctx context.Context, host string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	for _, a := range found {
		if err := n.check(netip.AddrPortFrom(a, 0).String()); err != nil {
			return err
		}
	}
	return nil
}

// Client returns an HTTP client that connects to allowed addresses only. The
// address is looked at when it is dialled, after its name was resolved, so a
// name that changes what it stands for gains nothing. It follows no redirect
// and uses no proxy, both of which would go around that.
func (n Networks) Client() *http.Client {
	dialer := &net.Dialer{
		Timeout: 10 * time.Second,
		Control: func(_, address string, _ syscall.RawConn) error { return n.check(address) },
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, MaxIdleConns: 64, MaxIdleConnsPerHost: 2,
			IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 20 * time.Second,
		},
	}
}
