package score

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// two is a model of two columns, 3·(a−1) − b + ½, or whether that is above 0.
func two(labels ...byte) worker.Model {
	m := worker.Model{Kind: worker.KindModel, Joins: true,
		Signature: &tensor.Signature{Form: tensor.Array, Inputs: []tensor.Field{{Type: tensor.Float64, Shape: []int{2}}}},
		Linear:    &worker.Linear{Weights: [][]float64{{3, -1}}, Intercepts: []float64{0.5}, Scaling: []worker.Scaling{{Op: "subtract", By: []float64{1, 0}}}},
	}
	if labels != nil {
		m.Linear.Labels = &worker.Labels{Type: tensor.Uint8, Data: append(labels, 0, 0, 0, 0)} // filled up, as blocks are
	}
	return m
}

func doubles(values ...float64) (b []byte) {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

func pairs(values ...float64) tensor.Batch {
	return tensor.Batch{Form: tensor.Array, Rows: len(values) / 2, Tensors: []tensor.Tensor{{Type: tensor.Float64, Shape: []int{len(values) / 2, 2}, Data: doubles(values...)}}}
}

// predicting answers as two's predict() does, but for what by adds to it.
func predicting(model worker.Model, by float64) func(worker.Answer) worker.Answer {
	return func(a worker.Answer) worker.Answer {
		in := a.Predicted.Output
		out := tensor.Tensor{Type: tensor.Float64, Shape: []int{in.Rows}}
		value := func(i int) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(in.Tensors[0].Data[8*i:])) }
		for row := range in.Rows {
			sum := -value(2*row+1) + (value(2*row)-1)*3 + 0.5 + by
			if labels := model.Linear.Labels; labels == nil {
				out.Data = append(out.Data, doubles(sum)...)
			} else if out.Type = labels.Type; sum > 0 {
				out.Data = append(out.Data, labels.Data[1])
			} else {
				out.Data = append(out.Data, labels.Data[0])
			}
		}
		a.Predicted.Output = tensor.Batch{Form: tensor.Array, Rows: in.Rows, Tensors: []tensor.Tensor{out}}
		return a
	}
}

// linearly starts a front whose worker is that model.
func linearly(t *testing.T, c Config, model worker.Model, reply func(worker.Answer) worker.Answer) *bench {
	t.Helper()
	return fakes(t, c, func(_ int, w *fake) { w.model, w.reply = model, reply })
}

// asked has the front answer, and reports whether a worker did.
func asked(t *testing.T, f *Front, in tensor.Batch) (tensor.Batch, bool) {
	t.Helper()
	x := &exchange.Exchange{}
	out, err := f.Predict(exchange.With(t.Context(), x), in)
	if err != nil {
		t.Fatal(err)
	}
	if x.Batch < in.Rows || x.Sent.IsZero() {
		t.Errorf("the exchange does not tell of the model: %+v", x)
	}
	return out, x.Worker != 0
}

func TestFront_answers_linear_models_by_itself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := linearly(t, Config{}, two(), predicting(two(), 0))
		defer b.stop()
		out, worked := asked(t, b.Front, pairs(1, 0, 2, 5, 1e200, 0))
		if worked || !bytes.Equal(out.Tensors[0].Data, doubles(0.5, -1.5, 3e200)) || out.Rows != 3 || len(out.Tensors[0].Shape) != 1 || out.Tensors[0].Shape[0] != 3 {
			t.Errorf("%+v, by a worker: %v", out, worked)
		}
		for name, in := range map[string]tensor.Batch{
			"NaN": pairs(1, 0, math.NaN(), 0), "infinity": pairs(math.Inf(1), 0), "an infinite sum": pairs(1e308, -1e308),
			"parameters": {Form: tensor.Array, Rows: 1, Params: []byte("{}"), Tensors: pairs(1, 2).Tensors},
		} {
			if _, worked := asked(t, b.Front, in); !worked {
				t.Errorf("%s was not predict()'s to see", name)
			}
		}
	})
}

func TestFront_leaves_labels_on_the_edge_to_the_worker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		model := two(7, 9)
		b := linearly(t, Config{}, model, predicting(model, 0))
		defer b.stop()
		for _, c := range []struct {
			a, b   float64
			label  byte
			worked bool
		}{{2, 0, 9, false}, {0, 0, 7, false}, {1, 0.5, 7, true}, {1, 0.5 - 1e-13, 9, true}, {1, 0.5 - 1e-9, 9, false}} {
			out, worked := asked(t, b.Front, pairs(c.a, c.b))
			if got := out.Tensors[0]; got.Type != tensor.Uint8 || !bytes.Equal(got.Data, []byte{c.label}) || worked != c.worked {
				t.Errorf("%v: %v, by a worker: %v", c, got, worked)
			}
		}
	})
}

// What does not prove itself is left to the worker.
func TestFront_does_not_believe_what_is_not_tried_out(t *testing.T) {
	t.Parallel()
	change := func(f func(*worker.Model)) worker.Model {
		m := two()
		f(&m)
		return m
	}
	for name, c := range map[string]struct {
		config Config
		model  worker.Model
		reply  func(worker.Answer) worker.Answer
	}{
		"switched off":  {Config{NoNative: true}, two(), predicting(two(), 0)},
		"other numbers": {Config{}, two(), predicting(two(), 1e-6)},
		"other labels":  {Config{}, two(7, 9), predicting(two(9, 7), 0)},
		"a predict() that raises": {Config{}, two(), func(a worker.Answer) worker.Answer {
			if a.Predicted.Output.Rows > 1 {
				a.Predicted = worker.Predicted{Reason: "raised", Error: "ValueError"}
			}
			return a
		}},
		"an unknown operation": {Config{}, change(func(m *worker.Model) { m.Linear.Scaling[0].Op = "clip" }), predicting(two(), 0)},
		"a missing weight":     {Config{}, change(func(m *worker.Model) { m.Linear.Weights[0] = []float64{3} }), predicting(two(), 0)},
		"single precision":     {Config{}, change(func(m *worker.Model) { m.Signature.Inputs[0].Type = tensor.Float32 }), predicting(two(), 0)},
		"no signature":         {Config{}, change(func(m *worker.Model) { m.Signature = nil }), predicting(two(), 0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := linearly(t, c.config, c.model, c.reply)
				defer b.stop()
				if _, worked := asked(t, b.Front, pairs(1, 2)); !worked {
					t.Error("the scorer answered by itself")
				}
			})
		})
	}
}

func TestFront_answers_linear_models_without_a_worker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := fakes(t, Config{}, func(n int, w *fake) {
			w.model, w.reply = two(), predicting(two(), 0)
			if n > 0 {
				w.model.Linear = &worker.Linear{Weights: [][]float64{{4, -1}}, Intercepts: []float64{0.5}}
			}
		})
		defer b.stop()
		b.fakes[0].Kill()
		synctest.Wait()
		if _, err := b.Ready(); err == nil {
			t.Error("it is ready without a worker")
		}
		if out, worked := asked(t, b.Front, pairs(1, 2)); worked || !bytes.Equal(out.Tensors[0].Data, doubles(-1.5)) {
			t.Errorf("%+v, by a worker: %v", out, worked)
		}
		for b.Stats().Workers == 0 {
			time.Sleep(time.Millisecond)
		}
		if _, worked := asked(t, b.Front, pairs(1, 2)); !worked {
			t.Error("the next worker has another model, and was not asked")
		}
	})
}
