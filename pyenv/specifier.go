package pyenv

import (
	"regexp"
	"strconv"
	"strings"
)

var requiresRE = regexp.MustCompile(`(?m)^\s*requires-python\s*=\s*["']([^"']*)["']`)

// requiresPython is the requires-python of a pyproject.toml; empty without one.
func requiresPython(pyproject []byte) string {
	if m := requiresRE.FindSubmatch(pyproject); m != nil {
		return string(m[1])
	}
	return ""
}

// satisfies reports whether a version meets specifiers such as
// ">=3.10,<3.13" (packaging.python.org, version specifiers). It decides only which
// Python to offer: what it does not understand it lets pass, for uv looks again.
func satisfies(version [3]int, specifiers string) bool {
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
