package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
)

// A follower watches work on the server until it ends.
type follower struct {
	client *api.Client
	board  *board
}

// poll reads until done says so: often at first, because most things are
// quick, then four times a second. A server that is away for a while (an
// upgrade, a crash) is waited for.
func poll[T any](ctx context.Context, read func() (T, error), show func(T) (done bool)) (T, error) {
	started, away := time.Now(), time.Time{}
	for {
		v, err := read()
		switch {
		case err == nil:
			away = time.Time{}
			if show(v) {
				return v, nil
			}
		case ctx.Err() != nil:
			return v, ctx.Err()
		case ridgeline.CodeOf(err) != ridgeline.Unavailable:
			return v, err
		case away.IsZero():
			away = time.Now()
		case time.Since(away) > 2*time.Minute:
			return v, err
		}
		pause := 250 * time.Millisecond
		if age := time.Since(started); age < time.Second {
			pause = 5 * time.Millisecond
		} else if age < 10*time.Second {
			pause = 100 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			return v, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// detail is what a line says beside its status: while it runs, the newest
// line its task has written.
func (f *follower) detail(ctx context.Context, status, task, message string) string {
	if status != "running" || task == "" || f.board.width == 0 {
		return message
	}
	text, err := f.client.Tail(ctx, task, 400)
	if err != nil || len(strings.TrimSpace(string(text))) == 0 {
		return message
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// follow shows one piece of work, read from path, under a title until it ends.
func follow[T any](ctx context.Context, f *follower, title, path string, view func(T) (lines []line, status string)) (T, error) {
	f.board.begin(title)
	return poll(ctx, func() (T, error) { return api.Get[T](ctx, f.client, path) }, func(v T) bool {
		lines, status := view(v)
		f.board.show(lines)
		return ended(status)
	})
}

func (f *follower) build(ctx context.Context, id string) (api.Build, error) {
	return follow(ctx, f, "build "+id, "/api/v1/builds/"+id, func(b api.Build) (lines []line, status string) {
		for _, c := range b.Checks {
			lines = append(lines, line{c.Name, c.Status, c.Seconds, f.detail(ctx, c.Status, c.Log, c.Message)})
		}
		return lines, b.Status
	})
}

func (f *follower) run(ctx context.Context, id string) (api.Run, error) {
	return follow(ctx, f, "run "+id, "/api/v1/runs/"+id, func(r api.Run) (lines []line, status string) {
		return f.steps(ctx, r.Steps), r.Status
	})
}

// manyInstances is how many instances of a step have a line each; of more, a
// person sees those that run or failed, and the count of the others.
const manyInstances = 12

// steps are the lines of a run's steps.
func (f *follower) steps(ctx context.Context, steps []api.Step) (lines []line) {
	total, over := map[string]int{}, map[string]int{}
	for _, s := range steps {
		total[s.InstanceOf]++
		if ended(s.Status) {
			over[s.InstanceOf]++
		}
	}
	for _, s := range steps {
		if s.InstanceOf != "" && total[s.InstanceOf] > manyInstances && s.Status != "failed" && (s.Status != "running" || f.board.width == 0) {
			continue
		}
		message := s.Message
		if n := total[s.Name]; n > 0 && s.Status == "running" {
			message = fmt.Sprintf("%d of %d done", over[s.Name], n)
		}
		lines = append(lines, line{s.Name, stepWord(s), s.Seconds, f.detail(ctx, s.Status, s.Log, message)})
	}
	return lines
}

func (f *follower) release(ctx context.Context, id string) (api.Release, error) {
	return follow(ctx, f, "release "+id, "/api/v1/releases/"+id, func(r api.Release) (lines []line, status string) {
		for _, e := range r.Environments {
			lines = append(lines, line{name: e.Name, status: e.Status, detail: e.Message})
		}
		return lines, r.Status
	})
}

// outcome is where a run, and what it started, came to.
type outcome struct {
	Run     api.Run
	Release *api.Release
}

// runToEnd follows a run and the release it may make.
func (f *follower) runToEnd(ctx context.Context, id string) (outcome, error) {
	var out outcome
	var err error
	if out.Run, err = f.run(ctx, id); err != nil {
		return out, err
	}
	if out.Run.Release == "" {
		return out, nil
	}
	rel, err := f.release(ctx, out.Run.Release)
	out.Release = &rel
	return out, err
}

// failed says why the outcome is not a success; a rejected model is one.
func (o outcome) failed() error {
	if o.Run.Status != "succeeded" {
		return fmt.Errorf("run %s %s: %s\nnext: ridgeline logs %s", o.Run.ID, o.Run.Status, o.Run.Reason, o.Run.ID)
	}
	if o.Release != nil && o.Release.Status != "succeeded" {
		return fmt.Errorf("release %s of %s version %d %s: %s\nwhat was live before still is; next: ridgeline release %s:%d once it is mended",
			o.Release.ID, o.Release.Model, o.Release.Version, o.Release.Status, o.Release.Reason, o.Release.Model, o.Release.Version)
	}
	return nil
}

// verdict tells the end of a run in a line or two.
func (o outcome) verdict() string {
	if o.Run.Verdict == "" {
		text := fmt.Sprintf("run %s %s", o.Run.ID, o.Run.Status)
		if o.Run.Reason != "" {
			text += " — " + o.Run.Reason
		}
		return text
	}
	text := fmt.Sprintf("%s version %d: %s", o.Run.Model, o.Run.Version, o.Run.Verdict)
	if o.Run.Reason != "" {
		text += " — " + o.Run.Reason
	}
	if o.Release != nil && o.Release.Status == "succeeded" {
		var names []string
		for _, e := range o.Release.Environments {
			names = append(names, e.Name)
		}
		text += fmt.Sprintf("\nlive in %s (release %s)", strings.Join(names, " and "), o.Release.ID)
	}
	return text
}
