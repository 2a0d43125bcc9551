package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// socketPath is what every system's sockaddr_un holds.
const socketPath = 103

func parseListen(address string) (network, where string, err error) {
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		switch {
		case !filepath.IsAbs(path):
			return "", "", ridgeline.Errorf(ridgeline.Invalid, "RIDGELINE_LISTEN=%q: expected unix:// and an absolute path", address)
		case len(path) > socketPath:
			return "", "", ridgeline.Errorf(ridgeline.Invalid, "RIDGELINE_LISTEN=%q: a socket's path has at most %d bytes, this one %d", address, socketPath, len(path))
		}
		return "unix", path, nil
	}
	_, port, err := net.SplitHostPort(address)
	if n, bad := strconv.Atoi(port); err != nil || bad != nil || n < 0 || n > 65535 {
		return "", "", ridgeline.Errorf(ridgeline.Invalid, "RIDGELINE_LISTEN=%q: expected unix:///path or [host]:port", address)
	}
	return "tcp", address, nil
}

// Listen opens the scorer's listener. A Unix socket is made with mode 0600; one
// that a dead process left is replaced, one that answers is a Conflict. Closing
// the listener removes the socket unless another process has replaced it.
func Listen(address string) (net.Listener, error) {
	network, where, err := parseListen(address)
	if err != nil {
		return nil, err
	}
	if network == "tcp" {
		l, err := net.Listen(network, where)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", address, err)
		}
		return l, nil
	}
	if conn, err := net.DialTimeout("unix", where, time.Second); err == nil {
		conn.Close()
		return nil, ridgeline.Errorf(ridgeline.Conflict, "listen on %s: another process answers there. Stop it, or choose another path.", address)
	}
	if info, err := os.Lstat(where); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, ridgeline.Errorf(ridgeline.Conflict, "listen on %s: there is a %s that is no socket. Remove it, or choose another path.", address, info.Mode().Type())
	}
	// Made beside and renamed: nobody can connect before the mode is right.
	temp := filepath.Join(filepath.Dir(where), "."+strconv.FormatInt(int64(os.Getpid()), 36))
	_ = os.Remove(temp)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	l.SetUnlinkOnClose(false)
	own, err := secure(temp, where)
	if err != nil {
		l.Close()
		os.Remove(temp)
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return &unixListener{Listener: l, path: where, own: own}, nil
}

func secure(temp, where string) (fs.FileInfo, error) {
	if err := os.Chmod(temp, 0o600); err != nil {
		return nil, err
	}
	if err := os.Rename(temp, where); err != nil {
		return nil, err
	}
	return os.Lstat(where)
}

type unixListener struct {
	net.Listener
	path string
	own  fs.FileInfo
}

func (l *unixListener) Close() error {
	err := l.Listener.Close()
	if now, gone := os.Lstat(l.path); gone == nil && os.SameFile(now, l.own) {
		err = errors.Join(err, os.Remove(l.path))
	}
	return err
}
