package project

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Logging says what the inference log keeps of requests.
type Logging struct {
	Off        bool
	Sample     float64       // share of requests, by the hash of their id; default 1
	Redact     []string      // inputs, outputs, columns, or dotted paths of JSON bodies that are never written
	NoPayloads bool          // neither inputs nor outputs are written
	Keep       time.Duration // how long it is kept; default 30 days; 0: for ever
}

// logging reads release.serve.log: true, false, or a map.
func (r *reader) logging(n *yaml.Node, l Logging) Logging {
	const what = "release.serve.log"
	if n == nil {
		return l
	}
	if n.Kind == yaml.ScalarNode {
		l.Off = !r.truth(n, what, true)
		return l
	}
	f := r.section(n, what, "sample", "redact", "payloads", "keep")
	if v := f.value("sample"); v != nil && strings.TrimSpace(v.Value) != "100%" && strings.TrimSpace(v.Value) != "1" {
		l.Sample = r.share(v, what+".sample", 0.1, 1)
	}
	l.Redact = r.texts(f.value("redact"), what+".redact", "name")
	for _, one := range r.items(f.value("redact")) {
		if strings.Contains(one.Value, ",") {
			r.at(one, "%s.redact: %q: a name with a comma cannot be redacted; write a list of names", what, clip(one.Value, 60))
		}
	}
	l.NoPayloads = !r.truth(f.value("payloads"), what+".payloads", true)
	l.Keep = r.duration(f.value("keep"), what+".keep", l.Keep)
	return l
}

func loggingSchema() m {
	return either("The inference log: every request with its inputs and predictions; false for none", truth("Whether one is kept; default true"), object(m{
		"sample":   about("Of requests; default all", ref("share")),
		"redact":   texts("Inputs, outputs, columns, or dotted paths of JSON bodies that are never written"),
		"payloads": truth("false: neither inputs nor outputs are written"),
		"keep":     duration("How long it is kept; default 30d; 0 for ever"),
	}))
}
