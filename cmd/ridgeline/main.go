// Command ridgeline is the whole loop in one binary: the server and the
// command line that speaks to it.
//
// Each command is a file; wire.go is the only place where the concrete types
// of the other packages meet.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline"
)

// The exit codes, as DESIGN.md fixes them.
const (
	exitFailed       = 1
	exitUsage        = 2
	exitRequire      = 3
	exitRejected     = 4 // gate compare only
	exitInconclusive = 5 // gate compare only
	exitInterrupted  = 130
)

// exitError ends the program with a code of its own. Without a cause nothing
// is printed: what there was to say has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends what does not heed the first
	cli := &cli{out: stdout, err: stderr}
	root := cli.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var exit *exitError
	if errors.As(err, &exit) {
		if exit.err != nil {
			fmt.Fprintln(stderr, "ridgeline:", exit.err)
		}
		return exit.code
	}
	if ctx.Err() != nil {
		return exitInterrupted
	}
	if strings.HasPrefix(err.Error(), "unknown command") { // cobra has no type for it
		fmt.Fprintln(stderr, "ridgeline:", err)
		return exitUsage
	}
	fmt.Fprintln(stderr, "ridgeline:", err)
	return exitFailed
}

// cli is what all commands share.
type cli struct {
	out, err io.Writer
	server   string
	dir      string
	json     bool
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "ridgeline",
		Short:         "The MLOps loop for Python models: build, train, judge, release, watch, retrain",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version(),
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%v; see %s --help", err, cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVar(&c.server, "server", os.Getenv("RIDGELINE_URL"), "address of the server (RIDGELINE_URL)")
	flags.StringVar(&c.dir, "dir", os.Getenv("RIDGELINE_DIR"), "state folder of the server (RIDGELINE_DIR; default ~/.ridgeline)")
	flags.BoolVar(&c.json, "json", false, "print JSON")
	root.AddCommand(
		c.demo(), c.up(), c.initProject(), c.push(), c.publish(), c.ci(), c.schema(), c.train(),
		c.builds(), c.build(), c.runs(), c.views(), c.run(), c.logs(), c.cancel(), c.resume(), c.rerun(), c.why(), c.gate(),
		c.models(), c.model(), c.promote(), c.reproduce(), c.release(), c.releases(), c.approve(), c.reject(), c.rollback(), c.traffic(), c.retire(),
		c.score(), c.endpoints(), c.cost(), c.predictions(), c.feedback(), c.data(), c.token(), c.audit(), c.storage(), c.signIn(), c.remote(),
		c.webhook(), c.schedules(), c.events(), c.kube(), c.gc(), c.importCommand(), c.doctor(),
	)
	for _, cmd := range root.Commands() {
		strict(cmd)
	}
	return root
}

// strict makes a wrong number of arguments, or an unknown subcommand, a usage
// error with its own exit code.
func strict(cmd *cobra.Command) {
	check := cmd.Args
	if check == nil {
		check = cobra.NoArgs
	}
	if !cmd.Runnable() { // cobra would show the help for any argument, and call it a success
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usage("%v; usage: %s", err, cmd.UseLine())
		}
		return nil
	}
	for _, sub := range cmd.Commands() {
		strict(sub)
	}
}

func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// print writes a value as JSON.
func (c *cli) print(v any) error {
	enc := json.NewEncoder(c.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// stateDir is the server's state folder.
func (c *cli) stateDir() (string, error) {
	if c.dir != "" {
		return filepath.Abs(c.dir)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", ridgeline.Errorf(ridgeline.Invalid, "no home folder is known: name a state folder with --dir or RIDGELINE_DIR")
	}
	return filepath.Join(home, ".ridgeline"), nil
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			v += " (" + s.Value[:12] + ")"
		}
	}
	return v
}
