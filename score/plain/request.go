package plain

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const longest = 64 << 10 // bytes of a body that is read here

var headEnd = []byte("\r\n\r\n")

// parse reads the head of a request. Its length is 0 unless it is all there and
// plain: nothing then has a meaning beyond the body's length, in the strictest
// reading of RFC 9112.
func parse(b []byte) (r *http.Request, head int) {
	head = bytes.Index(b, headEnd) + len(headEnd)
	if head < len(headEnd) {
		return nil, 0
	}
	line, rest, _ := strings.Cut(string(b[:head-2]), "\r\n")
	target, ok := strings.CutPrefix(line, "POST ")
	if !ok {
		return nil, 0
	}
	if target, ok = strings.CutSuffix(target, " HTTP/1.1"); !ok || !strings.HasPrefix(target, "/") || strings.ContainsRune(target, ' ') {
		return nil, 0
	}
	where, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, 0
	}
	r = &http.Request{Method: http.MethodPost, URL: where, RequestURI: target, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1}
	if !fields(r, rest) || r.Host == "" || r.ContentLength < 0 {
		return nil, 0
	}
	return r, head
}

// fields reads the header's fields; false when there is one that is not plain.
func fields(r *http.Request, text string) bool {
	n := strings.Count(text, "\r\n")
	r.Header = make(http.Header, n)
	values := make([]string, n) // in one piece
	for line := range strings.SplitSeq(text[:max(0, len(text)-2)], "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return false
		}
		name = http.CanonicalHeaderKey(name)
		switch name {
		case "Host":
			if r.Host != "" || !httpguts.ValidHostHeader(value) {
				return false
			}
			r.Host = value
			continue
		case "Content-Length":
			length, err := strconv.ParseUint(value, 10, 31)
			if err != nil || r.ContentLength >= 0 || length > longest || value[0] == '+' {
				return false
			}
			r.ContentLength = int64(length)
		case "Connection":
			if !strings.EqualFold(value, "keep-alive") {
				return false
			}
		case "Transfer-Encoding", "Expect", "Upgrade", "Trailer", "Te", "Pragma", "Http2-Settings":
			return false
		}
		if had := r.Header[name]; had != nil {
			r.Header[name] = append(had, value)
			continue
		}
		values[0] = value
		r.Header[name], values = values[:1:1], values[1:]
	}
	return true
}
