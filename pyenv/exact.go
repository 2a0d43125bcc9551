package pyenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// A place is a folder of a project.
type place struct {
	root *os.Root // of the project
	dir  string   // the same, absolute
	sub  string   // the folder within, with slashes
}

func (p place) path() string { return filepath.Join(p.dir, filepath.FromSlash(p.sub)) }

// exact makes of a resolved list one that anybody can install later with the
// same result: each package has its hash, those that the project's own files
// give come before the index's, and what no index has becomes a wheel that is kept.
func (m *Manager) exact(ctx context.Context, at place, text string, python interpreter, req requirements, p Progress) (parts, error) {
	found, err := vendored(at, req.links)
	if err != nil {
		return parts{}, err
	}
	var out parts
	var lines []string
	for _, line := range logical(text) {
		e := parseEntry(line)
		switch {
		case strings.HasPrefix(line, "--"):
			lines = append(lines, line)
			continue
		case len(e.hashes) == 0 || e.version() == "" && !strings.Contains(e.spec, "://"):
			var kept file
			if e, kept, err = m.wheelOf(ctx, at, e, python, p); err != nil {
				return parts{}, err
			}
			if e.spec == "" {
				continue // the project itself, or not for this machine
			}
			out.files = append(out.files, kept)
		default:
			if e.hashes, err = agree(e, req); err != nil {
				return parts{}, err
			}
		}
		for _, hash := range e.hashes {
			if path, ok := found[hash]; ok {
				kept, err := m.keep(ctx, path)
				if err != nil {
					return parts{}, err
				}
				out.files = append(out.files, kept)
			}
		}
		lines = append(lines, e.String())
	}
	slices.SortFunc(out.files, func(a, b file) int { return strings.Compare(a.line(), b.line()) })
	out.files = slices.Compact(out.files)
	out.packages = strings.Join(append(slices.Clone(req.options), lines...), "\n")
	return out, nil
}

// agree holds the hashes that an index gave against those in the project's
// files; uv resolves without looking at the latter.
func agree(e entry, req requirements) ([]string, error) {
	given := req.hashes[e.name]
	if len(given) == 0 {
		if req.strict {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "%s has no hash in the project's files, where others have: give each package its hashes, those that others depend on included (`uv pip compile --generate-hashes` does), or none", e.spec)
		}
		return e.hashes, nil
	}
	var both []string
	for _, hash := range e.hashes {
		if slices.Contains(given, hash) {
			both = append(both, hash)
		}
	}
	if both == nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "%s: the index has no file with a hash that the project's files give, such as %s; it has %s: find out why before you change them", e.spec, given[0], e.hashes[0])
	}
	return both, nil
}

// vendored lists the packages in the project's own folders by hash.
func vendored(at place, folders []string) (map[string]string, error) {
	found := map[string]string{}
	for _, folder := range folders {
		entries, err := fs.ReadDir(at.root.FS(), folder)
		if err != nil {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "read %s: %w", folder, err)
		}
		for _, e := range entries {
			if !keptRE.MatchString(e.Name()) {
				continue
			}
			f, err := at.root.Open(path.Join(folder, e.Name()))
			if err != nil {
				return nil, ridgeline.Errorf(ridgeline.Invalid, "read %s: %w", folder, err)
			}
			h := sha256.New()
			_, err = io.Copy(h, f)
			if err := errors.Join(err, f.Close()); err != nil {
				return nil, ridgeline.Errorf(ridgeline.Invalid, "read %s: %w", folder, err)
			}
			found["sha256:"+hex.EncodeToString(h.Sum(nil))] = filepath.Join(at.dir, filepath.FromSlash(folder), e.Name())
		}
	}
	return found, nil
}

// wheelOf turns a line without a place on an index into a kept wheel: a folder
// or file of the project, or a commit of a Git repository. The project itself
// needs none, because its code is where its commands run.
func (m *Manager) wheelOf(ctx context.Context, at place, e entry, python interpreter, p Progress) (entry, file, error) {
	wrong := func(why string) error {
		return ridgeline.Errorf(ridgeline.Invalid, "%q has no hash that could be locked: %s", newMasker(nil).mask(clip(e.spec, 120)), why)
	}
	spec, marker, _ := strings.Cut(e.spec, ";")
	if holds, err := evaluate(marker, python.markers, nil); err != nil || !holds {
		return entry{}, file{}, err
	}
	spec = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(spec), "-e "))
	var wheel string
	tmp, err := m.tempDir()
	if err != nil {
		return entry{}, file{}, err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	if m := atRE.FindStringSubmatch(spec); m != nil && !strings.HasPrefix(m[2], "file:") && strings.Contains(m[2], "://") {
		spec = m[2]
	}
	switch {
	case strings.HasPrefix(spec, "git+"):
		wheel, err = m.fromGit(ctx, tmp, spec, python, p)
	case strings.Contains(spec, "://") && !strings.HasPrefix(spec, "file:") && !strings.Contains(spec, "file:"):
		return entry{}, file{}, wrong("the address has no file that could be checked: name a wheel, a commit of a Git repository, or a package of an index")
	default:
		local := localRE.FindStringSubmatch(spec)
		if local == nil {
			return entry{}, file{}, wrong("expected name==version")
		}
		sub, ok := at.within(local[1])
		if !ok {
			return entry{}, file{}, wrong("it is outside the project, and so no part of the commit: copy it into the project, or publish it to an index")
		}
		if sub == "." || sub == at.sub {
			return entry{}, file{}, nil
		}
		wheel, err = m.fromFolder(ctx, tmp, at, sub, python, p)
	}
	if err != nil {
		return entry{}, file{}, err
	}
	kept, err := m.keep(ctx, wheel)
	if err != nil {
		return entry{}, file{}, err
	}
	fields := strings.SplitN(kept.name, "-", 3)
	e = entry{spec: canonical(fields[0]) + "==" + fields[1], name: canonical(fields[0]), hashes: []string{"sha256:" + kept.digest}}
	if marker = strings.TrimSpace(marker); marker != "" {
		e.spec += " ; " + marker
	}
	return e, kept, nil
}

// within is a path, as uv writes it, as one within the project.
func (p place) within(name string) (string, bool) {
	if filepath.IsAbs(name) {
		rel, err := filepath.Rel(p.dir, name)
		return filepath.ToSlash(rel), err == nil && filepath.IsLocal(rel)
	}
	name = path.Join(p.sub, name)
	return name, filepath.IsLocal(filepath.FromSlash(name))
}
