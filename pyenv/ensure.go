package pyenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
	python, err := m.interpreterFor(ctx, lock.Python)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(env.Dir); err != nil {
		return fmt.Errorf("remove a half-built environment: %w", err)
	}
	p.say("creating an environment with Python %s", lock.Python)
	if _, err := m.run(ctx, "create an environment", m.dir, held, nil, "venv", "--no-project", "--no-config", "--python", python.path, env.Dir); err != nil {
		return err
	}
	file := filepath.Join(env.Dir, "requirements.lock")
	if err := writeFile(file, []byte(lock.Text)); err != nil {
		return fmt.Errorf("write the lock: %w", err)
	}
	if lock.Text != "" {
		if err := m.install(ctx, env, file, held, p); err != nil {
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
// packages may still be in uv's cache.
func (m *Manager) install(ctx context.Context, env Env, file string, held *os.File, p Progress) error {
	args := []string{"pip", "install", "--python", env.Python, "--require-hashes", "--no-deps", "-r", file}
	_, err := m.run(ctx, "install packages", m.dir, held, p, args...)
	if ridgeline.CodeOf(err) != ridgeline.Unavailable || ctx.Err() != nil {
		return err
	}
	p.say("the index does not answer; trying with what is cached")
	if _, offline := m.run(ctx, "install packages", m.dir, held, p, append(args, "--offline")...); offline == nil || errors.Is(offline, context.Canceled) {
		return offline
	}
	return err
}
