package project

import (
	"testing"
	"time"
)

func TestSchedule_Next(t *testing.T) {
	for _, tt := range []struct {
		name, cron, zone, after string
		want                    []string
	}{
		{"UTC", "0 3 * * 1", "", "2026-11-23T03:00:00Z", []string{"2026-11-30T03:00:00Z", "2026-12-07T03:00:00Z"}},
		{"a zone", "0 3 * * *", "Europe/Berlin", "2026-11-23T00:00:00Z", []string{"2026-11-23T02:00:00Z"}},
		{"strictly after, whatever the second", "*/15 * * * *", "", "2026-11-23T00:14:59.999Z", []string{"2026-11-23T00:15:00Z", "2026-11-23T00:30:00Z"}},
		{"either day", "0 0 13 * 5", "", "2026-11-01T00:00:00Z", []string{"2026-11-06T00:00:00Z", "2026-11-13T00:00:00Z", "2026-11-20T00:00:00Z"}},
		{"a leap day", "0 0 29 2 *", "", "2026-01-01T00:00:00Z", []string{"2028-02-29T00:00:00Z"}},

		// Clocks go forward in Berlin on 29 March 2026, from 02:00 to 03:00 (01:00 UTC).
		{"forward: a time that does not exist", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"}},
		{"forward: hourly", "0 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"}},
		{"forward: no time is due twice", "0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"}},

		// They go back on 25 October 2026, from 03:00 to 02:00 (01:00 UTC).
		{"back: a time that exists twice", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		{"back: asked between the two", "30 2 * * *", "Europe/Berlin", "2026-10-25T00:45:00Z", []string{"2026-10-26T01:30:00Z"}},
		{"back: hourly", "0 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", []string{"2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"}},
		{"back: every two hours", "0 */2 * * *", "Europe/Berlin", "2026-10-24T23:00:00Z", []string{"2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T03:00:00Z"}},
		{"back: by half an hour", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", []string{"2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := ParseCron(tt.cron, tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, tt.after)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if at = s.Next(at); at.Format(time.RFC3339) != want {
					t.Fatalf("got %s, want %s", at.Format(time.RFC3339), want)
				}
			}
		})
	}
	if next := (Schedule{Cron: "nonsense"}).Next(time.Now()); !next.IsZero() {
		t.Errorf("nonsense came due at %s", next)
	}
}
