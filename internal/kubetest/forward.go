package kubetest

import (
	"io"
	"net"
)

// Forward opens a port of this machine that nodes and pods reach, and that
// leads to an address that they do not: a socket, or a loopback port. It
// returns its host:port.
func (c *Cluster) Forward(network, address string) string {
	c.t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(c.Host, "0"))
	if err != nil {
		c.t.Fatal(err)
	}
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go join(from, network, address)
		}
	}()
	c.t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// join copies both ways until either side has ended.
func join(from net.Conn, network, address string) {
	defer from.Close()
	to, err := net.Dial(network, address)
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(to, from)
		_ = to.Close()
	}()
	_, _ = io.Copy(from, to)
}
