package pyenv

import (
	"context"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ridgeline-mlops/ridgeline"
)

// A condaEnvironment is a conda environment file in the terms of pip
// (docs.conda.io: managing environments, package match specifications).
type condaEnvironment struct {
	python       []string // demands on Python
	requirements []string // lines of a requirements file
	wrong        []string // lines that have no meaning outside of conda, each with what to do
}

// condaFile reads a conda environment file. Everything that cannot be mapped
// is one error with all its lines.
func (m *Manager) condaFile(root *os.Root, dir string, w Wish, p Progress) (reading, error) {
	if err := w.only("a conda environment file", true, false, false); err != nil {
		return reading{}, err
	}
	text, err := root.ReadFile(w.File)
	if err != nil {
		return reading{}, ridgeline.Errorf(ridgeline.Invalid, "read %s: %w", w.File, err)
	}
	env, err := readConda(w.File, text)
	if err != nil {
		return reading{}, err
	}
	r := reading{kind: "conda", inputs: []input{{w.File, text}}}
	for _, spec := range env.python {
		if err := r.prefers(spec, "python of "+w.File); err != nil {
			return r, err
		}
	}
	req, err := readRequirements(root, w.Constraints...)
	if err != nil {
		return r, err
	}
	req.base = path.Dir(w.File) // conda runs pip in the file's folder
	list := strings.Join(env.requirements, "\n") + "\n"
	if err := req.lines(root, w.File, list, map[string]bool{}); err != nil {
		return r, err
	}
	r.inputs = append(append(r.inputs, req.inputs...), settings(root)...)
	if err := r.itself(root, req); err != nil {
		return r, err
	}
	x := resolution{at: place{root, dir, req.base}, wish: w, stdin: list, sources: []string{"-"}, req: req, settings: settings(root)}
	r.settle = func(ctx context.Context, python interpreter) (parts, error) { return m.resolve(ctx, x, python, p) }
	return r, nil
}

func readConda(name string, text []byte) (condaEnvironment, error) {
	var env condaEnvironment
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return env, ridgeline.Errorf(ridgeline.Invalid, "%s: %w", name, err)
	}
	if len(document.Content) == 0 || document.Content[0].Kind != yaml.MappingNode {
		return env, ridgeline.Errorf(ridgeline.Invalid, "%s: expected a conda environment file, with `dependencies:`", name)
	}
	top := document.Content[0].Content
	seen := false
	for i := 0; i+1 < len(top); i += 2 {
		key, value := top[i], top[i+1]
		switch key.Value {
		case "name", "prefix", "channels", "platforms":
		case "dependencies":
			seen = true
			env.dependencies(value)
		case "variables":
			env.cannot(key, "variables", "set them in the commands that need them")
		default:
			env.cannot(key, key.Value, "not known: expected name, channels and dependencies")
		}
	}
	if !seen {
		return env, ridgeline.Errorf(ridgeline.Invalid, "%s: expected a conda environment file, with `dependencies:`", name)
	}
	if len(env.wrong) > 0 {
		return env, ridgeline.Errorf(ridgeline.Invalid, "%s: %s; all else in it can be mapped to packages of PyPI:\n  %s", name, cannotBe(len(env.wrong)), strings.Join(env.wrong, "\n  "))
	}
	return env, nil
}

func cannotBe(n int) string {
	if n == 1 {
		return "1 line cannot be mapped"
	}
	return fmt.Sprintf("%d lines cannot be mapped", n)
}

func (e *condaEnvironment) cannot(n *yaml.Node, what, why string) {
	e.wrong = append(e.wrong, fmt.Sprintf("line %d: %s: %s", n.Line, newMasker(nil).mask(clip(what, 100)), why))
}

func (e *condaEnvironment) dependencies(n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		e.cannot(n, "dependencies", "expected a list")
		return
	}
	for _, item := range n.Content {
		switch {
		case item.Kind == yaml.ScalarNode:
			e.dependency(item)
		case item.Kind == yaml.MappingNode && len(item.Content) == 2 && item.Content[0].Value == "pip" && item.Content[1].Kind == yaml.SequenceNode:
			for _, line := range item.Content[1].Content {
				if line.Kind != yaml.ScalarNode {
					e.cannot(line, "pip", "expected a line of a requirements file")
					continue
				}
				e.requirements = append(e.requirements, line.Value)
			}
		case item.Kind == yaml.MappingNode && len(item.Content) == 2 && item.Content[0].Value == "pip" && item.Content[1].Tag == "!!null":
		default:
			e.cannot(item, "dependencies", "expected a package, or `pip:` with a list")
		}
	}
}

