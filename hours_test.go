package ridgeline_test

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/ridgeline-mlops/ridgeline"
)

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestHours(t *testing.T) {
	const office, night, early = "mon-fri 07:00-19:00 Europe/Berlin", "fri-sat 22:00-06:00, sun 10:00-12:00", "02:30-06:00 Europe/Berlin"
	for name, test := range map[string]struct {
		hours, at string
		open      bool
		next      string // empty: never
	}{
		"before the first hour":                  {office, "2026-11-23T05:59:59Z", false, "2026-11-23T06:00:00Z"},
		"the first hour, in winter":              {office, "2026-11-23T06:00:00Z", true, "2026-11-24T06:00:00Z"},
		"the same hour, in summer":               {office, "2026-06-01T05:00:00Z", true, "2026-06-02T05:00:00Z"},
		"the end does not belong to it":          {office, "2026-11-23T18:00:00Z", false, "2026-11-24T06:00:00Z"},
		"over the weekend, and a change to DST":  {office, "2026-03-27T18:00:00Z", false, "2026-03-30T05:00:00Z"},
		"past midnight":                          {night, "2026-11-21T05:00:00Z", true, "2026-11-21T22:00:00Z"},
		"not before the first night":             {night, "2026-11-20T05:00:00Z", false, "2026-11-20T22:00:00Z"},
		"the second window":                      {night, "2026-11-22T07:00:00Z", false, "2026-11-22T10:00:00Z"},
		"on the day that has no 02:30":           {early, "2026-03-29T00:59:59Z", false, "2026-03-29T01:00:00Z"},
		"once the clocks have jumped over 02:30": {early, "2026-03-29T01:00:00Z", true, "2026-03-30T00:30:00Z"},
		"every day and hour":                     {"00:00-24:00", "2026-11-23T12:00:00Z", true, ""},
		"none":                                   {"", "2026-11-23T12:00:00Z", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := ridgeline.Hours("")
			if test.hours != "" {
				var err error
				if h, err = ridgeline.ParseHours("  " + strings.ToUpper(test.hours[:3]) + test.hours[3:]); err != nil {
					t.Fatal(err)
				}
			}
			at := instant(t, test.at)
			if got := h.Open(at); got != test.open {
				t.Errorf("open: %v", got)
			}
			next := ""
			if got := h.Next(at); !got.IsZero() {
				next = got.UTC().Format(time.RFC3339)
			}
			if next != test.next {
				t.Errorf("next begin: %q, want %q", next, test.next)
			}
		})
	}
}

func TestParseHours_refuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "expected days, from, to and a time zone",
		"mon-fri":                            "from no time to no other",
		"mon-fri,":                           "from no time to no other",
		"moon 07:00-19:00":                   `"moon" are no days`,
		"mon-fri 7-19":                       "from no time to no other",
		"mon-fri 07:00-07:00":                "a whole day is 00:00-24:00",
		"mon-fri 07:00-24:30":                "from no time to no other",
		"mon-fri 07:60-19:00":                "from no time to no other",
		"mon-fri 24:00-19:00":                "from no time to no other",
		"mon-fri 07:00-19:00 CEST-ish":       "no time zone",
		"mon-fri 07:00-19:00 Local":          "no time zone",
		"mon 07:00-19:00 UTC, tue 1:00-2:00": "the one time zone at the very end",
		"mon 07:00-19:00 tue 07:00-19:00":    "expected a comma",
	} {
		if h, err := ridgeline.ParseHours(text); ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v; want %q", text, h, err, want)
		}
	}
}

// A deployment with hours keeps its copies within them, however long nobody
// asks, and says why it rests otherwise.
func TestDeployment_Rests(t *testing.T) {
	d := ridgeline.Deployment{
		State: ridgeline.DeploymentLive, Idle: 15 * time.Minute, Hours: "mon-fri 07:00-19:00 Europe/Berlin", Created: instant(t, "2026-11-02T12:00:00Z"),
	}
	for _, test := range []struct {
		asked, now string
		rests      bool
	}{
		{"2026-11-23T06:00:00Z", "2026-11-23T17:59:00Z", false}, {"2026-11-23T06:00:00Z", "2026-11-23T18:00:00Z", true},
		{"2026-11-23T17:50:00Z", "2026-11-23T18:01:00Z", false}, {"2026-11-23T17:50:00Z", "2026-11-23T18:06:00Z", true},
		{"2026-11-28T12:00:00Z", "2026-11-28T12:10:00Z", false}, {"2026-11-28T12:00:00Z", "2026-11-28T12:16:00Z", true},
	} {
		d.Asked = instant(t, test.asked)
		if got := d.Rests(instant(t, test.now)); got != test.rests {
			t.Errorf("asked at %s, rests at %s: %v", test.asked, test.now, got)
		}
	}
	now := instant(t, "2026-11-28T12:16:00Z")
	if why, until := d.Resting(now); why != "" || !until.IsZero() {
		t.Errorf("awake: %q until %s", why, until)
	}
	d.Asleep = true
	why, until := d.Resting(now)
	if why != "nobody asked for 15m, outside its hours (mon-fri 07:00-19:00 Europe/Berlin)" || !until.Equal(instant(t, "2026-11-30T06:00:00Z")) {
		t.Errorf("asleep: %q until %s", why, until)
	}
	d.Hours = ""
	if why, until := d.Resting(now); why != "nobody asked for 15m" || !until.IsZero() {
		t.Errorf("asleep without hours: %q until %s", why, until)
	}
}
