package oip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// doubler answers a table of a and b with two outputs, twice each.
type doubler struct {
	kind  string
	fault error
}

func (m *doubler) Model() (worker.Model, bool) {
	s := &tensor.Signature{Form: tensor.Table, Inputs: []tensor.Field{{Name: "a", Type: tensor.Float64}, {Name: "b", Type: tensor.Float64}}}
	return worker.Model{Kind: m.kind, Framework: "sklearn", Signature: s}, m.kind != ""
}

func (m *doubler) Ready() (int, error) {
	if m.kind == "" {
		return 0, errors.New("starting")
	}
	return 1, nil
}

func (m *doubler) Predict(_ context.Context, in tensor.Batch) (tensor.Batch, error) {
	if m.fault != nil {
		return tensor.Batch{}, m.fault
	}
	out := tensor.Batch{Form: tensor.Table, Rows: in.Rows, Columns: []string{"a", "b"}, Tensors: []tensor.Tensor{in.Tensors[0]}}
	out.Tensors[0].Data = nil
	for data := in.Tensors[0].Data; len(data) > 0; data = data[8:] {
		v := math.Float64frombits(binary.LittleEndian.Uint64(data))
		out.Tensors[0].Data = binary.LittleEndian.AppendUint64(out.Tensors[0].Data, math.Float64bits(2*v))
	}
	return out, nil
}

// start serves m as a scorer does: HTTP/1.1 and HTTP/2 in clear text on one
// port, each request with an exchange.
func start(t *testing.T, m Model) (url string, h2 *http.Client, last func() *exchange.Exchange) {
	t.Helper()
	var x *exchange.Exchange
	inner := Handler(m, Options{BodyLimit: 10_000, Name: "m", Version: "3", Server: "1.0"})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x = &exchange.Exchange{}
		inner.ServeHTTP(w, r.WithContext(exchange.With(r.Context(), x)))
	}))
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.Config.Protocols = &protocols
	s.Start()
	t.Cleanup(s.Close)
	var only http.Protocols
	only.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &only}
	t.Cleanup(transport.CloseIdleConnections)
	return s.URL, &http.Client{Transport: transport}, func() *exchange.Exchange { return x }
}

