package project

import (
	"fmt"
	"maps"
	"strings"
	"time"
	_ "time/tzdata" // a slim machine has no zones of its own

	"github.com/netresearch/go-cron"
	"go.yaml.in/yaml/v3"

	"github.com/ridgeline-mlops/ridgeline"
)

// ParseCron checks a cron expression of five fields (minute, hour, day of the
// month, month, day of the week; crontab(5) of Debian and the BSDs, with
// names, ranges, lists and steps) and a time zone's IANA name; "" is UTC.
// Where both days are restricted, either will do, as crontab(5) has it.
func ParseCron(expression, zone string) (Schedule, error) {
	s := Schedule{Cron: strings.Join(strings.Fields(expression), " "), Zone: zone, Missed: MissedOnce}
	if zone == "" {
		s.Zone = "UTC"
	}
	if _, _, err := s.timetable(); err != nil {
		return Schedule{}, ridgeline.Errorf(ridgeline.Invalid, "%w", err)
	}
	if s.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() { // a leap year and four more
		return Schedule{}, ridgeline.Errorf(ridgeline.Invalid, "%q never comes due: there is no such day", clip(s.Cron, 60))
	}
	return s, nil
}

func (s Schedule) timetable() (cron.Schedule, *time.Location, error) {
	zone, err := time.LoadLocation(s.Zone)
	if err != nil || s.Zone == "Local" {
		return nil, nil, fmt.Errorf("%q is no time zone: give an IANA name, such as UTC or Europe/Berlin", clip(s.Zone, 60))
	}
	const want = "expected five fields: minute, hour, day of the month, month, day of the week, such as 0 3 * * 1"
	switch fields := strings.Fields(s.Cron); {
	case strings.HasPrefix(s.Cron, "@"):
		return nil, nil, fmt.Errorf("%q: %s", clip(s.Cron, 60), want)
	case strings.Contains(s.Cron, "TZ="):
		return nil, nil, fmt.Errorf("%q: a time zone stands beside the expression: {cron: …, zone: Europe/Berlin}", clip(s.Cron, 60))
	case len(fields) == 6:
		return nil, nil, fmt.Errorf("%q has six fields: seconds are not supported; %s", clip(s.Cron, 60), want)
	case len(fields) != 5:
		return nil, nil, fmt.Errorf("%q has %d fields: %s", clip(s.Cron, 60), len(fields), want)
	}
	parser, err := cron.TryNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom)
	if err != nil {
		return nil, nil, err
	}
	table, err := parser.Parse(s.Cron)
	if err != nil {
		return nil, nil, fmt.Errorf("%q: %w", clip(s.Cron, 60), err)
	}
	return table, zone, nil
}

// Next is the first due time after the given one, in UTC; zero when there is
// none within five years, or when the schedule is not one of ParseCron's.
//
// When clocks go forward, a time that does not exist comes due as much later
// as the clocks jump: 02:30 at 03:30. When they go back, a time that exists
// twice comes due the first time only; where the hour begins with *, each hour
// that passes counts, so an hourly schedule stays hourly.
func (s Schedule) Next(after time.Time) time.Time {
	table, zone, err := s.timetable()
	if err != nil {
		return time.Time{}
	}
	everyHour := strings.HasPrefix(strings.Fields(s.Cron)[1], "*")
	for next := table.Next(after.In(zone)); !next.IsZero(); next = table.Next(next) {
		if everyHour || !again(next) {
			return next.UTC()
		}
	}
	return time.Time{}
}

// again reports whether the clocks showed this time of day before on the same
// day, because they went back in between.
func again(t time.Time) bool {
	_, now := t.Zone()
	for _, back := range []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour} {
		_, before := t.Add(-back).Zone()
		if gone := time.Duration(before-now) * time.Second; gone > 0 && gone <= 3*time.Hour {
			earlier := t.Add(-gone)
			return earlier.Format(time.DateTime) == t.Format(time.DateTime)
		}
	}
	return false
}

// schedule reads a cron expression, or a map with one.
func (r *reader) schedule(n *yaml.Node, what string, params []Param) (Schedule, bool) {
	at, zone, expression := n, "", ""
	f := fields{}
	if n.Kind == yaml.ScalarNode {
		expression = r.text(n, what, `"0 3 * * 1"`)
	} else {
		f = r.section(n, what, "cron", "zone", "missed", "params")
		if !f.has("cron") && n.Kind == yaml.MappingNode {
			r.at(n, `%s: cron is missing: add for example cron: "0 3 * * 1"`, what)
		}
		zone, expression = r.text(f.value("zone"), what+".zone", "Europe/Berlin"), r.text(f.value("cron"), what+".cron", `"0 3 * * 1"`)
		if at = f.value("cron"); zone != "" {
			if _, err := ParseCron("0 0 * * *", zone); err != nil {
				r.at(f.value("zone"), "%s.zone: %s", what, err)
				zone = ""
			}
		}
	}
	missed := r.word(f.value("missed"), what+".missed", MissedOnce, MissedSkip, MissedOnce, MissedAll)
	values := r.given(f.value("params"), what+".params", params)
	if expression == "" {
		return Schedule{}, false
	}
	s, err := ParseCron(expression, zone)
	if err != nil {
		return Schedule{}, r.refuse(at, "%s: %s", what, err)
	}
	s.Missed, s.Params = missed, values
	return s, true
}

func sameSchedule(a, b Schedule) bool {
	return a.Cron == b.Cron && a.Zone == b.Zone && maps.Equal(a.Params, b.Params)
}
