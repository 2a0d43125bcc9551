package gateway

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// EndpointHeader is the metadata by which a gRPC call, whose path is its
// method's, names its endpoint: PROJECT/ENVIRONMENT.
const EndpointHeader = "ridgeline-endpoint"

// GRPCService is where calls of the Open Inference Protocol come in.
const GRPCService = "/inference.GRPCInferenceService/"

// ServeGRPC answers gRPC calls over HTTP/2 without TLS. The key comes as
// metadata too: authorization: Bearer KEY.
func (g *Gateway) ServeGRPC(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 2 || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		problem(w, http.StatusUnsupportedMediaType, "expected a gRPC call over HTTP/2 (content type application/grpc); REST is at /endpoints/PROJECT/ENVIRONMENT/v2/…")
		return
	}
	c := &call{endpoint: r.Header.Get(EndpointHeader), path: r.URL.Path, lane: r.Header.Get(DeploymentHeader), began: time.Now(), grpc: true}
	if strings.Count(c.endpoint, "/") != 1 {
		grpcProblem(w, http.StatusBadRequest, "expected the metadata "+EndpointHeader+": PROJECT/ENVIRONMENT, got "+strconv.Quote(c.endpoint))
		return
	}
	g.answer(&answerer{ResponseWriter: w, problem: grpcProblem}, r, c)
}

// grpcCodes spells the gateway's own answers (grpc/status codes, by what they
// tell a client to do).
var grpcCodes = map[int]int{
	http.StatusBadRequest: 3, http.StatusUnauthorized: 16, http.StatusForbidden: 7, http.StatusNotFound: 5, http.StatusTooManyRequests: 8,
	http.StatusBadGateway: 13, http.StatusServiceUnavailable: 14, http.StatusGatewayTimeout: 4,
}

func grpcProblem(w http.ResponseWriter, status int, detail string) {
	code, known := grpcCodes[status]
	if !known {
		code = 13 // internal
	}
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", strconv.Itoa(code))
	h.Set("Grpc-Message", url.PathEscape(detail))
	w.WriteHeader(http.StatusOK)
}

// grpcStatus is a call's outcome as the nearest class of HTTP.
func grpcStatus(res *http.Response) int {
	code := res.Trailer.Get("Grpc-Status")
	if code == "" {
		code = res.Header.Get("Grpc-Status") // nothing but trailers
	}
	switch code {
	case "0":
		return http.StatusOK
	case "1", "3", "5", "6", "7", "8", "9", "11", "12", "16":
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}
