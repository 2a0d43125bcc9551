package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/gate"
)

// comparison is what gate compare was told.
type comparison struct {
	champion, challenger string // files
	metric, better       string
	minEffect            string
	alpha                float64
	slices, tolerances   []string
	id                   string // column; empty: "id" where both files have it
	markdown             bool
}

func (c *cli) compare() *cobra.Command {
	var o comparison
	cmd := &cobra.Command{
		Use: "compare", Short: "Judge a challenger's rows against a champion's, with no server",
		Long: `Compare reads a CSV or Parquet file of scored holdout rows for each of two models, and
judges them as the gate of a run does. A file has the columns y and prediction, or loss, and
the slice columns. Rows are matched by their id when both files have a column id (or the one
that --id names), else by their order.

Exit codes: 0 promoted, 4 rejected, 5 inconclusive, 1 error, 2 wrong usage.`,
		Example: `  ridgeline gate compare --champion a.csv --challenger b.csv --metric mse --min-effect 1%
  ridgeline gate compare --champion a.parquet --challenger b.parquet --metric accuracy --slice sex --markdown`,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.runComparison(cmd.Context(), o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.champion, "champion", "", "scored rows of the model in use")
	flags.StringVar(&o.challenger, "challenger", "", "scored rows of the new model")
	flags.StringVar(&o.metric, "metric", "", "what decides: "+strings.Join(gate.Metrics(), ", ")+", or a name of your own for a column loss")
	flags.StringVar(&o.better, "better", "", "lower or higher, for a metric of your own")
	flags.StringVar(&o.minEffect, "min-effect", "1%", "least improvement worth a release: a share of the champion's value such as 1%, or a number in the metric's unit")
	flags.Float64Var(&o.alpha, "alpha", 0.05, "chance allowed to promote a model that is not better by the least effect")
	flags.StringArrayVar(&o.slices, "slice", nil, "a column in whose slices nothing may get significantly worse (may be repeated)")
	flags.StringArrayVar(&o.tolerances, "tolerance", nil, "how much worse a slice may get: 2%, sex:2% or sex=1:2% (may be repeated)")
	flags.StringVar(&o.id, "id", "", "the column by which rows are matched (default id, where both files have it)")
	flags.BoolVar(&o.markdown, "markdown", false, "print Markdown, as for a pull request")
	return cmd
}

func (c *cli) runComparison(ctx context.Context, o comparison) error {
	// A process of a second has better things to do than to collect garbage.
	debug.SetGCPercent(400)
	in, err := o.input()
	if err != nil {
		return err
	}
	if err := o.read(ctx, &in); err != nil {
		return err
	}
	report, err := gate.Decide(in)
	if err != nil {
		return err
	}
	if err := c.printReport(report, o.markdown); err != nil {
		return err
	}
	if code := verdictCode(report.Verdict); code != 0 {
		return &exitError{code: code}
	}
	return nil
}

// printReport prints a report as it was asked for.
func (c *cli) printReport(r gate.Report, markdown bool) error {
	switch {
	case c.json:
		return c.print(r)
	case markdown:
		_, err := fmt.Fprint(c.out, gate.Markdown(r))
		return err
	}
	_, err := fmt.Fprint(c.out, gate.Text(r))
	return err
}

// verdictCode is the exit code of gate compare.
func verdictCode(v ridgeline.Verdict) int {
	switch v {
	case ridgeline.Promoted:
		return 0
	case ridgeline.Rejected:
		return exitRejected
	case ridgeline.Inconclusive:
		return exitInconclusive
	}
	return exitFailed
}

// input is what the flags alone say.
func (o comparison) input() (gate.Input, error) {
	in := gate.Input{Metric: o.metric, Better: o.better, Alpha: o.alpha}
	switch {
	case o.champion == "" || o.challenger == "":
		return in, usage("two files are needed: --champion FILE and --challenger FILE")
	case o.metric == "":
		return in, usage("--metric is missing: one of %s", strings.Join(gate.Metrics(), ", "))
	case !(o.alpha > 0 && o.alpha < 0.5):
		return in, usage("--alpha %v: expected a probability above 0 and below 0.5, such as 0.05", o.alpha)
	}
	if _, known := gate.BetterOf(o.metric); !known && o.better == "" {
		return in, usage("there is no metric %q: expected one of %s, or a name of your own with --better lower or --better higher", o.metric, strings.Join(gate.Metrics(), ", "))
	}
	var err error
	in.MinEffect, in.Relative, err = parseAmount(o.minEffect)
	if err != nil {
		return in, usage("--min-effect %q: expected a share of the champion's value, such as 1%%, or a number in the metric's own unit, such as 5", o.minEffect)
	}
	in.Tolerances = map[string]gate.Margin{}
	for _, text := range o.tolerances {
		at := strings.LastIndex(text, ":")
		value, relative, err := parseAmount(text[at+1:])
		if err != nil {
			return in, usage("--tolerance %q: expected an amount such as 2%%, or sex:2%%, or sex=1:2%%", text)
		}
		in.Tolerances[text[:max(at, 0)]] = gate.Margin{Value: value, Relative: relative}
	}
	return in, nil
}

// parseAmount reads "1%" as a share, and a plain number as itself.
func parseAmount(text string) (value float64, relative bool, err error) {
	number, relative := strings.CutSuffix(strings.TrimSpace(text), "%")
	value, err = strconv.ParseFloat(strings.TrimSpace(number), 64)
	if relative {
		value /= 100
	}
	if err == nil && (math.IsNaN(value) || math.IsInf(value, 0) || value < 0 || relative && value >= 1) {
		err = errors.New("out of range")
	}
	return value, relative, err
}

// A scored file is one model's rows as they are on disk.
type scoredFile struct {
	name string // for messages
	data.Columns
	order []int // the rows in the champion's order; nil: as they are
}

// read puts the rows of both files into in.
func (o comparison) read(ctx context.Context, in *gate.Input) error {
	db, err := data.Open()
	if err != nil {
		return err
	}
	defer db.Close()
	id := o.id
	if id == "" {
		id = "id"
	}
	var files [2]scoredFile
	var errs [2]error
	var both sync.WaitGroup
	for i, path := range []string{o.champion, o.challenger} {
		both.Go(func() {
			texts := []string{id}
			if i == 1 {
				texts = append(texts, o.slices...)
			}
			files[i].name = path
			files[i].Columns, errs[i] = db.Columns(ctx, path, []string{"loss", "y", "prediction"}, texts)
		})
	}
	both.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	champion, challenger := &files[0], &files[1]
	if champion.Rows != challenger.Rows {
		return ridgeline.Errorf(ridgeline.Invalid, "%s has %d rows and %s has %d: both models must answer the same holdout rows",
			champion.name, champion.Rows, challenger.name, challenger.Rows)
	}
	if champion.Rows == 0 {
		return ridgeline.Errorf(ridgeline.Invalid, "%s and %s have no rows: there is nothing to compare", champion.name, challenger.name)
	}
	if err := match(champion, challenger, id, o.id != ""); err != nil {
		return err
	}
	labels, err := labelsOf(files[:])
	if err != nil {
		return err
	}
	if labels != nil && !gate.TakesLabels(o.metric) && champion.Numbers["loss"] == nil {
		return ridgeline.Errorf(ridgeline.Invalid, "%s is computed from numbers, but y and prediction of %s are labels: use accuracy, error_rate or f1", o.metric, champion.name)
	}
	if in.Champion, err = champion.scores(labels); err != nil {
		return err
	}
	if in.Challenger, err = challenger.scores(labels); err != nil {
		return err
	}
	in.Slices = map[string][]string{}
	for _, name := range o.slices {
		values, ok := challenger.Texts[name]
		if !ok {
			return challenger.lacks(name)
		}
		for i, v := range values {
			if v == "" {
				values[i] = "(missing)"
			}
		}
		in.Slices[name] = ordered(values, challenger.order)
	}
	return nil
}

func (f scoredFile) lacks(column string) error {
	return ridgeline.Errorf(ridgeline.Invalid, "%s has no column %q; it has: %s", f.name, column, strings.Join(f.Names, ", "))
}

// match finds the order in which the challenger's rows are the champion's.
func match(champion, challenger *scoredFile, id string, asked bool) error {
	a, okA := champion.Texts[id]
	b, okB := challenger.Texts[id]
	switch {
	case !okA && asked:
		return champion.lacks(id)
	case !okB && asked:
		return challenger.lacks(id)
	case !okA || !okB:
		return nil
	}
	if slices.Equal(a, b) && rising(a) { // as most files are, and many times faster
		return nil
	}
	order, err := gate.Match(a, b)
	if err != nil {
		return fmt.Errorf("%s (champion) and %s (challenger), by the column %s: %w", champion.name, challenger.name, id, err)
	}
	challenger.order = order
	return nil
}

// rising reports whether ids grow from row to row, as 1, 2, 10 or a1, a2 do, so
// that none is there twice.
func rising(ids []string) bool {
	for i := 1; i < len(ids); i++ {
		if len(ids[i-1]) > len(ids[i]) || len(ids[i-1]) == len(ids[i]) && ids[i-1] >= ids[i] {
			return false
		}
	}
	return true
}

// labelsOf numbers the labels of both files in their sorted order, so that no
// and yes are 0 and 1; nil when y and prediction are numbers.
func labelsOf(files []scoredFile) (map[string]float64, error) {
	found := map[string]float64{}
	number, label := "", ""
	for _, f := range files {
		for _, name := range []string{"y", "prediction"} {
			what := fmt.Sprintf("column %s of %s", name, f.name)
			if f.Numbers[name] != nil {
				number = what
			}
			for i, text := range f.Texts[name] {
				label = what
				if text == "" {
					return nil, ridgeline.Errorf(ridgeline.Invalid, "%s row %d has no %s", f.name, i+1, name)
				}
				found[text] = 0
			}
		}
	}
	if label == "" {
		return nil, nil
	}
	if number != "" {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "%s holds labels and %s numbers: expected both to be of one kind; for probabilities write y as 0 or 1", label, number)
	}
	for i, text := range slices.Sorted(maps.Keys(found)) {
		found[text] = float64(i)
	}
	return found, nil
}

