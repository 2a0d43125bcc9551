// Package browser is a Chromium for tests and pictures of the pages: it signs
// in, watches what the browser complains of, and asks axe-core about
// accessibility.
//
// What is to be seen on a page is the tests' to say.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Path finds Chromium; empty when there is none.
func Path() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// A Browser is one tab of a Chromium of its own.
type Browser struct {
	ctx  context.Context
	base string

	mu         sync.Mutex
	complaints []string
}

// Open starts a browser for the server at base, such as http://127.0.0.1:8470.
// It ends when close is called.
func Open(ctx context.Context, base string) (b *Browser, closeAll func(), err error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(Path()),
		chromedp.NoSandbox, // as root there is none
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("font-render-hinting", "none"),
		chromedp.WindowSize(1440, 900))
	allocated, endBrowser := chromedp.NewExecAllocator(ctx, options...)
	// It knows fewer of the protocol's messages than a newer browser sends.
	tab, endTab := chromedp.NewContext(allocated, chromedp.WithErrorf(func(string, ...any) {}))
	b = &Browser{ctx: tab, base: base}
	chromedp.ListenTarget(tab, b.hear)
	closeAll = func() {
		endTab()
		endBrowser()
	}
	if err := chromedp.Run(tab, network.Enable(), log.Enable(), runtime.Enable()); err != nil {
		closeAll()
		return nil, nil, fmt.Errorf("start chromium: %w", err)
	}
	return b, closeAll, nil
}

// hear notes errors of scripts and of the console, and requests to anywhere
// but our server.
func (b *Browser) hear(event any) {
	var said string
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning {
			said = fmt.Sprintf("%s: %s (%s)", e.Entry.Level, e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		said = "exception: " + e.ExceptionDetails.Error()
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			said = "console: "
			for _, a := range e.Args {
				said += string(a.Value) + a.Description + " "
			}
		}
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, b.base+"/") && !strings.HasPrefix(u, "data:") && !strings.HasPrefix(u, "blob:") && !strings.HasPrefix(u, "about:") {
			said = "a request off the server: " + u
		}
	}
	if said != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.complaints = append(b.complaints, said)
	}
}

// Complaints are what the browser had to complain of since they were asked for
// last.
func (b *Browser) Complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.complaints
	b.complaints = nil
	return out
}

// Run does what chromedp can, within a minute.
func (b *Browser) Run(actions ...chromedp.Action) error {
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	return chromedp.Run(ctx, actions...)
}

// Go opens an address of the server and waits until it is shown.
func (b *Browser) Go(path string) error {
	if err := b.Run(chromedp.Navigate(b.base+path), chromedp.WaitVisible("main", chromedp.ByQuery)); err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	return nil
}

// Theme makes the system's theme light or dark.
func (b *Browser) Theme(dark bool) error {
	value := "light"
	if dark {
		value = "dark"
	}
	return b.Run(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}}))
}

// Size makes the window so wide.
func (b *Browser) Size(width, height int64) error {
	return b.Run(emulation.SetDeviceMetricsOverride(width, height, 1, width < 600))
}

// Picture is the whole page as a PNG, however long, up to 4,000 pixels. The
// window is as long for it, since what is out of sight is not always drawn.
func (b *Browser) Picture() (png []byte, err error) {
	var inner struct{ Width, Height int64 }
	defer func() {
		if inner.Width > 0 {
			err = errors.Join(err, b.Size(inner.Width, inner.Height))
		}
	}()
	err = b.Run(chromedp.Evaluate(`({width: innerWidth, height: innerHeight})`, &inner), chromedp.ActionFunc(func(ctx context.Context) error {
		_, _, _, _, _, content, err := page.GetLayoutMetrics().Do(ctx)
		if err != nil {
			return err
		}
		height := min(max(int64(content.Height), inner.Height), 4000)
		if err := b.Size(inner.Width, height); err != nil {
			return err
		}
		if err := chromedp.Evaluate(painted, nil, awaited).Do(ctx); err != nil {
			return err
		}
		png, err = page.CaptureScreenshot().WithClip(&page.Viewport{Width: float64(inner.Width), Height: float64(height), Scale: 1}).Do(ctx)
		return err
	}))
	return png, err
}

// painted waits until each chart is drawn and all of it is on the screen.
const painted = `(async () => {
	const frame = () => new Promise((next) => requestAnimationFrame(next));
	while ([...document.querySelectorAll(".chart-box")].some((box) => box.checkVisibility() && !box.querySelector("canvas"))) await frame();
	await frame(); await frame();
})()`

func awaited(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// Overflow is how many pixels the page is wider than the window.
func (b *Browser) Overflow() (px int, err error) {
	err = b.Run(chromedp.Evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &px))
	return px, err
}

// Axe has axe-core look at the page, and returns what it finds serious or
// critical, one violation a line. Of long tables and logs it looks at the
// beginning, the rest is taken away: it is made by the same lines of a template.
func (b *Browser) Axe(modules string) ([]string, error) {
	source, err := os.ReadFile(filepath.Join(modules, "axe-core", "axe.min.js"))
	if err != nil {
		return nil, err
	}
	var found []string
	// The page's policy is for the page; a debugger's scripts are not held to it.
	const shorten = `document.querySelectorAll("tbody tr:nth-child(n+12), .log .line:nth-child(n+12)").forEach((e) => e.remove())`
	err = b.Run(chromedp.Evaluate(shorten, nil), chromedp.Evaluate(string(source)+"\n;0", nil), chromedp.Evaluate(`axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => violations
		.filter(v => ["serious", "critical"].includes(v.impact))
		.flatMap(v => v.nodes.map(n => v.id + ": " + n.target.join(" ") + ": " + n.failureSummary.replaceAll("\n", " "))))`, &found, awaited))
	return found, err
}

// First has a script run in every page from now on before the page's own.
func (b *Browser) First(script string) error {
	return b.Run(chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(script).Do(ctx)
		return err
	}))
}

// Eval returns what a script's last expression is, in v.
func (b *Browser) Eval(script string, v any) error { return b.Run(chromedp.Evaluate(script, v)) }

// Until waits until a script's expression is true.
func (b *Browser) Until(script string) error { return b.Run(chromedp.Poll(script, nil)) }
