package test

import (
	endian "encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/encoding/protowire"
)

// cmdGRPC asks an endpoint of the file endpoints.json for a column's values
// over gRPC, and writes what the model answers to stdout: grpc ENVIRONMENT MODEL
// COLUMN VALUE…
func cmdGRPC(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 4 {
		ts.Fatalf("usage: grpc ENVIRONMENT MODEL COLUMN VALUE…")
	}
	var endpoints []struct {
		Project, Environment, URL string
		Key                       string `json:"primary_key"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("endpoints.json")), &endpoints))
	for _, e := range endpoints {
		if e.Environment != args[0] {
			continue
		}
		at, err := url.Parse(e.URL)
		ts.Check(err)
		r, err := http.NewRequest(http.MethodPost, "http://"+at.Host+"/inference.GRPCInferenceService/ModelInfer", strings.NewReader(framed(infer(ts, args[1], args[2], args[3:]))))
		ts.Check(err)
		r.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Ridgeline-Endpoint": {e.Project + "/" + e.Environment}, "Authorization": {"Bearer " + e.Key}}
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		transport := &http.Transport{Protocols: &protocols}
		defer transport.CloseIdleConnections()
		res, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Do(r)
		ts.Check(err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		ts.Check(err)
		status := res.Trailer.Get("Grpc-Status") + res.Header.Get("Grpc-Status") // in the header when there is no message
		if failed := status != "0"; failed != neg {
			ts.Fatalf("gRPC status %q: %s%s", status, res.Trailer.Get("Grpc-Message"), res.Header.Get("Grpc-Message"))
		}
		if neg {
			fmt.Fprintln(ts.Stderr(), status, res.Trailer.Get("Grpc-Message")+res.Header.Get("Grpc-Message"))
			return
		}
		fmt.Fprintln(ts.Stdout(), "deployment", res.Header.Get("Azureml-Model-Deployment"), "doubles", doubles(ts, text))
		return
	}
	ts.Fatalf("no endpoint of %s in endpoints.json", args[0])
}

// infer is a ModelInferRequest with one input of doubles; its numbers are those
// of the Open Inference Protocol's grpc_predict_v2.proto.
func infer(ts *testscript.TestScript, model, column string, values []string) []byte {
	var data []byte
	for _, text := range values {
		v, err := strconv.ParseFloat(text, 64)
		ts.Check(err)
		data = protowire.AppendFixed64(data, math.Float64bits(v))
	}
	field := func(b []byte, n protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), content)
	}
	input := field(nil, 1, []byte(column))
	input = field(input, 2, []byte("FP64"))
	input = field(input, 3, protowire.AppendVarint(nil, uint64(len(values)))) // shape
	input = field(input, 5, field(nil, 7, data))                              // contents: fp64_contents
	return field(field(nil, 1, []byte(model)), 5, input)
}

// framed is a message as gRPC sends it.
func framed(message []byte) string {
	return "\x00" + string(endian.BigEndian.AppendUint32(nil, uint32(len(message)))) + string(message)
}

// doubles finds the numbers in a framed ModelInferResponse: raw_output_contents,
// or fp64_contents of its outputs.
func doubles(ts *testscript.TestScript, text []byte) (all []float64) {
	var look func(b []byte, path ...protowire.Number)
	look = func(b []byte, path ...protowire.Number) {
		for len(b) > 0 {
			n, kind, size := protowire.ConsumeTag(b)
			if size < 0 {
				ts.Fatalf("the answer is no message: %x", text)
			}
			b = b[size:]
			size = protowire.ConsumeFieldValue(n, kind, b)
			if size < 0 {
				ts.Fatalf("the answer is no message: %x", text)
			}
			if at := append(slices.Clone(path), n); kind == protowire.BytesType {
				content, _ := protowire.ConsumeBytes(b)
				switch fmt.Sprint(at) {
				case "[5]", "[5 5]": // outputs; contents
					look(content, at...)
				case "[6]", "[5 5 7]":
					for ; len(content) >= 8; content = content[8:] {
						all = append(all, math.Float64frombits(endian.LittleEndian.Uint64(content)))
					}
				}
			}
			b = b[size:]
		}
	}
	if len(text) < 5 {
		ts.Fatalf("the answer has no message: %x", text)
	}
	look(text[5:])
	return all
}