// scores are a file's rows as the gate takes them.
func (f scoredFile) scores(labels map[string]float64) (gate.Scores, error) {
	if texts, ok := f.Texts["loss"]; ok {
		for i, text := range texts {
			if _, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err != nil {
				return gate.Scores{}, ridgeline.Errorf(ridgeline.Invalid, "%s row %d: the loss %q is not a number", f.name, i+1, text)
			}
		}
	}
	column := func(name string) []float64 {
		values := f.Numbers[name]
		for _, text := range f.Texts[name] {
			values = append(values, labels[text])
		}
		return ordered(values, f.order)
	}
	s := gate.Scores{Has: true, Losses: ordered(f.Numbers["loss"], f.order), Y: column("y"), Prediction: column("prediction")}
	if s.Losses == nil && (s.Y == nil || s.Prediction == nil) {
		return s, ridgeline.Errorf(ridgeline.Invalid, "%s needs the columns y and prediction, or a column loss; it has: %s", f.name, strings.Join(f.Names, ", "))
	}
	if s.Y == nil || s.Prediction == nil { // one of them alone says nothing
		s.Y, s.Prediction = nil, nil
	}
	return s, nil
}

func ordered[T any](values []T, order []int) []T {
	if order == nil || values == nil {
		return values
	}
	out := make([]T, len(values))
	for i, j := range order {
		out[i] = values[j]
	}
	return out
}
