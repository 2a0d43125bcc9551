package serve

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/tracing"
	"github.com/ridgeline-mlops/ridgeline/score"
	"github.com/ridgeline-mlops/ridgeline/score/azureml"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// Config is everything a scorer can be told. Zero values mean the defaults.
type Config struct {
	score.Config
	Listen       string        // unix:///path or [host]:port; ":8080"
	BodyLimit    int64         // bytes of a request's body; 100 MB
	DrainDelay   time.Duration // after SIGTERM: unready, but still taking requests; 1 s
	DrainTimeout time.Duration // after that: for the requests under way; 25 s
	CORSOrigins  []string      // origins whose pages may read answers; "*" for all
	Version      string        // value of x-ms-server-version; the header is left out when empty
	ModelName    string        // in the Open Inference Protocol; "model"
	ModelVersion string        // there, too; none when empty
	Service      azureml.Service
	LogRequests  bool       // a line for every answer, see azureml.AccessLog; failures are logged in any case
	Access       io.Writer  // where these lines go; os.Stderr
	About        []string   // what tells this scorer from others in traces: attributes and values, in pairs
	Observers    []Observer // see every request of a dialect, in this order, before its answer goes

	// Journal says how the inference log is kept; nil: there is none.
	Journal *JournalConfig

	tracer *tracing.Tracer
}

