package project

import (
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/words"
)

//go:embed ci/*.yml ci/Jenkinsfile
var ciFiles embed.FS

// A CI is another system that builds projects, and where it looks for what to do.
type CI struct {
	System  string // such as github-actions
	File    string // in the repository
	Setting string // where a person sets the three variables
	Secret  string // what RIDGELINE_TOKEN is called there

	source string
}

// CIs lists the systems that CIFile writes for.
func CIs() []CI {
	return []CI{
		{"azure-pipelines", "azure-pipelines.yml", "Pipelines > Library > variable group ridgeline", "the secret variable RIDGELINE_TOKEN", "azure-pipelines.yml"},
		{"github-actions", ".github/workflows/ridgeline.yml", "Settings > Secrets and variables > Actions", "the secret RIDGELINE_TOKEN", "github-actions.yml"},
		{"gitlab-ci", ".gitlab-ci.yml", "Settings > CI/CD > Variables", "the masked and protected variable RIDGELINE_TOKEN", "gitlab-ci.yml"},
		{"jenkins", "Jenkinsfile", "Manage Jenkins > System > Global properties", "the credential ridgeline-token", "Jenkinsfile"},
	}
}

// FindCI returns the system of that name.
func FindCI(system string) (CI, error) {
	var names []string
	for _, c := range CIs() {
		if c.System == system {
			return c, nil
		}
		names = append(names, c.System)
	}
	return CI{}, ridgeline.Errorf(ridgeline.Invalid, "there is no file for a system %q: %s", clip(system, 40), words.DidYouMean(system, names))
}

// Write makes the system's file for a project: check every change by
// `ridgeline build --local`, show its reports, and `ridgeline publish` what is
// green on a branch that publishes.
func (s CI) Write(c Config) ([]byte, error) {
	source, err := ciFiles.ReadFile("ci/" + s.source)
	if err != nil {
		return nil, err
	}
	t, err := template.New(s.source).Delims("<%", "%>").Funcs(template.FuncMap{
		"json": func(v any) (string, error) {
			b, err := json.Marshal(v)
			return strings.ReplaceAll(string(b), `","`, `", "`), err
		},
		"quoted": func(list []string) string { return "'" + strings.Join(list, "', '") + "'" },
		"single": func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" },
		"groovy": func(s string) string {
			return strings.NewReplacer(`\/`, `/`, `\`, `\\`, `'`, `\'`).Replace(s)
		},
		"first2": func(list []string) []string { return list[:min(2, len(list))] },
	}).Parse(string(source))
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	err = t.Execute(&out, map[string]any{
		"Branches": branches(c.Build.Publish), "Regexp": branchRegexp(c.Build.Publish), "Publishes": len(c.Build.Publish) > 0,
		"Files": packageFiles(c.Python), "Python": exactVersion(c.Python.Version),
	})
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", s.File, err)
	}
	return []byte(out.String()), nil
}

// branches turns patterns into what GitHub and Azure know: * and names. That
// may fit more than the pattern; the server has the last word.
func branches(patterns []string) []string {
	if len(patterns) == 0 {
		return []string{"**"}
	}
	list := slices.Clone(patterns)
	for i, p := range list {
		list[i] = regexp.MustCompile(`\\.|\?|\[[^\]]*\]`).ReplaceAllString(p, "*")
	}
	return list
}

// branchRegexp is a regular expression for the branches, with / escaped as
// GitLab wants it.
func branchRegexp(patterns []string) string {
	if len(patterns) == 0 {
		return ".*"
	}
	var parts []string
	for _, p := range patterns {
		var s strings.Builder
		for i := 0; i < len(p); i++ {
			switch c := p[i]; c {
			case '*':
				s.WriteString(`[^\/]*`)
			case '?':
				s.WriteString(`[^\/]`)
			case '[':
				if end := strings.IndexByte(p[i:], ']'); end > 0 {
					s.WriteString(strings.ReplaceAll(p[i:i+end+1], "/", `\/`))
					i += end
				}
			case '/':
				s.WriteString(`\/`)
			case '\\':
				if i++; i < len(p) {
					s.WriteString(regexp.QuoteMeta(p[i : i+1]))
				}
			default:
				s.WriteString(regexp.QuoteMeta(string(c)))
			}
		}
		parts = append(parts, s.String())
	}
	return "^(" + strings.Join(parts, "|") + ")$"
}

// packageFiles are those whose change means other packages.
func packageFiles(p Python) []string {
	files := []string{p.File}
	if slices.Contains(locks, path.Base(p.File)) {
		files = append(files, path.Join(path.Dir(p.File), "pyproject.toml"))
	}
	return append(files, p.Constraints...)
}

var exactRE = regexp.MustCompile(`^(?:==|~=)?(3\.\d+)(?:\.\*)?$`)

// exactVersion is the one version that is asked for; empty when any of many will do.
func exactVersion(version string) string {
	if m := exactRE.FindStringSubmatch(version); m != nil {
		return m[1]
	}
	return ""
}
