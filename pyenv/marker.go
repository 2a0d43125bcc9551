package pyenv

import (
	"regexp"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// evaluate says whether a condition of a dependency holds, such as
//
//	python_version < "3.12" and (sys_platform != "win32" or extra == "plot")
//
// The grammar and the variables are PEP 508's; chosen has the values of those
// that may have several, which are extra, extras and dependency_groups (PEP
// 751). No condition always holds.
func evaluate(marker string, variables map[string]string, chosen map[string][]string) (bool, error) {
	if strings.TrimSpace(marker) == "" {
		return true, nil
	}
	e := evaluation{text: marker, tokens: markerRE.FindAllString(marker, -1), variables: variables, chosen: chosen}
	holds := e.or()
	if e.wrong != "" || len(e.tokens) > 0 {
		return false, ridgeline.Errorf(ridgeline.Invalid, "the condition %q of a dependency is not understood: expected %s", clip(marker, 200), or(e.wrong, "its end"))
	}
	return holds, nil
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

var markerRE = regexp.MustCompile(`'[^']*'|"[^"]*"|\(|\)|===|[<>=!~]=|<|>|[A-Za-z_][A-Za-z0-9_.]*|\S`)

// An evaluation goes once from left to right. The first mistake ends it.
type evaluation struct {
	text      string
	tokens    []string
	variables map[string]string
	chosen    map[string][]string
	wrong     string // what was expected
}

func (e *evaluation) peek() string {
	if len(e.tokens) == 0 {
		return ""
	}
	return e.tokens[0]
}

func (e *evaluation) next() string {
	token := e.peek()
	if len(e.tokens) > 0 {
		e.tokens = e.tokens[1:]
	}
	return token
}

func (e *evaluation) or() bool {
	holds := e.and()
	for e.peek() == "or" {
		e.next()
		right := e.and()
		holds = holds || right
	}
	return holds
}

func (e *evaluation) and() bool {
	holds := e.one()
	for e.peek() == "and" {
		e.next()
		right := e.one()
		holds = holds && right
	}
	return holds
}

func (e *evaluation) one() bool {
	if e.peek() == "(" {
		e.next()
		holds := e.or()
		if e.next() != ")" {
			e.fail(")")
		}
		return holds
	}
	left := e.next()
	operator := e.next()
	if operator == "not" {
		if e.next() != "in" {
			e.fail("in after not")
		}
		operator = "not in"
	}
	return e.compare(left, operator, e.next())
}

func (e *evaluation) fail(expected string) {
	if e.wrong == "" {
		e.wrong, e.tokens = expected, nil
	}
}

var turned = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!=", "===": "===", "~=": "~="}

func (e *evaluation) compare(left, operator, right string) bool {
	if _, ok := turned[operator]; !ok && operator != "in" && operator != "not in" {
		e.fail("a comparison")
		return false
	}
	for _, several := range []string{"extra", "extras", "dependency_groups"} {
		if left == several || right == several {
			value := literal(left)
			if left == several {
				value = literal(right)
			}
			is := slices.ContainsFunc(e.chosen[several], func(c string) bool { return canonical(c) == canonical(value) })
			return is == (operator == "==" || operator == "===" || operator == "in")
		}
	}
	a, aIsText := e.value(left)
	b, bIsText := e.value(right)
	if aIsText && !bIsText && turned[operator] != "" {
		a, b, operator = b, a, turned[operator] // "3.9" <= python_version
	}
	switch operator {
	case "in":
		return strings.Contains(b, a)
	case "not in":
		return !strings.Contains(b, a)
	case "===":
		return a == b
	}
	if v, ok := number(a); ok && versionLikeRE.MatchString(b) {
		return satisfies(v, operator+b)
	}
	return asText(a, operator, b)
}

func asText(a, operator, b string) bool {
	switch operator {
	case "==":
		return a == b
	case "!=":
		return a != b
	case "<":
		return a < b
	case "<=":
		return a <= b
	case ">":
		return a > b
	case ">=":
		return a >= b
	}
	return false
}

var versionLikeRE = regexp.MustCompile(`^\d+(\.\d+){0,2}(\.\*)?$`)

// number reads a version; what follows its third part (3.13.0rc1, 6.1.0-arm64)
// does not count.
func number(text string) ([3]int, bool) {
	m := versionRE.FindStringSubmatch(text)
	if m == nil {
		return [3]int{}, false
	}
	return parseVersion(m[1:]), true
}

func literal(token string) string { return strings.Trim(token, `"'`) }

// value is a token's text, and whether it stands there literally.
func (e *evaluation) value(token string) (string, bool) {
	if strings.HasPrefix(token, `"`) || strings.HasPrefix(token, "'") {
		return literal(token), true
	}
	// PEP 345 wrote a dot, and python_implementation.
	name := strings.ReplaceAll(token, ".", "_")
	if name == "python_implementation" {
		name = "platform_python_implementation"
	}
	v, ok := e.variables[name]
	if !ok {
		e.fail("a variable of PEP 508 instead of " + or(token, "nothing"))
	}
	return v, false
}
