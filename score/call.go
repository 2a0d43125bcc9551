package score

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// most is the bytes of one request that fit into a frame with its header.
const most = worker.FrameLimit - 1<<20

// Call has a scoring script answer one request. It returns when there is an
// answer, at the request's deadline, or when ctx ends; a run() that has begun
// goes on: when ctx is cancelled it is waited for, and when ctx has a deadline of
// its own its answer is dropped. The error is an *exchange.Failure.
//
// Nobody may write to the request's body from then on, not even after Call has
// returned.
func (f *Front) Call(ctx context.Context, request worker.Request) (worker.Response, error) {
	j := f.job()
	j.request, j.rows, j.bytes = &request, 1, len(request.Body)
	if err := f.answer(ctx, j); err != nil {
		return worker.Response{}, err
	}
	response := j.response
	f.release(j)
	if response.Status < 200 || response.Status > 599 {
		return worker.Response{}, broken(fmt.Errorf("run() answered with status %d, which HTTP cannot end a request with", response.Status))
	}
	exchange.From(ctx).Model = milliseconds(response.Milliseconds)
	return response, nil
}

// Predict has a model without a script answer some rows, maybe together with
// those of other requests. As Call, otherwise: nobody may write to the input's
// blocks any more, and those of the answer may be shared with others.
func (f *Front) Predict(ctx context.Context, input tensor.Batch) (tensor.Batch, error) {
	if len(input.Tensors) == 0 || input.Params != nil && !json.Valid(input.Params) {
		return tensor.Batch{}, broken(errors.New("a dialect made a batch without tensors, or parameters that are no JSON"))
	}
	if output, ok := f.natively(ctx, input); ok {
		return output, nil
	}
	j := f.job()
	j.input, j.rows = input, input.Rows
	for i := range input.Tensors {
		j.bytes += len(input.Tensors[i].Data) + 8
	}
	if err := f.answer(ctx, j); err != nil {
		return tensor.Batch{}, err
	}
	p := j.predicted
	f.release(j)
	exchange.From(ctx).Model = milliseconds(p.Milliseconds)
	switch p.Reason {
	case "":
		return p.Output, nil
	case "invalid":
		return tensor.Batch{}, &exchange.Failure{Reason: exchange.Invalid, Message: p.Error, Field: p.Field}
	case "unusable":
		return tensor.Batch{}, &exchange.Failure{Reason: exchange.Unusable, Message: "The model's answer cannot be sent: " + p.Error}
	}
	return tensor.Batch{}, &exchange.Failure{Reason: exchange.Raised, Cause: p.Error,
		Message: "The model raised an exception. Check the logs for more info."}
}

// natively answers where no worker is needed for it. It is false for whatever
// is not plain: what is wrong with that is said by predict() itself.
func (f *Front) natively(ctx context.Context, input tensor.Batch) (tensor.Batch, bool) {
	l := f.native.Load()
	if l == nil || ctx.Err() != nil {
		return tensor.Batch{}, false
	}
	began := time.Now()
	output, ok := l.answer(input)
	if ok {
		x := exchange.From(ctx)
		x.Sent, x.Model, x.Batch = began, time.Since(began), input.Rows
	}
	return output, ok
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * 1e6) }

// answer waits until a worker has answered the job, and notes how it went.
func (f *Front) answer(ctx context.Context, j *job) error {
	if j.bytes > most {
		return &exchange.Failure{Reason: exchange.TooLarge, Message: fmt.Sprintf(
			"The request's values take %d bytes, and a worker takes at most %d. Send fewer rows.", j.bytes, most)}
	}
	began := time.Now()
	if failure := f.enqueue(j); failure != nil {
		return failure
	}
	select {
	case <-j.done:
	case <-ctx.Done():
		// One that sends no more may still read, and its request has begun: net/http cannot tell it from one that is gone.
		if f.leave(j, errors.Is(ctx.Err(), context.Canceled)) {
			return left(ctx)
		}
		<-j.done
	}
	x := exchange.From(ctx)
	if x.Queued = time.Since(began); !j.sent.IsZero() {
		x.Sent, x.Queued, x.Worker, x.Batch = j.sent, j.sent.Sub(began), j.pid, j.together
	}
	if j.failure != nil {
		return j.failure
	}
	return nil
}

// left is why nobody waits for an answer any more.
func left(ctx context.Context) *exchange.Failure {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &exchange.Failure{Reason: exchange.Timeout, Message: "The caller's deadline has passed."}
	}
	return broken(ctx.Err())
}

// broken is an error that is the request's own when it has a code, and ours
// when it has none.
func broken(err error) *exchange.Failure {
	if ridgeline.CodeOf(err) == ridgeline.Invalid {
		return &exchange.Failure{Reason: exchange.Invalid, Message: err.Error()}
	}
	return &exchange.Failure{Reason: exchange.Broken, Message: "An unexpected internal error occurred. Check the logs for more info.", Cause: err.Error()}
}
