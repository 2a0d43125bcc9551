package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
)

// idle measures what the scorer's own process holds with no connection, with a
// thousand, and with as many as asked for, each of which has been answered once
// and is kept open; and what its worker holds.
func (p *parts) idle(ctx context.Context, o options) ([]row, error) {
	s := p.scorer("script", "azureml", "data", "/score", "RIDGELINE_SCORE=plain.py")
	if o.idle == 0 || !o.only.MatchString(s.name) {
		return nil, nil
	}
	if err := s.start(ctx, p.dir); err != nil {
		return nil, err
	}
	defer s.stop()
	body, err := os.ReadFile(p.bodies[s.dialect][o.rows[0]])
	if err != nil {
		return nil, err
	}
	request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", s.path, len(body), body)
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	var out []row
	for _, n := range []int{0, 1000, o.idle} {
		for len(open) < n && ctx.Err() == nil {
			c, err := net.Dial("tcp", s.address)
			if err != nil {
				return nil, fmt.Errorf("connection %d: %w", len(open)+1, err)
			}
			open = append(open, c)
			if err := once(c, request); err != nil {
				return nil, fmt.Errorf("connection %d: %w", len(open), err)
			}
		}
		out = append(out, row{What: "memory", Server: "ridgeline, scorer alone", Version: p.version, Connections: n, Memory: round(share(s.root), 1)})
	}
	return append(out, row{What: "memory", Server: "ridgeline, one worker (scikit-learn)", Version: p.version, Memory: round(memory(s.root)-share(s.root), 1)}), ctx.Err()
}

// once sends a request and reads its answer.
func once(c net.Conn, request string) error {
	if _, err := c.Write([]byte(request)); err != nil {
		return err
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		var text strings.Builder
		_ = r.Write(&text)
		return fmt.Errorf("answered %.500s", text.String())
	}
	return nil
}
