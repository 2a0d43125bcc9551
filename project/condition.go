package project

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
	"go.yaml.in/yaml/v3"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/words"
)

// Facts are what a condition may ask for.
type Facts struct {
	Params  map[string]string             // of the run
	Cause   string                        // of the run
	Branch  string                        // of the pipeline's commit; empty when it has none
	Metrics map[string]map[string]float64 // of the steps that came before
}

// When reports whether a step's condition holds; a step without one always
// runs. The language is Expr (expr-lang.org), with
//
//	params.NAME               a parameter, of its type; a text when none are declared
//	cause, branch             texts
//	steps.NAME.metrics.NAME   a number that a step logged which comes before this one
//
// A metric that the step did not log is an error, unless the condition has a
// value for that: `(steps.prepare.metrics.rows ?? 0) > 100`.
func (p Pipeline) When(step Step, facts Facts) (bool, error) {
	if step.When == "" {
		return true, nil
	}
	program, err := p.compile(step)
	if err != nil {
		return false, ridgeline.Errorf(ridgeline.Invalid, "condition of step %s: %w", step.Name, err)
	}
	params := map[string]any{}
	for name, text := range facts.Params {
		params[name] = p.typed(name, text)
	}
	steps := map[string]any{}
	var logged []string
	for _, name := range p.Before(step.Name) {
		metrics := map[string]any{}
		for m, v := range facts.Metrics[name] {
			metrics[m] = v
			logged = append(logged, name+"."+m)
		}
		steps[name] = map[string]any{"metrics": metrics}
	}
	slices.Sort(logged)
	out, err := expr.Run(program, map[string]any{"params": params, "cause": facts.Cause, "branch": facts.Branch, "steps": steps})
	holds, ok := out.(bool)
	if err != nil || !ok {
		return false, ridgeline.Errorf(ridgeline.Invalid,
			"condition of step %s, %s: %s; the steps before it logged %s; where a metric may be missing, give it a value: (steps.a.metrics.b ?? 0)",
			step.Name, clip(step.When, 200), exprMessage(err), orNone(logged))
	}
	return holds, nil
}

func orNone(words []string) string {
	if len(words) == 0 {
		return "no metrics"
	}
	return clip(strings.Join(words, ", "), 300)
}

// typed turns a parameter's text into a value of its type.
func (p Pipeline) typed(name, text string) any {
	i := slices.IndexFunc(p.Params, func(q Param) bool { return q.Name == name })
	if i < 0 {
		return text
	}
	switch p.Params[i].Type {
	case ParamInt:
		if v, err := strconv.Atoi(text); err == nil {
			return v
		}
	case ParamFloat:
		if v, err := strconv.ParseFloat(text, 64); err == nil {
			return v
		}
	case ParamBool:
		return text == "true"
	}
	return text
}

// compile checks the names and the types in a step's condition. Functions that
// ask for the time are not there: a run that is taken up again has to decide
// as before.
func (p Pipeline) compile(step Step) (*vm.Program, error) {
	params := types.Map{}
	for _, q := range p.Params {
		params[q.Name] = map[string]types.Type{ParamInt: types.Int, ParamFloat: types.Float64, ParamBool: types.Bool}[q.Type]
		if params[q.Name] == nil {
			params[q.Name] = types.String
		}
	}
	if len(p.Params) == 0 {
		params[types.Extra] = types.String
	}
	steps := types.Map{}
	for _, name := range p.Before(step.Name) {
		steps[name] = types.Map{"metrics": types.Map{types.Extra: types.Float64}}
	}
	env := types.Map{"params": params, "cause": types.String, "branch": types.String, "steps": steps}
	program, err := expr.Compile(step.When, expr.Env(env), expr.AsBool(), expr.DisableBuiltin("now"))
	if err != nil {
		return nil, fmt.Errorf("%s%s", exprMessage(err), p.nearby(err, step))
	}
	return program, nil
}

// exprMessage is the library's message without its drawing of the source.
func exprMessage(err error) string {
	var located *file.Error
	if errors.As(err, &located) {
		return located.Message
	}
	if err == nil {
		return "no answer"
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// nearby tells what there is when a condition asks for what there is not.
func (p Pipeline) nearby(err error, step Step) string {
	message := exprMessage(err)
	word, isField := strings.CutPrefix(message, "unknown field ")
	if !isField {
		if word, isField = strings.CutPrefix(message, "unknown name "); !isField {
			return ""
		}
		return ": " + words.DidYouMean(word, []string{"params", "cause", "branch", "steps"})
	}
	known := append(paramNames(p.Params), p.Before(step.Name)...)
	return ": " + words.DidYouMean(word, append(known, "metrics"))
}

// condition reports a condition that cannot be asked.
func (r *reader) condition(n *yaml.Node, p Pipeline, step Step) {
	if _, err := p.compile(step); err != nil && step.When != "" {
		r.at(n, "%s.when: %s", stepWhat(step.Name), err)
	}
}
