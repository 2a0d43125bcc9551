package courier

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/host/process"
)

// Options of Run.
type Options struct {
	File   string    // the errand, as JSON
	App    string    // the image's code, copied to be the task's working folder if that is below Work; it may be absent
	Work   string    // a folder for the errand's own files; it is the log's, too
	Make   []string  // folders that the task finds, beside its own Keep
	Stdout io.Writer // shows the log to whoever looks at the container
	Note   string    // file that gets a sentence on the end; empty for none
}

// Run is the whole life of a task's container: it fetches, runs the command,
// sends the log as it comes, brings back what is to be kept, and tells the end.
// A value on stop ends the command politely. What cannot reach the server is
// tried again until the container is killed: the host's deadline is the only
// one. It returns the exit code of the process.
func Run(o Options, stop <-chan os.Signal) int {
	text, err := os.ReadFile(o.File)
	var e Errand
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		fmt.Fprintf(o.Stdout, "scorer task: %s: an errand was expected: %v\n", o.File, err)
		return 2
	}
	ctx := context.Background()
	line := newLine(e)
	asked := make(chan os.Signal, 1) // of the command, and of what comes before it
	preparing, cut := context.WithCancel(ctx)
	defer cut()
	go func() {
		s := <-stop
		asked <- s
		cut()
	}()
	started := time.Now()
	end := host.TaskState{Phase: host.Ended, Started: started}
	if err := prepare(preparing, o, e, line); err != nil {
		end.Reason, end.Message = host.NotStarted, err.Error()
		if preparing.Err() != nil {
			end.Reason, end.Message = host.Killed, "killed before its command began"
		}
		end.Ended = time.Now()
	} else {
		end = work(ctx, o, e, line, asked)
	}
	if end.Reason == host.Exited && end.ExitCode == 0 && e.Task.Keep != "" {
		if err := line.keep(ctx, e.Task.Keep); err != nil {
			end.Reason, end.Message = host.NotStarted, fmt.Sprintf("bring back what it left: %v", err)
		}
	}
	if o.Note != "" {
		_ = os.WriteFile(o.Note, []byte(strings.TrimSpace(string(end.Reason)+" "+end.Message)), 0o600) // for people; the server is told
	}
	if err := line.tell(ctx, end); err != nil {
		fmt.Fprintf(o.Stdout, "scorer task: %v\n", err)
		return 1
	}
	if end.Reason != host.Exited {
		return 1
	}
	return end.ExitCode
}

// prepare puts everything in its place.
func prepare(ctx context.Context, o Options, e Errand, l *line) error {
	folders := append([]string{e.Task.Keep}, o.Make...)
	if strings.HasPrefix(e.Task.Dir, o.Work+"/") {
		folders = append(folders, e.Task.Dir)
		if _, err := os.Stat(o.App); err == nil {
			if err := os.CopyFS(e.Task.Dir, os.DirFS(o.App)); err != nil {
				return fmt.Errorf("copy the code: %w", err)
			}
		}
	}
	for _, dir := range folders {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	for _, f := range e.Task.Fetch {
		if err := l.fetch(ctx, f); err != nil {
			return fmt.Errorf("fetch %s: %w", filepath.Base(f.Path), err)
		}
	}
	return nil
}

// work runs the command, sends its log as it comes and to its last byte, and
// what it uses: a container that is killed tells nothing more.
func work(ctx context.Context, o Options, e Errand, l *line, stop <-chan os.Signal) host.TaskState {
	log := &follower{path: process.LogFile(o.Work), line: l, show: o.Stdout}
	over, following := make(chan struct{}), sync.WaitGroup{}
	following.Go(func() { log.follow(ctx, over) })
	used := make(chan host.Measure, 1)
	following.Go(func() { l.report(ctx, used) })
	end, err := process.Execute(o.Work, e.Task, e.MaxLog, stop, func(u host.Measure) {
		select {
		case used <- u:
		default: // the server is slow: it hears the next one
		}
	})
	close(over)
	close(used)
	following.Wait()
	if err != nil && end.Phase == "" {
		now := time.Now()
		end = host.TaskState{Phase: host.Ended, Reason: host.NotStarted, Message: err.Error(), Started: now, Ended: now}
	}
	return end
}

// follower sends a log that grows.
type follower struct {
	path  string
	line  *line
	show  io.Writer
	shown int64
	sent  int64
}

// follow sends until over, and then the rest.
func (f *follower) follow(ctx context.Context, over <-chan struct{}) {
	const pause = 500 * time.Millisecond
	for {
		select {
		case <-over:
			f.all(ctx, true)
			return
		case <-time.After(pause):
			f.all(ctx, false)
		}
	}
}

// all sends what there is. At the end it insists; before, the next round does.
func (f *follower) all(ctx context.Context, insist bool) {
	file, err := os.Open(f.path)
	if err != nil {
		return // not made yet
	}
	defer file.Close()
	buf := make([]byte, 1<<20)
	for {
		n, err := file.ReadAt(buf, f.sent)
		if n == 0 {
			return
		}
		if more := min(f.sent+int64(n)-f.shown, int64(n)); more > 0 {
			_, _ = f.show.Write(buf[int64(n)-more : n]) // for whoever looks at the container; the server has it whole
			f.shown = f.sent + int64(n)
		}
		have, sendErr := f.line.log(ctx, f.sent, buf[:n], insist)
		if sendErr != nil {
			return
		}
		f.sent = have
		if err != nil && err != io.EOF {
			return
		}
	}
}
