package azureml

import (
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
)

// AccessLog writes a line for each request in the columns of Azure's server,
// which tools that read its logs know:
//
//	2026-11-22 22:56:07,863 I [9204] azmlinfsrv - POST /score 200 0.555ms 20
//
// The time is UTC, the process that of the worker that answered, or ours when
// none did; then method, path with query, status, time taken, bytes answered.
type AccessLog struct {
	To io.Writer // gets a line at a time

	mu   sync.Mutex
	line []byte
}

// Observe writes the line.
func (l *AccessLog) Observe(x *exchange.Exchange, r *http.Request) {
	now, pid := time.Now(), x.Worker
	if pid == 0 {
		pid = os.Getpid()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := now.UTC().AppendFormat(l.line[:0], "2006-01-02 15:04:05,000 I [")
	b = append(strconv.AppendInt(b, int64(pid), 10), "] azmlinfsrv - "...)
	b = append(append(append(b, r.Method...), ' '), r.URL.EscapedPath()...) // escaped: a path may hold a line's end
	if r.URL.RawQuery != "" {
		b = append(append(b, '?'), r.URL.RawQuery...)
	}
	b = append(strconv.AppendInt(append(b, ' '), int64(x.Status), 10), ' ')
	b = strconv.AppendFloat(b, float64(now.Sub(x.Began).Nanoseconds())/1e6, 'f', 3, 64)
	b = strconv.AppendInt(append(b, "ms "...), int64(len(x.Answer)), 10)
	l.line = append(b, '\n')
	_, _ = l.To.Write(l.line) // a log that cannot be written must not end a request
}
