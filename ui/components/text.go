package components

import (
	"fmt"
	"html/template"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Time is a point in time: absolute in UTC, which the script makes relative
// and tells in the reader's zone. A zero time is a dash.
func Time(at time.Time) template.HTML { return timeElement(at, "relative") }

// Clock is Time that stays absolute.
func Clock(at time.Time) template.HTML { return timeElement(at, "absolute") }

func timeElement(at time.Time, form string) template.HTML {
	if at.IsZero() {
		return `<span class="muted">–</span>`
	}
	at = at.UTC()
	// Formatted times have nothing in them to escape.
	return template.HTML(fmt.Sprintf(`<time datetime="%s" data-time="%s">%s</time>`, //nolint:gosec // see above
		at.Format(time.RFC3339Nano), form, at.Format("2 Jan 2006, 15:04 UTC")))
}

// Seconds is a duration as people say it.
func Seconds(s float64) string {
	switch {
	case s < 0:
		return ""
	case s < 0.0095:
		return fmt.Sprintf("%.1f ms", s*1e3)
	case s < 0.9995:
		return fmt.Sprintf("%.0f ms", s*1e3)
	case s < 9.95:
		return fmt.Sprintf("%.1f s", s)
	case s < 119.5:
		return fmt.Sprintf("%.0f s", s)
	case s < 2*3600:
		return fmt.Sprintf("%d min %02d s", int(s)/60, int(s)%60)
	case s < 48*3600:
		return fmt.Sprintf("%d h %02d min", int(s)/3600, int(s)%3600/60)
	default:
		return fmt.Sprintf("%d days", int(s)/86400)
	}
}

// Hours is how much of something was taken in all, told in its seconds: "3 core
// hours", or minutes, when it is less than one.
func Hours(seconds float64, of string) string {
	if seconds < 3600 {
		return Number(seconds/60) + " " + of + " minutes"
	}
	return Number(seconds/3600) + " " + of + " hours"
}

// Money is an amount with cents; of less than one, with as many digits as say
// something.
func Money(amount float64) string {
	if a := math.Abs(amount); a >= 1 || a == 0 {
		whole, cents, _ := strings.Cut(strconv.FormatFloat(amount, 'f', 2, 64), ".")
		return grouped(whole) + "." + cents
	}
	return strconv.FormatFloat(amount, 'g', 2, 64)
}

// Number is a figure with four significant digits; of a nil pointer, a dash.
func Number(v any) string {
	r := reflect.ValueOf(v)
	if r.Kind() == reflect.Pointer {
		if r.IsNil() {
			return "–"
		}
		r = r.Elem()
	}
	var f float64
	switch {
	case r.CanFloat():
		f = r.Float()
	case r.CanUint():
		return grouped(strconv.FormatUint(r.Uint(), 10))
	case r.CanInt():
		return grouped(strconv.FormatInt(r.Int(), 10))
	default:
		return fmt.Sprint(v)
	}
	switch a := math.Abs(f); {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return fmt.Sprint(f)
	case a != 0 && (a < 1e-4 || a >= 1e9):
		return strconv.FormatFloat(f, 'g', 4, 64)
	case a >= 1000:
		return grouped(strconv.FormatFloat(f, 'f', 0, 64))
	default:
		digits := 4
		if a > 0 {
			digits = max(0, 3-int(math.Floor(math.Log10(a))))
		}
		return strings.Replace(trimmed(strconv.FormatFloat(f, 'f', digits, 64)), "-", "−", 1)
	}
}

// trimmed leaves out zeros that say nothing.
func trimmed(text string) string {
	if strings.Contains(text, ".") {
		return strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

func grouped(digits string) string {
	sign := ""
	if rest, negative := strings.CutPrefix(digits, "-"); negative {
		sign, digits = "−", rest
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Signed is a share as a percentage with its sign.
func Signed(share float64) string {
	text := Percent(math.Abs(share))
	switch {
	case share > 0:
		return "+" + text
	case share < 0:
		return "−" + text
	}
	return text
}

// Percent is a share as a percentage.
func Percent(share float64) string {
	p := share * 100
	digits := 2
	switch a := math.Abs(p); {
	case a == 0 || a >= 100:
		digits = 0
	case a >= 10:
		digits = 1
	case a < 0.005:
		return "< 0.01 %"
	}
	return trimmed(strconv.FormatFloat(p, 'f', digits, 64)) + " %"
}

// Count is a whole number with separators.
func Count(n any) string { return Number(n) }

// Plural is "1 row" or "2 rows".
func Plural(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(strconv.Itoa(n)) + " " + more
}

// Bytes is a size.
func Bytes(n int64) string {
	f, units := float64(n), []string{"B", "kB", "MB", "GB", "TB"}
	for i, unit := range units {
		if f < 999.5 || i == len(units)-1 {
			if i == 0 || f >= 99.5 {
				return fmt.Sprintf("%.0f %s", f, unit)
			}
			return fmt.Sprintf("%.1f %s", f, unit)
		}
		f /= 1000
	}
	return ""
}

// pageOf says by an id's first letters which page shows it.
var pageOf = map[string]string{"b-": "builds", "r-": "runs", "l-": "releases"}

// Linked is a text in which the ids of builds, runs and releases lead to their
// pages.
func Linked(text string) template.HTML {
	words := strings.Split(text, " ")
	for i, w := range words {
		safe := template.HTMLEscapeString(w)
		if page := pageOf[w[:min(2, len(w))]]; page != "" && len(w) == idLength {
			safe = `<a href="` + template.HTMLEscapeString(Path(page, w)) + `">` + safe + "</a>"
		}
		words[i] = safe
	}
	return template.HTML(strings.Join(words, " ")) //nolint:gosec // every word is escaped above
}

// idLength is how long the ids of builds, runs and releases are.
const idLength = len("r-1kw4nzzgq3kb4p")
