package mlflow

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"

	"github.com/ridgeline-mlops/ridgeline/track"
)

const (
	maxHistory    = 25_000 // points of a bulk answer
	maxBulkRuns   = 100
	maxSampled    = 2500 // points of each run in an interval
	pagePointName = "offset"
)

func (a *API) getHistory(ctx context.Context, r *request, b []byte) ([]byte, error) {
	id, key := r.run(), r.need("metric_key")
	most := r.whole("max_results", 0)
	if r.has("max_results") && most <= 0 {
		r.fail(invalid("Invalid value %d for parameter 'max_results' supplied. It must be a positive integer.", most))
	}
	from := r.offset("page_token")
	if r.err != nil {
		return nil, r.err
	}
	points, err := a.Track.History(ctx, id, key)
	if err != nil {
		return nil, err
	}
	points = points[min(from, len(points)):]
	next := ""
	if most > 0 && int64(len(points)) > most {
		points = points[:most]
		next = offsetToken(from + int(most))
	}
	o := &object{b: make([]byte, 0, 64+len(points)*96), first: true}
	o.b = append(o.b, '{')
	list(o, "metrics", points, appendMetric)
	return o.some("next_page_token", next).end(), nil
}

// offset reads a page token, which counts what went before.
func (r *request) offset(name string) int {
	text := r.text(name)
	if text == "" {
		return 0
	}
	var token map[string]int
	b, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(b, &token)
	}
	if err != nil || token[pagePointName] < 0 {
		r.fail(invalid("Invalid page token, could not base64-decode"))
	}
	return token[pagePointName]
}

func offsetToken(n int) string {
	b, _ := json.Marshal(map[string]int{pagePointName: n})
	return base64.StdEncoding.EncodeToString(b)
}

// runPoint is a point with its run.
type runPoint struct {
	track.Metric
	run string
}

func appendRunPoint(b []byte, p runPoint) []byte {
	return begin(b).text("key", p.Key).float("value", p.Value).whole("timestamp", p.Time).whole("step", p.Step).text("run_id", p.run).end()
}

// getHistoryBulk is the whole history of several runs, for charts.
func (a *API) getHistoryBulk(ctx context.Context, r *request, b []byte) ([]byte, error) {
	runs := r.texts("run_id")
	most := min(r.whole("max_results", maxHistory), maxHistory)
	switch {
	case r.err != nil:
		return nil, r.err
	case len(runs) == 0:
		return nil, invalid("GetMetricHistoryBulk request must specify at least one run_id.")
	case len(runs) > maxBulkRuns:
		return nil, invalid("GetMetricHistoryBulk request cannot specify more than %d run_ids. Received %d run_ids.", maxBulkRuns, len(runs))
	case !r.has("metric_key"):
		return nil, invalid("GetMetricHistoryBulk request must specify a metric_key.")
	}
	slices.Sort(runs)
	var all []runPoint
	for _, id := range slices.Compact(runs) {
		points, err := a.Track.History(ctx, id, r.text("metric_key"))
		if err != nil {
			return nil, err
		}
		for _, m := range points[:max(0, min(len(points), int(most)-len(all)))] {
			all = append(all, runPoint{m, id})
		}
	}
	o := begin(b)
	o.name("metrics")
	o.b = appendList(o.b, all, appendRunPoint)
	return o.end(), nil
}

// getHistoryInterval is a sample of each run's history between two steps. With
// sampling=lttb, a parameter of ours, it keeps the line's shape instead of every
// so-manieth point.
func (a *API) getHistoryInterval(ctx context.Context, r *request, b []byte) ([]byte, error) {
	runs, key := r.texts("run_ids"), r.need("metric_key")
	most := r.whole("max_results", maxSampled)
	first, last := r.whole("start_step", 0), r.whole("end_step", 0)
	bounded := r.has("start_step")
	sampling := r.text("sampling")
	switch {
	case r.err != nil:
		return nil, r.err
	case len(runs) == 0:
		r.missing("run_ids")
		return nil, r.err
	case len(runs) > maxBulkRuns:
		return nil, invalid("GetMetricHistoryBulkInterval request must specify at most %d run_ids. Received %d run_ids.%s", maxBulkRuns, len(runs), seeDocs)
	case most < 1 || most > maxSampled:
		return nil, invalid("max_results must be between 1 and %d.%s", maxSampled, seeDocs)
	case bounded != r.has("end_step"):
		return nil, invalid("If either start step or end step are specified, both must be specified.")
	case bounded && first > last:
		return nil, invalid("end_step must be greater than start_step. Found start_step=%d and end_step=%d.", first, last)
	case sampling != "" && sampling != "lttb":
		return nil, invalid("Invalid value '%s' for parameter 'sampling' supplied: use lttb, or leave it out", sampling)
	}
	sample := track.Sample
	if sampling == "lttb" {
		sample = track.Downsample
	}
	var all []runPoint
	for _, id := range runs {
		points, err := a.Track.History(ctx, id, key)
		if err != nil {
			return nil, err
		}
		if bounded {
			points = slices.DeleteFunc(points, func(m track.Metric) bool { return m.Step < first || m.Step > last })
		}
		slices.SortStableFunc(points, func(x, y track.Metric) int {
			switch {
			case x.Step < y.Step:
				return -1
			case x.Step > y.Step:
				return 1
			}
			return 0
		})
		for _, m := range sample(points, int(most)) {
			all = append(all, runPoint{m, id})
		}
	}
	o := begin(b)
	list(o, "metrics", all, appendRunPoint)
	return o.end(), nil
}