// A matchSpec is one line of conda: [channel::]name[[version][build]], or with
// blanks instead of the equals signs, or with key=value in brackets.
var (
	matchRE   = regexp.MustCompile(`^(?:([^\s:\[]+)::)?([A-Za-z0-9_][A-Za-z0-9_.-]*)\s*(.*)$`)
	bracketRE = regexp.MustCompile(`^\[(.*)\]$`)
	keyRE     = regexp.MustCompile(`([a-z_]+)\s*=\s*('[^']*'|"[^"]*"|[^,\s]+)`)
	// A build that any build of that version stands for: py311h0123456_0, pyhd8ed1ab_0, h0123456_1, 0.
	plainBuildRE = regexp.MustCompile(`^(py[0-9]*(_|h[0-9a-f]{7}_|hd8ed1ab_)?[0-9]+|h[0-9a-f]{7}_[0-9]+|pyh[0-9a-z]+_[0-9]+|[0-9]+|\*)$`)
)

func (e *condaEnvironment) dependency(n *yaml.Node) {
	m := matchRE.FindStringSubmatch(strings.TrimSpace(n.Value))
	if m == nil {
		e.cannot(n, n.Value, "expected a package such as numpy=1.26")
		return
	}
	name, version, build := strings.ToLower(m[2]), "", ""
	if b := bracketRE.FindStringSubmatch(m[3]); b != nil {
		for _, kv := range keyRE.FindAllStringSubmatch(b[1], -1) {
			switch value := literal(kv[2]); kv[1] {
			case "version":
				version = value
			case "build", "build_number":
				build = value
			case "channel", "subdir":
			default:
				e.cannot(n, n.Value, kv[1]+" has no meaning outside of conda")
				return
			}
		}
	} else {
		version, build = versionAndBuild(m[3])
	}
	hint, known := notOnPyPI(name)
	twin, same := twins[name]
	spec, ok := pipVersion(version, build != "")
	switch {
	case known:
		e.cannot(n, n.Value, hint)
	case !ok:
		e.cannot(n, n.Value, "the version is not one that pip could look for: write it as =1.2, ==1.2.3 or >=1.2,<2")
	case build != "" && !plainBuildRE.MatchString(build):
		e.cannot(n, n.Value, "PyPI has no choice of builds: take the build out")
	case name == "python":
		e.python = append(e.python, or(spec, "*"))
	case name == "pip": // conda needs it for its pip part; here uv installs
	case twin != "":
		e.requirements = append(e.requirements, twin+spec)
	case same || slices.Contains(sameNames, name):
		e.requirements = append(e.requirements, name+spec)
	default:
		// The same name on PyPI may well be another project's.
		e.cannot(n, n.Value, "not known to be the same package on PyPI: when it is, move the line to the list under `pip:`, as "+name+spec)
	}
}

// versionAndBuild splits "=1.2=py39_0", "1.2 py39_0" or ">=1.2,<2".
func versionAndBuild(text string) (version, build string) {
	text = strings.TrimSpace(text)
	if fields := strings.Fields(text); len(fields) == 2 && !strings.HasSuffix(fields[0], ",") && !strings.ContainsAny(fields[1], "<>=!~") && !strings.ContainsAny(fields[0][len(fields[0])-1:], "<>=!~") {
		return fields[0], fields[1]
	}
	text = strings.ReplaceAll(text, " ", "")
	body := strings.TrimLeft(text, "<>=!~")
	operator := text[:len(text)-len(body)]
	if strings.Contains(body, ",") || !strings.Contains(body, "=") {
		return text, ""
	}
	version, build, _ = strings.Cut(body, "=")
	return operator + version, build
}

var (
	condaClauseRE = regexp.MustCompile(`^(<=|>=|==|!=|~=|=|<|>)?([0-9][A-Za-z0-9.+_!]*?)(\.?\*)?$`)
	preRE         = regexp.MustCompile(`(a|b|rc)0$`)
)

// pipVersion turns conda's version into one of pip: =1.2 and 1.2.* mean any
// 1.2, ==1.2 and 1.2 alone mean that very one, and so does =1.2 with a build.
func pipVersion(text string, exact bool) (string, bool) {
	if text == "" || text == "*" {
		return "", true
	}
	var clauses []string
	for _, one := range strings.Split(text, ",") {
		m := condaClauseRE.FindStringSubmatch(one)
		if m == nil {
			return "", false
		}
		operator, version, star := m[1], m[2], m[3] != ""
		switch {
		case operator == "=" && exact && !star:
			clauses = append(clauses, "=="+version)
		case operator == "=" || (operator == "" || operator == "==") && star:
			clauses = append(clauses, "=="+version+".*")
		case operator == "":
			clauses = append(clauses, "=="+version)
		case operator == "!=" && star:
			clauses = append(clauses, "!="+version+".*")
		case star: // >=1.2.* is >=1.2
			clauses = append(clauses, operator+version)
		default:
			// conda writes <1.27.0a0 to leave out the pre-releases, as pip does anyway.
			if operator == "<" {
				version = preRE.ReplaceAllString(version, "")
			}
			clauses = append(clauses, operator+version)
		}
	}
	return strings.Join(clauses, ","), true
}