func TestREST(t *testing.T) {
	url, _, last := start(t, &doubler{kind: worker.KindModel})
	infer := func(inputs string) string { return `{"id":"7","inputs":[` + inputs + `]}` }
	const both = `,"model_version":"3","id":"7","outputs":[{"name":"a","shape":[2],"datatype":"FP64","data":[2.0,6.0]},{"name":"b","shape":[2],"datatype":"FP64","data":[4.0,8.0]}]}`
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     string // what the body begins with
	}{
		{"server", "GET", "/v2", "", 200, `{"name":"ridgeline","version":"1.0","extensions":[]}`},
		{"server with a slash", "GET", "/v2/", "", 200, `{"name":"ridgeline"`},
		{"live", "GET", "/v2/health/live", "", 200, `{"live":true}`},
		{"ready", "GET", "/v2/health/ready", "", 200, `{"ready":true}`},
		{"model", "GET", "/v2/models/m", "", 200, `{"name":"m","versions":["3"],"platform":"sklearn","inputs":[{"name":"a","datatype":"FP64","shape":[-1]},{"name":"b","datatype":"FP64","shape":[-1]}],"outputs":[]}`},
		{"version", "GET", "/v2/models/m/versions/3", "", 200, `{"name":"m"`},
		{"model ready", "GET", "/v2/models/m/ready", "", 200, `{"name":"m","ready":true}`},
		{"version ready", "GET", "/v2/models/m/versions/3/ready", "", 200, `{"name":"m","ready":true}`},
		{"another model", "GET", "/v2/models/x", "", 404, `{"error":"Model 'x' is not served here; 'm' is."}`},
		{"another version", "GET", "/v2/models/m/versions/2/ready", "", 404, `{"error":"Version '2' of model 'm' is not served here; '3' is."}`},
		{"nothing", "GET", "/v2/nothing", "", 404, `{"error":"There is no GET /v2/nothing."}`},
		{"get infer", "GET", "/v2/models/m/infer", "", 405, `{"error":`},
		{"nested", "POST", "/v2/models/m/infer", infer(`{"name":"x","shape":[2,2],"datatype":"FP64","data":[[1,2],[3,4]]}`), 200, `{"model_name":"m"` + both},
		{"flat", "POST", "/v2/models/m/versions/3/infer", infer(`{"name":"x","shape":[2,2],"datatype":"FP64","data":[1,2,3,4]}`), 200, `{"model_name":"m"` + both},
		{"whole numbers", "POST", "/v2/models/m/infer", infer(`{"name":"x","shape":[2,2],"datatype":"INT32","data":[1,2,3,4]}`), 200, `{"model_name":"m"` + both},
		{"data first", "POST", "/v2/models/m/infer", infer(`{"data":[1,2,3,4],"datatype":"FP32","shape":[2,2],"name":"x","parameters":{"content_type":"np"}}`), 200, `{"model_name":"m"` + both},
		{"by column", "POST", "/v2/models/m/infer", infer(`{"name":"b","shape":[2],"datatype":"FP64","data":[2,4]},{"name":"a","shape":[2,1],"datatype":"INT64","data":[[1],[3]]}`), 200, `{"model_name":"m"` + both},
		{"one output", "POST", "/v2/models/m/infer", `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","data":[1,2]}],"outputs":[{"name":"b"}]}`, 200,
			`{"model_name":"m","model_version":"3","outputs":[{"name":"b","shape":[1],"datatype":"FP64","data":[4.0]}]}`},
		{"no such output", "POST", "/v2/models/m/infer", `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","data":[1,2]}],"outputs":[{"name":"z"}]}`, 400, `{"error":"The model has no output 'z'."}`},
		{"a missing column", "POST", "/v2/models/m/infer", infer(`{"name":"b","shape":[1],"datatype":"FP64","data":[2]}`), 400, `{"error":"Model is missing inputs ['a']."}`},
		{"too wide", "POST", "/v2/models/m/infer", infer(`{"name":"x","shape":[1,3],"datatype":"FP64","data":[1,2,3]}`), 400, `{"error":"Input 'x' has 3 columns, and the model takes 2."}`},
		{"a shape that lies", "POST", "/v2/models/m/infer", infer(`{"name":"x","shape":[2,2],"datatype":"FP64","data":[1,2,3]}`), 400, `{"error":"Input 'x', row 0: expected a list of 4, found one of 3."}`},
		{"a huge shape", "POST", "/v2/models/m/infer", infer(`{"name":"x","shape":[4294967296,4294967296],"datatype":"FP64","data":[1]}`), 400, `{"error":"The shape of input 0 is that of more elements than the body has bytes."}`},
		{"an empty shape", "POST", "/v2/models/m/infer", infer(`{"name":"x","shape":[],"datatype":"FP64","data":[1]}`), 400, `{"error":"The shape of input 0 is empty`},
		{"a datatype of nobody's", "POST", "/v2/models/m/infer", infer(`{"name":"x","shape":[1],"datatype":"FP63","data":[1]}`), 400, `{"error":"Input 0 has the datatype 'FP63'.`},
		{"our own datatype", "POST", "/v2/models/m/infer", infer(`{"name":"x","shape":[1],"datatype":"TEXT","data":["a"]}`), 400, `{"error":"Input 0 has the datatype 'TEXT'.`},
		{"a text", "POST", "/v2/models/m/infer", infer(`{"name":"x","shape":[1,2],"datatype":"FP64","data":[1,"2"]}`), 400, `{"error":"Input 'x', row 0: expected a number (FP64), found the text \"2\"."}`},
		{"bytes for numbers", "POST", "/v2/models/m/infer", infer(`{"name":"a","shape":[1],"datatype":"BYTES","data":["2"]},{"name":"b","shape":[1],"datatype":"FP64","data":[1]}`), 400, `{"error":"Input 'a': expected FP64, found bytes."}`},
		{"a whole number beyond", "POST", "/v2/models/m/infer", infer(`{"name":"x","shape":[1,2],"datatype":"INT64","data":[1,9007199254740993]}`), 400, `{"error":"Input 'x', row 0: the number is beyond what FP64 holds exactly."}`},
		{"no inputs", "POST", "/v2/models/m/infer", `{}`, 400, `{"error":"Expected a JSON object with the field 'inputs'."}`},
		{"empty inputs", "POST", "/v2/models/m/infer", `{"inputs":[]}`, 400, `{"error":"There are no inputs."}`},
		{"no JSON", "POST", "/v2/models/m/infer", `{"inputs":`, 400, `{"error":"The field 'inputs' is to be a list`},
		{"too large", "POST", "/v2/models/m/infer", strings.Repeat(" ", 10_001), 413, `{"error":"The request's body is larger`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := http.NewRequest(c.method, url+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			body, _ := io.ReadAll(answer.Body)
			if answer.StatusCode != c.status || !strings.HasPrefix(string(body), c.want) {
				t.Errorf("%d %s\nwant %d %s", answer.StatusCode, body, c.status, c.want)
			}
			if strings.HasSuffix(c.path, "/infer") && c.method == "POST" {
				if x := last(); x.Dialect != "oip" || x.RequestID != answer.Header.Get("X-Request-Id") || (x.Failure != nil) != (c.status != 200) {
					t.Errorf("exchange %+v", x)
				}
			}
		})
	}
}

