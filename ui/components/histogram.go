package components

import (
	"fmt"
	"math"
	"strconv"
)

// A Column is a bar of a histogram that is 240 wide and 48 high.
type Column struct {
	X, Y, Width, Height string
	Label               string
}

const (
	histogramWidth, histogramHeight = 240.0, 48.0
	histogramBins                   = 24
)

// Histogram draws how values lie, told by quantiles at even shares from 0 to
// 100 %: bins of the same width, where each share lies evenly between two of
// the quantiles.
func Histogram(quantiles []float64) []Column {
	low, high := quantiles[0], quantiles[len(quantiles)-1]
	if !(high > low) || math.IsInf(high-low, 0) {
		return bars([]float64{1}, func(int) string { return Number(low) })
	}
	shares := make([]float64, histogramBins)
	width, each := (high-low)/histogramBins, 1/float64(len(quantiles)-1)
	for i := 1; i < len(quantiles); i++ {
		from, to := quantiles[i-1], quantiles[i]
		for b := range shares {
			left, right := low+float64(b)*width, low+float64(b+1)*width
			switch {
			case to == from && from >= left && (from < right || b == histogramBins-1):
				shares[b] += each
			case to > from:
				shares[b] += each * max(0, min(right, to)-max(left, from)) / (to - from)
			}
		}
	}
	return bars(shares, func(b int) string {
		return Number(low+float64(b)*width) + " to " + Number(low+float64(b+1)*width) + ": about " + Percent(shares[b])
	})
}

// A Value and how often it occurs.
type Value struct {
	Name  string
	Count int64
}

// Frequencies draws how often values occur, in the order given.
func Frequencies(values []Value) []Column {
	counts := make([]float64, len(values))
	for i, v := range values {
		counts[i] = float64(v.Count)
	}
	return bars(counts, func(i int) string { return Cut(values[i].Name, 60) + ": " + strconv.FormatInt(values[i].Count, 10) })
}

func bars(heights []float64, label func(i int) string) []Column {
	most := 0.0
	for _, h := range heights {
		most = max(most, h)
	}
	if most == 0 {
		return nil
	}
	width := min(histogramWidth/float64(len(heights)), 40)
	out := make([]Column, len(heights))
	for i, h := range heights {
		tall := h / most * histogramHeight
		out[i] = Column{
			X: fmt.Sprintf("%.1f", float64(i)*width), Width: fmt.Sprintf("%.1f", max(width-1, 1)),
			Y: fmt.Sprintf("%.1f", histogramHeight-tall), Height: fmt.Sprintf("%.1f", tall), Label: label(i),
		}
	}
	return out
}
