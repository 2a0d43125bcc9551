package oip

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"connectrpc.com/connect"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

const service = "/inference.GRPCInferenceService/"

// codes is this contract's table from a failure to its status over gRPC.
var codes = [...]connect.Code{
	exchange.Invalid:     connect.CodeInvalidArgument,
	exchange.TooLarge:    connect.CodeResourceExhausted,
	exchange.Stalled:     connect.CodeDeadlineExceeded,
	exchange.Cut:         connect.CodeCanceled,
	exchange.Unsupported: connect.CodeInvalidArgument,
	exchange.Unserved:    connect.CodeNotFound,
	exchange.Shed:        connect.CodeUnavailable, // the one that clients try again
	exchange.Stopped:     connect.CodeUnavailable,
	exchange.Timeout:     connect.CodeDeadlineExceeded,
	exchange.Raised:      connect.CodeInternal,
	exchange.Died:        connect.CodeInternal,
	exchange.Unusable:    connect.CodeInternal,
	exchange.Broken:      connect.CodeInternal,
}

// grpc mounts the six methods of the service.
func (h *handler) grpc(mux *http.ServeMux) {
	mount(mux, h, "ServerLive", func(context.Context, *connect.Request[nothing]) (*connect.Response[yes], error) {
		return connect.NewResponse(&yes{true}), nil
	})
	mount(mux, h, "ServerReady", func(context.Context, *connect.Request[nothing]) (*connect.Response[yes], error) {
		return connect.NewResponse(&yes{h.ready()}), nil
	})
	mount(mux, h, "ServerMetadata", func(context.Context, *connect.Request[nothing]) (*connect.Response[serverMetadata], error) {
		s := h.server()
		return connect.NewResponse(&s), nil
	})
	mount(mux, h, "ModelReady", func(_ context.Context, r *connect.Request[which]) (*connect.Response[yes], error) {
		if err := h.named(r.Msg.name, r.Msg.version); err != nil {
			return nil, failed(err)
		}
		return connect.NewResponse(&yes{h.ready()}), nil
	})
	mount(mux, h, "ModelMetadata", func(_ context.Context, r *connect.Request[which]) (*connect.Response[modelMetadata], error) {
		m, err := h.describe(r.Msg.name, r.Msg.version)
		if err != nil {
			return nil, failed(err)
		}
		return connect.NewResponse(&m), nil
	})
	mount(mux, h, "ModelInfer", h.modelInfer)
}

// mount serves one method. Its message is read whole, with the deadlines of
// every other body, before connect sees it.
func mount[Q, A any](mux *http.ServeMux, h *handler, name string, call func(context.Context, *connect.Request[Q]) (*connect.Response[A], error)) {
	limit := int(min(h.o.BodyLimit, 1<<31-1))
	next := connect.NewUnaryHandler(service+name, call, connect.WithCodec(codec{}), connect.WithReadMaxBytes(limit))
	refuse := connect.NewErrorWriter()
	mux.HandleFunc(service+name, func(w http.ResponseWriter, r *http.Request) {
		body, err := exchange.ReadBody(w, r, h.o.BodyLimit)
		if err != nil {
			_ = refuse.Write(w, r, failed(err)) // a client that left needs no answer
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

func failed(err error) *connect.Error {
	f := exchange.FailureOf(err)
	e := connect.NewError(codes[f.Reason], fmt.Errorf("%s", f.Message))
	f.RetryHeader(e.Meta())
	return e
}

func (h *handler) modelInfer(ctx context.Context, r *connect.Request[inferRequest]) (*connect.Response[inferResponse], error) {
	x := exchange.From(ctx)
	x.Dialect = "grpc"
	answer := connect.NewResponse(&inferResponse{which: which{h.o.Name, h.o.Version}, id: r.Msg.id, raw: len(r.Msg.raw) > 0})
	x.Identify(r.Header(), answer.Header())
	var err error
	if answer.Msg.outputs, err = h.call(ctx, x, r.Msg); err != nil {
		x.Failure = exchange.FailureOf(err)
		x.Status = statuses[x.Failure.Reason]
		e := failed(x.Failure)
		e.Meta()["X-Request-Id"] = []string{x.RequestID}
		return nil, e
	}
	for i := range answer.Msg.outputs {
		answer.Msg.raw = answer.Msg.raw || answer.Msg.outputs[i].Type == tensor.Float16
	}
	x.Status = http.StatusOK
	return answer, nil
}

func (h *handler) call(ctx context.Context, x *exchange.Exchange, r *inferRequest) ([]tensor.Tensor, error) {
	if err := h.named(r.name, r.version); err != nil {
		return nil, err
	}
	m, err := h.served()
	if err != nil {
		return nil, err
	}
	given, err := r.tensors()
	if err != nil {
		return nil, err
	}
	if x.Input, err = h.readers.For(m.Signature).Tensors(given); err != nil {
		return nil, err
	}
	return h.predict(ctx, x, m, r.outputs)
}

// tensors are the request's inputs, whose blocks are part of the message.
func (r *inferRequest) tensors() ([]tensor.Tensor, error) {
	wrong := func(field, format string, args ...any) error {
		return &exchange.Failure{Reason: exchange.Invalid, Field: field, Message: fmt.Sprintf(format, args...)}
	}
	if len(r.raw) > 0 && len(r.raw) != len(r.inputs) {
		return nil, wrong("", "There are %d inputs and %d raw_input_contents: expected one for each.", len(r.inputs), len(r.raw))
	}
	given := make([]tensor.Tensor, len(r.inputs))
	for i, in := range r.inputs {
		t, ok := tensor.OfDatatype(in.Datatype)
		if !ok {
			return nil, wrong(in.Name, "Input '%s' has the datatype '%s'. Known are BOOL, UINT8 to UINT64, INT8 to INT64, FP16, FP32, FP64 and BYTES.", in.Name, in.Datatype)
		}
		var block []byte
		var err error
		switch {
		case r.raw != nil && in.contents != nil:
			return nil, wrong(in.Name, "Input '%s' has contents and raw_input_contents: expected one of them.", in.Name)
		case r.raw != nil:
			block = r.raw[i]
		case contentsOf(t) == 0:
			return nil, wrong(in.Name, "Input '%s': FP16 has no typed contents. Send raw_input_contents.", in.Name)
		default:
			block, err = readContents(in.contents, t)
		}
		if err == nil {
			if n, wrong := given[i].Take(in.Name, t, in.Shape, block); wrong != nil || n != len(block) {
				err = fmt.Errorf("its %d bytes of data are not those of %s in the shape %v", len(block), t.Datatype(), in.Shape)
			}
		}
		if err != nil {
			return nil, wrong(in.Name, "Input '%s': %v.", in.Name, err)
		}
		if t == tensor.Bool {
			for k, b := range block { // numpy takes any other byte for a truth value of its own
				if b > 1 {
					block[k] = 1
				}
			}
		}
	}
	return given, nil
}
