package pipeline

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// parsed reads the steps of a pipeline without a train step.
func parsed(t *testing.T, pipeline string) project.Config {
	t.Helper()
	cfg, err := project.Parse("ridgeline.yaml", []byte("project: graph\npython: requirements.txt\npipeline:\n"+pipeline))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestGraphOf(t *testing.T) {
	cfg := parsed(t, `
  params: {fold: 0, alpha: 1.0}
  steps:
    last: {run: c, needs: [folds]}
    first: {run: a, needs: []}
    folds: {run: b, needs: [first], matrix: {fold: [1, 2]}, in: {params: []}}
    aside: {run: d, needs: []}
`)
	nodes := graphOf(cfg.Pipeline, map[string]string{"fold": "0", "alpha": "1"})
	var got []string
	for i, n := range nodes {
		got = append(got, fmt.Sprintf("%s needs %v %v", n.Name, n.Direct, waits(nodes)[i]))
	}
	want := []string{
		"first needs [] []", "folds[fold=1] needs [0] [0]", "folds[fold=2] needs [0] [0]", "folds needs [0] [0 1 2]",
		"last needs [3] [0 3]", "aside needs [] []",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if seen := nodes[2].seen(); !reflect.DeepEqual(seen, map[string]string{"fold": "2"}) {
		t.Errorf("an instance that sees no parameter sees %v, want its own alone", seen)
	}
	if nodes[2].task() != "folds.2" || nodes[3].task() != "folds" {
		t.Errorf("tasks %s and %s", nodes[2].task(), nodes[3].task())
	}
	var names []string
	for _, row := range rows(nodes, []string{pack}) {
		names = append(names, row.Parent+"/"+row.Name)
	}
	if got := strings.Join(names, " "); got != "/first /folds folds/folds[fold=1] folds/folds[fold=2] /last /aside /pack" {
		t.Errorf("rows: %s", got)
	}
}

// put is what came before, for those who ask.
func put(outcomes ...outcome) func(int) (outcome, error) {
	return func(i int) (outcome, error) { return outcomes[i], nil }
}

func scored(loss float64) outcome {
	return outcome{Status: ridgeline.Succeeded, Result: ridgeline.Result{Output: fmt.Sprint("out-", loss), Metrics: ridgeline.Metrics{"loss": loss}}}
}

func TestGather(t *testing.T) {
	failed := outcome{Status: ridgeline.Failed, Reason: "exited with code 3"}
	nan, inf, bare := scored(math.NaN()), scored(math.Inf(-1)), scored(1)
	bare.Result.Metrics = nil
	for name, test := range map[string]struct {
		better string // empty: a matrix
		tries  []outcome
		status ridgeline.Status
		output string
		says   string
	}{
		"the lowest":                {"lower", []outcome{scored(2), scored(1), scored(3)}, ridgeline.Succeeded, "out-1", "best of 3: n=1, loss 1"},
		"the highest":               {"higher", []outcome{scored(2), scored(1), scored(3)}, ridgeline.Succeeded, "out-3", "best of 3: n=2, loss 3"},
		"the first of equals":       {"lower", []outcome{scored(1), scored(1)}, ridgeline.Succeeded, "out-1", "best of 2: n=0"},
		"NaN and infinity lose":     {"lower", []outcome{nan, inf, scored(9)}, ridgeline.Succeeded, "out-9", "n=2"},
		"a failed try is no end":    {"lower", []outcome{failed, scored(9)}, ridgeline.Succeeded, "out-9", "; 1 failed"},
		"all failed":                {"lower", []outcome{failed, failed}, ridgeline.Failed, "", "2 failed, the first: exited with code 3"},
		"no finite metric":          {"lower", []outcome{nan, bare}, ridgeline.Failed, "", "none of its 2 tries left a finite loss"},
		"a matrix of all":           {"", []outcome{scored(1), scored(2)}, ridgeline.Succeeded, "", "2 instances"},
		"a matrix with one failed":  {"", []outcome{scored(1), failed}, ridgeline.Failed, "", "1 of 2 instances failed"},
		"all were skipped":          {"", []outcome{{Status: ridgeline.Skipped, Reason: "no"}}, ridgeline.Skipped, "", "no"},
		"somebody asked for an end": {"lower", []outcome{scored(1), {Status: ridgeline.Cancelled, Asked: true}}, ridgeline.Cancelled, "", "cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			n := node{Step: project.Step{Name: "search"}, Name: "search"}
			if test.better != "" {
				n.Step.Sweep = &project.Sweep{Metric: "loss", Better: test.better}
			}
			nodes := make([]node, len(test.tries))
			for i := range test.tries {
				n.Gathers = append(n.Gathers, i)
				nodes[i] = node{Name: "search[n]", Label: fmt.Sprintf("n=%d", i), Own: map[string]string{"n": fmt.Sprint(i)}}
			}
			got := gather(n, nodes, put(test.tries...))
			if got.Status != test.status || got.Result.Output != test.output || !strings.Contains(got.Says+got.Reason, test.says) {
				t.Errorf("got %+v", got)
			}
			if _, err := json.Marshal(got); err != nil { // it goes into a checkpoint
				t.Error(err)
			}
		})
	}
}

func TestHeld(t *testing.T) {
	skipped, failed := outcome{Status: ridgeline.Skipped}, outcome{Status: ridgeline.Failed}
	nodes := []node{{Name: "a"}, {Name: "b"}}
	n := node{Direct: []int{0, 1}}
	if o := held(n, nodes, put(scored(1), scored(1))); o.Status != "" {
		t.Errorf("held by nothing: %+v", o)
	}
	if o := held(n, nodes, put(skipped, scored(1))); o.Status != ridgeline.Skipped {
		t.Errorf("after a skipped step: %+v", o)
	}
	if o := held(n, nodes, put(skipped, failed)); o.Status != ridgeline.Cancelled || o.Asked {
		t.Errorf("after a failed step: %+v", o)
	}
	n.Step.When = "true"
	if o := held(n, nodes, put(skipped, scored(1))); o.Status != "" {
		t.Errorf("with a condition of its own: %+v", o)
	}
	if o := held(n, nodes, put(skipped, failed)); o.Status != ridgeline.Cancelled {
		t.Errorf("a condition does not mend a failure: %+v", o)
	}
}

func TestRetries(t *testing.T) {
	some := project.Retries{Count: 2, On: []string{"137", fateTimeout}}
	for _, test := range []struct {
		retries project.Retries
		number  int
		fate    string
		want    bool
	}{
		{project.Retries{}, 1, "1", false},
		{project.Retries{Count: 2}, 2, "1", true},
		{project.Retries{Count: 2}, 3, "1", false},
		{some, 1, "137", true},
		{some, 1, "1", false},
		{some, 1, fateTimeout, true},
		{some, 1, fateLost, false},
		{project.Retries{Count: 9}, 1, fateLost, true},
		{project.Retries{Count: 9}, 1, fateMemory, true},
		{project.Retries{Count: 9}, 1, fateKilled, false},
		{project.Retries{Count: 9}, 1, fateNever, false},
		{project.Retries{Count: 9}, 1, fateOutput, false},
	} {
		tries := make([]ridgeline.Attempt, test.number)
		tries[test.number-1].Fate = test.fate
		if got := again(test.retries, tries); got != test.want {
			t.Errorf("again(%+v, %d, %s) is %v", test.retries, test.number, test.fate, got)
		}
	}
	moved := ridgeline.Attempt{Fate: fateMoved}
	if tries := []ridgeline.Attempt{moved, moved, {Fate: "1"}, moved}; !again(project.Retries{}, tries) || !again(project.Retries{Count: 1}, tries[:3]) || again(project.Retries{}, tries[:3]) {
		t.Error("attempts whose place was taken away use up retries")
	}
	if again(project.Retries{Count: 5}, slices.Repeat([]ridgeline.Attempt{moved}, maxMoves)) {
		t.Error("a place that is always taken away is looked for again for ever")
	}
	wait := project.Retries{Backoff: 10 * time.Second, Longest: time.Minute}
	for number, want := range map[int]time.Duration{1: 10 * time.Second, 2: 20 * time.Second, 3: 40 * time.Second, 4: time.Minute, 99: time.Minute} {
		if got := backoff(wait, number); got != want {
			t.Errorf("backoff after attempt %d: %s, want %s", number, got, want)
		}
	}
}

func TestKeyAndChanges(t *testing.T) {
	base := func() ingredients {
		return ingredients{
			Command: "python train.py", Tree: "t1", Code: "c1", Params: map[string]string{"alpha": "0.5"}, Environment: "e1", Python: "3.11.2",
			Data: map[string]content{"rows": {"d1", 0.2, nil}}, Inputs: map[string]string{"prepare": "p1"},
		}
	}
	first, err := base().key()
	if err != nil {
		t.Fatal(err)
	}
	for says, change := range map[string]func(in *ingredients){
		`command "python train.py" → "sh"`: func(in *ingredients) { in.Command = "sh" },
		"params alpha 0.5 → 1":             func(in *ingredients) { in.Params["alpha"] = "1" },
		"params beta added (2)":            func(in *ingredients) { in.Params["beta"] = "2" },
		"params alpha removed":             func(in *ingredients) { in.Params = nil },
		"data rows sha256:d1 → sha256:d2":  func(in *ingredients) { in.Data["rows"] = content{"d2", 0.2, nil} },
		"holdout of rows 0.2 by  → 0.3 by": func(in *ingredients) { in.Data["rows"] = content{"d1", 0.3, nil} },
		"Python 3.11.2 → 3.12.0":           func(in *ingredients) { in.Python = "3.12.0" },
		"environment e1 → e2":              func(in *ingredients) { in.Environment = "e2" },
		"output of prepare changed":        func(in *ingredients) { in.Inputs["prepare"] = "p2" },
		"out [] → [a]":                     func(in *ingredients) { in.Out = []string{"a"} },
		"":                                 func(in *ingredients) { in.Code = "c2" }, // files are compared elsewhere
	} {
		in := base()
		change(&in)
		if key, err := in.key(); err != nil || key == first {
			t.Errorf("%s: the key stays (%v)", says, err)
		}
		if got := strings.Join(changes(base(), in), "; "); !strings.Contains(got, says) {
			t.Errorf("got %q, want %q", got, says)
		}
	}
	same := base()
	same.Tree, same.Patterns = "t2", []string{"src/**"}
	if key, _ := same.key(); key != first {
		t.Error("another commit with the same files is another key")
	}
	if got := strings.Join(fileChanges(map[string]string{"a": "1", "b": "1", "c": "1"}, map[string]string{"a": "1", "b": "2", "d": "1"}), "; "); got != "b changed; c removed; d added" {
		t.Errorf("files: %s", got)
	}
}