func TestREST_states(t *testing.T) {
	for kind, want := range map[string]int{"": 503, worker.KindScript: 404} {
		url, _, _ := start(t, &doubler{kind: kind})
		for _, path := range []string{"/v2/models/m", "/v2/models/m/infer"} {
			r, err := http.Get(url + path)
			if strings.HasSuffix(path, "infer") {
				r, err = http.Post(url+path, jsonType, strings.NewReader(`{}`))
			}
			if err != nil {
				t.Fatal(err)
			}
			r.Body.Close()
			if r.StatusCode != want {
				t.Errorf("kind %q %s: %d, want %d", kind, path, r.StatusCode, want)
			}
		}
	}
	url, _, _ := start(t, &doubler{})
	r, err := http.Get(url + "/v2/health/ready")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != 503 {
		t.Errorf("ready before it is: %d", r.StatusCode)
	}
}

func client[Q, A any](h2 *http.Client, url, method string, options ...connect.ClientOption) *connect.Client[Q, A] {
	return connect.NewClient[Q, A](h2, url+service+method, append(options, connect.WithGRPC(), connect.WithCodec(codec{}))...)
}

func fp64(values ...float64) (block []byte) {
	for _, v := range values {
		block = binary.LittleEndian.AppendUint64(block, math.Float64bits(v))
	}
	return block
}

