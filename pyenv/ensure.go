package pyenv

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// ready is the last file written into an environment; without it the folder is
// what a dead process left.
const ready = ".ready"

// Ensure returns the environment of a lock, building it when it is not there:
// once, whoever asks at the same time. A finished one costs two looks at the
// disk. An environment is never changed after; whoever holds its path may go
// on using it.
func (m *Manager) Ensure(ctx context.Context, lock Lock, p Progress) (Env, error) {
	if !hashRE.MatchString(lock.Hash) {
		return Env{}, ridgeline.Errorf(ridgeline.Invalid, "expected a lock with a hash of 64 hex digits, got %q", clip(lock.Hash, 80))
	}
	env := m.env(lock)
	if env.ready() {
		return env, nil
	}
	if want := NewLock(lock.Text, lock.Python); want.Hash != lock.Hash {
		return Env{}, ridgeline.Errorf(ridgeline.Invalid, "the lock %s does not match its text, which makes %s on %s: lock again", lock.Hash[:12], want.Hash[:12], platform())
	}
	held, err := acquire(ctx, filepath.Join(m.dir, "envs", "."+lock.Hash+".lock"), func() { p.say("waiting for another process that installs the same environment") })
	if err != nil {
		return Env{}, err
	}
	defer func() { _ = held.Close() }()
	if env.ready() {
		return env, nil
	}
	if err := m.build(ctx, env, lock, held, p); err != nil {
		// Nobody will look at what is left; the next try would remove it too.
		_ = os.RemoveAll(env.Dir)
		return Env{}, err
	}
	return env, nil
}

// ready also follows the link to the interpreter: a system upgrade may have
// taken it away.
func (e Env) ready() bool {
	if _, err := os.Stat(filepath.Join(e.Dir, ready)); err != nil {
		return false
	}
	_, err := os.Stat(e.Python)
	return err == nil
}

// build makes the environment at its final path, since it cannot be moved.
func (m *Manager) build(ctx context.Context, env Env, lock Lock, held *os.File, p Progress) error {
	parts, err := split(lock.Text)
	if err != nil {
		return err
	}
	python, err := m.interpreterFor(ctx, lock, parts.python)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(env.Dir); err != nil {
		return fmt.Errorf("remove a half-built environment: %w", err)
	}
	p.say("creating an environment with Python %s", lock.Python)
	if _, err := m.run(ctx, call{doing: "create an environment", dir: m.dir, held: held}, "venv", "--no-project", "--no-config", "--python", python.path, env.Dir); err != nil {
		return err
	}
	if parts.packages != "" {
		if err := m.install(ctx, env, parts, held, p); err != nil {
			return err
		}
	}
	if _, err := os.Stat(env.SitePackages); err != nil {
		return ridgeline.Errorf(ridgeline.Internal, "uv made an environment without site-packages: %w", err)
	}
	if err := writeFile(filepath.Join(env.Dir, ready), []byte(python.String()+"\n")); err != nil {
		return fmt.Errorf("finish the environment: %w", err)
	}
	return nil
}

// install fills the environment. When the index does not answer, all the
// packages may still be in uv's cache. Only the first index that has a package
// is asked for its file, as when it was locked; a lock made elsewhere may mean a
// later one, and since every file must have its hash, all may be asked then.
func (m *Manager) install(ctx context.Context, env Env, lock parts, held *os.File, p Progress) error {
	if err := trusted(os.Environ(), lock.indexes); err != nil {
		return err
	}
	list := filepath.Join(env.Dir, "requirements.lock")
	if err := writeFile(list, []byte(lock.packages)); err != nil {
		return fmt.Errorf("write the lock: %w", err)
	}
	options := append([]string{"pip", "install", "--python", env.Python, "--require-hashes", "--no-deps", "-r", list}, args(lock.indexes)...)
	for _, f := range lock.files {
		folder, err := m.fetch(ctx, f)
		if err != nil {
			return err
		}
		// uv takes a comma for the end of a name.
		address := strings.ReplaceAll((&url.URL{Scheme: "file", Path: folder}).String(), ",", "%2C")
		options = append(options, "--find-links", address)
	}
	c := call{doing: "install packages", dir: m.dir, held: held, tell: p, indexes: lock.indexes}
	_, err := m.run(ctx, c, options...)
	if ridgeline.CodeOf(err) == ridgeline.Invalid && indexLineRE.MatchString(lock.join()) {
		if _, all := m.run(ctx, c, append(options, "--index-strategy", "unsafe-best-match")...); all == nil {
			return nil
		}
	}
	if ridgeline.CodeOf(err) != ridgeline.Unavailable || ctx.Err() != nil {
		return err
	}
	p.say("the index does not answer; trying with what is cached")
	if _, offline := m.run(ctx, c, append(options, "--offline")...); offline == nil || errors.Is(offline, context.Canceled) {
		return offline
	}
	return err
}

var indexLineRE = regexp.MustCompile(`(?m)^--(extra-index-url|index) `)
