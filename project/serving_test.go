package project

import (
	"slices"
	"strings"
	"testing"
)

func TestServe_Env(t *testing.T) {
	if env := (Serving{}).Env(); env != nil {
		t.Errorf("nothing was said, and the scorer is told %q", env)
	}
	for settings, off := range map[string]bool{"{onnx: auto}": false, "{onnx: off}": true, "{workers: 1}": false} {
		c, err := Parse(FileName, []byte(strings.Replace(least, "score.py}", "score.py, serve: "+settings+"}", 1)))
		if err != nil || c.Release.Serve.NoONNX != off {
			t.Errorf("%s: off %v, %v", settings, c.Release.Serve.NoONNX, err)
		}
	}
	for settings, want := range map[string]string{
		"{workers: 3}":                           "RIDGELINE_WORKERS=3",
		"{batch: true}":                          "RIDGELINE_BATCH=true",
		"{batch: false}":                         "RIDGELINE_BATCH=false",
		"{batch: {max: 16}}":                     "RIDGELINE_BATCH_MAX=16",
		"{batch: {scripts: true, target_ms: 5}}": "RIDGELINE_BATCH=true RIDGELINE_BATCH_TARGET_MS=5",
		"{request_timeout_ms: 250, queue: 9}":    "RIDGELINE_REQUEST_TIMEOUT_MS=250 RIDGELINE_QUEUE=9",
		"{max_memory: 1GB, max_requests: 7}":     "RIDGELINE_MAX_REQUESTS=7 RIDGELINE_MAX_MEMORY=1000000000",
		"{native: off}":                          "RIDGELINE_NATIVE=false",
		"{native: auto, queue: 9}":               "RIDGELINE_QUEUE=9",
		`{cors: ["https://a", "https://b"]}`:     "AML_CORS_ORIGINS=https://a,https://b",
	} {
		c, err := Parse(FileName, []byte(strings.Replace(least, "score.py}", "score.py, serve: "+settings+"}", 1)))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Release.Serve.Env(); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: %q, want %s", settings, got, want)
		}
	}
}
