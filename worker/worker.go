// Package worker runs a model, or its scoring script, in one Python process:
// starts it, waits until it is ready, sends frames, notices its death.
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
	"sync"
	"syscall"
	"time"
)

// A Worker is one Python process that has become ready. All methods may be
// called at any time, from any goroutine.
type Worker struct {
	process *process
	hello   Hello
	done    chan struct{} // closed when the process is gone and err is set
	err     error

	writing sync.Mutex // one Send at a time

	mu     sync.Mutex
	broken error // why no request can be taken any more; the process may still be ending
}

// Start runs a Python process and returns once its model is loaded, or its
// script's init() has returned; ctx bounds that wait and nothing after it. When
// the model is to blame the error is a *StartError, and nothing of the process is
// left.
//
// Each answer to what is sent later goes to answer, one call after the other,
// all of them before Done is closed. The worker is not read while it runs.
func Start(ctx context.Context, c Config, answer func(Answer)) (*Worker, error) {
	p, err := startProcess(c)
	if err != nil {
		return nil, &StartError{Stage: "process", Message: err.Error()}
	}
	w := &Worker{process: p, done: make(chan struct{})}
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
			go w.read(stream, answer)
			return w, nil
		}
	}
	w.end()
	var start *StartError
	switch {
	case errors.As(err, &start):
	case cancelled:
		start = &StartError{Stage: "timeout", Message: fmt.Sprintf("the model was not ready in time (%v): importing the script and init(), or loading the model, took longer", context.Cause(ctx))}
	default:
		start = &StartError{Stage: "process", Message: fmt.Sprintf("the Python worker ended before it was ready (%s)", p.cmd.ProcessState)}
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

// Send writes frames, whole; their answers come in the same order, each to
// the function that Start was given. It waits while the worker takes nothing,
// until the worker's end.
//
// After an error the worker is on its way to its end, and of these frames none
// that was not whole has been seen.
func (w *Worker) Send(frames *Frames) error {
	w.writing.Lock()
	defer w.writing.Unlock()
	if !w.Healthy() {
		return errors.New("the worker takes no more requests")
	}
	if _, err := frames.WriteTo(w.process.conn); err != nil {
		w.breakOff(fmt.Errorf("write to the worker: %w", err)) // half a frame cannot be taken back
		w.process.signal(syscall.SIGKILL)
		return err
	}
	return nil
}

func (w *Worker) read(stream *bufio.Reader, answer func(Answer)) {
	for {
		f, err := ReadFrame(stream)
		var a Answer
		if err == nil {
			a, err = decodeAnswer(f)
		}
		if err != nil {
			w.breakOff(err)
			w.end()
			return
		}
		answer(a)
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
