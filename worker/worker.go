// Package worker runs a model's scoring script in one Python process: starts
// it, waits until its init() has returned, sends requests, notices its death.
//
// It answers no HTTP, holds no queue, sets no deadlines and restarts nothing:
// that is package score's part.
package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

// A Worker is one Python process that has become ready. All methods may be
// called at any time, from any goroutine.
type Worker struct {
	process *process
	hello   Hello
	done    chan struct{} // closed when the process is gone and err is set
	err     error

	writing sync.Mutex // one frame at a time

	mu      sync.Mutex
	lastID  uint64
	pending map[uint64]chan Frame
	broken  error // why no request can be taken any more; the process may still be ending
}

// Start runs a Python process and returns once its script's init() has
// returned; ctx bounds that wait and nothing after it. When the script is to
// blame the error is a *StartError, and nothing of the process is left.
func Start(ctx context.Context, c Config) (*Worker, error) {
	p, err := startProcess(c)
	if err != nil {
		return nil, &StartError{Stage: "process", Message: err.Error()}
	}
	w := &Worker{process: p, done: make(chan struct{}), pending: map[uint64]chan Frame{}}
	stop := context.AfterFunc(ctx, func() { p.signal(syscall.SIGABRT); p.conn.Close() })
	go func() {
		// What the model forked may hold the channel open beyond the worker's end.
		<-p.exited
		_ = p.conn.SetReadDeadline(time.Now().Add(time.Second))
	}()
	stream := bufio.NewReaderSize(p.conn, 64<<10)
	first, err := ReadFrame(stream)
	cancelled := !stop()
	if err == nil && !cancelled {
		err = w.greet(first)
		if err == nil {
			go w.read(stream)
			return w, nil
		}
	}
	w.end()
	var start *StartError
	switch {
	case errors.As(err, &start):
	case cancelled:
		start = &StartError{Stage: "timeout", Message: fmt.Sprintf("the scoring script was not ready in time (%v): importing it and init() took longer", context.Cause(ctx))}
	default:
		start = &StartError{Stage: "process", Message: fmt.Sprintf("the Python worker ended before init() returned (%s)", p.cmd.ProcessState)}
	}
	start.Output = p.output.tail()
	return nil, start
}

func (w *Worker) greet(f Frame) error {
	switch f.Type {
	case FrameHello:
		if err := json.Unmarshal(f.Header, &w.hello); err != nil || w.hello.Protocol != protocol {
			return &StartError{Stage: "process", Message: fmt.Sprintf(
				"the Python worker speaks protocol %d, this scorer %d: RIDGELINE_WORKER_PATH holds another version's worker", w.hello.Protocol, protocol)}
		}
		return nil
	case FrameFailed:
		var failure struct{ Stage, Message, Traceback string }
		if err := json.Unmarshal(f.Header, &failure); err != nil {
			return fmt.Errorf("failure report of the worker: %w", err)
		}
		return &StartError{Stage: failure.Stage, Message: failure.Message, Traceback: failure.Traceback}
	}
	return fmt.Errorf("the worker began with a frame of type %d", f.Type)
}

// Hello is what the worker said when it became ready.
func (w *Worker) Hello() Hello { return w.hello }

// PID is the interpreter's process id.
func (w *Worker) PID() int { return w.process.cmd.Process.Pid }

// Done is closed when the process is gone.
func (w *Worker) Done() <-chan struct{} { return w.done }

// Err says how the process ended; nil as long as it has not.
func (w *Worker) Err() error {
	select {
	case <-w.done:
		return w.err
	default:
		return nil
	}
}

// Healthy reports whether the worker can take a request.
func (w *Worker) Healthy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken == nil
}

// ErrNotSent marks the error of a request that the script has not seen: it is
// safe to send it to another worker.
var ErrNotSent = errors.New("not sent")

// Score sends one request to a script and waits for its answer. Requests may
// overlap; the worker runs them in the order of their arrival.
//
// When the process ends first, the error is Unavailable and says how it ended
// (errors.Is ErrNotSent when the request never left). When ctx ends first, it is
// ctx's error: run() goes on, and its answer is dropped. Only Abort or Kill
// stops it.
func (w *Worker) Score(ctx context.Context, r Request) (Response, error) {
	f, err := w.ask(ctx, func(id uint64) (Frame, error) { return encodeRequest(id, r, w.hello) })
	if err != nil {
		return Response{}, err
	}
	return decodeResponse(f)
}

