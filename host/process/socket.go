package process

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/ridgeline-mlops/ridgeline"
)

// longest is how long a socket's path may be: sun_path holds 104 bytes on
// macOS, 108 on Linux, and libraries add to it.
const longest = 99

// socketDir is the short private folder where the copies of this Host listen:
// a path under Dir could be longer than a socket's address may be.
func (h *Host) socketDir() string {
	sum := sha256.Sum256([]byte(h.opt.Dir))
	base := fmt.Sprintf("ridgeline-%d/%s", os.Getuid(), hex.EncodeToString(sum[:4]))
	if run := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(run) {
		dir := filepath.Join(run, base)
		if st, err := os.Stat(run); err == nil && st.IsDir() && len(dir)+len("/0123456789ab-1000.sock") <= longest {
			return dir
		}
	}
	return filepath.Join("/tmp", base)
}

func (h *Host) socketPath(id string, n int) string {
	sum := sha256.Sum256([]byte(id))
	return filepath.Join(h.socketDir(), fmt.Sprintf("%s-%d.sock", hex.EncodeToString(sum[:6]), n))
}

// makeSocketDir makes the folder of a socket. Its parent may be in /tmp, where
// anybody can put anything: it must be a folder, ours, and closed to others.
func makeSocketDir(socket string) error {
	dir := filepath.Dir(socket)
	parent := filepath.Dir(dir)
	for range 10 {
		if err := os.Mkdir(parent, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		st, err := os.Lstat(parent)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another server has just removed it
		}
		if err != nil {
			return err
		}
		sys, ok := st.Sys().(*syscall.Stat_t)
		if !st.IsDir() || ok && int(sys.Uid) != os.Getuid() || st.Mode().Perm()&0o077 != 0 {
			return ridgeline.Errorf(ridgeline.Denied, "%s is not a private folder of this user (mode 0700); remove it, or set XDG_RUNTIME_DIR to a private folder", parent)
		}
		err = os.Mkdir(dir, 0o700)
		if err == nil || errors.Is(err, fs.ErrExist) {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return ridgeline.Errorf(ridgeline.Unavailable, "the folder %s vanishes as soon as it is made; try again", parent)
}
