package ridgeline

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Hours are hours of a week in one time zone, in words: windows separated by
// commas, each some days (mon-fri, sat; none: every day) and from when to when
// (07:00-19:00; past midnight when the end is not after the begin), and at the
// end an IANA zone (Europe/Berlin; none: UTC). The form is that of
// kube-downscaler's uptime. The clock on the wall counts: what is from 07:00
// begins at 07:00 in winter and in summer. Empty means no hours.
type Hours string

const wantHours = "expected days, from, to and a time zone, such as mon-fri 07:00-19:00 Europe/Berlin; several are separated by commas"

// ParseHours checks the words. An error is Invalid and says what was expected.
func ParseHours(text string) (Hours, error) {
	h := Hours(strings.Join(strings.Fields(text), " "))
	if _, err := h.week(); err != nil {
		return "", Errorf(Invalid, "%w", err)
	}
	return h, nil
}

// Open says whether the time is within the hours.
func (h Hours) Open(at time.Time) bool {
	w, err := h.week()
	return err == nil && w.open(at)
}

// Next is when the hours begin next after a time, in their zone; zero when they
// never do, because there are none or they never end.
func (h Hours) Next(after time.Time) (next time.Time) {
	w, err := h.week()
	if err != nil {
		return next
	}
	year, month, day := after.In(w.zone).Date()
	for days := range 8 {
		for _, s := range w.windows {
			begin := time.Date(year, month, day+days, s.from/60, s.from%60, 0, 0, w.zone)
			// On a day without that time of day they begin when the clocks jump over it.
			before, behind := begin.ZoneBounds()
			for _, t := range []time.Time{begin, before, behind} {
				if t.After(after) && w.open(t) && !w.open(t.Add(-time.Minute)) && (next.IsZero() || t.Before(next)) {
					next = t
				}
			}
		}
	}
	return next
}

// A week is what Hours say.
type week struct {
	windows []window
	zone    *time.Location
}

type window struct {
	days     [7]bool // on which it begins, by time.Weekday
	from, to int     // minutes of the day
}

func (w week) open(at time.Time) bool {
	at = at.In(w.zone)
	now, today := at.Hour()*60+at.Minute(), at.Weekday()
	return slices.ContainsFunc(w.windows, func(s window) bool {
		if s.from < s.to {
			return s.days[today] && s.from <= now && now < s.to
		}
		return s.days[today] && s.from <= now || s.days[(today+6)%7] && now < s.to
	})
}

func (h Hours) week() (week, error) {
	parts := strings.Split(string(h), ",")
	w := week{zone: time.UTC}
	for i, part := range parts {
		words := strings.Fields(part)
		s := window{days: [7]bool{true, true, true, true, true, true, true}}
		if len(words) > 1 && !strings.Contains(words[0], ":") {
			days, err := daysOf(words[0])
			if err != nil {
				return w, err
			}
			s.days, words = days, words[1:]
		}
		if len(words) == 0 {
			return w, fmt.Errorf("%q: %s", h, wantHours)
		}
		from, to, _ := strings.Cut(words[0], "-")
		var ok, also bool
		s.from, ok = minuteOf(from)
		s.to, also = minuteOf(to)
		if !ok || !also || s.from == 24*60 || s.from == s.to {
			return w, fmt.Errorf("%q is from no time to no other: %s; a whole day is 00:00-24:00", words[0], wantHours)
		}
		w.windows = append(w.windows, s)
		if words = words[1:]; len(words) == 0 {
			continue
		}
		if len(words) > 1 || i < len(parts)-1 {
			return w, fmt.Errorf("%q behind %s-%s: expected a comma, or the one time zone at the very end", strings.Join(words, " "), from, to)
		}
		zone, err := time.LoadLocation(words[0])
		if err != nil || words[0] == "Local" {
			return w, fmt.Errorf("%q is no time zone: give an IANA name, such as UTC or Europe/Berlin", words[0])
		}
		w.zone = zone
	}
	return w, nil
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// daysOf reads sat, or mon-fri, or fri-mon.
func daysOf(text string) (days [7]bool, err error) {
	first, last, several := strings.Cut(strings.ToLower(text), "-")
	from, to := slices.Index(weekdays, first), slices.Index(weekdays, last)
	if !several {
		to = from
	}
	if from < 0 || to < 0 {
		return days, fmt.Errorf("%q are no days: expected such as mon-fri or sat, of %s", text, strings.Join(weekdays, ", "))
	}
	for d := from; ; d = (d + 1) % 7 {
		if days[d] = true; d == to {
			return days, nil
		}
	}
}

// minuteOf reads a time of day such as 07:30, up to 24:00.
func minuteOf(text string) (int, bool) {
	h, m, ok := strings.Cut(text, ":")
	hour, noHour := strconv.ParseUint(h, 10, 8)
	minute, noMinute := strconv.ParseUint(m, 10, 8)
	all := int(hour)*60 + int(minute)
	return all, ok && noHour == nil && noMinute == nil && len(m) == 2 && minute < 60 && all <= 24*60
}
