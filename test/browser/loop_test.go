package browser_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The scripts of a project that waits to be watched: its tests and its training
// print, and end when a file is there.
const (
	slowly = `
import os, pathlib, sys, time

def watched(name):
    print(name, "line 1", flush=True)
    for n in range(2, 2000):
        if pathlib.Path(%q, name).exists():
            break
        if n < 20:
            print(name, "line", n, flush=True)
        time.sleep(0.05)
    print(name, "was watched", flush=True)
`
	loopConfig = `
  on: {push: false}
  steps:
    prepare: {run: python -c 'print("ready")'}
    train: {run: python train.py, timeout: 2m}
  gate: {metric: mse, min_effect: 1%}
`
)

// meanProject copies the small project of the stories, with scripts that wait
// for files in signals, and a production that asks for approval.
func meanProject(t *testing.T, signals string) string {
	t.Helper()
	dir, from := filepath.Join(t.TempDir(), "mean"), os.DirFS("../testdata/mean")
	if err := os.CopyFS(dir, from); err != nil {
		t.Fatal(err)
	}
	edit := func(name string, pairs ...string) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(pairs); i += 2 {
			if !bytes.Contains(text, []byte(pairs[i])) {
				t.Fatalf("%s has no %q any more", name, pairs[i])
			}
			text = bytes.ReplaceAll(text, []byte(pairs[i]), []byte(pairs[i+1]))
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	edit("ridgeline.yaml", "NAME", "mean", `
  steps:
    train: {run: python train.py, timeout: 30s}
  gate: {metric: mse, min_effect: 1%}
`, loopConfig, "production: {host", "production: {approval: required, host")
	edit("train.py", "\n\ndef main():\n", "\n"+fmt.Sprintf(slowly, signals)+"\n\ndef main():\n    watched('training')\n")
	edit("tests.py", "def test_line(self):\n", "def test_line(self):\n        train.watched('testing')\n")
	for _, words := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"-c", "user.name=ann", "-c", "user.email=ann@example.org", "commit", "-q", "-m", "first"}} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, words...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", words, err, out)
		}
	}
	return dir
}

// The whole loop by clicking. Only the push comes from the command line.
func TestLoop(t *testing.T) {
	link, state := serve(t)
	signals := t.TempDir()
	folder := meanProject(t, signals)
	p := sit(t, link)
	emptyServer(p)

	// A build comes up by itself, and is watched.
	still := p.watches()
	push := exec.Command("../../bin/ridgeline", "push", "--detach", "--dir", state, folder)
	if out, err := push.CombinedOutput(); err != nil {
		t.Fatalf("push: %v: %s", err, out)
	}
	p.has("main table a.name")
	still()
	p.clicks("main table a.name", "b-")
	p.has(`[aria-label="What was built"]`)
	still = p.watches()
	p.reads(".log", "testing line 5")
	goOn(p, signals, "testing")
	p.reads(".log", "testing was watched")
	p.sees("pipeline 1", "10 rules hold")
	p.has(".head .badge.ok")
	still()

	// A run is started by a click and watched: the graph, the log, the verdict.
	train(p, "params", "factor=0.8")
	still = p.watches()
	p.has(`.graph a.box.busy[aria-current]`)
	p.reads(".log", "training line 5")
	goOn(p, signals, "training")
	p.reads(".log", "training was watched")
	p.sees("promoted", "Gate report")
	p.until("the verdict is told", func() bool {
		return strings.Contains(asks[string](p, `document.querySelector("#said").textContent`), "promoted")
	})
	p.until("the graph is green", func() bool { return asks[int](p, `document.querySelectorAll(".graph a.box.ok").length`) == 6 })
	still()
	p.content()

	// Its release waits for a person, who approves.
	p.goes("Home", "In production now")
	p.goes("waits for approval before production", "Waits for a person before production")
	p.acts("Approve")
	p.live("qa", "production")
	p.sees("approved by admin")

	compared(p, rejected(p), train(p, "params", "factor=1"))
	releasedAndRolledBack(p)
	asked(p)
	shared(p)
	p.content()
}

// emptyServer goes round a server that has nothing yet: each page says what to
// do next.
func emptyServer(p *person) {
	p.Helper()
	p.sees("Nothing here yet", "ridgeline demo --keep")
	for _, page := range [][2]string{
		{"Projects", "ridgeline init NAME"}, {"Runs", "ridgeline train"}, {"Models", "ridgeline train"}, {"Releases", "ridgeline release MODEL:VERSION"},
		{"Endpoints", "ridgeline release MODEL:VERSION"}, {"Data", "ridgeline data add NAME FILE"}, {"Builds", "ridgeline push"},
	} {
		p.goes(page[0], page[1])
	}
}