func TestGRPC(t *testing.T) {
	url, h2, last := start(t, &doubler{kind: worker.KindModel})
	ctx := context.Background()
	t.Run("the server", func(t *testing.T) {
		for _, method := range []string{"ServerLive", "ServerReady"} {
			if a, err := client[nothing, yes](h2, url, method).CallUnary(ctx, connect.NewRequest(&nothing{})); err != nil || !a.Msg.value {
				t.Errorf("%s: %v", method, err)
			}
		}
		a, err := client[nothing, serverMetadata](h2, url, "ServerMetadata").CallUnary(ctx, connect.NewRequest(&nothing{}))
		if err != nil || a.Msg.Name != "ridgeline" || a.Msg.Version != "1.0" {
			t.Errorf("%+v %v", a, err)
		}
	})
	t.Run("the model", func(t *testing.T) {
		a, err := client[which, modelMetadata](h2, url, "ModelMetadata").CallUnary(ctx, connect.NewRequest(&which{"m", ""}))
		want := modelMetadata{Name: "m", Versions: []string{"3"}, Platform: "sklearn", Inputs: []tensorMetadata{{"a", "FP64", []int{-1}}, {"b", "FP64", []int{-1}}}}
		if err != nil || !reflect.DeepEqual(*a.Msg, want) {
			t.Errorf("%+v %v", a, err)
		}
		if a, err := client[which, yes](h2, url, "ModelReady").CallUnary(ctx, connect.NewRequest(&which{"m", "3"})); err != nil || !a.Msg.value {
			t.Errorf("%v", err)
		}
		if _, err := client[which, yes](h2, url, "ModelReady").CallUnary(ctx, connect.NewRequest(&which{"x", ""})); connect.CodeOf(err) != connect.CodeNotFound {
			t.Errorf("%v", err)
		}
	})
	in := func(name, datatype string, contents []byte, shape ...int) inferInput {
		return inferInput{tensorMetadata{name, datatype, shape}, contents}
	}
	numbers := appendContents(nil, &tensor.Tensor{Type: tensor.Float64, Data: fp64(1, 2, 3, 4)})
	for _, c := range []struct {
		name    string
		request inferRequest
		raw     bool
		code    connect.Code // 0: answered
		want    string       // what the message contains
	}{
		{"contents", inferRequest{which: which{"m", ""}, id: "7", inputs: []inferInput{in("x", "FP64", numbers, 2, 2)}}, false, 0, ""},
		{"raw", inferRequest{which: which{"m", "3"}, id: "7", inputs: []inferInput{in("x", "FP64", nil, 2, 2)}, raw: [][]byte{fp64(1, 2, 3, 4)}}, true, 0, ""},
		{"columns of whole numbers", inferRequest{which: which{"m", ""}, id: "7", inputs: []inferInput{
			in("b", "INT32", appendContents(nil, &tensor.Tensor{Type: tensor.Int32, Data: []byte{2, 0, 0, 0, 4, 0, 0, 0}}), 2), in("a", "UINT8", nil, 2)}, raw: nil}, false, connect.CodeInvalidArgument, "Input 'a'"},
		{"a wrong model", inferRequest{which: which{"x", ""}}, false, connect.CodeNotFound, "Model 'x' is not served here"},
		{"no inputs", inferRequest{which: which{"m", ""}}, false, connect.CodeInvalidArgument, "There are no inputs."},
		{"too few bytes", inferRequest{which: which{"m", ""}, inputs: []inferInput{in("x", "FP64", nil, 2, 2)}, raw: [][]byte{fp64(1)}}, false, connect.CodeInvalidArgument, "Input 'x': "},
		{"too many bytes", inferRequest{which: which{"m", ""}, inputs: []inferInput{in("x", "FP64", nil, 1, 1)}, raw: [][]byte{fp64(1, 2)}}, false, connect.CodeInvalidArgument, "its 16 bytes of data are not those of FP64 in the shape [1 1]"},
		{"a negative shape", inferRequest{which: which{"m", ""}, inputs: []inferInput{in("x", "FP64", nil, -1, 2)}, raw: [][]byte{fp64(1, 2)}}, false, connect.CodeInvalidArgument, "its 16 bytes of data are not those of FP64 in the shape [-1 2]"},
		{"another field of contents", inferRequest{which: which{"m", ""}, inputs: []inferInput{in("x", "FP32", numbers, 2, 2)}}, false, connect.CodeInvalidArgument, "FP32 does not travel in field 7"},
		{"both kinds of contents", inferRequest{which: which{"m", ""}, inputs: []inferInput{in("x", "FP64", numbers, 2, 2)}, raw: [][]byte{fp64(1)}}, false, connect.CodeInvalidArgument, "expected one of them"},
		{"half precision without raw", inferRequest{which: which{"m", ""}, inputs: []inferInput{in("x", "FP16", numbers, 2, 2)}}, false, connect.CodeInvalidArgument, "FP16 has no typed contents"},
		{"too large", inferRequest{which: which{"m", ""}, inputs: []inferInput{in("x", "FP64", nil, 1, 1)}, raw: [][]byte{make([]byte, 20_000)}}, false, connect.CodeResourceExhausted, "larger than the limit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := client[inferRequest, inferResponse](h2, url, "ModelInfer").CallUnary(ctx, connect.NewRequest(&c.request))
			if c.code != 0 {
				if connect.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %v %s", err, c.code, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := inferResponse{which: which{"m", "3"}, id: "7", raw: c.raw, outputs: []tensor.Tensor{
				{Name: "a", Type: tensor.Float64, Shape: []int{2}, Data: fp64(2, 6)}, {Name: "b", Type: tensor.Float64, Shape: []int{2}, Data: fp64(4, 8)}}}
			if !reflect.DeepEqual(*a.Msg, want) {
				t.Errorf("%+v\nwant %+v", *a.Msg, want)
			}
			if x := last(); x.Dialect != "grpc" || x.Status != 200 || x.RequestID == "" || x.RequestID != a.Header().Get("X-Request-Id") {
				t.Errorf("exchange %+v", x)
			}
		})
	}
	t.Run("compressed", func(t *testing.T) {
		c := client[inferRequest, inferResponse](h2, url, "ModelInfer", connect.WithSendGzip())
		a, err := c.CallUnary(ctx, connect.NewRequest(&inferRequest{which: which{"m", ""}, inputs: []inferInput{in("x", "FP64", numbers, 2, 2)}}))
		if err != nil || len(a.Msg.outputs) != 2 {
			t.Errorf("%v", err)
		}
	})
	t.Run("a broken message", func(t *testing.T) {
		r, err := h2.Post(url+service+"ModelInfer", "application/grpc", strings.NewReader("\x00\x00\x00\x00\x02\xff\xff"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
		if status := r.Trailer.Get("Grpc-Status") + r.Header.Get("Grpc-Status"); status != "3" {
			t.Errorf("grpc-status %q, want 3", status)
		}
	})
}

// Every failure has a spelling in both, and neither tells the cause.
func TestFailures(t *testing.T) {
	for _, reason := range exchange.Reasons() {
		url, h2, last := start(t, &doubler{kind: worker.KindModel, fault: &exchange.Failure{Reason: reason, Message: "told", Cause: "secret"}})
		r, err := http.Post(url+"/v2/models/m/infer", jsonType, strings.NewReader(`{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","data":[1,2]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if statuses[reason] == 0 || r.StatusCode != statuses[reason] || string(body) != `{"error":"told"}` {
			t.Errorf("reason %d: %d %s", reason, r.StatusCode, body)
		}
		request := inferRequest{which: which{"m", ""}, inputs: []inferInput{{tensorMetadata{"x", "FP64", []int{1, 2}}, nil}}, raw: [][]byte{fp64(1, 2)}}
		_, err = client[inferRequest, inferResponse](h2, url, "ModelInfer").CallUnary(context.Background(), connect.NewRequest(&request))
		if codes[reason] == 0 || connect.CodeOf(err) != codes[reason] || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("reason %d: %v", reason, err)
		}
		if x := last(); x.Status != statuses[reason] {
			t.Errorf("reason %d: the exchange has status %d", reason, x.Status)
		}
	}
}

// Every type goes through the contents of a message and back.
func TestContents(t *testing.T) {
	block := make([]byte, 64)
	for i := range block {
		block[i] = byte(i*37 + 5)
	}
	for _, typ := range tensor.Types() {
		data := block
		switch {
		case typ == tensor.Bool:
			data = []byte{0, 1, 1}
		case typ == tensor.Float16, typ == tensor.Datetime:
			continue // the one is only raw, the other a text
		case typ.Framed():
			data = tensor.AppendFrame(tensor.AppendFrame(nil, []byte("ä")), nil)
		}
		read := typ
		if typ.Framed() {
			read = tensor.Binary
		}
		got, err := readContents(appendContents(nil, &tensor.Tensor{Type: typ, Data: data}), read)
		if err != nil || !reflect.DeepEqual(got, data) {
			t.Errorf("%s: % x, want % x: %v", typ, got, data, err)
		}
	}
}
