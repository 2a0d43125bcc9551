package git

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// MaxTree is how many bytes the files of one commit may have together, as
// for ridgeline push.
const MaxTree = 2 << 30

// A Taken is a commit made ready to be built.
type Taken struct {
	Commit ridgeline.Commit // its tree is in the blob store; the branch is the caller's to say
	Note   string           // what its author should know, such as a file that is not really there; else empty
}

// Take keeps the files of a repository's commit as a tree: the same that
// ridgeline push makes of a clean checkout of that commit on Linux, with its
// line ends and links. Submodules are left out, and files in Git LFS are the
// pointers that they are in git.
//
// The project is the repository's root or, where that has no ridgeline.yaml,
// the folder whose ridgeline.yaml names it. What cannot be taken whatever
// happens is Invalid.
func Take(ctx context.Context, blobs *blob.Store, repository, temp string, name ridgeline.ProjectName, hash string) (Taken, error) {
	work, err := os.MkdirTemp(temp, "commit-")
	if err != nil {
		return Taken{}, err
	}
	defer os.RemoveAll(work)
	files, err := list(ctx, repository, hash)
	if err != nil {
		return Taken{}, err
	}
	tree := filepath.Join(work, "tree")
	if err := os.Mkdir(tree, 0o700); err != nil {
		return Taken{}, err
	}
	c := checkout{repository: repository, hash: hash, index: filepath.Join(work, "index"), dir: tree}
	folder, err := c.project(ctx, files, name)
	if err != nil {
		return Taken{}, err
	}
	inside, err := within(files, folder)
	if err != nil {
		return Taken{}, err
	}
	if err := c.write(ctx, inside); err != nil {
		return Taken{}, err
	}
	root := filepath.Join(tree, filepath.FromSlash(folder))
	if err := os.MkdirAll(root, 0o700); err != nil {
		return Taken{}, err
	}
	out := Taken{Note: pointers(root, folder, inside)}
	digest, _, err := blobs.PutTree(ctx, root)
	if err != nil {
		return Taken{}, err
	}
	words, err := run(command(ctx, repository, nil, "log", "-1", "--format=%s%n%an", hash, "--"))
	if err != nil {
		return Taken{}, err
	}
	message, author, _ := strings.Cut(strings.TrimSuffix(string(words), "\n"), "\n")
	out.Commit = ridgeline.Commit{
		Project: name, Hash: hash, Tree: digest, Message: clip(message, 200), Author: clip(author, 100), Created: time.Now().UTC(),
	}
	return out, nil
}

func clip(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}

// A file is an entry of a commit's tree.
type file struct {
	mode string // 100644, 100755, 120000 (link) or 160000 (submodule)
	size int64
	path string
}

func (f file) submodule() bool { return f.mode == "160000" }

// list reads the names of all files of a commit.
func list(ctx context.Context, repository, hash string) ([]file, error) {
	out, err := run(command(ctx, repository, nil, "ls-tree", "-r", "-l", "-z", "--full-tree", hash))
	if err != nil {
		return nil, err
	}
	var files []file
	for entry := range strings.SplitSeq(string(out), "\x00") {
		about, name, ok := strings.Cut(entry, "\t")
		fields := strings.Fields(about) // mode, type, object, size
		if !ok || len(fields) != 4 {
			continue
		}
		size, _ := strconv.ParseInt(fields[3], 10, 64) // "-" for a submodule
		files = append(files, file{fields[0], size, name})
	}
	return files, nil
}

// within are the files of a folder, which must not be too much together.
func within(files []file, folder string) ([]file, error) {
	var inside []file
	var size int64
	for _, f := range files {
		if folder == "." || strings.HasPrefix(f.path, folder+"/") {
			inside = append(inside, f)
			size += f.size
		}
	}
	if size > MaxTree {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "the commit's files are %d MiB, over %d: keep data out of git and name it by a path", size>>20, MaxTree>>20)
	}
	return inside, nil
}

// checkout is a working tree without a repository of its own.
type checkout struct{ repository, hash, index, dir string }

func (c checkout) command(ctx context.Context, args ...string) (cmd func() error, in *io.Reader) {
	git := command(ctx, c.repository, nil, args...)
	git.Dir = c.dir
	git.Env = append(git.Env, "GIT_INDEX_FILE="+c.index, "GIT_WORK_TREE="+c.dir)
	return func() error { return finish(git) }, &git.Stdin
}

// write writes the files as git would in a working tree: .gitattributes
// apply, from wherever in the commit they are.
func (c checkout) write(ctx context.Context, files []file) error {
	if _, err := os.Stat(c.index); err != nil {
		read, _ := c.command(ctx, "read-tree", c.hash)
		if err := read(); err != nil {
			return err
		}
	}
	var names bytes.Buffer
	root, err := os.OpenRoot(c.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range files {
		if f.submodule() { // its files are another repository's; its parent folder is there, as in a clone
			if err := root.MkdirAll(path.Dir(f.path), 0o700); err != nil {
				return err
			}
			continue
		}
		names.WriteString(f.path)
		names.WriteByte(0)
	}
	write, in := c.command(ctx, "checkout-index", "--quiet", "--force", "-z", "--stdin")
	*in = &names
	return write()
}

// project finds the folder of the project.
func (c checkout) project(ctx context.Context, files []file, name ridgeline.ProjectName) (string, error) {
	var folders []string
	for _, f := range files {
		if path.Base(f.path) == project.FileName && f.mode != "120000" && f.size < 1<<20 {
			if path.Dir(f.path) == "." {
				return ".", nil
			}
			folders = append(folders, path.Dir(f.path))
		}
	}
	var named []string
	for _, folder := range folders {
		text, err := run(command(ctx, c.repository, nil, "cat-file", "blob", c.hash+":"+folder+"/"+project.FileName))
		if err != nil {
			return "", err
		}
		if cfg, _ := project.Parse(project.FileName, text); cfg.Project == name { // its mistakes are for the build to tell
			named = append(named, folder)
		}
	}
	switch len(named) {
	case 0:
		return ".", nil // the build says that there is no ridgeline.yaml
	case 1:
		return named[0], nil
	}
	return "", ridgeline.Errorf(ridgeline.Invalid, "%s and %s both are project %q: give each its own name in %s", named[0], named[1], name, project.FileName)
}

// lfs is how the pointer that stands for a file in Git LFS begins.
const lfs = "version https://git-lfs.github.com/spec/v1"

// pointers says which files are not here but in Git LFS.
func pointers(root, folder string, files []file) string {
	var first string
	var n int
	for _, f := range files {
		if f.size > 1024 || f.size < int64(len(lfs)) || f.submodule() || f.mode == "120000" {
			continue
		}
		name := strings.TrimPrefix(f.path, folder+"/")
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err == nil && strings.HasPrefix(string(text), lfs) {
			if n++; n == 1 {
				first = name
			}
		}
	}
	switch n {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%s is in Git LFS, so only its pointer is built: use ridgeline push, or name the data by a path", first)
	}
	return fmt.Sprintf("%d files, such as %s, are in Git LFS, so only their pointers are built: use ridgeline push, or name the data by a path", n, first)
}
