package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/ridgeline-mlops/ridgeline/test/browser"
)

// A person looks at pages and clicks on what is there: with the mouse, at the
// place where a thing is, and only when nothing else lies over it.
type person struct {
	*testing.T
	tab      *browser.Browser
	patience time.Duration // for what has to appear
}

// sit opens a browser for the server whose sign-in link it is, and follows it.
func sit(t *testing.T, link string) *person {
	t.Helper()
	host, path, _ := strings.Cut(strings.TrimPrefix(link, "http://"), "/")
	b, done, err := browser.Open(context.Background(), "http://"+host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	p := &person{T: t, tab: b, patience: 50 * time.Second}
	p.opens("/" + path)
	return p
}

func (p *person) opens(path string) {
	p.Helper()
	if err := p.tab.Go(path); err != nil {
		p.Fatal(err)
	}
}

// asks runs a script's expression, and returns its value. When the page goes
// meanwhile, the next one is asked.
func asks[V any](p *person, script string, args ...any) (out V) {
	p.Helper()
	quoted := make([]any, len(args))
	for i, a := range args {
		text, _ := json.Marshal(a) // strings and lists of them
		quoted[i] = string(text)
	}
	for try := 0; ; try++ {
		err := p.tab.Run(chromedp.Evaluate(fmt.Sprintf(script, quoted...), &out))
		if err == nil {
			return out
		}
		if try == 20 {
			p.Fatalf("%s: %v", script, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// until waits until something is so. When it never is, the page is shown.
func (p *person) until(what string, so func() bool) {
	p.Helper()
	for end := time.Now().Add(p.patience); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			p.show()
			p.Fatalf("%s: not within %v. The page at %s says:\n%s", what, p.patience, p.at(), asks[string](p, `document.body.innerText`))
		}
	}
}

// show leaves a picture of what is to be seen, if RIDGELINE_PICTURES names a
// folder for it.
func (p *person) show() {
	if dir := os.Getenv("RIDGELINE_PICTURES"); dir != "" {
		if png, err := p.tab.Picture(); err == nil {
			_ = os.WriteFile(filepath.Join(dir, p.Name()+".png"), png, 0o600)
		}
	}
}

// at is the address that is shown, without the server.
func (p *person) at() string {
	p.Helper()
	return asks[string](p, `location.pathname + location.search`)
}

// sees waits until all of the texts are to be read.
func (p *person) sees(texts ...string) {
	p.Helper()
	p.until(fmt.Sprintf("%q is to be seen", texts), func() bool {
		return asks[bool](p, `(() => { const page = document.body?.innerText ?? ""; return %s.every((text) => page.includes(text)); })()`, texts)
	})
}

// has waits until something matches the selector.
func (p *person) has(selector string) {
	p.Helper()
	p.until(selector, func() bool { return asks[bool](p, `!!document.querySelector(%s)`, selector) })
}

// reads scrolls to what matches the selector, and waits until the texts stand
// there: what is out of sight is not drawn, and nobody reads it.
func (p *person) reads(selector string, texts ...string) {
	p.Helper()
	p.until(fmt.Sprintf("%s says %q", selector, texts), func() bool {
		return asks[bool](p, `(() => { const box = document.querySelector(%s); box?.scrollIntoView({block: "center"}); return !!box && %s.every((text) => box.innerText.includes(text)); })()`, selector, texts)
	})
}

// clicks clicks on what matches the selector and has the text, once it stays
// where it is; of several, on the first. Empty text: any.
func (p *person) clicks(selector, text string) {
	p.Helper()
	var at []float64
	p.until(fmt.Sprintf("%s %q can be clicked", selector, text), func() bool {
		before := at
		at = asks[[]float64](p, `(() => {
			const shown = [...document.querySelectorAll(%s)].find((e) => e.checkVisibility() && (e.innerText || e.ariaLabel || "").includes(%s));
			if (!shown) return null;
			shown.scrollIntoView({block: "center"});
			const box = shown.getClientRects()[0], x = box.x + box.width / 2, y = box.y + box.height / 2, hit = document.elementFromPoint(x, y);
			return hit && (shown.contains(hit) || hit.contains(shown)) ? [x, y] : null;
		})()`, selector, text)
		return len(at) == 2 && slices.Equal(at, before) // it stays where it is
	})
	if err := p.tab.Run(chromedp.MouseClickXY(at[0], at[1])); err != nil {
		p.Fatalf("click on %s %q: %v", selector, text, err)
	}
}

// goes clicks on a link, and waits for the page that it leads to.
func (p *person) goes(text, title string) {
	p.Helper()
	p.clicks("a", text)
	p.sees(title)
}

// acts opens an action, fills in what it asks for, and clicks on its button.
func (p *person) acts(label string, fields ...string) {
	p.Helper()
	p.clicks("details.action > summary", label)
	for i := 0; i < len(fields); i += 2 {
		p.fills(`details.action[open] [name="`+fields[i]+`"]`, fields[i+1])
	}
	if line := asks[string](p, `document.querySelector("details.action[open] .cli code")?.innerText ?? ""`); !strings.HasPrefix(line, "ridgeline ") {
		p.Errorf("%s has no command line beside it: %q", label, line)
	}
	p.clicks("details.action[open] form button.button", label)
}

// types presses the keys of a text.
func (p *person) types(keys string) {
	p.Helper()
	if err := p.tab.Run(chromedp.KeyEvent(keys)); err != nil {
		p.Fatal(err)
	}
}

// fills types into a field, or the beginning of what is chosen in a list.
func (p *person) fills(selector, text string) {
	p.Helper()
	p.has(selector)
	asks[bool](p, `(() => { const field = document.querySelector(%s); field.focus(); field.select?.(); return true; })()`, selector)
	p.types(text)
	p.until("the field holds "+text, func() bool {
		return asks[bool](p, `(() => { const field = document.querySelector(%s); return (field.selectedOptions?.[0].text ?? field.value).startsWith(%s); })()`, selector, text)
	})
}

// inSight waits until the row of that name is, all of it, in the table that
// scrolls.
func (p *person) inSight(what, name string) {
	p.Helper()
	p.until(what+": "+name+" is in sight", func() bool {
		return asks[bool](p, `(() => {
			const link = [...document.querySelectorAll("[data-rows] a.name")].find((a) => a.innerText === %s), box = document.querySelector("[data-rows]")?.getBoundingClientRect();
			const at = link?.closest("tr").getBoundingClientRect();
			return !!at && at.top >= box.top - 1 && at.bottom <= box.bottom + 1;
		})()`, name)
	})
}

// scrolls moves that table to so many pixels from its beginning.
func (p *person) scrolls(to string) {
	p.Helper()
	asks[bool](p, `(document.querySelector("[data-rows]").scrollTop = `+to+`, true)`)
}

// watches marks the document. What is called at the end says whether it is
// still the same one: whatever has changed since did so without a reload.
func (p *person) watches() (still func()) {
	p.Helper()
	asks[bool](p, `window.watched = true`)
	return func() {
		p.Helper()
		if !asks[bool](p, `window.watched === true`) {
			p.Errorf("%s was loaded again", p.at())
		}
	}
}

// content has nothing to complain of.
func (p *person) content() {
	p.Helper()
	for _, said := range p.tab.Complaints() {
		p.Errorf("the browser complains: %s", said)
	}
}
