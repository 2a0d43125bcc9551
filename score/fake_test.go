package score

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score/tensor"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// A fake is a worker whose work takes the time that a test wants, in a
// bubble's clock: what a real one does is shown in package worker and
// score/serve.
type fake struct {
	model  worker.Model
	pid    int
	took   func(rows int) time.Duration
	reply  func(worker.Answer) worker.Answer // nil: what it was sent
	answer func(worker.Answer)

	frames chan worker.Frame
	done   chan struct{}
	once   sync.Once

	mu     sync.Mutex
	groups []int // rows of each frame
	stop   bool
}

var errGone = errors.New("the worker ended: exit status 9; its last lines: last words")

func (w *fake) Hello() worker.Hello { return worker.Hello{PID: w.pid, Model: w.model} }
func (w *fake) Healthy() bool {
	select {
	case <-w.done:
		return false
	default:
		return true
	}
}
func (w *fake) Done() <-chan struct{} { return w.done }
func (w *fake) Err() error            { return errGone }
func (w *fake) Abort()                { w.Kill() }
func (w *fake) Kill()                 { w.once.Do(func() { close(w.done) }) }

func (w *fake) Stop(context.Context) {
	w.mu.Lock()
	w.stop = true
	w.mu.Unlock()
	w.Kill()
}

func (w *fake) Send(f *worker.Frames) error {
	if !w.Healthy() {
		return errGone
	}
	var b bytes.Buffer
	if _, err := f.WriteTo(&b); err != nil {
		return err
	}
	for b.Len() > 0 {
		frame, err := worker.ReadFrame(&b)
		if err != nil {
			panic(err)
		}
		w.frames <- frame
	}
	return nil
}

// run answers one frame after the other.
func (w *fake) run() {
	for {
		var f worker.Frame
		select {
		case f = <-w.frames:
		case <-w.done:
			return
		}
		a := worker.Answer{ID: f.ID}
		rows := 1
		if f.Type == worker.FramePredict {
			a.Predicted.Output = sent(f)
			rows = a.Predicted.Output.Rows
		} else {
			a.Response = worker.Response{Status: 200, Body: f.Body}
		}
		w.mu.Lock()
		w.groups = append(w.groups, rows)
		w.mu.Unlock()
		if w.reply != nil {
			a = w.reply(a)
		}
		select {
		case <-time.After(w.took(rows)):
		case <-w.done:
			return
		}
		if w.Healthy() {
			w.answer(a)
		}
	}
}

// sent is the batch of a Predict frame.
func sent(f worker.Frame) tensor.Batch {
	var h struct {
		Form    tensor.Form
		Rows    int
		Tensors []struct {
			Name  string
			Type  tensor.Type
			Shape []int
		}
	}
	if err := json.Unmarshal(f.Header, &h); err != nil {
		panic(err)
	}
	b := tensor.Batch{Form: h.Form, Rows: h.Rows, Tensors: make([]tensor.Tensor, len(h.Tensors))}
	rest := f.Body
	for i, t := range h.Tensors {
		n, err := b.Tensors[i].Take(t.Name, t.Type, t.Shape, rest)
		if err != nil {
			panic(err)
		}
		rest = rest[(n+7)&^7:]
	}
	return b
}

// bench is a front with fakes, inside a bubble.
type bench struct {
	*Front
	fakes []*fake // all that were started
	stop  func()
}

var (
	aModel  = worker.Model{Kind: worker.KindModel, Joins: true}
	aScript = worker.Model{Kind: worker.KindScript}
)

// fakes starts a front; each makes the next fake to its liking.
func fakes(t *testing.T, c Config, each func(n int, w *fake)) *bench {
	t.Helper()
	b := &bench{}
	var mu sync.Mutex
	c.start = func(ctx context.Context, _ worker.Config, answer func(worker.Answer)) (process, error) {
		mu.Lock()
		defer mu.Unlock()
		w := &fake{pid: 100 + len(b.fakes), answer: answer, frames: make(chan worker.Frame, 1000), done: make(chan struct{}),
			took: func(int) time.Duration { return time.Millisecond }}
		each(len(b.fakes), w)
		b.fakes = append(b.fakes, w)
		go w.run()
		return w, nil
	}
	b.Front = New(c)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	}
	if err := b.Await(ctx); err != nil {
		t.Fatal(err)
	}
	for b.Stats().Workers < max(1, c.Workers) {
		time.Sleep(time.Millisecond)
	}
	return b
}

// number is a batch of so many rows that all hold v.
func number(v float64, rows int) tensor.Batch {
	var data []byte
	for range rows {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
	}
	return tensor.Batch{Form: tensor.Array, Rows: rows, Tensors: []tensor.Tensor{{Type: tensor.Float64, Shape: []int{rows}, Data: data}}}
}

// holds reports whether b is number(v, rows).
func holds(b tensor.Batch, v float64, rows int) bool {
	want := number(v, rows)
	return b.Rows == rows && len(b.Tensors) == 1 && bytes.Equal(b.Tensors[0].Data, want.Tensors[0].Data) && b.Tensors[0].Shape[0] == rows
}
