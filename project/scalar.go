package project

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// number reads a number between low and high, both allowed.
func (r *reader) number(n *yaml.Node, what string, otherwise, low, high float64) float64 {
	if n == nil {
		return otherwise
	}
	v, ok := asNumber(n)
	if !ok || v < low || v > high {
		r.at(n, "%s: expected a number %s, got %s", what, between(low, high), found(n))
		return otherwise
	}
	return v
}

func between(low, high float64) string {
	show := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	switch {
	case math.IsInf(high, 1):
		return "from " + show(low) + " up"
	case math.IsInf(low, -1):
		return "up to " + show(high)
	}
	return "from " + show(low) + " to " + show(high)
}

// asNumber reads a finite number, also one with the percent sign of a share.
func asNumber(n *yaml.Node) (float64, bool) {
	var v float64
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" && n.ShortTag() != "!!float" || n.Decode(&v) != nil {
		return 0, false
	}
	return v, !math.IsNaN(v) && !math.IsInf(v, 0)
}

// percent reads "12%" as 0.12.
func percent(n *yaml.Node) (float64, bool) {
	if n.Kind != yaml.ScalarNode || !strings.HasSuffix(n.Value, "%") {
		return 0, false
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(n.Value, "%")), 64)
	return v / 100, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}

// whole reads a whole number between low and high.
func (r *reader) whole(n *yaml.Node, what string, otherwise, low, high int) int {
	if n == nil {
		return otherwise
	}
	v, ok := asNumber(n)
	if !ok || v != math.Trunc(v) || v < float64(low) || v > float64(high) {
		r.at(n, "%s: expected a whole number from %d to %d, got %s", what, low, high, found(n))
		return otherwise
	}
	return int(v)
}

// share reads a number strictly between 0 and below, as 0.2 or 20%.
func (r *reader) share(n *yaml.Node, what string, otherwise, below float64) float64 {
	if n == nil {
		return otherwise
	}
	v, ok := percent(n)
	if !ok {
		v, ok = asNumber(n)
	}
	if !ok || v <= 0 || v >= below {
		r.at(n, "%s: expected a share above 0 and below %v, such as %v or %s, got %s", what, below, otherwise,
			strconv.FormatFloat(otherwise*100, 'g', 6, 64)+"%", found(n))
		return otherwise
	}
	return v
}

// effect reads min_effect: "1%" is relative, a plain number absolute.
func (r *reader) effect(n *yaml.Node, what string, otherwise Effect) Effect {
	if n == nil {
		return otherwise
	}
	e := Effect{}
	v, ok := percent(n)
	if e.Relative = ok; !ok {
		v, ok = asNumber(n)
	}
	if !ok || v < 0 || e.Relative && v >= 1 {
		r.at(n, `%s: expected a share of the champion's value, such as 1%%, or a number in the metric's own unit, such as 5, got %s`, what, found(n))
		return otherwise
	}
	e.Value = v
	return e
}

var daysRE = regexp.MustCompile(`^(\d+(?:\.\d+)?)d(.*)$`)

// parseDuration reads Go's durations with d for days in front: 90s, 1h30m, 2d, 1d12h.
func parseDuration(text string) (time.Duration, error) {
	var days time.Duration
	if m := daysRE.FindStringSubmatch(text); m != nil {
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil || v > 36500 {
			return 0, fmt.Errorf("more than a hundred years")
		}
		days = time.Duration(v * float64(24*time.Hour))
		if text = m[2]; text == "" {
			return days, nil
		}
	}
	rest, err := time.ParseDuration(text)
	return days + rest, err
}

// duration reads a time span; 0 means none.
func (r *reader) duration(n *yaml.Node, what string, otherwise time.Duration) time.Duration {
	if n == nil {
		return otherwise
	}
	if v, ok := asNumber(n); ok && v != 0 {
		r.at(n, "%s: %s has no unit: write %ss, %sm or %sh", what, n.Value, n.Value, n.Value, n.Value)
		return otherwise
	}
	d, err := parseDuration(strings.TrimSpace(n.Value))
	if n.Kind != yaml.ScalarNode || err != nil || d < 0 {
		r.at(n, "%s: expected a time span, such as 90s, 30m, 2h or 1d, got %s", what, found(n))
		return otherwise
	}
	return d
}

var (
	sizeRE = regexp.MustCompile(`^(\d+(?:\.\d+)?) ?([A-Za-z]*)$`)
	units  = map[string]float64{
		"": 1, "b": 1,
		"k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9, "t": 1e12, "tb": 1e12,
		"ki": 1 << 10, "kib": 1 << 10, "mi": 1 << 20, "mib": 1 << 20, "gi": 1 << 30, "gib": 1 << 30, "ti": 1 << 40, "tib": 1 << 40,
	}
)

// size reads a number of bytes: 50MB (10^6), 1GiB (2^30), 4096.
func (r *reader) size(n *yaml.Node, what string) int64 {
	if n == nil {
		return 0
	}
	var v float64
	ok := false
	if m := sizeRE.FindStringSubmatch(strings.TrimSpace(n.Value)); n.Kind == yaml.ScalarNode && m != nil {
		unit, known := units[strings.ToLower(m[2])]
		count, err := strconv.ParseFloat(m[1], 64)
		v, ok = count*unit, known && err == nil
	}
	if !ok || v < 1 || v > 1<<60 {
		r.at(n, "%s: expected a size, such as 50MB, 1GiB or a number of bytes, got %s", what, found(n))
		return 0
	}
	return int64(v)
}
