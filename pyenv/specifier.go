package pyenv

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// A want is one demand on the version of Python, and who makes it.
type want struct {
	spec string // as satisfies takes it
	from string // such as "requires-python of pyproject.toml"
}

func (w want) String() string { return w.spec + " (" + w.from + ")" }

var (
	clauseRE  = regexp.MustCompile(`^(<=|>=|==|!=|~=|<|>)\s*\d+(\.\d+){0,3}(\.\*)?([abc.]\w+|rc\d+)?$`)
	plainRE   = regexp.MustCompile(`^\d+(\.\d+){0,2}$`)
	launchRE  = regexp.MustCompile(`^(?:cpython|python)[@-]?`)
	exactRE   = regexp.MustCompile(`^[<>=!~]+(\d+\.\d+)\.\d`)
	blankRE   = regexp.MustCompile(`([<>=!~^])\s+`)
	versionRE = regexp.MustCompile(`^(\d+)(?:\.(\d+))?(?:\.(\d+))?`)
)

// wanted reads a demand on Python as people write it: 3.11 (any 3.11), 3.11.7,
// a list such as ">=3.11,<3.13", Poetry's ^3.11, ~3.11 and "3.9 || 3.11", or
// 3.11.*. Its spec is in the form of Python's own specifiers, with || between
// alternatives.
func wanted(text, from string) (want, error) {
	var alternatives []string
	for _, one := range strings.Split(text, "||") {
		spec, ok := specifiers(one)
		if !ok {
			return want{}, notAVersion(text, from)
		}
		if spec == "" { // any
			return want{from: from}, nil
		}
		alternatives = append(alternatives, spec)
	}
	return want{strings.Join(alternatives, "||"), from}, nil
}

func specifiers(text string) (string, bool) {
	var clauses []string
	text = blankRE.ReplaceAllString(text, "$1")
	for _, one := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		one = launchRE.ReplaceAllString(one, "")
		switch {
		case one == "*":
			continue
		case plainRE.MatchString(one):
			one = "==" + one
		case strings.HasPrefix(one, "^"), strings.HasPrefix(one, "~") && !strings.HasPrefix(one, "~="):
			var ok bool
			if one, ok = upTo(one); !ok {
				return "", false
			}
		case plainRE.MatchString(strings.TrimSuffix(one, ".*")):
			one = "==" + one
		}
		// Who writes ==3.11 means any 3.11, not the release 3.11.0.
		if strings.HasPrefix(one, "==") && plainRE.MatchString(one[2:]) && strings.Count(one, ".") < 2 {
			one += ".*"
		}
		for _, clause := range strings.Split(one, ",") {
			if !clauseRE.MatchString(clause) {
				return "", false
			}
		}
		clauses = append(clauses, one)
	}
	return strings.Join(clauses, ","), true
}

func notAVersion(text, from string) error {
	return ridgeline.Errorf(ridgeline.Invalid, "%s: expected a version of Python such as 3.11, or a range such as >=3.11,<3.13, got %q", from, clip(text, 60))
}

// upTo turns Poetry's caret and tilde into a range: ^3.9 is >=3.9,<4, and
// ~3.9 is >=3.9,<3.10 (python-poetry.org, dependency specification).
func upTo(text string) (string, bool) {
	version := text[1:]
	m := versionRE.FindStringSubmatch(version)
	if m == nil || m[0] != version {
		return "", false
	}
	v := parseVersion(m[1:])
	if text[0] == '^' && v[0] > 0 || m[2] == "" {
		return ">=" + version + ",<" + strconv.Itoa(v[0]+1), true
	}
	return ">=" + version + ",<" + m[1] + "." + strconv.Itoa(v[1]+1), true
}

// patch is the part of all demands that tells one release of a minor version
// from another; empty when none does.
func patch(wants []want, minor string) string {
	var specs []string
	for _, w := range wants {
		if strings.Contains(w.spec, "||") {
			continue
		}
		for _, clause := range strings.Split(w.spec, ",") {
			if m := exactRE.FindStringSubmatch(clause); m != nil && m[1] == minor {
				specs = append(specs, clause)
			}
		}
	}
	return strings.Join(specs, ",")
}

// satisfies reports whether a version meets specifiers such as
// ">=3.10,<3.13" (packaging.python.org, version specifiers). What it does not
// understand it lets pass, for uv looks again.
func satisfies(version [3]int, specifiers string) bool {
	return slices.ContainsFunc(strings.Split(specifiers, "||"), func(one string) bool { return meetsAll(version, one) })
}

func meetsAll(version [3]int, specifiers string) bool {
	for _, one := range strings.Split(specifiers, ",") {
		one = strings.TrimSpace(one)
		operator := one[:len(one)-len(strings.TrimLeft(one, "<>=!~"))]
		text := strings.TrimSpace(one[len(operator):])
		wild := strings.HasSuffix(text, ".*")
		var want [3]int
		given := 0
		for _, part := range strings.Split(strings.TrimSuffix(text, ".*"), ".") {
			n, err := strconv.Atoi(part)
			if err != nil || given == 3 {
				given = 0
				break
			}
			want[given], given = n, given+1
		}
		if given == 0 {
			continue
		}
		if !meets(version, want, operator, given, wild) {
			return false
		}
	}
	return true
}

func meets(version, want [3]int, operator string, given int, wild bool) bool {
	order := compare(version, want, 3)
	switch operator {
	case ">=":
		return order >= 0
	case ">":
		return order > 0
	case "<=":
		return order <= 0
	case "<":
		return order < 0
	case "~=": // at least that, and the same but for the last part given
		return order >= 0 && compare(version, want, given-1) == 0
	case "==":
		if wild {
			return compare(version, want, given) == 0
		}
		return order == 0
	case "!=":
		if wild {
			return compare(version, want, given) != 0
		}
		return order != 0
	}
	return true
}

func compare(a, b [3]int, parts int) int {
	for i := range parts {
		if a[i] != b[i] {
			return a[i] - b[i]
		}
	}
	return 0
}

// parseVersion makes numbers of up to three parts of a version; what is not
// given is 0.
func parseVersion(text []string) [3]int {
	var v [3]int
	for i := range min(len(text), 3) {
		v[i], _ = strconv.Atoi(text[i])
	}
	return v
}
