package gate_test

import (
	"encoding/csv"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/gate"
)

// The world is the diabetes data made endless: rows are drawn from its 442,
// and the target is what a linear fit of them says plus a residual drawn from
// that fit's. So the true error of every linear model is known.
type world struct {
	x        [][]float64 // columns of mean 0 and length 1, as scikit-learn has them
	weight   []float64
	middle   float64
	residual []float64
	noise    float64 // mean square of the residuals
}

type sample struct {
	x [][]float64
	y []float64
}

type linear struct {
	weight []float64
	middle float64
}

func diabetes(t testing.TB) *world {
	f, err := os.Open("../project/template/data/diabetes.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var w world
	var all sample
	for _, line := range lines[1:] {
		values := make([]float64, len(line))
		for i, text := range line {
			if values[i], err = strconv.ParseFloat(text, 64); err != nil {
				t.Fatal(err)
			}
		}
		all.x = append(all.x, values[:len(values)-1])
		all.y = append(all.y, values[len(values)-1])
	}
	for j := range all.x[0] {
		var sum, square float64
		for _, row := range all.x {
			sum += row[j]
		}
		for _, row := range all.x {
			row[j] -= sum / float64(len(all.x))
			square += row[j] * row[j]
		}
		for _, row := range all.x {
			row[j] /= math.Sqrt(square)
		}
	}
	fit := ridge(all, 0)
	w.x, w.weight, w.middle = all.x, fit.weight, fit.middle
	for i, row := range all.x {
		e := all.y[i] - fit.predict(row)
		w.residual = append(w.residual, e)
		w.noise += e * e / float64(len(all.x))
	}
	return &w
}

func (w *world) draw(r *rand.Rand, n int) sample {
	s := sample{x: make([][]float64, n), y: make([]float64, n)}
	for i := range n {
		s.x[i] = w.x[r.IntN(len(w.x))]
		s.y[i] = linear{w.weight, w.middle}.predict(s.x[i]) + w.residual[r.IntN(len(w.residual))]
	}
	return s
}

// truth is the mean squared error on all rows the world can draw.
func (w *world) truth(m linear) float64 {
	gap := linear{make([]float64, len(m.weight)), m.middle - w.middle}
	for j := range gap.weight {
		gap.weight[j] = m.weight[j] - w.weight[j]
	}
	sum := 0.0
	for _, row := range w.x {
		d := gap.predict(row)
		sum += d * d
	}
	return sum/float64(len(w.x)) + w.noise
}

func (m linear) predict(x []float64) float64 {
	v := m.middle
	for j, c := range x {
		v += c * m.weight[j]
	}
	return v
}

func (m linear) losses(s sample) []float64 {
	out := make([]float64, len(s.y))
	for i, row := range s.x {
		e := s.y[i] - m.predict(row)
		out[i] = e * e
	}
	return out
}

// ridge is scikit-learn's Ridge(alpha) with an intercept.
func ridge(s sample, alpha float64) linear {
	n, k := float64(len(s.y)), len(s.x[0])
	middle := make([]float64, k)
	var my float64
	for i, row := range s.x {
		for j, v := range row {
			middle[j] += v / n
		}
		my += s.y[i] / n
	}
	square, cross := make([]float64, k*k), make([]float64, k)
	centred := make([]float64, k)
	for i, row := range s.x {
		for j, v := range row {
			centred[j] = v - middle[j]
		}
		for j, v := range centred {
			cross[j] += v * (s.y[i] - my)
			for l := j; l < k; l++ {
				square[j*k+l] += v * centred[l]
			}
		}
	}
	for j := range k {
		square[j*k+j] += alpha
	}
	var chol mat.Cholesky
	chol.Factorize(mat.NewSymDense(k, square))
	var solved mat.VecDense
	if err := chol.SolveVecTo(&solved, mat.NewVecDense(k, cross)); err != nil {
		panic(err)
	}
	m := linear{weight: slices.Clone(solved.RawVector().Data), middle: my}
	for j, c := range middle {
		m.middle -= c * m.weight[j]
	}
	return m
}

// each runs f for 0 … n−1 on all processors.
func each(n int, f func(i int)) {
	var wait sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wait.Wait()
}

const (
	trainRows   = 353 // 80 % of 442
	holdoutRows = 89
	recipe      = 0.5 // the reference's ridge alpha; a true error of 3,137
)

// alone skips a simulation under the race detector, which takes ten times as
// long: the gate starts no goroutine.
func alone(t *testing.T) {
	t.Helper()
	if race {
		t.Skip("the gate starts no goroutine")
	}
}

func (w *world) judge(t *testing.T, in gate.Input, champion, challenger linear, holdout sample) gate.Report {
	in.Metric, in.Relative = "mse", true
	in.Champion, in.Challenger = losses(champion.losses(holdout)), losses(challenger.losses(holdout))
	r, err := gate.Decide(in)
	if err != nil {
		t.Error(err)
	}
	return r
}

// Twenty retrains of one recipe, each on data of its own, judged on one
// holdout: the reference's gate promotes 2.74 of them, half to a worse model.
// Here without a minimum effect, which would only make it harder.
func TestSimulation_no_change(t *testing.T) {
	alone(t)
	w := diabetes(t)
	sequences := fewer(400)
	var lock sync.Mutex
	promoted, worse := 0, 0
	each(sequences, func(i int) {
		r := rand.New(rand.NewPCG(uint64(i), 5))
		rows := w.draw(r, holdoutRows)
		keys := make([]uint64, holdoutRows)
		for k := range keys {
			keys[k] = r.Uint64()
		}
		holdout := gate.HoldoutOf(keys)
		champion := ridge(w.draw(r, trainRows), recipe)
		var ledger gate.Ledger
		for range 20 {
			challenger := ridge(w.draw(r, trainRows), recipe)
			allowed := gate.Budget{}.Next(ledger, holdout)
			got := w.judge(t, gate.Input{Allowance: &allowed, Seed: r.Uint64()}, champion, challenger, rows)
			ledger = append(ledger, gate.Decision{Holdout: holdout, Alpha: got.Spent, Verdict: got.Verdict})
			if got.Verdict != ridgeline.Promoted {
				continue
			}
			lock.Lock()
			promoted++
			if w.truth(challenger) > w.truth(champion) {
				worse++
			}
			lock.Unlock()
			champion = challenger
		}
	})
	per := float64(promoted) / float64(sequences)
	t.Logf("%d sequences of 20 retrains: %.3f promotions each, %d of %d to a worse model", sequences, per, worse, promoted)
	if per > 0.2 {
		t.Errorf("%.3f promotions in 20 retrains where nothing changed, allowed 0.2", per)
	}
	if float64(worse) > max(0.05*float64(promoted), 1) {
		t.Errorf("%d of %d promotions made the model worse, allowed 5 %%", worse, promoted)
	}
}

// A better recipe on the same training data: an inconclusive verdict asks for
// rows, and on a new holdout of so many rows the same two models are compared again.
func TestSimulation_better_recipe_is_promoted_at_the_rows_asked_for(t *testing.T) {
	alone(t)
	w := diabetes(t)
	for _, test := range []struct {
		name         string
		alpha, truth float64
	}{{"5.6 % better", 0.1, 0.056}, {"2 % better", 0.38, 0.02}} {
		for _, start := range []int{holdoutRows, 300} {
			pairs := fewer(400)
			var lock sync.Mutex
			var asked []int
			atOnce, silent, then := 0, 0, 0
			gain := 0.0
			each(pairs, func(i int) {
				r := rand.New(rand.NewPCG(uint64(i), 5))
				data := w.draw(r, trainRows)
				champion, challenger := ridge(data, recipe), ridge(data, test.alpha)
				allowed := gate.Budget{}.Next(nil, gate.Holdout{Rows: start})
				in := gate.Input{MinEffect: 0.01, Allowance: &allowed, Seed: r.Uint64()}
				got := w.judge(t, in, champion, challenger, w.draw(r, start))
				again := false
				if got.RowsNeeded != nil {
					again = w.judge(t, in, champion, challenger, w.draw(r, *got.RowsNeeded)).Verdict == ridgeline.Promoted
				}
				lock.Lock()
				defer lock.Unlock()
				gain += (1 - w.truth(challenger)/w.truth(champion)) / float64(pairs)
				switch {
				case got.Verdict == ridgeline.Promoted:
					atOnce++
				case got.RowsNeeded == nil:
					silent++
				default:
					asked = append(asked, *got.RowsNeeded)
				}
				if again {
					then++
				}
			})
			if math.Abs(gain-test.truth) > 0.005 {
				t.Errorf("%s: the recipe is %.4f better", test.name, gain)
			}
			slices.Sort(asked)
			share := float64(then) / float64(len(asked))
			t.Logf("%s, %d rows: %d of %d promoted at once, %d asked for no rows, %d asked for %d rows (quartiles %d and %d); %.3f of those promoted there",
				test.name, start, atOnce, pairs, silent, len(asked), asked[len(asked)/2], asked[len(asked)/4], asked[3*len(asked)/4], share)
			if share < 0.8-spare() {
				t.Errorf("%s, %d rows: %.3f promoted at the rows asked for, expected 0.8", test.name, start, share)
			}
		}
	}
}

// spare is room for chance in the few runs of -short.
func spare() float64 {
	if testing.Short() {
		return 0.12
	}
	return 0
}

// Log-normal losses, as squared errors with outliers have them. Half of the
// comparisons are of equal models; in the other half the challenger is better by
// exactly the minimum effect, which is no reason to promote either.
func TestSimulation_coverage_and_false_promotions(t *testing.T) {
	alone(t)
	runs := fewer(2000)
	for _, n := range []int{30, 89, 300, 1000} {
		var lock sync.Mutex
		covered, promoted := 0, 0
		each(runs, func(i int) {
			truth := 0.1 * float64(i%2)
			r := rand.New(rand.NewPCG(uint64(i), uint64(n)))
			a, b := make([]float64, n), make([]float64, n)
			for i := range a {
				shared := math.Exp(r.NormFloat64())
				a[i] = shared * math.Exp(0.5*r.NormFloat64())
				b[i] = (1 - truth) * shared * math.Exp(0.5*r.NormFloat64())
			}
			got, err := gate.Decide(gate.Input{Metric: "loss", MinEffect: truth, Relative: true, Champion: losses(a), Challenger: losses(b), Seed: r.Uint64()})
			if err != nil {
				t.Error(err)
			}
			lock.Lock()
			defer lock.Unlock()
			if got.Interval[0] <= truth && truth <= got.Interval[1] {
				covered++
			}
			if got.Verdict == ridgeline.Promoted {
				promoted++
			}
		})
		coverage, false1 := float64(covered)/float64(runs), float64(promoted)/float64(runs)
		t.Logf("n=%d: %d comparisons, a 95 %% interval covers %.4f, falsely promoted %.4f", n, runs, coverage, false1)
		if coverage < 0.93-spare()/2 {
			t.Errorf("n=%d: coverage %.4f", n, coverage)
		}
		if false1 > above(0.05, runs) {
			t.Errorf("n=%d: %.4f falsely promoted, allowed 0.05 and chance", n, false1)
		}
	}
}