// goOn lets a script of the project end that waits to be watched.
func goOn(p *person, signals, name string) {
	p.Helper()
	if err := os.WriteFile(filepath.Join(signals, name), nil, 0o600); err != nil {
		p.Fatal(err)
	}
}

// train starts a run from the project's page, and returns its address.
func train(p *person, fields ...string) string {
	p.Helper()
	p.goes("Projects", "Last run")
	p.goes("mean", "What starts it")
	p.acts("Train", fields...)
	p.sees("Why it started", "asked for by admin")
	return p.at()
}

// rejected trains a model that is worse, and finds out why it is not used.
func rejected(p *person) string {
	p.Helper()
	run := train(p, "params", "factor=0.7")
	p.sees("factor = 0.7", "rejected")
	p.goes("Gate report", "How much better, and how sure")
	p.sees("champion v1", "Error budget", "Decisions about mean")
	p.reads("[aria-label=Verdict]", "rejected", "The new model is worse", "95 % interval")
	p.has(`svg.interval.bad[aria-label*="interval from"]`)
	return run
}

// compared ticks two runs of which one is under way. The ticks stay while the
// page keeps itself up to date; in the end it compares.
func compared(p *person, one, other string) {
	p.Helper()
	p.goes("Runs", "Why it started")
	still := p.watches()
	for _, run := range []string{one, other} {
		p.clicks(`input[name="run"][value="`+strings.TrimPrefix(run, "/runs/")+`"]`, "")
	}
	p.reads("#"+strings.TrimPrefix(other, "/runs/"), "promoted")
	still()
	p.clicks("button[data-ticked]", "Compare 2 ticked")
	p.sees("Compare 2 runs", "factor", "0.7", "What else is not the same")
	p.has(".chart-box canvas")
	p.content()
}

// releasedAndRolledBack rejects a release, releases the version by hand after
// all, and takes it back.
func releasedAndRolledBack(p *person) {
	p.Helper()
	p.goes("Releases", "Environments")
	p.clicks("main tbody tr:first-child a.name", "l-")
	p.sees("mean v3 to qa → production", "Waits for a person before production")
	p.acts("Reject")
	p.sees("It did not get through; what was live before still is.")

	p.goes("Models", "Champion")
	p.clicks("main td a", "v3")
	p.sees("Reproduce", "Gate report")
	p.acts("Release")
	p.sees("mean v3 to qa → production", "Waits for a person before production")
	p.acts("Approve")
	p.live("qa", "production")

	p.clicks(".lane:last-child details.action > summary", "Roll back")
	p.clicks("details.action[open] form button.button", "Roll back")
	p.sees("mean v1 to production", "rollback, by admin")
	p.live("production")
}

// asked sends a request from the console of the endpoint.
func asked(p *person) {
	p.Helper()
	p.goes("Endpoints", "Why it is there")
	p.goes("mean · production", "Test console")
	p.clicks("#console button.primary", "Send")
	p.reads("#console", "Answer", "200", "by v1", `"result"`, "The same with curl", "The same with Python")
}

// shared has a version stand beside what is live, gives it half of the
// requests and takes them away again; and a key is replaced.
func shared(p *person) {
	p.Helper()
	p.goes("Models", "Champion")
	p.clicks("main td a", "v3")
	p.sees("Reproduce", "Gate report")
	p.acts("Release", "environment", "only production", "beside", "stays")
	p.sees("mean v3 to production", "Waits for a person before production")
	p.acts("Approve")
	p.sees("version 3 stands beside what is live")
	p.clicks(".lane-foot a", "Endpoint")
	p.sees("Test console")
	p.acts("Share the requests", "weight.v1", "50", "weight.v3", "50")
	p.reads("#v3", "50 %")
	p.acts("Share the requests", "weight.v1", "100", "weight.v3", "0")
	p.reads("#v3", "0 %")
	p.acts("Retire")
	p.until("v3 is gone", func() bool { return asks[bool](p, `!document.querySelector("#v3") && !!document.querySelector("#v1")`) })

	p.goes("Settings", "Endpoint keys")
	p.acts("Replace the secondary")
	p.sees("Endpoint keys")
}

// live waits until the release on the page is live in all these environments.
func (p *person) live(environments ...string) {
	p.Helper()
	for _, name := range environments {
		p.until(name+" is live", func() bool {
			return asks[bool](p, `[...document.querySelectorAll(".lane")].some((lane) => lane.querySelector("h2").innerText === %s && lane.querySelector(".badge.ok")?.innerText === "live")`, name)
		})
	}
}
