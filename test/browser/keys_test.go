package browser_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// Who has no mouse, or does not see: keys lead to every page, the focus goes
// through a page in its order and is to be seen, and what is live says so.
func TestKeys(t *testing.T) {
	link, _ := serve(t)
	p := sit(t, link)
	focus := func() string {
		return asks[string](p, `(() => { const e = document.activeElement; return e.id || e.getAttribute("href") || e.name || e.tagName; })()`)
	}

	p.types(kb.Tab)
	if at := focus(); at != "#main" || !asks[bool](p, `document.activeElement.getBoundingClientRect().x >= 0`) {
		t.Errorf("the first focus is at %s, want the way to the content, where it is seen", at)
	}
	p.types(kb.Enter)
	p.until("the focus is at the content", func() bool { return focus() == "main" })

	for keys, title := range map[string]string{"gr": "Runs", "gp": "Projects", "gb": "Builds", "gm": "Models", "gl": "Releases", "ge": "Endpoints", "gd": "Data", "gs": "Settings", "gh": "In production now"} {
		p.types(keys)
		p.until(keys+" leads to "+title, func() bool {
			return asks[string](p, `document.documentElement.dataset.script ? document.querySelector("h1")?.innerText ?? "" : ""`) == title
		})
	}

	p.types("?")
	p.until("the list of keys is open", func() bool { return asks[bool](p, `document.querySelector("#keys").open`) })
	p.types(kb.Escape)
	p.until("it is closed", func() bool { return !asks[bool](p, `document.querySelector("#keys").open`) })

	// A slash goes to the search; there, letters are letters.
	p.opens("/_gallery/run-failed")
	p.types("/")
	p.until("the focus is in the search", func() bool { return focus() == "log-q" })
	p.types("gr")
	if text := asks[string](p, `document.activeElement.value`); !strings.HasSuffix(text, "gr") || !strings.Contains(p.at(), "run-failed") {
		t.Errorf("typed %q, at %s", text, p.at())
	}
	p.types(kb.Escape)
	p.until("the search is left", func() bool { return focus() != "log-q" })

	for _, page := range []string{"run-failed", "runs", "release-waiting", "settings", "gate-rejected", "endpoint"} {
		p.opens("/_gallery/" + page)
		if n := asks[int](p, `document.querySelectorAll("[tabindex]:not([tabindex='0']):not([tabindex='-1'])").length`); n > 0 {
			t.Errorf("%s: %d elements have a place of their own in the order", page, n)
		}
		asks[bool](p, `window.before = null`)
		for range 30 {
			p.types(kb.Tab)
			if wrong := asks[string](p, `(() => {
				const e = document.activeElement, box = e.getBoundingClientRect(), last = window.before;
				window.before = e;
				if (e === document.body) return "";
				if (last && last !== document.body && !(last.compareDocumentPosition(e) & Node.DOCUMENT_POSITION_FOLLOWING)) return e.outerHTML.slice(0, 120) + " comes before what had the focus";
				if (!e.checkVisibility() || box.bottom < 0 || box.top > innerHeight) return e.outerHTML.slice(0, 120) + " has the focus and is not in sight";
				const look = getComputedStyle(e);
				return look.outlineStyle === "none" && !e.matches("input, select, textarea") ? e.outerHTML.slice(0, 120) + " does not show that it has the focus" : "";
			})()`); wrong != "" {
				t.Errorf("%s: %s", page, wrong)
			}
		}
	}
	p.opens("/_gallery/run-running")
	for _, live := range []string{`#said[role="status"]`, `pre.log[role="log"][aria-label]`, `main [data-say]`} {
		p.has(live)
	}
	p.content()
}
