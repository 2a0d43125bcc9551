// Command scorer serves one packed model: it is the small static binary that
// ships in every image and answers a gate's holdout.
//
// It owns flags, signals and exit codes; all else is package serve's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/ridgeline-mlops/ridgeline/mlflow/spool"
	"github.com/ridgeline-mlops/ridgeline/score/parquet"
	"github.com/ridgeline-mlops/ridgeline/score/serve"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// version is set by the build: -ldflags "-X main.version=…".
var version = "dev"

const usage = `usage:
  scorer [serve]                      answer requests on RIDGELINE_LISTEN (default :8080)
  scorer batch --requests FILE --responses FILE [--path PATH] [--latency N]
                                      answer a file of requests, one JSON body per line, as PATH does
                                      (default /score); a summary with the latency goes to stdout
  scorer task                         run the task that RIDGELINE_TASK_FILE describes, in a container of its own;
                                      started by the host that asked for it
  scorer gateway                      answer endpoints on a cluster, as the Ridgeline server named in RIDGELINE_GATEWAY_SERVER
                                      says, and go on while it is away; started by the host that runs its copies
  scorer spool --dir DIR COMMAND…     run a step's command, and keep what it logs while the tracking server is away
  scorer version

Configuration is by environment: RIDGELINE_APP, RIDGELINE_SCORE, AZUREML_MODEL_DIR, RIDGELINE_PYTHON,
RIDGELINE_WORKER_PATH, RIDGELINE_LISTEN, RIDGELINE_WORKERS, RIDGELINE_QUEUE, RIDGELINE_BODY_LIMIT,
SCORING_TIMEOUT_MS, RIDGELINE_START_TIMEOUT_MS, RIDGELINE_DRAIN_MS, RIDGELINE_DRAIN_TIMEOUT_MS,
RIDGELINE_LOG_REQUESTS, AML_CORS_ORIGINS.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 (serve) the scoring script could not be made ready.
`

// The exit codes.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitNotReady = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if os.Getenv("GOGC") == "" {
		// What lives on between requests is 3 MB or so, and a collection at every
		// doubling of that takes a seventh of the processor. This costs 4 MB.
		debug.SetGCPercent(200)
	}
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	command := "serve"
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch command {
	case parquet.Command: // not for people: the scorer starts itself so
		return parquet.Main(os.Stdin, stdout)
	case "serve":
		return listen(ctx, args, stderr)
	case "batch":
		return batch(ctx, args, stdout, stderr)
	case "task":
		return task(args, stdout, stderr)
	case "gateway":
		return answer(ctx, args, stderr)
	case "spool":
		return spool.Command(args, os.Stderr) // a file, so that the command writes to it directly
	case "version":
		fmt.Fprintln(stdout, version)
		return 0
	case "help", "-h", "--help":
		fmt.Fprint(stdout, usage)
		return 0
	}
	return wrongUsage(stderr, fmt.Errorf("unknown command %q", command))
}

func listen(ctx context.Context, args []string, stderr io.Writer) int {
	if len(args) > 0 {
		return wrongUsage(stderr, fmt.Errorf("serve takes no arguments, got %q", args))
	}
	c, err := config(stderr, slog.LevelInfo)
	if err != nil {
		return wrongUsage(stderr, err)
	}
	return report(stderr, serve.Run(ctx, c), exitNotReady)
}

func config(stderr io.Writer, level slog.Level) (serve.Config, error) {
	c, err := serve.ConfigFromEnv(os.Getenv, version)
	c.Worker.Log = stderr
	c.Log = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	return c, err
}

// report ends the log with the cause. What the interpreter said of a script
// that failed is repeated, because other lines may have come between.
func report(stderr io.Writer, err error, notReady int) int {
	if err == nil {
		return 0
	}
	var start *worker.StartError
	if !errors.As(err, &start) {
		fmt.Fprintln(stderr, "scorer:", err)
		return exitFailed
	}
	detail := start.Detail()
	for _, line := range detail[max(0, len(detail)-20):] {
		fmt.Fprintln(stderr, "  "+line)
	}
	fmt.Fprintln(stderr, "scorer:", err)
	return notReady
}

func wrongUsage(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "scorer: %v\n\n%s", err, usage)
	return exitUsage
}

// batchArgs are the flags of scorer batch.
type batchArgs struct {
	requests, responses, path string
	latency                   int
}

func parseBatch(args []string) (batchArgs, error) {
	var b batchArgs
	flags := flag.NewFlagSet("batch", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&b.requests, "requests", "", "")
	flags.StringVar(&b.responses, "responses", "", "")
	flags.StringVar(&b.path, "path", "/score", "")
	flags.IntVar(&b.latency, "latency", 0, "")
	if err := flags.Parse(args); err != nil {
		return b, fmt.Errorf("batch: %w", err)
	}
	switch {
	case flags.NArg() > 0:
		return b, fmt.Errorf("batch: unexpected argument %q", flags.Arg(0))
	case b.requests == "" || b.responses == "":
		return b, errors.New("batch needs --requests and --responses")
	case !strings.HasPrefix(b.path, "/"):
		return b, fmt.Errorf("batch: --path %s: expected a path such as /invocations", b.path)
	case b.latency < 0:
		return b, fmt.Errorf("batch: --latency %d: expected a number of requests", b.latency)
	}
	return b, nil
}
