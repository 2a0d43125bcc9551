package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ridgeline-mlops/ridgeline/bench"
	"github.com/ridgeline-mlops/ridgeline/test/browser"
)

// linesPerSecond is what the watched step writes.
const linesPerSecond = 1000

// The step writes lines as a training script does, some hundred at a time.
const writer = `import sys, time
began, n = time.monotonic(), 0
while time.monotonic() - began < %d:
    due = int((time.monotonic() - began) * %d)
    while n < due:
        print(f"epoch {n // 1000} batch {n %% 1000} loss {1 / (n + 1):.6f} lr 0.001 and some more words, as such lines have", flush=n %% 100 == 0)
        n += 1
    time.sleep(0.02)
`

// watched opens the page of a run whose step writes a thousand lines a second,
// and says how smoothly the page goes meanwhile.
func (s *site) watched(ctx context.Context, dir string) ([]row, error) {
	b, end, err := s.tab(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	id, err := s.talk(ctx, filepath.Join(dir, "talker"))
	if err != nil {
		return nil, err
	}
	if err := b.Go("/runs/" + id); err != nil {
		return nil, err
	}
	// The log's last line tells how many there have been: the box keeps only so many.
	const last = `(() => { const l = document.querySelector("#log [data-log] > :last-child > :last-child"); if (!l) return 0;
		const m = l.textContent.match(/epoch (\d+) batch (\d+)/); return m ? 1000 * m[1] + 1 * m[2] : 0; })()`
	if err := b.Until(last + " > 1000"); err != nil {
		return nil, fmt.Errorf("no lines came: %w", err)
	}
	var from, to float64
	if err := b.Eval("noted.long = []; noted.frames = []; "+last, &from); err != nil {
		return nil, err
	}
	began := time.Now()
	time.Sleep(s.log)
	if err := b.Eval(last, &to); err != nil {
		return nil, err
	}
	what, took := fmt.Sprintf("a log of %d lines a second", linesPerSecond), time.Since(began).Seconds()
	smooth, err := smoothness(b, what, took)
	return append([]row{{What: what, Tool: "browser, lines shown", PerSec: (to - from) / took, Budget: 0.9 * linesPerSecond}}, smooth...), err
}

// smoothness is how often, in so many seconds, the browser has shown another
// picture since what is noted was emptied, and what kept it from that.
func smoothness(b *browser.Browser, what string, seconds float64) ([]row, error) {
	var noted struct{ Long, Frames []float64 }
	if err := b.Eval("noted", &noted); err != nil {
		return nil, err
	}
	var between []float64
	for i := 1; i < len(noted.Frames); i++ {
		between = append(between, noted.Frames[i]-noted.Frames[i-1])
	}
	most := 0.0
	for _, l := range noted.Long {
		most = max(most, l)
	}
	return []row{
		{What: what, Tool: "browser, frames", PerSec: float64(len(between)) / seconds, Budget: 50},
		{What: what, Tool: "browser, time between frames", Millis: bench.Median(between), P95: bench.Quantile(between, 0.95), Most: bench.Quantile(between, 1)},
		{What: what, Tool: fmt.Sprintf("browser, longest of %d tasks over 50 ms", len(noted.Long)), Millis: most, Budget: 100},
	}, nil
}

// talk pushes a project whose only step writes lines, and returns the run when
// it writes.
func (s *site) talk(ctx context.Context, dir string) (id string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	for name, text := range map[string]string{
		"ridgeline.yaml":   "project: talker\npython: requirements.txt\npipeline:\n  steps:\n    talk: python talk.py\n",
		"requirements.txt": "# nothing beyond Python itself\n",
		"talk.py":          fmt.Sprintf("# written %s\n"+writer, time.Now(), int(s.log.Seconds())+45, linesPerSecond), // a commit like none before
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, {"-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qm", "a step that talks"}} {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("git %s: %w\n%s", args[0], err, out)
		}
	}
	if _, err := s.ridgeline(ctx, dir, "push", "--detach"); err != nil {
		return "", err
	}
	for range 1500 {
		text, err := s.ridgeline(ctx, dir, "runs", "--project", "talker", "--json")
		if err != nil {
			return "", err
		}
		var runs []struct{ ID, Status string }
		if err := json.Unmarshal([]byte(text), &runs); err != nil {
			return "", err
		}
		if len(runs) > 0 && runs[0].Status == "running" {
			return runs[0].ID, nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return "", errors.New("the run did not begin within five minutes")
}
