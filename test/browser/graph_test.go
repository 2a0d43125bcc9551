package browser_test

import "testing"

// In a graph wider than a phone, the step that is chosen is to be seen at once,
// in the overview and amid what is around it.
func TestGraph(t *testing.T) {
	link, _ := serve(t)
	p := sit(t, link)
	if err := p.tab.Size(390, 844); err != nil {
		t.Fatal(err)
	}
	p.opens("/_gallery/run-5000-steps-amid")
	if n := asks[int](p, `document.querySelectorAll(".graph [aria-current]").length`); n != 2 {
		t.Fatalf("%d boxes are chosen, want one in each graph", n)
	}
	p.until("both are in view", func() bool {
		return asks[bool](p, `[...document.querySelectorAll(".graph [aria-current]")].every((box) => {
			const b = box.getBoundingClientRect(), a = box.closest(".scroll").getBoundingClientRect();
			return b.left >= a.left && b.right <= a.right;
		})`)
	})
	if at := asks[string](p, `document.querySelector("#around .graph [aria-current]").getAttribute("href")`); at != "/runs/r-1kw4nzzgq3kb4p?step=compare#around" {
		t.Errorf("the one in the middle leads to %s", at)
	}
}
