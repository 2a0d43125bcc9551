package ui

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// Of 5,000 steps there is a box for each layer, which counts them by how they
// stand, is as bad as the worst, and leads to the layer's list.
func TestStepGraph_layers(t *testing.T) {
	page := sampleDeclared(5000, ridgeline.Running, url.Values{"layer": {"3"}})
	boxes := page.Graph.Nodes
	if len(boxes) != 12 || boxes[0].Name != "fetch" || boxes[11].Name != "register" || page.Around != nil {
		t.Fatalf("%+v", boxes)
	}
	third := boxes[2]
	if third.Name != "Layer 3" || third.Note != "1,248/1,250 · 2 failed" || third.Tone != "bad" || !third.Now || third.URL != runURL(page.ID, "layer", "3")+"#steps" ||
		third.Title != "Layer 3: 1,250 steps, 2 failed, 2 queued, 1,246 succeeded" {
		t.Errorf("%+v", third)
	}
	if page.Parts.Found != 1250 || page.Steps[0].Status != ridgeline.Failed || page.Steps[1].Status != ridgeline.Failed || !strings.HasPrefix(page.Steps[2].Name, "clean-") {
		t.Errorf("%+v %+v", page.Parts, page.Steps[:3])
	}
	if at := page.Parts.Later; !strings.Contains(at, "layer=3") || !strings.Contains(at, "from=200") {
		t.Errorf("the next page is at %s", at)
	}
	sum := 0
	for _, b := range boxes {
		if _, rest, several := strings.Cut(b.Title, ": "); several {
			n, err := strconv.Atoi(strings.ReplaceAll(strings.Fields(rest)[0], ",", ""))
			ok(t, err)
			sum += n
		} else {
			sum++
		}
	}
	if sum != 5004 {
		t.Errorf("they are of %d steps", sum)
	}
}

// A chain of 5,000 has several layers in each box.
func TestStepGraph_deep(t *testing.T) {
	nodes := make([]components.GraphNode, 5000)
	for i := range nodes {
		nodes[i].Name = fmt.Sprint("s", i)
		if i > 0 {
			nodes[i].Needs = []string{nodes[i-1].Name}
		}
	}
	g := newStepGraph("", nodes, nil, func(pairs ...string) string { return "/x" + pairsOf(pairs) })
	v := g.view("s300", url.Values{"layer": {"420-627"}})
	if n := len(v.Graph.Nodes); n != mostBoxes {
		t.Errorf("%d boxes", n)
	}
	if b := v.Graph.Nodes[2]; b.Name != "Layers 419–627" || b.URL != "/x?layer=419-627#steps" || b.Note != "209 steps" || !b.Now || len(v.Graph.Edges) != mostBoxes-1 {
		t.Errorf("%+v", b)
	}
	for text, want := range map[string]int{"419-627": 209, "7": 1, "0": 0, "-3": 0, "9-3": 0, "x": 0, "4990-6000": 11, "6000": 0} {
		if names, _, _ := g.among(url.Values{"layer": {text}}); len(names) != want {
			t.Errorf("layer %s has %d steps, want %d", text, len(names), want)
		}
	}
}

var moreOf = regexp.MustCompile(`^and ([\d,]+) more$`)

// Around any step there are few boxes, and none is forgotten: those that are
// shown and those that boxes stand for are all that it needs, and all that need
// it, as its lists have them.
func TestStepGraph_around(t *testing.T) {
	for _, name := range []string{"fetch", "read-0003", "clean-0070", "join-0007", "fit-0100", "compare", "report", "register"} {
		page := sampleDeclared(1500, ridgeline.Running, url.Values{"step": {name}})
		if page.Centre != name || page.Around == nil || len(page.Around.Nodes) > 40 {
			t.Fatalf("%s: %+v", name, page.Around)
		}
		sum := -1 // but for the one in the middle
		for _, b := range page.Around.Nodes {
			m := moreOf.FindStringSubmatch(b.Name)
			if m == nil {
				sum++
				if b.URL != runURL(page.ID, "step", b.Name)+"#around" || b.Now != (b.Name == name) {
					t.Errorf("%s: %+v", name, b)
				}
				continue
			}
			n, err := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
			ok(t, err)
			if sum += n; b.URL != runURL(page.ID, "before", name)+"#steps" && b.URL != runURL(page.ID, "after", name)+"#steps" {
				t.Errorf("%s: %+v", name, b)
			}
		}
		found := 0
		for _, way := range []string{"before", "after"} {
			found += sampleDeclared(1500, ridgeline.Running, url.Values{way: {name}}).Parts.Found
		}
		if sum != found || found < 10 {
			t.Errorf("%s: %d steps around it, and %d in the lists", name, sum, found)
		}
	}
}

