package ui

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// endpointHistory is what an endpoint has answered over time.
type endpointHistory struct {
	Windows []components.Tab
	Window  string // in words
	Rows    []versionHistory
	Charts  []components.Chart
}

// A versionHistory is one version in the whole window. Times are in seconds.
type versionHistory struct {
	Model   ridgeline.ModelName
	Version int
	store.Slot
	PerSecond float64
	Copies    float64 // on average
}

// A window is how far back the page looks, and in steps of which length.
type window struct {
	name, title string
	length      time.Duration
	slot, step  time.Duration // of the store, and of the charts
}

var windows = []window{
	{"", "Last hour", time.Hour, store.SlotShort, 30 * time.Second},
	{"day", "Last day", 24 * time.Hour, store.SlotLong, 10 * time.Minute},
	{"month", "Last 30 days", 30 * 24 * time.Hour, store.SlotLong, 6 * time.Hour},
}

func windowOf(name string) window {
	for _, w := range windows {
		if w.name == name {
			return w
		}
	}
	return windows[0]
}

func (u *UI) history(ctx context.Context, p place, q url.Values) (out endpointHistory, err error) {
	w := windowOf(q.Get("window"))
	for _, other := range windows {
		out.Windows = append(out.Windows, components.Tab{Text: other.title, URL: with(q, components.Path("live", p.Project, p.Environment), "window", other.name), Now: other.name == w.name})
	}
	now := time.Now().UTC()
	slots, err := u.Store.Slots(ctx, p.Project, p.Environment, w.slot, now.Add(-w.length).Truncate(w.step))
	if err != nil {
		return out, err
	}
	out.Window = w.title
	out.Rows = byVersion(slots, p.Version.Model, w.length)
	out.Charts = historyCharts(slots, w, now)
	return out, nil
}

// plus adds what came in another slot.
func plus(a, b store.Slot) store.Slot {
	a.CopySeconds, a.Succeeded, a.Failed = a.CopySeconds+b.CopySeconds, a.Succeeded+b.Succeeded, a.Failed+b.Failed
	a.Latency, a.Model, a.Batch = a.Latency.Plus(b.Latency), a.Model.Plus(b.Model), a.Batch.Plus(b.Batch)
	return a
}

// byVersion sums the slots of each version, newest first.
func byVersion(slots []store.Slot, model ridgeline.ModelName, length time.Duration) []versionHistory {
	sums := map[int]store.Slot{}
	for _, s := range slots {
		sums[s.Version] = plus(sums[s.Version], s)
	}
	var rows []versionHistory
	for _, v := range slices.Backward(slices.Sorted(maps.Keys(sums))) {
		sum := sums[v]
		rows = append(rows, versionHistory{Model: model, Version: v, Slot: sum, PerSecond: float64(sum.Requests()) / length.Seconds(), Copies: sum.CopySeconds / length.Seconds()})
	}
	return rows
}

// seconds writes a quantile of the latencies.
func quantileText(h ridgeline.Histogram, q float64) string {
	if v := h.Quantile(ridgeline.LatencyFirst, q); !math.IsNaN(v) {
		return components.Seconds(v)
	}
	return "–"
}

// Answer is a quantile of the time to answer, as clients saw it at the gateway.
func (v versionHistory) Answer(q float64) string { return quantileText(v.Latency, q) }

// InModel is a quantile of the time in the model alone.
func (v versionHistory) InModel(q float64) string { return quantileText(v.Slot.Model, q) }

// Together is a quantile of how many rows were answered together.
func (v versionHistory) Together(q float64) string {
	if n := v.Batch.Quantile(ridgeline.BatchFirst, q); !math.IsNaN(n) {
		return components.Number(math.Ceil(n))
	}
	return "–"
}

// ErrorShare is the share of requests that were not answered for a fault of
// ours.
func (v versionHistory) ErrorShare() float64 { return share(v.Failed, v.Requests()) }

