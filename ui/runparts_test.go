package ui

import (
	"net/url"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// Of 5,000 instances the graph has one box, and every one of them is on one page
// of the list, the failed ones on the first.
func TestParts(t *testing.T) {
	page := sampleMany()
	if len(page.Graph.Nodes) != 3 || page.Graph.Nodes[1].Note != "3,201/5,000 · 2 failed" || page.Graph.Nodes[1].Tone != "warn" {
		t.Errorf("the graph has %+v", page.Graph.Nodes)
	}
	if at := page.Graph.Nodes[1].URL; !strings.HasPrefix(at, components.Path("runs", page.ID)+"?of=tries") {
		t.Errorf("its box leads to %s", at)
	}
	var all []ridgeline.Step
	all = append(all, sampleStep(page.ID, "tries", ridgeline.Running), sampleStep(page.ID, "other", ridgeline.Queued))
	for i := range 450 {
		s := sampleStep(page.ID, "tries["+components.Number(i)+"]", ridgeline.Succeeded)
		if s.Parent = "tries"; i == 440 {
			s.Status = ridgeline.Failed
		}
		all = append(all, s)
	}
	rows, seen, pages := stepRows(page.Run, all, 0, sampleTime), map[string]int{}, 0
	for q := (url.Values{"of": {"tries"}}); q != nil; pages++ {
		page.list(rows, q, nil)
		for _, s := range page.Steps {
			seen[s.Name]++
		}
		if pages == 0 && (page.Steps[0].Name != "tries" || page.Steps[1].Name != "tries[440]") {
			t.Errorf("first are %s and %s", page.Steps[0].Name, page.Steps[1].Name)
		}
		at, err := url.Parse(page.Parts.Later)
		ok(t, err)
		if q = at.Query(); page.Parts.Later == "" {
			q = nil
		}
	}
	if pages != 3 || len(seen) != 451 || seen["other"] != 0 || page.Parts.Found != 451 || page.Parts.Earlier == "" {
		t.Errorf("%d pages, %d steps, %+v", pages, len(seen), page.Parts)
	}
	page.list(rows, url.Values{"find": {"[12"}}, nil)
	if page.Parts.Found != 11 {
		t.Errorf("found %d", page.Parts.Found)
	}
}