func (c Config) withDefaults() Config {
	set(&c.Listen, ":8080")
	set(&c.BodyLimit, 100_000_000)
	set(&c.DrainDelay, time.Second)
	set(&c.DrainTimeout, 25*time.Second)
	set(&c.Workers, 1)
	if c.Access == nil {
		c.Access = os.Stderr
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// ConfigFromEnv reads the configuration from environment variables:
//
//	RIDGELINE_APP               folder of the project's code (/app)
//	RIDGELINE_SCORE             scoring script, relative to it; without one, the model itself answers
//	AZUREML_MODEL_DIR           folder of the model; handed on to the script
//	RIDGELINE_PYTHON            interpreter (python3)
//	RIDGELINE_WORKER_PATH       folder that contains ridgeline_worker (an unpacked copy in the user's cache)
//	RIDGELINE_LISTEN            unix:///path or [host]:port (:8080)
//	RIDGELINE_WORKERS           Python processes (1)
//	RIDGELINE_REQUEST_TIMEOUT_MS  of a request, from its arrival to its answer (60000, or twice SCORING_TIMEOUT_MS)
//	SCORING_TIMEOUT_MS          of one run(), which is interrupted then (as a request's)
//	RIDGELINE_QUEUE             requests that may wait for a worker (1000)
//	RIDGELINE_QUEUE_MS          a request that would wait for longer is refused at once (half of a request's time)
//	RIDGELINE_BATCH             true: answer requests of any script together; false: none (models, and scripts with @input_schema)
//	RIDGELINE_BATCH_MAX         rows that are answered together (1024)
//	RIDGELINE_BATCH_TARGET_MS   so many are joined that an answer takes no longer (10)
//	RIDGELINE_NATIVE            false: linear models, too, are asked in their worker (the scorer answers by itself)
//	RIDGELINE_MAX_REQUESTS      a worker that has answered so many is replaced (never)
//	RIDGELINE_MAX_MEMORY        a worker that has more bytes resident is replaced (never)
//	RIDGELINE_BODY_LIMIT        bytes of a request's body (100000000)
//	RIDGELINE_START_TIMEOUT_MS  of import and init() together (600000)
//	RIDGELINE_DRAIN_MS          between SIGTERM and taking no more requests (1000)
//	RIDGELINE_DRAIN_TIMEOUT_MS  for requests under way after that (25000)
//	RIDGELINE_LOG_REQUESTS      true: log every request, in Azure's columns (false: failures only)
//	RIDGELINE_LOG_URL           where the inference log goes: file:///folder or http(s)://…; without it, none is kept
//	RIDGELINE_LOG_TOKEN         bearer for http(s)
//	RIDGELINE_LOG_DIR           folder where it waits to go there (ridgeline-log in the folder for temporary files)
//	RIDGELINE_LOG_DISK          bytes that may wait there (1073741824)
//	RIDGELINE_LOG_SAMPLE        share of requests that is kept, above 0 and up to 1 (1)
//	RIDGELINE_LOG_REDACT        comma-separated inputs, columns or dotted paths of JSON that are not written
//	RIDGELINE_LOG_PAYLOADS      false: neither inputs nor outputs are written (true)
//	RIDGELINE_LOG_SECONDS       how long requests are gathered in one file (300)
//	RIDGELINE_PROJECT, RIDGELINE_ENVIRONMENT, RIDGELINE_MODEL_NAME, RIDGELINE_MODEL_VERSION, RIDGELINE_DEPLOYMENT, RIDGELINE_COPY
//	                            what the log says of each request (none; the last one: the machine's name);
//	                            clients of /v2 ask for the model by its name (model), and may by its version
//	AZUREML_MDC_HOST, AZUREML_MDC_PORT  sink of azureml-ai-monitoring's Collector, when it is not to be the scorer's own
//	OTEL_EXPORTER_OTLP_ENDPOINT traces go there, by OTLP over HTTP (none); with OpenTelemetry's other variables
//	AML_CORS_ORIGINS            comma-separated origins, or *
//	SERVER_VERSION_LOG_RESPONSE_ENABLED  anything but true leaves out x-ms-server-version
//	SERVICE_NAME                in /swagger.json (ML service); also SERVICE_VERSION (1.0), SERVICE_PATH_PREFIX
//
// All mistakes are reported at once, as one Invalid error.
func ConfigFromEnv(getenv func(string) string, version string) (Config, error) {
	e := env{getenv: getenv}
	c := Config{
		Config: score.Config{
			Worker: worker.Config{
				Python:   getenv("RIDGELINE_PYTHON"),
				Package:  getenv("RIDGELINE_WORKER_PATH"),
				App:      e.text("RIDGELINE_APP", "/app"),
				Script:   getenv("RIDGELINE_SCORE"),
				ModelDir: getenv("AZUREML_MODEL_DIR"),
			},
			Workers:      int(e.number("RIDGELINE_WORKERS", 1000)),
			Queue:        int(e.number("RIDGELINE_QUEUE", 1_000_000)),
			Timeout:      e.milliseconds("RIDGELINE_REQUEST_TIMEOUT_MS"),
			RunTimeout:   e.milliseconds("SCORING_TIMEOUT_MS"),
			QueueTime:    e.milliseconds("RIDGELINE_QUEUE_MS"),
			StartTimeout: e.milliseconds("RIDGELINE_START_TIMEOUT_MS"),
			Unjoined:     e.unset("RIDGELINE_BATCH"),
			BatchMax:     int(e.number("RIDGELINE_BATCH_MAX", 1_000_000)),
			BatchTarget:  e.milliseconds("RIDGELINE_BATCH_TARGET_MS"),
			NoNative:     e.unset("RIDGELINE_NATIVE"),
			MaxRequests:  int(e.number("RIDGELINE_MAX_REQUESTS", math.MaxInt32)),
			MaxMemory:    e.number("RIDGELINE_MAX_MEMORY", math.MaxInt64),
		},
		Listen:       getenv("RIDGELINE_LISTEN"),
		BodyLimit:    e.number("RIDGELINE_BODY_LIMIT", 1_000_000_000),
		DrainDelay:   e.milliseconds("RIDGELINE_DRAIN_MS"),
		DrainTimeout: e.milliseconds("RIDGELINE_DRAIN_TIMEOUT_MS"),
		LogRequests:  e.flag("RIDGELINE_LOG_REQUESTS"),
		ModelName:    getenv("RIDGELINE_MODEL_NAME"),
		ModelVersion: getenv("RIDGELINE_MODEL_VERSION"),
		About: []string{
			"ridgeline.project", getenv("RIDGELINE_PROJECT"), "deployment.environment.name", getenv("RIDGELINE_ENVIRONMENT"),
			"ridgeline.model", getenv("RIDGELINE_MODEL_NAME"), "service.version", getenv("RIDGELINE_MODEL_VERSION"), "service.instance.id", getenv("RIDGELINE_COPY"),
		},
	}
	if c.Timeout == 0 && c.RunTimeout > 0 {
		c.Timeout = max(time.Minute, 2*c.RunTimeout) // a run() that may take so long may also have to wait for one
	}
	if e.text("SERVER_VERSION_LOG_RESPONSE_ENABLED", "true") == "true" {
		c.Version = "ridgeline/" + version
	}
	c.Service = azureml.Service{Name: getenv("SERVICE_NAME"), Version: getenv("SERVICE_VERSION"), Prefix: getenv("SERVICE_PATH_PREFIX")}
	for origin := range strings.SplitSeq(getenv("AML_CORS_ORIGINS"), ",") {
		if origin = strings.TrimSpace(origin); origin != "" {
			c.CORSOrigins = append(c.CORSOrigins, origin)
		}
	}
	if c.Listen != "" {
		if _, _, err := parseListen(c.Listen); err != nil {
			e.mistakes = append(e.mistakes, err)
		}
	}
	if c.Worker.Script == "" && c.Worker.ModelDir == "" {
		e.mistakes = append(e.mistakes, errors.New("there is nothing to serve: set RIDGELINE_SCORE to a scoring script of RIDGELINE_APP, or AZUREML_MODEL_DIR to the folder of a model"))
	}
	// A folder that is not there would otherwise show only in the script.
	if dir := c.Worker.ModelDir; dir != "" {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			e.mistakes = append(e.mistakes, fmt.Errorf("AZUREML_MODEL_DIR=%q: expected the model's folder, and there is none", dir))
		}
	}
	c.Journal = e.journal()
	if err := errors.Join(e.mistakes...); err != nil {
		return Config{}, ridgeline.Errorf(ridgeline.Invalid, "%w", err)
	}
	return c, nil
}

// env reads variables and collects what is wrong with them.
type env struct {
	getenv   func(string) string
	mistakes []error
}

func (e *env) text(name, otherwise string) string {
	if v := e.getenv(name); v != "" {
		return v
	}
	return otherwise
}

// number is 0, which means the default, when the variable is not set.
func (e *env) number(name string, most int64) int64 {
	v := e.getenv(name)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 1 || n > most {
		e.mistakes = append(e.mistakes, fmt.Errorf("%s=%q: expected a whole number from 1 to %d", name, v, most))
		return 0
	}
	return n
}

func (e *env) milliseconds(name string) time.Duration {
	return time.Duration(e.number(name, math.MaxInt32)) * time.Millisecond
}

func (e *env) flag(name string) bool { return e.truth(name, false) }

// unset reports whether a variable says false.
func (e *env) unset(name string) bool { return !e.truth(name, true) }

func (e *env) truth(name string, otherwise bool) bool {
	switch v := e.getenv(name); v {
	case "":
		return otherwise
	case "false", "0":
		return false
	case "true", "1":
		return true
	default:
		e.mistakes = append(e.mistakes, fmt.Errorf("%s=%q: expected true or false", name, v))
		return otherwise
	}
}
