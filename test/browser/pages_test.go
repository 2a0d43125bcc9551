package browser_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/ridgeline-mlops/ridgeline/test/browser"
)

var link = regexp.MustCompile(`http://\S+/sign-in\?code=\S+`)

// serve starts the built program on an empty state folder, and returns the
// link that it prints, and the folder.
func serve(t *testing.T) (at, dir string) {
	t.Helper()
	dir = t.TempDir()
	return serveAt(t, dir), dir
}

// serveAt starts the built program on a state folder, and returns the link that
// it prints.
func serveAt(t *testing.T, dir string) (at string) {
	t.Helper()
	program, err := filepath.Abs("../../bin/ridgeline")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil || browser.Path() == "" {
		const missing = "needs bin/ridgeline and chromium: make browser builds the one, test/setup/needs.sh test installs the other"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	server := exec.Command(program, "up", "--dev", "--dir", dir, "--listen", "127.0.0.1:0")
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if found := link.FindString(lines.Text()); found != "" {
			return found
		}
	}
	t.Fatal("it printed no link to sign in with")
	return ""
}

// modules is where npm has installed what the pages are made with.
func modules(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("../../ui/assets/build.sh", "modules").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// Every sample page, in both themes, at a desk and on a phone: no complaint of
// the browser, no request off the server, nothing wider than the window, and
// nothing that axe-core finds serious.
func TestPages(t *testing.T) {
	at, _ := serve(t)
	base, path, _ := strings.Cut(strings.TrimPrefix(at, "http://"), "/")
	b, done, err := browser.Open(context.Background(), "http://"+base)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if err := b.Go("/" + path); err != nil {
		t.Fatal(err)
	}
	var samples []string
	if err := b.Go("/_gallery"); err != nil {
		t.Fatal(err)
	}
	if err := b.Run(chromedp.Evaluate(`[...document.querySelectorAll("main a.tag[href^='/_gallery/']")].map(a => a.getAttribute("href"))`, &samples)); err != nil {
		t.Fatal(err)
	}
	if len(samples) < 10 {
		t.Fatalf("only %d samples", len(samples))
	}
	axe := modules(t)
	for _, look := range []struct {
		name  string
		dark  bool
		width int64
	}{{"desk, light", false, 1440}, {"phone, dark", true, 390}} {
		if err := b.Theme(look.dark); err != nil {
			t.Fatal(err)
		}
		if err := b.Size(look.width, 900); err != nil {
			t.Fatal(err)
		}
		for _, path := range append([]string{"/_gallery", "/"}, samples...) {
			if err := b.Go(path); err != nil {
				t.Fatal(err)
			}
			if px, err := b.Overflow(); err != nil || px > 0 {
				t.Errorf("%s, %s: %d px wider than the window (%v)", path, look.name, px, err)
			}
			for _, said := range b.Complaints() {
				t.Errorf("%s, %s: %s", path, look.name, said)
			}
			found, err := b.Axe(axe)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				t.Errorf("%s, %s: %s", path, look.name, f)
			}
		}
	}
	// The keys, by which nobody needs a mouse.
	if err := b.Run(chromedp.KeyEvent("g"), chromedp.KeyEvent("m"), chromedp.WaitVisible(`//h1[text()="Models"]`)); err != nil {
		t.Errorf("g m does not lead to the models: %v", err)
	}
}
