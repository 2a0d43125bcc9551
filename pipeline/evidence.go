package pipeline

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/gate"
)

// writeSettings is the gate's input without its rows.
func writeSettings(in gate.Input) ([]byte, error) {
	for _, s := range []*gate.Scores{&in.Challenger, &in.Champion} {
		s.Losses, s.Y, s.Prediction = nil, nil, nil
	}
	in.Slices, in.Reported = nil, nil
	text, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("keep the gate's settings: %w", err)
	}
	return text, nil
}

func readSettings(text []byte) (in gate.Input, err error) {
	if len(text) == 0 {
		return in, nil
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return in, fmt.Errorf("read the gate's settings: %w", err)
	}
	return in, nil
}

// slicePrefix marks the slice columns of the kept rows.
const slicePrefix = "slice."

// rowColumns are the columns of numbers that kept rows may have, each with its
// place in an input. Truth is kept once: both models answer the same rows.
var rowColumns = []struct {
	name string
	of   func(in *gate.Input) *[]float64
}{
	{"y", func(in *gate.Input) *[]float64 { return &in.Challenger.Y }},
	{"challenger", func(in *gate.Input) *[]float64 { return &in.Challenger.Prediction }},
	{"champion_y", func(in *gate.Input) *[]float64 { return &in.Champion.Y }},
	{"champion", func(in *gate.Input) *[]float64 { return &in.Champion.Prediction }},
	{"challenger_loss", func(in *gate.Input) *[]float64 { return &in.Challenger.Losses }},
	{"champion_loss", func(in *gate.Input) *[]float64 { return &in.Champion.Losses }},
	{"reported", func(in *gate.Input) *[]float64 { return &in.Reported }},
}

// writeRows is the rows that judged, as CSV: the row's hash where it is known,
// what both models made of it, and its slices. Nil when there are none.
func writeRows(in gate.Input, hashes []uint64) []byte {
	n := max(len(in.Challenger.Losses), len(in.Challenger.Y))
	if n == 0 {
		return nil
	}
	header := []string{"row"}
	var numbers [][]float64
	for _, c := range rowColumns {
		values := *c.of(&in)
		if len(values) != n || c.name == "champion_y" && slices.Equal(values, in.Challenger.Y) {
			continue
		}
		header = append(header, c.name)
		numbers = append(numbers, values)
	}
	names := slices.Sorted(maps.Keys(in.Slices))
	for _, name := range names {
		header = append(header, slicePrefix+name)
	}
	var buf bytes.Buffer
	w := csv.NewWriter(&buf)
	_ = w.Write(header) // to memory: cannot fail
	record := make([]string, 0, len(header))
	for i := range n {
		row := strconv.Itoa(i + 1)
		if len(hashes) == n {
			row = fmt.Sprintf("%016x", hashes[i])
		}
		record = append(record[:0], row)
		for _, values := range numbers {
			record = append(record, strconv.FormatFloat(values[i], 'g', -1, 64))
		}
		for _, name := range names {
			record = append(record, in.Slices[name][i])
		}
		_ = w.Write(record)
	}
	w.Flush()
	return buf.Bytes()
}

// restoreRows puts kept rows back into an input.
func restoreRows(in *gate.Input, from io.Reader) error {
	r := csv.NewReader(from)
	r.ReuseRecord = true
	first, err := r.Read()
	if err != nil {
		return fmt.Errorf("read the scored rows: %w", err)
	}
	header := slices.Clone(first)
	into := make([]*[]float64, len(header))
	for i, name := range header {
		for _, c := range rowColumns {
			if c.name == name {
				into[i] = c.of(in)
			}
		}
	}
	in.Slices = map[string][]string{}
	for {
		record, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read the scored rows: %w", err)
		}
		for i, text := range record {
			if name, ok := strings.CutPrefix(header[i], slicePrefix); ok {
				in.Slices[name] = append(in.Slices[name], strings.Clone(text))
			}
			if into[i] == nil {
				continue
			}
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return fmt.Errorf("read the scored rows: %w", err)
			}
			*into[i] = append(*into[i], v)
		}
	}
	if in.Champion.Prediction != nil && in.Champion.Y == nil {
		in.Champion.Y = in.Challenger.Y
	}
	return nil
}

// Again makes a version's report once more from what was kept, and names the
// first thing in which it differs from the one that was made then.
func (r *Runner) Again(ctx context.Context, v ridgeline.ModelVersion) (report gate.Report, difference string, err error) {
	if len(v.Evidence.Settings) == 0 {
		return report, "", ridgeline.Errorf(ridgeline.NotFound, "version %d of model %s was judged before scored rows were kept: train again to have them", v.Version, v.Model)
	}
	in, err := readSettings(v.Evidence.Settings)
	if err != nil {
		return report, "", err
	}
	if v.Evidence.Rows != "" {
		f, err := r.Blob.Get(ctx, v.Evidence.Rows)
		if err != nil {
			return report, "", fmt.Errorf("open the scored rows: %w", err)
		}
		defer f.Close()
		if err := restoreRows(&in, f); err != nil {
			return report, "", err
		}
	}
	if report, err = gate.Decide(in); err != nil {
		return report, "", err
	}
	text, err := json.Marshal(report)
	if err != nil {
		return report, "", err
	}
	var then, now any
	if err := json.Unmarshal(v.Report, &then); err != nil {
		return report, "", fmt.Errorf("read the report: %w", err)
	}
	if err := json.Unmarshal(text, &now); err != nil {
		return report, "", err
	}
	return report, differs("", then, now), nil
}

// differs names the first place in which two JSON values are not the same. What
// the first does not have is not compared: reports have come to tell more.
func differs(at string, then, now any) string {
	a, okA := then.(map[string]any)
	b, okB := now.(map[string]any)
	if okA && okB {
		for _, name := range slices.Sorted(maps.Keys(a)) {
			if d := differs(strings.TrimPrefix(at+"."+name, "."), a[name], b[name]); d != "" {
				return d
			}
		}
		return ""
	}
	x, okX := then.([]any)
	y, okY := now.([]any)
	if okX && okY && len(x) == len(y) {
		for i := range x {
			if d := differs(fmt.Sprintf("%s[%d]", at, i), x[i], y[i]); d != "" {
				return d
			}
		}
		return ""
	}
	if one, other := jsonOf(then), jsonOf(now); one != other {
		return fmt.Sprintf("%s was %s and is %s", at, clip(one, 100), clip(other, 100))
	}
	return ""
}

func jsonOf(v any) string {
	if f, ok := v.(float64); ok && f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
