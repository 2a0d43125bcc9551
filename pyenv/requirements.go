package pyenv

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// An input is a file that decides a lock.
type input struct {
	name string // within the project
	text []byte
}

// requirements are a requirements file and all it includes.
type requirements struct {
	inputs  []input
	options []string // lines about the index, which the lock has to repeat
}

const maxIncludes = 100

// readRequirements reads a requirements file and, in turn, those that it
// includes by -r and -c. What cannot be locked is an error that names its line.
func readRequirements(root *os.Root, name string) (requirements, error) {
	var r requirements
	err := r.read(root, path.Clean(name), map[string]bool{})
	return r, err
}

var (
	// An option with its value after a blank, an equals sign, or none (-rdev.txt).
	optionRE = regexp.MustCompile(`^(-r|-c|-e|-i|-f|--[a-z-]+)(?:\s*=\s*|\s+|)(.*)$`)
	secretRE = regexp.MustCompile(`://[^/\s@]*:([^/\s@]+)@`)
	pathRE   = regexp.MustCompile(`^(\.{1,2}/|/|~|file:|[A-Za-z0-9_.-]+/)|^\.$|^[A-Za-z0-9._-]+\s*(\[[^\]]*\])?\s*@\s*(file:|\.{0,2}/)|\.(whl|tar\.gz|zip)(\s|$)`)
)

func (r *requirements) read(root *os.Root, name string, seen map[string]bool) error {
	if seen[name] {
		return nil
	}
	if seen[name] = true; len(seen) > maxIncludes {
		return ridgeline.Errorf(ridgeline.Invalid, "%s: more than %d files include each other", name, maxIncludes)
	}
	text, err := root.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return ridgeline.Errorf(ridgeline.Invalid, "%s is not in the project: add it, or correct the name", name)
	}
	if err != nil {
		return ridgeline.Errorf(ridgeline.Invalid, "read %s: %w", name, err)
	}
	r.inputs = append(r.inputs, input{name, text})
	joined := strings.ReplaceAll(strings.ReplaceAll(string(text), "\r\n", "\n"), "\\\n", "") // keeps one requirement on one line
	for line := range strings.Lines(joined) {
		line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
		if i := strings.Index(line, " #"); i >= 0 {
			line = strings.TrimSpace(line[:i])
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := r.line(root, name, line, seen); err != nil {
			return err
		}
	}
	return nil
}

func (r *requirements) line(root *os.Root, name, line string, seen map[string]bool) error {
	wrong := func(format string, args ...any) error {
		line := newMasker(nil).mask(clip(line, 120))
		return ridgeline.Errorf(ridgeline.Invalid, "%s: %q: "+format, append([]any{name, line}, args...)...)
	}
	m := optionRE.FindStringSubmatch(line)
	if m == nil {
		if pathRE.MatchString(line) && !strings.Contains(line, "://") || strings.Contains(line, "file:") {
			return wrong("a package in a folder or file has no hash that could be locked: publish it to an index, or put its code into the project itself")
		}
		return nil
	}
	value := strings.Trim(m[2], `"'`)
	switch m[1] {
	case "-r", "--requirement", "--requirements", "-c", "--constraint", "--constraints":
		if strings.Contains(value, "://") {
			return wrong("a file from the network is not part of the commit: copy it into the project")
		}
		next := path.Join(path.Dir(name), value)
		if !fs.ValidPath(next) {
			return wrong("expected a file inside the project")
		}
		return r.read(root, next, seen)
	case "-e", "--editable":
		return wrong("editable packages cannot be locked: put the code into the project itself, or publish the package to an index")
	case "-i", "--index-url", "--extra-index-url", "-f", "--find-links":
		if secretRE.MatchString(value) && !strings.Contains(secretRE.FindStringSubmatch(value)[1], "${") {
			return wrong("a password in a file of the project ends up in every lock and log: set UV_DEFAULT_INDEX or UV_INDEX where Ridgeline runs, or use a netrc file")
		}
		if !strings.Contains(value, "://") || strings.HasPrefix(value, "file:") {
			return wrong("a local folder as index is not supported by this version yet: use the address of an index")
		}
		r.options = append(r.options, m[1]+" "+value)
	case "--no-index":
		r.options = append(r.options, m[1])
	}
	return nil
}
