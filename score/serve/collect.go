package serve

import (
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score/journal"
)

// collectorPort is where azureml-ai-monitoring's Collector sends to.
const collectorPort = "50011"

// collect opens the sink of Collectors beside the workers and tells them where
// it is: on the usual port, or on a free one when another scorer of this
// machine has that. Whoever named a sink of his own keeps it. The caller
// closes it.
func (c *Config) collect(j *journal.Journal) (stop func()) {
	if os.Getenv("AZUREML_MDC_HOST") != "" || os.Getenv("AZUREML_MDC_PORT") != "" {
		return func() {}
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", collectorPort))
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		c.Log.Warn("no sink for azureml-ai-monitoring's Collector: scripts that collect will fail", "error", err)
		return func() {}
	}
	if c.Worker.Env == nil {
		c.Worker.Env = os.Environ()
	}
	c.Worker.Env = append(c.Worker.Env[:len(c.Worker.Env):len(c.Worker.Env)],
		"AZUREML_MDC_HOST=127.0.0.1", "AZUREML_MDC_PORT="+strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	if !has(c.Worker.Env, "AZUREML_MDC_ENABLED") && !has(c.Worker.Env, "AZUREML_MDC_CONFIG_PATH") {
		c.Worker.Env = append(c.Worker.Env, "AZUREML_MDC_ENABLED=true")
	}
	server := &http.Server{Handler: journal.Collector(j), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }()
	return func() { _ = server.Close() }
}

// has reports whether an environment has the variable.
func has(env []string, name string) bool {
	for _, v := range env {
		if strings.HasPrefix(v, name+"=") {
			return true
		}
	}
	return false
}
