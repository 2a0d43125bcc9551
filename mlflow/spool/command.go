package spool

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// Command is the whole life of the program that runs a step's command behind a
// proxy: it reads where the server is from the variables by which MLflow's
// client would find it, and returns the command's exit code.
func Command(args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("spool", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("dir", "", "where writes are kept that the server did not take yet")
	leave := flags.Bool("leave", false, "end with the command, and leave to who started it what is still kept; else wait until all is delivered")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: spool --dir DIR [--leave] COMMAND… (it is started by ridgeline, for each attempt at a step)")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *dir == "" || flags.NArg() == 0 {
		flags.Usage()
		return 2
	}
	return run(*dir, *leave, flags.Args(), stderr)
}

func run(dir string, leave bool, command []string, stderr io.Writer) int {
	// The command gets these signals itself, and decides. As a container's first
	// process we are the only one who does, and pass them on.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	patience, given := waits(os.Getenv(timeoutVariable))
	proxy, err := Open(Options{
		Server: os.Getenv("MLFLOW_TRACKING_URI"), Token: os.Getenv("MLFLOW_TRACKING_TOKEN"), Dir: dir,
		Run: os.Getenv("MLFLOW_RUN_ID"), Experiment: os.Getenv("MLFLOW_EXPERIMENT_NAME"), Log: stderr,
		Patience: patience,
	})
	ended := make(chan struct{})
	if err != nil {
		fmt.Fprintf(stderr, "ridgeline: this step logs to the server directly, and has to wait when that is away: %v\n", err)
		close(ended)
	} else {
		os.Setenv("MLFLOW_TRACKING_URI", proxy.URL())
		if !given {
			os.Setenv(timeoutVariable, strconv.Itoa(int(patience.Seconds())))
		}
		go func() {
			defer close(ended)
			if err := proxy.Run(ctx); err != nil {
				fmt.Fprintf(stderr, "ridgeline: %v\n", err)
			}
		}()
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(stderr, "ridgeline: %v\n", err)
		return 127
	}
	go func() {
		for s := range signals {
			if os.Getpid() == 1 {
				_ = cmd.Process.Signal(s) // gone already: what was wanted
			}
		}
	}()
	err = cmd.Wait()
	if proxy != nil && !leave {
		if err := proxy.Delivered(ctx); err != nil {
			fmt.Fprintf(stderr, "ridgeline: %v\n", err)
		}
	}
	stop()
	<-ended
	return code(err, stderr)
}

// timeoutVariable is how long MLflow's client waits for an answer, in seconds.
const timeoutVariable = "MLFLOW_HTTP_REQUEST_TIMEOUT"

// waits is how long the script's client is to wait: as it is told already, or a
// week, which is any step's own timeout: an outage of the server never ends a
// training, and what ends a step ends its waiting.
func waits(told string) (patience time.Duration, given bool) {
	if n, err := strconv.Atoi(told); err == nil && n > 0 {
		return time.Duration(n) * time.Second, true
	}
	return 7 * 24 * time.Hour, false
}

// code is the exit code of a command that ended with err.
func code(err error, stderr io.Writer) int {
	var exit *exec.ExitError
	if err == nil {
		return 0
	}
	if !errors.As(err, &exit) {
		fmt.Fprintf(stderr, "ridgeline: %v\n", err)
		return 126
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return exit.ExitCode()
	}
	if status.Signal() == syscall.SIGKILL { // who watches us looks for this one: the kernel's, for want of memory
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	fmt.Fprintf(stderr, "ridgeline: the command was ended by signal %d (%v)\n", int(status.Signal()), status.Signal())
	return 128 + int(status.Signal())
}