// Those that failed are shown first.
func TestStepGraph_around_failed(t *testing.T) {
	page := sampleDeclared(5000, ridgeline.Running, url.Values{"step": {"fetch"}})
	failed := 0
	for _, b := range page.Around.Nodes {
		if strings.HasPrefix(b.Name, "read-") && b.Tone == "bad" {
			failed++
		}
	}
	if failed != 2 {
		t.Errorf("%d of 2 failed steps are beside fetch: %+v", failed, page.Around.Nodes)
	}
}

// The page of 5,000 steps is made each second while they go on, so it is small.
func TestStepGraph_page_is_small(t *testing.T) {
	u := &UI{}
	ok(t, u.Open())
	for _, status := range []ridgeline.Status{ridgeline.Running, ridgeline.Failed} {
		for _, q := range []url.Values{nil, {"step": {"compare"}}, {"layer": {"3"}}} {
			html, err := u.render("content", layout{Page: runSample(sampleDeclared(5000, status, q)), CanWrite: true})
			ok(t, err)
			if len(html) > 300_000 {
				t.Errorf("%s, %v: %d bytes", status, q, len(html))
			}
		}
	}
}

// By clicking only: from the overview to a layer, to a step, to what it needs;
// in the run and in the pipeline.
func TestRun_large(t *testing.T) {
	s := furnish(t)
	ctx, st := t.Context(), s.ui.Store
	p, err := st.Pipeline(ctx, "iris", 1)
	ok(t, err)
	p.Config = "project: iris\npython: requirements.txt\ndata: {iris: {path: iris.csv, target: kind}}\npipeline:\n  steps:\n"
	var plan []ridgeline.Step
	for _, step := range sampleSteps(100) {
		p.Config += fmt.Sprintf("    %s: {run: %s, needs: [%s]}\n", step.Name, step.Run, strings.Join(step.Needs, ", "))
		plan = append(plan, ridgeline.Step{Name: step.Name})
	}
	p.Config += "    train: {run: python train.py, needs: [report]}\n  gate: {metric: accuracy, better: higher}\n"
	p.Build, p.Commit.Tree = "b-1kw4nn5es46106", strings.Repeat("ef", 32)
	ok(t, st.CreateBuild(ctx, ridgeline.Build{ID: p.Build, Project: "iris", Commit: p.Commit, Cause: "push", Status: ridgeline.Queued, Created: begun}))
	p, err = st.PublishPipeline(ctx, p)
	ok(t, err)
	id := ridgeline.RunID("r-00000000000009")
	ok(t, st.CreateRun(ctx, ridgeline.Run{ID: id, Project: "iris", Pipeline: p.Version, Cause: "cli", Status: ridgeline.Queued, Created: begun}))
	ok(t, st.StartRun(ctx, id, begun))
	ok(t, st.PlanSteps(ctx, id, plan))
	ok(t, st.SaveStep(ctx, ridgeline.Step{Run: id, Name: "clean-0009", Status: ridgeline.Failed, Started: begun, Ended: begun, Message: "exit code 1"}))
	run := runURL(id)
	s.shows(run, http.StatusOK, "Layer 2", "Layer 3: 25 steps, 1 failed, 24 queued", "1/25 · 1 failed", `href="`+run+`?layer=3#steps"`)
	text := s.shows(run+"?layer=3", http.StatusOK, "Steps of layer 3 with", "25 steps, the failed ones first", `<input type="hidden" name="layer" value="3">`, `href="`+run+`?step=clean-0009"`)
	if strings.Contains(text, "step-read-0000") || strings.Index(text, "step-clean-0009") > strings.Index(text, "step-clean-0000") {
		t.Error("not the steps of the layer, the failed one first")
	}
	s.shows(run+"?layer=3&find=0011", http.StatusOK, "1 step, ", "step-clean-0011")
	s.shows(run+"?layer=99", http.StatusOK, "0 steps", "No step is like that")
	s.shows(run+"?step=clean-0009", http.StatusOK, "What clean-0009 needs, and what needs it", `href="`+run+`?step=read-0009#around"`, `href="`+run+`?step=check-0009#around"`)
	s.shows(run+"?step=fetch", http.StatusOK, "and 18 more", `href="`+run+`?after=fetch#steps"`)
	s.shows(run+"?after=clean-0009", http.StatusOK, "Steps after clean-0009 with", "step-check-0009", "step-join-0001")
	at := "/projects/iris"
	s.shows(at, http.StatusOK, "Layer 2", "25 steps", `href="`+at+`?layer=2#steps"`)
	s.shows(at+"?layer=2&find=0012", http.StatusOK, "1 step<", "python -m diabetes.read", `href="`+at+`?step=read-0012#around"`)
	s.shows(at+"?step=compare", http.StatusOK, "What compare needs, and what needs it", "and 9 more")
}
