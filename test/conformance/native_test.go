package conformance

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/score"
	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
	"github.com/ridgeline-mlops/ridgeline/test/conformance/harness"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// fitted is what each model of this test is fitted to: five columns of
// different size, a target, two and four classes.
const fitted = `
import joblib, own
import numpy as np
from sklearn import linear_model, pipeline, preprocessing
draw = np.random.default_rng(3)
X = draw.normal(size=(400, 5)) * [1, 10, 0.1, 1e4, 1] + [0, 5, 0, 1e5, -1]
Y = (X - X.mean(0)) / X.std(0) @ [3, -2, 1, 5, 0.01] + draw.normal(size=400)
TWO, FOUR = np.where(Y > 0, "up", "down"), np.digitize(Y, [-5, 0, 5])
`

// models are answered by the scorer itself, but for those that it knows too
// little of.
var models = []struct {
	name, fit string
	native    bool
}{
	{"ridge", `linear_model.Ridge().fit(X, Y)`, true},
	{"outputs", `linear_model.LinearRegression().fit(X, np.stack([Y, -Y, Y ** 2], axis=1))`, true},
	{"scaled", `pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.Ridge()).fit(X, Y)`, true},
	{"classes-2", `pipeline.make_pipeline(preprocessing.MinMaxScaler(), linear_model.LogisticRegression()).fit(X, TWO)`, true},
	{"classes-4", `linear_model.RidgeClassifier().fit(X, FOUR)`, true},
	{"single", `linear_model.Ridge().fit(X.astype("f4"), Y.astype("f4"))`, false},
	{"subclass", `own.Own().fit(X, Y)`, false},
}

// folders makes a folder for each of them.
func folders(t *testing.T, python string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	script := fitted
	for _, m := range models {
		if err := os.Mkdir(filepath.Join(folder, m.name), 0o755); err != nil {
			t.Fatal(err)
		}
		script += fmt.Sprintf("joblib.dump(%s, %q)\n", m.fit, filepath.Join(m.name, "model.joblib"))
	}
	const code = "from sklearn.linear_model import Ridge\nclass Own(Ridge):\n    pass\n"
	for _, where := range []string{"own.py", "subclass/own.py"} {
		if err := os.WriteFile(filepath.Join(folder, where), []byte(code), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if p := harness.Run(t, folder, nil, python, "-c", script); p.ExitCode(t) != 0 {
		t.Fatalf("the models were not made:\n%s", p.Output())
	}
	return folder
}

// front is one that has the model of a folder.
func front(t *testing.T, python, folder string) *score.Front {
	t.Helper()
	c := score.Config{Worker: worker.Config{Python: python, Package: workerFolder(t), App: folder, ModelDir: folder, Log: io.Discard}, Log: slog.New(slog.DiscardHandler)}
	f := score.New(c)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if err := f.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

// predicted is an answer, and whether a worker gave it.
func predicted(t *testing.T, f *score.Front, in tensor.Batch) (tensor.Batch, bool) {
	t.Helper()
	x := &exchange.Exchange{}
	out, err := f.Predict(exchange.With(t.Context(), x), in)
	if err != nil {
		t.Fatal(err)
	}
	return out, x.Worker != 0
}

// The scorer's own answers are predict()'s: of a million rows, a fifth for each
// model, every label is the same and every number is off by a rounding error.
func TestNative_answers_are_those_of_predict(t *testing.T) {
	t.Parallel()
	python := harness.Python(t, "mlflow")
	folder := folders(t, python)
	for _, m := range models {
		t.Run(m.name, func(t *testing.T) {
			f := front(t, python, filepath.Join(folder, m.name))
			draw := rand.New(rand.NewPCG(7, 7))
			if !m.native {
				if _, worked := predicted(t, f, random(draw, 2)); !worked {
					t.Error("the scorer answered by itself")
				}
				return
			}
			const rows, chunk = 200_000, 20_000
			left := 0
			for range rows / chunk {
				in := random(draw, chunk)
				got, worked := predicted(t, f, in)
				if worked {
					left++
				}
				in.Params = []byte("{}") // are a worker's to see
				want, worked := predicted(t, f, in)
				if !worked {
					t.Fatal("predict() was not asked")
				}
				same(t, in, got, want)
			}
			// A label on the edge in 20,000 rows is rare, and all of them go to the worker then.
			if left > 1 {
				t.Errorf("%d blocks of rows were left to the worker", left)
			}
		})
	}
}

// random is rows as those that the models were fitted to, and some far away.
func random(draw *rand.Rand, rows int) tensor.Batch {
	data := make([]byte, 0, rows*5*8)
	for row := range rows {
		scale := 1.0
		if row%10 == 0 {
			scale = math.Exp(draw.NormFloat64() * 5)
		}
		for _, c := range [5][2]float64{{1, 0}, {10, 5}, {0.1, 0}, {1e4, 1e5}, {1, -1}} {
			data = binary.LittleEndian.AppendUint64(data, math.Float64bits((draw.NormFloat64()*c[0]+c[1])*scale))
		}
	}
	return tensor.Batch{Form: tensor.Array, Rows: rows, Tensors: []tensor.Tensor{{Type: tensor.Float64, Shape: []int{rows, 5}, Data: data}}}
}

// same compares two answers: numbers relative to a row's largest magnitude,
// which no sum of these models' terms is far below.
func same(t *testing.T, in, got, want tensor.Batch) {
	t.Helper()
	a, b := got.Tensors[0], want.Tensors[0]
	if got.Form != want.Form || got.Rows != want.Rows || a.Type != b.Type || a.Name != b.Name || len(a.Shape) != len(b.Shape) || len(a.Data) != len(b.Data) {
		t.Fatalf("got %s %v, predict() gave %s %v", a.Type, a.Shape, b.Type, b.Shape)
	}
	if a.Type != tensor.Float64 {
		if !bytes.Equal(a.Data, b.Data) {
			t.Fatal("labels differ")
		}
		return
	}
	number := func(data []byte, i int) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:])) }
	each := len(a.Data) / 8 / got.Rows
	for i := range len(a.Data) / 8 {
		size := 1.0
		for c := range 5 {
			size += math.Abs(number(in.Tensors[0].Data, i/each*5+c))
		}
		if off := math.Abs(number(a.Data, i) - number(b.Data, i)); !(off <= 1e-12*size) {
			t.Fatalf("row %d: %v, and predict() gave %v", i/each, number(a.Data, i), number(b.Data, i))
		}
	}
}