func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// Batches say how many rows were answered together, and in which share of the
// requests.
func (v versionHistory) Batches() (all []components.Meter) {
	bound, from := ridgeline.BatchFirst, 1.0
	for i, n := range v.Batch {
		name := components.Number(from)
		switch {
		case i == ridgeline.BatchBuckets-1:
			name = "over " + components.Number(bound/2)
		case from < bound:
			name += " to " + components.Number(bound)
		}
		if part := share(n, v.Batch.Count()); n > 0 {
			all = append(all, components.NewMeter(part, name+": "+components.Percent(part), ""))
		}
		from, bound = bound+1, bound*2
	}
	return all
}

// historyCharts draws the figures of all deployments together, and the requests
// of each version. A step in which nothing was written down is a gap.
func historyCharts(slots []store.Slot, w window, now time.Time) []components.Chart {
	if len(slots) == 0 {
		return nil
	}
	steps, versions := map[time.Time]store.Slot{}, map[int]map[time.Time]store.Slot{}
	for _, s := range slots {
		at := s.At.Truncate(w.step)
		steps[at] = plus(steps[at], s)
		if versions[s.Version] == nil {
			versions[s.Version] = map[time.Time]store.Slot{}
		}
		versions[s.Version][at] = plus(versions[s.Version][at], s)
	}
	first, last := now.Add(-w.length).Truncate(w.step), now.Truncate(w.step)
	line := func(name string, of map[time.Time]store.Slot, value func(store.Slot) float64) any {
		points := [][2]any{}
		for at := first; at.Before(last); at = at.Add(w.step) { // the step under way is not whole
			var y any = "-" // ECharts' sign for nothing
			if s, ok := of[at]; ok {
				if v := value(s); !math.IsNaN(v) {
					y = v
				}
			}
			points = append(points, [2]any{at.UnixMilli(), y})
		}
		return map[string]any{"type": "line", "name": name, "showSymbol": len(of) < 4, "symbolSize": 4, "data": points, "lineStyle": map[string]any{"width": 1.5}}
	}
	latency := func(q float64) func(store.Slot) float64 {
		return func(s store.Slot) float64 { return 1000 * s.Latency.Quantile(ridgeline.LatencyFirst, q) }
	}
	var rates []any
	for _, v := range slices.Sorted(maps.Keys(versions)) {
		rates = append(rates, line(fmt.Sprintf("v%d", v), versions[v], func(s store.Slot) float64 { return float64(s.Requests()) / w.step.Seconds() }))
	}
	return []components.Chart{
		timeChart("Requests a second", rates...),
		timeChart("Time to answer, ms", line("p50", steps, latency(0.5)), line("p95", steps, latency(0.95)), line("p99", steps, latency(0.99)),
			line("p50 in the model", steps, func(s store.Slot) float64 { return 1000 * s.Model.Quantile(ridgeline.LatencyFirst, 0.5) })),
		timeChart("Errors, %", line("errors", steps, func(s store.Slot) float64 { return 100 * share(s.Failed, s.Requests()) })),
		timeChart("Rows answered together", line("p50", steps, func(s store.Slot) float64 { return s.Batch.Quantile(ridgeline.BatchFirst, 0.5) }),
			line("p95", steps, func(s store.Slot) float64 { return s.Batch.Quantile(ridgeline.BatchFirst, 0.95) })),
		timeChart("Copies ready", line("copies", steps, func(s store.Slot) float64 { return s.CopySeconds / w.step.Seconds() })),
	}
}

func timeChart(title string, series ...any) components.Chart {
	return components.Chart{Title: title, Size: "low", Label: title + " over time; the table has the figures of the whole window", Option: map[string]any{
		"xAxis": map[string]any{"type": "time", "splitNumber": 4, "axisLabel": map[string]any{"hideOverlap": true}}, "yAxis": map[string]any{"type": "value", "min": 0, "splitNumber": 3},
		"legend": map[string]any{"show": len(series) > 1, "top": 0, "right": 0, "itemWidth": 14, "itemHeight": 8}, "series": series,
	}}
}
