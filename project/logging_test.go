package project

import (
	"strings"
	"testing"
	"time"
)

func TestParse_logging(t *testing.T) {
	with := func(serve string) string {
		return strings.Replace(least, "release: {score: score.py}", "release: {score: score.py, serve: "+serve+"}", 1)
	}
	for serve, want := range map[string]Logging{
		"{}":                            {Sample: 1, Keep: 720 * time.Hour},
		"{log: true}":                   {Sample: 1, Keep: 720 * time.Hour},
		"{log: false}":                  {Off: true, Sample: 1, Keep: 720 * time.Hour},
		"{log: {sample: 100%}}":         {Sample: 1, Keep: 720 * time.Hour},
		"{log: {sample: 0.5, keep: 0}}": {Sample: 0.5},
	} {
		c, err := Parse(FileName, []byte(with(serve)))
		if got := c.Release.Serve.Log; err != nil || got.Off != want.Off || got.Sample != want.Sample || got.Keep != want.Keep || got.NoPayloads || got.Redact != nil {
			t.Errorf("%s: got %+v, %v", serve, got, err)
		}
		if err := fits(t, with(serve)); err != nil {
			t.Errorf("%s: the schema: %v", serve, err)
		}
	}
	for serve, says := range map[string]string{
		"{logs: true}":               `unknown key "logs"`,
		"{log: sometimes}":           "expected true or false",
		"{log: {sample: 0}}":         "above 0 and below 1",
		"{log: {sample: 200%}}":      "above 0 and below 1",
		`{log: {redact: ["a,b"]}}`:   "a list of names",
		"{log: {keep: 30}}":          "has no unit",
		"{log: {payloads: perhaps}}": "expected true or false",
	} {
		if _, err := Parse(FileName, []byte(with(serve))); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want %q", serve, err, says)
		}
	}
}
