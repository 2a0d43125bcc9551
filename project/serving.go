package project

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Serving says how a scorer answers, in every environment. Zero values leave it to the scorer, whose
// defaults are in score/serve.
type Serving struct {
	Workers     int           // Python processes of each copy
	Batch       string        // "true": requests of a script are answered together, too; "false": none are; "": those of models and of scripts with a schema
	BatchMax    int           // rows that are answered together
	BatchTarget time.Duration // of one answer to them
	Timeout     time.Duration // of a request
	Queue       int           // requests that may wait
	QueueTime   time.Duration // that a request may have to wait
	MaxRequests int           // after which a worker is replaced
	MaxMemory   int64         // bytes beyond which a worker is replaced
	CORS        []string      // origins whose pages may read answers; "*" for all
	Log         Logging
	NoNative    bool // native: off; else the scorer answers by itself for linear models
	NoONNX      bool // onnx: off; else a scikit-learn model is converted where that gives the same answers
}

func defaultServing() Serving {
	return Serving{Log: Logging{Sample: 1, Keep: 30 * 24 * time.Hour}}
}

// Env is what tells a scorer, the log aside, whose settings a deployment gives
// it. It is part of the version's image, so that the
// gate judges what is then served.
func (s Serving) Env() []string {
	var env []string
	add := func(name, value string) {
		if value != "" && value != "0" {
			env = append(env, name+"="+value)
		}
	}
	milliseconds := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	add("RIDGELINE_WORKERS", strconv.Itoa(s.Workers))
	add("RIDGELINE_BATCH", s.Batch)
	add("RIDGELINE_BATCH_MAX", strconv.Itoa(s.BatchMax))
	add("RIDGELINE_BATCH_TARGET_MS", milliseconds(s.BatchTarget))
	if s.NoNative {
		add("RIDGELINE_NATIVE", "false")
	}
	add("RIDGELINE_REQUEST_TIMEOUT_MS", milliseconds(s.Timeout))
	add("RIDGELINE_QUEUE", strconv.Itoa(s.Queue))
	add("RIDGELINE_QUEUE_MS", milliseconds(s.QueueTime))
	add("RIDGELINE_MAX_REQUESTS", strconv.Itoa(s.MaxRequests))
	add("RIDGELINE_MAX_MEMORY", strconv.FormatInt(s.MaxMemory, 10))
	add("AML_CORS_ORIGINS", strings.Join(s.CORS, ","))
	return env
}

// The most that release.serve takes. A scorer's own bounds are the same.
const (
	maxWorkers     = 1000
	maxBatch       = 1_000_000
	maxQueue       = 1_000_000
	maxServeMillis = 24 * 60 * 60 * 1000
)

// serving reads release.serve.
func (r *reader) serving(n *yaml.Node) Serving {
	s := defaultServing()
	if n == nil {
		return s
	}
	const what = "release.serve"
	f := r.section(n, what, "workers", "batch", "request_timeout_ms", "queue", "queue_ms", "max_requests", "max_memory", "cors", "log", "native", "onnx")
	milliseconds := func(key string) time.Duration {
		return time.Duration(r.whole(f.value(key), what+"."+key, 0, 1, maxServeMillis)) * time.Millisecond
	}
	s.Workers = r.whole(f.value("workers"), what+".workers", 0, 1, maxWorkers)
	s.Timeout, s.QueueTime = milliseconds("request_timeout_ms"), milliseconds("queue_ms")
	s.Queue = r.whole(f.value("queue"), what+".queue", 0, 1, maxQueue)
	s.MaxRequests = r.whole(f.value("max_requests"), what+".max_requests", 0, 1, 1<<31-1)
	s.MaxMemory = r.size(f.value("max_memory"), what+".max_memory")
	for _, origin := range r.texts(f.value("cors"), what+".cors", "https://app.example.com") {
		if strings.ContainsAny(origin, ", ") {
			r.at(f.value("cors"), "%s.cors: %q is no origin: write a list, one origin each, or \"*\" for all", what, clip(origin, 60))
			continue
		}
		s.CORS = append(s.CORS, origin)
	}
	s.NoNative = r.word(f.value("native"), what+".native", "auto", "auto", "off") == "off"
	s.NoONNX = r.word(f.value("onnx"), what+".onnx", "auto", "auto", "off") == "off"
	s.Log = r.logging(f.value("log"), s.Log)
	if b := f.value("batch"); b != nil {
		r.batch(b, what+".batch", &s)
	}
	if s.Timeout > 0 && s.QueueTime > s.Timeout {
		r.at(f.value("queue_ms"), "%s: queue_ms %d is longer than request_timeout_ms %d: a request cannot wait for longer than it may take", what, s.QueueTime.Milliseconds(), s.Timeout.Milliseconds())
	}
	return s
}

// batch reads true, false, or a map, which means neither: joined is then what
// can be without being told.
func (r *reader) batch(n *yaml.Node, what string, s *Serving) {
	if n.Kind != yaml.MappingNode {
		s.Batch = strconv.FormatBool(r.truth(n, what, true))
		return
	}
	f := r.section(n, what, "scripts", "max", "target_ms")
	if sc := f.value("scripts"); sc != nil && r.truth(sc, what+".scripts", false) {
		s.Batch = "true"
	}
	s.BatchMax = r.whole(f.value("max"), what+".max", 0, 1, maxBatch)
	s.BatchTarget = time.Duration(r.whole(f.value("target_ms"), what+".target_ms", 0, 1, maxServeMillis)) * time.Millisecond
}

func servingSchema() m {
	return object(m{
		"native":  one("Whether the scorer answers by itself for a linear model of scikit-learn, where its answers are those of predict(); default auto", "auto", "off"),
		"onnx":    one("Whether a scikit-learn model without score is served as ONNX, where skl2onnx and onnxruntime are among the project's packages and it gives the same answers; default auto", "auto", "off"),
		"workers": about("Python processes of each copy; default 1", whole(1, maxWorkers)),
		"batch": either("Whether requests are answered together; default those to models, and to scripts with @input_schema", truth("true: a script's, too; false: none"), object(m{
			"scripts": truth("Those to scripts, too; default false"), "max": about("Rows; default 1024", whole(1, maxBatch)),
			"target_ms": about("So many are joined that an answer takes no longer; default 10", whole(1, maxServeMillis)),
		})),
		"request_timeout_ms": about("Of a request, from its arrival; default 60000", whole(1, maxServeMillis)),
		"queue":              about("Requests that may wait for a worker; default 1000", whole(1, maxQueue)),
		"queue_ms":           about("A request that would wait for longer is refused at once; default half of request_timeout_ms", whole(1, maxServeMillis)),
		"max_requests":       about("A worker that has answered so many is replaced", whole(1, 1<<31-1)),
		"max_memory":         about("A worker that takes more memory is replaced", ref("size")),
		"cors":               texts("Origins whose pages may read answers"),
		"log":                loggingSchema(),
	})
}