// Predict sends tensors to a model and waits for its answer, as Score does.
func (w *Worker) Predict(ctx context.Context, b tensor.Batch) (Predicted, error) {
	f, err := w.ask(ctx, func(id uint64) (Frame, error) { return encodePredict(id, []tensor.Batch{b}) })
	if err != nil {
		return Predicted{}, err
	}
	return decodePredicted(f)
}

func (w *Worker) ask(ctx context.Context, encode func(id uint64) (Frame, error)) (Frame, error) {
	if err := ctx.Err(); err != nil {
		return Frame{}, err
	}
	answer := make(chan Frame, 1)
	w.mu.Lock()
	if w.broken != nil {
		w.mu.Unlock()
		return Frame{}, w.notSent()
	}
	w.lastID++
	id := w.lastID
	w.pending[id] = answer
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.pending, id)
		w.mu.Unlock()
	}()

	f, err := encode(id)
	if err != nil {
		return Frame{}, err
	}
	prefix, err := f.appendPrefix(make([]byte, 0, framePrefix+len(f.Header)))
	if err != nil {
		return Frame{}, ridgeline.Errorf(ridgeline.Invalid, "request too large for a worker: %w", err)
	}
	if err := w.write(ctx, net.Buffers{append(prefix, f.Header...), f.Body}); err != nil {
		if ctx.Err() != nil {
			return Frame{}, ctx.Err()
		}
		return Frame{}, w.notSent()
	}
	select {
	case f := <-answer:
		return f, nil
	case <-ctx.Done():
		return Frame{}, ctx.Err()
	case <-w.done:
		select {
		case f := <-answer: // it was answered before the end
			return f, nil
		default:
			return Frame{}, w.err
		}
	}
}

// write sends a frame whole, or breaks the worker: half a frame cannot be
// taken back.
func (w *Worker) write(ctx context.Context, frame net.Buffers) error {
	w.writing.Lock()
	defer w.writing.Unlock()
	deadline, _ := ctx.Deadline()
	_ = w.process.conn.SetWriteDeadline(deadline)
	if _, err := frame.WriteTo(w.process.conn); err != nil {
		w.breakOff(fmt.Errorf("write to the worker: %w", err))
		w.process.signal(syscall.SIGKILL)
		return err
	}
	return nil
}

func (w *Worker) notSent() error {
	<-w.done // broken means that its end has begun
	return fmt.Errorf("%w: %w", ErrNotSent, w.err)
}

func (w *Worker) read(stream *bufio.Reader) {
	for {
		f, err := ReadFrame(stream)
		if err == nil && f.Type != FrameResponse && f.Type != FramePredicted {
			err = fmt.Errorf("the worker sent a frame of type %d instead of an answer", f.Type)
		}
		if err != nil {
			w.breakOff(err)
			w.end()
			return
		}
		w.mu.Lock()
		answer := w.pending[f.ID]
		delete(w.pending, f.ID) // a second answer must not block
		w.mu.Unlock()
		if answer != nil { // nobody waits any more when its context ended
			answer <- f
		}
	}
}

func (w *Worker) breakOff(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken == nil {
		w.broken = err
	}
}

// end waits for the process, which it hurries along, and says what it left.
// The channel is closed or useless when it is called.
func (w *Worker) end() {
	const patience = 2 * time.Second
	p := w.process
	p.conn.Close()
	select { // one that ends by itself shall keep its own exit status
	case <-p.exited:
	case <-time.After(patience):
		p.signal(syscall.SIGKILL)
		<-p.exited
	}
	select { // a stranger may hold the pipe open for ever
	case <-p.output.done:
	case <-time.After(patience):
	}
	w.err = p.ended()
	close(w.done)
}

// Stop lets the request under way finish, then ends the process; at the end of
// ctx it is killed. It returns when the process is gone.
func (w *Worker) Stop(ctx context.Context) {
	w.breakOff(errors.New("the worker is being stopped"))
	_ = w.process.conn.CloseWrite() // the worker answers what it has, then sees the end
	select {
	case <-w.done:
	case <-ctx.Done():
		w.Kill()
	}
}

// Abort ends a worker that hangs: it is asked to write every thread's stack
// to its log and die, and killed if it does not within half a second.
func (w *Worker) Abort() {
	w.breakOff(errors.New("the worker was aborted"))
	_ = w.process.cmd.Process.Signal(syscall.SIGABRT)
	select {
	case <-w.process.exited:
	case <-time.After(500 * time.Millisecond):
	}
	w.Kill()
}

// Kill ends the process and all that it started, at once. It returns when
// nothing of it runs any more.
func (w *Worker) Kill() {
	w.breakOff(errors.New("the worker was killed"))
	w.process.signal(syscall.SIGKILL)
	<-w.done
}
