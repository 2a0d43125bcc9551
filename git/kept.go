package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// A kept repository is in the database and the blob store: a row says where its
// branches and tags stand, and names the packs that hold its objects, one for
// each push. The repository in Dir is a copy, which is brought up to date before
// it is used, and may be removed.
//
// A push goes into a scratch repository that borrows the copy's objects. What it
// leaves there, a pack and refs, is stored, and then the row is changed from what
// it was when the push began. Only then the pusher is told, so a push is nowhere,
// or everywhere.

// copyVersion is the file in a copy that says which version it is of.
const copyVersion = "ridgeline-version"

// maxPacks is how many packs a repository may have before they are made one.
const maxPacks = 50

// update brings the copy of a project's repository up to date, and returns what
// it is of. A project that nobody pushed to is NotFound.
func (s *Server) update(ctx context.Context, project ridgeline.ProjectName) (store.Repository, error) {
	defer s.lock("copy", project)()
	now, err := s.Store.Repository(ctx, project)
	if err != nil {
		return now, err
	}
	if now.Version == 0 {
		return now, errNeverPushed(project)
	}
	repository := s.repository(project)
	if err := Ensure(ctx, repository); err != nil {
		return now, err
	}
	text, err := os.ReadFile(filepath.Join(repository, copyVersion))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return now, err
	}
	have, _ := strconv.ParseInt(string(text), 10, 64) // of what is no number, all is fetched again
	if have == now.Version {
		return now, nil
	}
	if have > now.Version { // the database is older than the copy
		have = 0
	}
	packs, err := s.Store.Packs(ctx, project, have)
	if err != nil {
		return now, err
	}
	for _, digest := range packs {
		if err := s.unpack(ctx, repository, digest); err != nil {
			return now, fmt.Errorf("bring the repository of %s up to date: %w", project, err)
		}
	}
	if err := setRefs(ctx, repository, now.Refs); err != nil {
		return now, err
	}
	if all, err := heads(ctx, repository); err != nil {
		return now, err
	} else if err := pointHead(ctx, repository, all); err != nil {
		return now, err
	}
	if len(packs) > 0 {
		if _, err := run(command(ctx, repository, nil, "gc", "--auto", "--quiet")); err != nil {
			s.Log.Warn("tidy the copy of a repository", "project", project, "error", err)
		}
	}
	return now, replace(filepath.Join(repository, copyVersion), strconv.FormatInt(now.Version, 10))
}

func errNeverPushed(project ridgeline.ProjectName) error {
	return ridgeline.Errorf(ridgeline.NotFound, "nobody has pushed to project %s with git yet", project)
}

// replace writes a file beside its place and renames it.
func replace(path, text string) error {
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// unpack adds a pack to a repository.
func (s *Server) unpack(ctx context.Context, repository, digest string) error {
	r, err := s.Blob.Get(ctx, digest)
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := command(ctx, repository, nil, "index-pack", "--stdin")
	cmd.Stdin = r
	_, err = run(cmd)
	return err
}

// refsOf are a repository's branches and tags, a line "hash name" each.
func refsOf(ctx context.Context, repository string) (string, error) {
	out, err := run(command(ctx, repository, nil, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/", "refs/tags/"))
	return string(out), err
}

// setRefs makes them those of the text. What goes makes room for what comes: git
// has no branch a beside a/b.
func setRefs(ctx context.Context, repository, refs string) error {
	before, err := refsOf(ctx, repository)
	if err != nil {
		return err
	}
	var gone, come bytes.Buffer
	hashes := byName(refs)
	for _, name := range difference(before, refs) {
		if hash := hashes[name]; hash != "" {
			fmt.Fprintf(&come, "update %s %s\n", name, hash)
		} else {
			fmt.Fprintf(&gone, "delete %s\n", name)
		}
	}
	for _, changes := range []*bytes.Buffer{&gone, &come} {
		if changes.Len() == 0 {
			continue
		}
		cmd := command(ctx, repository, nil, "update-ref", "--stdin")
		cmd.Stdin = changes
		if _, err := run(cmd); err != nil {
			return err
		}
	}
	return nil
}

// A scratch is a repository for one push.
type scratch struct {
	dir string
	was store.Repository
}

// scratch makes one that has what the project's repository has. Its folder is
// the caller's to remove.
func (s *Server) scratch(ctx context.Context, project ridgeline.ProjectName) (_ *scratch, err error) {
	was, err := s.update(ctx, project)
	if err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
		return nil, err
	}
	parent, err := os.MkdirTemp(s.Temp, "push-")
	if err != nil {
		return nil, err
	}
	n := &scratch{dir: parent, was: was}
	if err := n.fill(ctx, s.repository(project)); err != nil {
		_ = os.RemoveAll(parent)
		return nil, err
	}
	return n, nil
}

func (n *scratch) repository() string { return filepath.Join(n.dir, "repository.git") }

func (n *scratch) fill(ctx context.Context, from string) error {
	if err := Ensure(ctx, n.repository()); err != nil || n.was.Version == 0 {
		return err
	}
	head, err := os.ReadFile(filepath.Join(from, "HEAD")) // which branch may not be deleted
	if err != nil {
		return err
	}
	info := filepath.Join(n.repository(), "objects", "info")
	if err := os.MkdirAll(info, 0o700); err != nil {
		return err
	}
	for path, text := range map[string]string{
		filepath.Join(info, "alternates"):            filepath.Join(from, "objects") + "\n",
		filepath.Join(n.repository(), "packed-refs"): n.was.Refs,
		filepath.Join(n.repository(), "HEAD"):        string(head),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// publish stores what a push has left in its scratch repository. When that fails
// it returns the refs that were to change.
func (s *Server) publish(ctx context.Context, project ridgeline.ProjectName, n *scratch) (changed []string, err error) {
	refs, err := refsOf(ctx, n.repository())
	if err != nil {
		return nil, err
	}
	if changed = difference(n.was.Refs, refs); len(changed) == 0 {
		return nil, nil
	}
	files, err := filepath.Glob(filepath.Join(n.repository(), "objects", "pack", "*.pack"))
	if err != nil {
		return changed, err
	}
	var packs []string
	for _, f := range files {
		digest, _, err := s.Blob.PutFile(ctx, f)
		if err != nil {
			return changed, err
		}
		packs = append(packs, digest)
	}
	return changed, s.Store.PushRepository(ctx, project, n.was, refs, packs)
}

// difference are the names of the refs that are not the same in both.
func difference(a, b string) (names []string) {
	one, other := byName(a), byName(b)
	for name, hash := range one {
		if other[name] != hash {
			names = append(names, name)
		}
	}
	for name := range other {
		if one[name] == "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// byName are the hashes of refs.
func byName(refs string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(refs) {
		hash, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		all[name] = hash
	}
	return all
}

// Repack makes one pack of a kept repository's many, when there are more than 50.
func (s *Server) Repack(ctx context.Context, project ridgeline.ProjectName) error {
	packs, err := s.Store.Packs(ctx, project, 0)
	if err != nil || len(packs) <= maxPacks {
		return err
	}
	now, err := s.update(ctx, project)
	if err != nil || now.Refs == "" {
		return err
	}
	r, w := io.Pipe()
	cmd := command(ctx, s.repository(project), nil, "pack-objects", "--revs", "--quiet", "--delta-base-offset", "--stdout")
	var tips strings.Builder
	for line := range strings.Lines(now.Refs) {
		hash, _, _ := strings.Cut(line, " ")
		tips.WriteString(hash + "\n")
	}
	cmd.Stdin, cmd.Stdout = strings.NewReader(tips.String()), w
	go func() { w.CloseWithError(finish(cmd)) }()
	digest, _, err := s.Blob.Put(ctx, r)
	_ = r.Close()
	if err != nil {
		return err
	}
	err = s.Store.RepackRepository(ctx, project, now.Version, digest)
	if ridgeline.CodeOf(err) == ridgeline.Conflict {
		return nil // the next look finds it again
	}
	return err
}

// rejection is the answer to a push of which nothing was kept: git's
// report-status (gitprotocol-pack(5)), in band 1 if there are bands.
func rejection(refs []string, sideband bool, why string) []byte {
	report := packet("unpack ok\n")
	for _, name := range refs {
		report += packet("ng " + name + " " + strings.Join(strings.Fields(why), " ") + "\n")
	}
	report += "0000"
	if !sideband {
		return []byte(report)
	}
	var out bytes.Buffer
	for piece := range slices.Chunk([]byte(report), maxPacket-5) {
		out.WriteString(packet("\x01" + string(piece)))
	}
	out.WriteString("0000")
	return out.Bytes()
}
